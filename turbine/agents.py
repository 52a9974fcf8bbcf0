"""Agents: async functions over a stream of events, as they are declared."""

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from turbine import _declare
from turbine._asks import Asks
from turbine._decoders import decoder_for
from turbine._guarantee import guarantee
from turbine._plan import Entry, Plan
from turbine.channels import Channel
from turbine.exceptions import DeclarationError
from turbine.naming import agent_topic, check_name, function_name
from turbine.policies import Retry, policy
from turbine.topics import Topic

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from turbine.app import App
    from turbine.testing import AgentContext

__all__ = ["Agent", "Sink", "Source", "topics_read"]

Source: TypeAlias = str | Topic | Channel | None
"""What an agent reads; None: a topic of its own."""


class Agent(Asks):
    """
    A declared agent. Made by `App.agent`, which also says what each option means.

    Attributes:
        name: Unique in the app, ``module.function`` unless given.
        fn: The function.
        channel: What it reads.
        concurrency: Instances; a key always meets the same one.
        sinks: Where yielded values go.
        policy: What happens to bad records and failing events.
        on_error: What the core does with them in the end: ``"fail"``, ``"skip"`` or ``"dlq"``.
        dlq: Dead-letter topic, with ``on_error="dlq"``.
        is_isolated: Whether each partition has an instance of its own.
        restarts_all: Whether all instances are called again when one has failed.
        on_exception: Told of every exception, sync or async, before the policy is applied.
        yields: Whether the function is an async generator.
    """

    def __init__(
        self,
        app: "App",
        fn: Callable[..., Any],
        channel: Source = None,
        *,
        name: str | None = None,
        concurrency: int = 1,
        sink: "Sink | Sequence[Sink]" = (),
        on_error: str | Retry = "fail",
        dlq: str | Topic | None = None,
        key_type: Any = None,
        value_type: Any = None,
        partitions: int | None = None,
        processing_guarantee: str | None = None,
        isolated_partitions: bool = False,
        restarts_all: bool = False,
    ) -> None:
        self.app = app
        self.fn = fn
        self.plan: Plan | None = None
        self.feeds: Topic | Channel | None = None
        self.restarts_all = restarts_all
        self.on_exception: Callable[[Agent, BaseException], Any] | None = None
        self.yields = _check_function(fn)
        self.name = check_name("agent", name or function_name(fn, qualified=True))
        self.guarantee = guarantee(app, processing_guarantee, name=self.name)
        self.concurrency = _declare.whole_number("concurrency", concurrency, least=1)
        self.channel = self._source(channel, key_type, value_type, partitions)
        self._check_format()
        self.sinks = self._sinks(sink)
        self.declared_on_error = on_error
        self.policy = policy(on_error, dlq, self.guarantee)
        self.on_error, self.dlq = self.policy.last, self.policy.dlq
        self.is_isolated = self._check_isolated(isolated_partitions)
        _declare.check_no_loop(self.topics, self.dlq, "dlq")
        self.help = _declare.first_line(fn)

    def _check_format(self) -> None:
        kind = self.channel.value_format.kind if isinstance(self.channel, Topic) else "json"
        if kind != "json":
            raise DeclarationError(
                f"the agent {self.name} cannot read {kind} yet: use @app.subscribe"
            )

    # -- what the worker reads -------------------------------------------------------------

    @property
    def topics(self) -> tuple[str, ...]:
        """Names of the Kafka topics it reads; none if it reads a channel."""
        reads = self.reads
        return (reads.names or reads.found) if isinstance(reads, Topic) else ()

    @property
    def reads(self) -> Topic | Channel:
        """What it iterates over: behind a ``group_by`` or ``through``, the topic in between."""
        if self.plan is not None and self.plan.stages:
            return self.plan.stages[-1][0]
        return self.channel

    def given(self, stream: Any) -> Any:
        """Return what the function gets for *stream*."""
        return Entry(stream, self.plan) if self.plan is not None and self.plan.stages else stream

    def make_fn(self) -> Callable[[Any], Any]:
        """Return the function; of a class, an instance that nobody else has."""
        if isinstance(self.fn, type):
            made: Callable[[Any], Any] = self.fn()
            return made
        return self.fn

    @property
    def group(self) -> str:
        """Consumer group, shared by the agents of the app."""
        return self.app.conf.group

    @property
    def key_type(self) -> Any:
        """Type of the keys it sees."""
        return self.channel.key_type

    @property
    def value_type(self) -> Any:
        """Type of the values it sees."""
        return self.channel.value_type

    def decoders(self) -> tuple[Any, Any]:
        """Key and value decoder, as `_native.Worker.set_decoder` takes them."""
        channel = self.reads
        if isinstance(channel, Topic):
            return channel.decoders()
        return decoder_for(channel.key_type, default="raw"), decoder_for(
            channel.value_type, default="json"
        )

    # -- sending to it ---------------------------------------------------------------------

    async def send(self, value: Any = None, *, key: Any = None, **options: Any) -> Any:
        """Send *value* to what it reads; the same two steps as `Topic.send`."""
        return await self.channel.send(key=key, value=value, **options)

    def send_soon(self, value: Any = None, *, key: Any = None, **options: Any) -> Any:
        """Send *value* from a plain function; see `Topic.send_soon`."""
        return self.channel.send_soon(key=key, value=value, **options)

    async def cast(self, value: Any = None, *, key: Any = None, **options: Any) -> None:
        """Send *value* without asking where it went."""
        await self.channel.send(key=key, value=value, **options)

    def add_sink(self, sink: "Sink") -> None:
        """Send yielded values to *sink* too."""
        self.sinks = (*self.sinks, *self._sinks(sink))

    def __call__(self, stream: Any) -> Any:
        """Call the function itself, as a unit test does."""
        return self.make_fn()(stream)

    def test_context(self) -> "AbstractAsyncContextManager[AgentContext]":
        """
        Run the agent in a test, without a broker, on what the test puts in.

        ::

            async with double.test_context() as agent:
                event = await agent.put(21)
                assert agent.results[event.offset] == 42
        """
        from turbine.testing._context import test_context

        return test_context(self)

    def __repr__(self) -> str:
        return f"<Agent {self.name} reads {self.channel}>"

    # -- checks ----------------------------------------------------------------------------

    def _source(
        self, channel: Source, key_type: Any, value_type: Any, partitions: int | None
    ) -> Topic | Channel:
        types = {"key_type": key_type, "value_type": value_type}
        if channel is None:
            own = agent_topic(self.app.conf.group, self.name)
            return self.app.topic(own, partitions=partitions, internal=True, **types)
        if isinstance(channel, str):
            return self.app.topic(channel, partitions=partitions, **types)
        if not isinstance(channel, Topic | Channel):
            raise DeclarationError(
                f"an agent reads a topic or a channel, not {channel!r}: "
                "write @app.agent('orders'), @app.agent(app.topic(...)) or "
                "@app.agent(app.channel())"
            )
        if channel.app is not self.app:
            raise DeclarationError(
                f"{channel!r} belongs to another app: declare it with this app's .topic()"
            )
        if partitions is not None:
            raise DeclarationError(f"say partitions={partitions} where {channel!r} is declared")
        if key_type is None and value_type is None:
            return channel
        for kind, new in types.items():
            old = getattr(channel, kind)
            if new is not None and old is not None and new is not old:
                raise DeclarationError(
                    f"{channel!r} has {kind}={old!r} already: leave {kind} out of the agent"
                )
        if isinstance(channel, Channel):
            raise DeclarationError(f"say key_type and value_type where {channel!r} is declared")
        return channel.with_types(key_type, value_type)

    def _check_isolated(self, isolated: object) -> bool:
        if isolated and self.concurrency != 1:
            raise DeclarationError(
                f"the agent {self.name} has isolated_partitions and concurrency={self.concurrency}:"
                " leave one out, each partition has one instance already"
            )
        return bool(isolated) and isinstance(self.channel, Topic)

    def _sinks(self, sink: "Sink | Sequence[Sink]") -> tuple[Any, ...]:
        many = list(sink) if isinstance(sink, list | tuple | set | frozenset) else [sink]
        if many and not self.yields:
            raise DeclarationError(
                f"the agent {self.name} has a sink and yields nothing: "
                f"write 'yield result' in it, or leave sink out"
            )
        return tuple(self._sink(one) for one in many)

    def _sink(self, sink: Any) -> Any:
        if isinstance(sink, str):
            sink = self.app.topic(sink)
        if isinstance(sink, Topic):
            sink.get_topic_name()
            _declare.check_no_loop(self.topics, sink, "sink")
            return sink
        if isinstance(sink, Channel | Agent):
            return sink
        if not callable(sink) or isinstance(sink, type):
            raise DeclarationError(
                f"{sink!r} cannot be a sink: use a topic, a channel, an agent, or a function of "
                "one value"
            )
        _declare.check_takes_one(sink, "a sink function", "value")
        return sink


Sink: TypeAlias = str | Topic | Channel | Agent | Callable[[Any], Any]
"""Where yielded values go."""


def topics_read(agents: "Iterable[Agent]") -> list[str]:
    """Names of the Kafka topics that any of *agents* reads, sorted, each once."""
    return sorted({topic for agent in agents for topic in agent.topics})


def _check_function(fn: Any) -> bool:
    """Refuse what cannot be an agent; True if it yields."""
    called = fn.__call__ if isinstance(fn, type) else fn
    name = getattr(fn, "__name__", repr(fn))
    yields = _declare.is_kind(called, inspect.isasyncgenfunction)
    if not yields and not _declare.is_kind(called, inspect.iscoroutinefunction):
        if isinstance(fn, type):
            raise DeclarationError(
                f"the class {name} is no agent: write 'async def __call__(self, stream)' in it"
            )
        raise DeclarationError(
            f"the agent {name} is not async: write 'async def {name}(stream): async for value in "
            "stream: ...', "
            f"or use @app.subscribe for a function over whole batches"
        )
    _declare.check_takes_one(
        functools.partial(called, None) if isinstance(fn, type) else fn, "an agent", "stream"
    )
    return yields
