"""
What an agent does to its stream in front of its loop, found out before the worker starts.

``stream.group_by(...)`` and ``stream.through(...)`` need a topic and a consumer of it, which the
core must know at the start. A function that names one of them is therefore called once with a
recorder, as far as the first ``async for``; what stands in front of that runs twice. From the
record come a first stage, an agent that writes what is read to the topic in between, and what the
agent itself reads. `filter`, `add_processor` and `echo` in front of it run in the first stage.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn, Self

from turbine import _declare
from turbine._operators import Operators, Step
from turbine.channels import Channel
from turbine.exceptions import DeclarationError
from turbine.topics import Topic

if TYPE_CHECKING:
    from turbine.agents import Agent
    from turbine.app import App

__all__ = ["Entry", "Plan", "plan_app"]

_NAMES = frozenset({"group_by", "through", "noack"})


class Plan:
    """
    The record of one agent.

    Attributes:
        stages: Topics or channels in between, in their order, each with its first stage.
        acks_by_hand: Whether rows are done when the agent says so.
    """

    def __init__(self) -> None:
        self.stages: list[tuple[Topic | Channel, Forward]] = []
        self.acks_by_hand = False


class Forward:
    """
    The function of a first stage.

    Args:
        target: Where values go.
        steps: Filters and processors in front.
        key: Gives the new key; None keeps it.
    """

    def __init__(
        self, target: Topic | Channel, steps: list[Step], key: Callable[[Any], Any] | None
    ) -> None:
        self.target = target
        self.steps = steps
        self.key = key
        # What was read goes on byte for byte, unless somebody changes it on the way.
        self.changes = any(not hasattr(step, "keeps_value") for step in steps)

    async def __call__(self, stream: Any) -> None:
        """Send everything on."""
        for step in self.steps:
            stream.add_processor(step)
        async for event in stream.events():
            parts: dict[str, Any] = {}
            if self.changes:
                parts["value"] = event.value
            if self.key is not None:
                key = self.key(event.value)
                parts["key"] = await key if inspect.isawaitable(key) else key
            await event.forward(self.target, **parts)


class _Planned(BaseException):
    """The function has come to its loop."""


class _Recorder(Operators):
    """Stands for the stream while an agent is planned."""

    def __init__(self, agent: "Agent", plan: Plan, source: Topic | Channel) -> None:
        super().__init__()
        self.app = agent.app
        self.concurrency_index = 0
        self.current_event = None
        self.active_partitions: set[Any] = set()
        self._agent = agent
        self._plan = plan
        self._source = source

    def group_by(
        self,
        key: Any,
        *,
        name: str | None = None,
        topic: "str | Topic | None" = None,
        partitions: int | None = None,
    ) -> "_Recorder":
        name, fn = _key_function(key, name)
        if partitions is not None:
            _declare.whole_number("partitions", partitions, least=1)
        if topic is None:
            target = _in_between(self._agent, self._source, name, partitions)
        else:
            target = self.app.topic(topic) if isinstance(topic, str) else topic
        return self._next(target, fn)

    def through(self, channel: "str | Topic | Channel") -> "_Recorder":
        return self._next(self.app.topic(channel) if isinstance(channel, str) else channel, None)

    def _next(self, target: Topic | Channel, key: Callable[[Any], Any] | None) -> "_Recorder":
        if self._by_hand:
            raise DeclarationError(
                f"the agent {self._agent.name} writes noack() in front of group_by() or through(): "
                "write it behind, where events are acknowledged"
            )
        self._plan.stages.append((target, Forward(target, self._steps, key)))
        return _Recorder(self._agent, self._plan, target)

    def noack(self) -> Self:
        self._plan.acks_by_hand = True
        return super().noack()

    def _begin(self, *_args: Any, **_options: Any) -> NoReturn:
        raise _Planned

    __aiter__ = events = items = take = take_events = take_with_timestamp = batches = _begin
    enumerate = _begin


class Entry:
    """
    What a planned agent is given when it runs: its operators have been recorded already.

    Behind the last ``group_by`` or ``through`` it is the stream itself.
    """

    def __init__(self, stream: Any, plan: Plan, stage: int = 0) -> None:
        self._stream = stream
        self._plan = plan
        self._stage = stage

    def group_by(self, *_args: Any, **_options: Any) -> Any:
        stage = self._stage + 1
        if stage < len(self._plan.stages):
            return Entry(self._stream, self._plan, stage)
        return self._stream

    through = group_by

    def add_processor(self, *_args: Any) -> Self:
        return self

    filter = echo = add_processor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __aiter__(self) -> AsyncIterator[Any]:
        raise DeclarationError(
            "the agent said group_by() or through() when it was planned, and iterates over the "
            "stream in front of it now: say the same every time it is called"
        )


def plan_app(app: "App") -> None:
    """
    Plan the agents of *app* that need it, each once, and declare their first stages.

    Raises:
        DeclarationError: A plan cannot work; the message says what to write.
    """
    for agent in list(app.agents.values()):
        if agent.plan is None and _names_of(agent.fn) & _NAMES:
            agent.plan = _plan(agent)
            _check(agent, agent.plan)
            for index, (target, forward) in enumerate(agent.plan.stages):
                _add_stage(agent, index, target, forward)


def _add_stage(agent: "Agent", index: int, target: Topic | Channel, forward: Forward) -> None:
    from turbine.agents import Agent

    assert agent.plan is not None  # noqa: S101 - it has stages
    stage = Agent(
        agent.app,
        forward,
        agent.plan.stages[index - 1][0] if index else agent.channel,
        name=f"{agent.name}-stage-{index + 1}",
        on_error=agent.declared_on_error,
        dlq=agent.dlq,
        processing_guarantee=agent.guarantee,
    )
    stage.feeds = target
    agent.app._add_agent(stage)  # noqa: SLF001 - the app's own part


def _plan(agent: "Agent") -> Plan:
    plan = Plan()
    running = agent.make_fn()(_Recorder(agent, plan, agent.channel))
    step: Awaitable[Any] = anext(running) if agent.yields else running
    try:
        step.__await__().send(None)
    except _Planned:
        return plan
    except (StopIteration, StopAsyncIteration):
        raise DeclarationError(
            f"the agent {agent.name} does not read the stream it was given first"
        ) from None
    except DeclarationError:
        raise
    except Exception as exc:
        raise DeclarationError(
            f"the agent {agent.name} raised {type(exc).__name__}: {exc}, in front of its loop, "
            "when it was called to find out what it reads"
        ) from exc
    if not agent.yields:
        running.close()
    raise DeclarationError(
        f"the agent {agent.name} waits for something before it says group_by(), through() or "
        "noack(): say it first, what it reads must be known before the worker starts"
    )


def _check(agent: "Agent", plan: Plan) -> None:
    if plan.acks_by_hand and agent.guarantee == "exactly_once":
        raise DeclarationError(
            f"the agent {agent.name} says noack() under exactly_once, which commits everything up "
            "to an offset: leave it out, or declare processing_guarantee='at_least_once'"
        )
    read = set(agent.channel.names) if isinstance(agent.channel, Topic) else set()
    for target, _ in plan.stages:
        if isinstance(target, Topic):
            _declare.check_no_loop(read, target, "through")
            read.add(target.get_topic_name())


def _key_function(key: Any, name: str | None) -> tuple[str, Callable[[Any], Any]]:
    """The name of a key in topics, and what reads it from a value."""
    getter = getattr(key, "getattr", None)
    if getter is not None:
        return name or str(key.ident), getter
    if isinstance(key, str):
        return name or key, lambda value: _field(value, key)
    if not callable(key):
        raise DeclarationError(
            f"group_by({key!r}) needs a field, as Order.user, the name of one, or a function"
        )
    if not name:
        raise DeclarationError(
            "group_by() of a function names the topic in between: write group_by(fn, name='user')"
        )
    return name, key


def _field(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value


def _in_between(
    agent: "Agent", source: Topic | Channel, name: str, partitions: int | None
) -> Topic:
    if not isinstance(source, Topic) or source.pattern is not None:
        raise DeclarationError(
            f"the agent {agent.name} groups {source!r}, whose topic would have no name: write "
            "group_by(..., topic='...')"
        )
    from turbine.naming import group_by_topic

    target = group_by_topic(agent.name, source.name, name)
    return source.derive(topics=[target], partitions=partitions, internal=True)


def _names_of(fn: Any) -> frozenset[str]:
    """Names that a function uses, with those of functions inside of it."""
    fn = getattr(fn, "func", fn)
    if not inspect.isroutine(fn):
        fn = (fn if isinstance(fn, type) else type(fn)).__call__
    found: set[str] = set()
    codes = [getattr(inspect.unwrap(fn), "__code__", None)]
    while codes:
        code = codes.pop()
        if code is not None:
            found.update(code.co_names)
            codes += [one for one in code.co_consts if inspect.iscode(one)]
    return frozenset(found)
