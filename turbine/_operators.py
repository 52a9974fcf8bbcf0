"""
Operators that streams of topics and of channels share.

`filter`, `add_processor` and `echo` change the stream they are called on, and last until the agent
is called again. A stream without any of them pays nothing for them.
"""

import inspect
from collections.abc import AsyncIterator, Callable
from types import GenericAlias
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeAlias, overload

from turbine._fluent import Fluent
from turbine.exceptions import DeclarationError
from turbine.functions import Expr

if TYPE_CHECKING:
    from turbine.app import App
    from turbine.channels import Channel
    from turbine.flows import Flow
    from turbine.topics import Topic

__all__ = ["SKIPPED", "Operators", "Step", "run_steps"]

Step: TypeAlias = Callable[[Any], Any]
"""One value to the next, sync or async."""

SKIPPED: Final = object()
"""What a step gives for a value that goes no further."""


class Operators(Fluent):
    """What can be done to a stream before it is iterated."""

    app: "App"
    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)
    """``Stream[Order]`` in annotations."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._by_hand = False

    @property
    def steps(self) -> list[Step]:
        """Filters and processors, in their order."""
        return self._steps

    @property
    def is_by_hand(self) -> bool:
        """Whether `noack` was called."""
        return self._by_hand

    def __and__(self, other: Any) -> Any:
        """Both streams as one, without an order between them."""
        return self.combine(other)

    def combine(self, *_others: Any) -> Any:
        """As ``self & other``, for several.

        Raises:
            DeclarationError: One of them is not the stream of a topic.
        """
        raise DeclarationError(
            "only streams of topics can be combined: let one agent read both, or send what comes "
            "from one channel to the other"
        )

    def __aiter__(self) -> AsyncIterator[Any]:
        raise NotImplementedError

    @overload
    def filter(self, fn: Expr) -> "Flow": ...
    @overload
    def filter(self, fn: Callable[[Any], Any]) -> Self: ...
    def filter(self, fn: Any) -> Any:
        """
        Let only values go on for which *fn*, sync or async, is true; the others are done.

        A condition over columns, as ``col("a") > 0``, makes a plan: `turbine.flows.Flow.filter`.
        """
        if isinstance(fn, Expr):
            return self.flow().filter(fn)
        _check(fn, "filter")

        def step(value: Any) -> Any:
            answer = fn(value)
            if inspect.isawaitable(answer):
                return _kept(answer, value)
            return value if answer else SKIPPED

        step.keeps_value = True  # type: ignore[attr-defined] # a mark for plans
        self._steps.append(step)
        return self

    def add_processor(self, fn: Step) -> Self:
        """Let *fn*, sync or async, change every value; what it returns goes on."""
        _check(fn, "add_processor")
        self._steps.append(fn)
        return self

    def echo(self, *channels: "str | Topic | Channel") -> Self:
        """Send every value, with its key, to *channels* too, before it goes on."""
        targets = [self.app.topic(one) if isinstance(one, str) else one for one in channels]

        async def step(value: Any) -> Any:
            key = self.raw_key()
            for target in targets:
                await target.send(key=key, value=value)
            return value

        step.keeps_value = True  # type: ignore[attr-defined] # a mark for plans
        self._steps.append(step)
        return self

    def noack(self) -> Self:
        """
        Let events be done when their `Event.ack` is called, and not before, in any order.

        What is never acknowledged comes again after a restart, with everything behind it that was
        not; until then the offset committed for its partition waits in front of it, and 16 bytes
        are kept for every event behind it. Where state is committed with the offset, it is refused.
        """
        self._by_hand = True
        return self

    def group_by(self, *_args: Any, **_options: Any) -> Any:
        """
        Read the values again, placed by another key: ``stream.group_by(Order.user)``.

        Args:
            key: A field of a model, the name of one, or a function, sync or async.
            name: Names the topic in between, if *key* is a function.
            topic: The topic in between, ``{agent}-{topic}-{name}-repartition`` if None.
            partitions: Of a created topic; as many as are read if None.

        Raises:
            DeclarationError: It is said somewhere else than in the agent's own function, which the
                worker asks for it before the start.
        """
        raise DeclarationError(
            "group_by() and through() need a topic, which must be known before the worker starts: "
            "write them in the agent's own function, in front of its loop"
        )

    def through(self, *args: Any) -> Any:
        """Write the values to a topic or channel, and read them from there; as `group_by`."""
        return self.group_by(*args)

    async def ack(self, event: Any) -> bool:
        """As `Event.ack`."""
        return bool(event.ack())

    async def enumerate(self, start: int = 0) -> AsyncIterator[tuple[int, Any]]:
        """``(number, value)`` pairs, numbers from *start*."""
        number = start
        async for value in self:
            yield number, value
            number += 1

    def raw_key(self) -> Any:
        """Key of the row in hand, as it was read."""
        raise NotImplementedError

    def restarted(self) -> None:
        """Forget what a call of the agent's function has made of the stream."""
        self._steps = []
        self._by_hand = False


async def run_steps(steps: list[Step], value: Any) -> Any:
    """Put *value* through *steps*; `SKIPPED` if one of them keeps it."""
    for step in steps:
        value = step(value)
        if inspect.isawaitable(value):
            value = await value
        if value is SKIPPED:
            return SKIPPED
    return value


async def _kept(answer: Any, value: Any) -> Any:
    return value if await answer else SKIPPED


def _check(fn: object, word: str) -> None:
    if not callable(fn):
        raise DeclarationError(f"{word}({fn!r}) needs a function of one value")
