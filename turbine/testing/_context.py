"""
`Agent.test_context`: an agent in a test without a broker.

The agent runs on the test's own loop, over the same `Stream` as in a worker. What it sends to
topics goes nowhere but into a list.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from turbine import _declare
from turbine._agents_runtime import AgentInstance
from turbine.channels import Channel
from turbine.events import Event
from turbine.exceptions import HandlerError
from turbine.streams import Stream
from turbine.testing._codec import decode, encode
from turbine.testing._tables import MemoryTable, TestTurn
from turbine.types import TP, HeadersArg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from turbine.agents import Agent
    from turbine.tables import Table

__all__ = ["AgentContext", "test_context"]

_PUT_LIMIT_S = 30.0


class AgentContext:
    """
    A running agent, fed by `put`.

    Attributes:
        agent: The agent.
        results: Offset of an event to what the agent yielded for it; of several the last one.
        yielded: Everything that the agent yielded, in its order.
        sent: What the agent sent to topics: events with the value as it was given.
        refused: Events that ``on_error="skip"`` or ``"dlq"`` left out, each with the reason.
    """

    def __init__(self, agent: "Agent") -> None:
        self.agent = agent
        self.results: dict[int, Any] = {}
        self.yielded: list[Any] = []
        self.sent: list[Event] = []
        self.refused: list[tuple[Event, str]] = []
        self.producer = cast("Any", _Capture(self))
        self.keeps_producer = True
        self._rows = _Rows(self)
        self._put = 0
        self._task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    async def put(
        self,
        value: Any = None,
        key: Any = None,
        *,
        partition: int = 0,
        timestamp: float | None = None,
        headers: HeadersArg | None = None,
        wait: bool = True,
    ) -> Event:
        """
        Give the agent an event.

        Args:
            value: Its value; what `Topic.send` would write is decoded as the agent's type says.
            key: Its key.
            partition: Partition that it seems to come from.
            timestamp: Seconds since the Unix epoch; 0 if None.
            headers: Names and values.
            wait: Wait until the agent asks for the next event. An agent that collects, with
                `Stream.take`, asks while it still holds this one.

        Returns:
            The event, with its offset: the key of `results`.

        Raises:
            DecodeError: The value does not fit the agent's ``value_type``.
            Exception: What the agent raised, unless ``on_error`` lets it go on.
        """
        event = self._event(value, key, partition, timestamp, headers)
        await self._give(event, wait=wait)
        return event

    async def throw(self, error: BaseException) -> None:
        """
        Raise *error* inside the agent, where it waits for the next event.

        Raises:
            Exception: *error*, if the agent lets it through.
        """
        await self._give(error, wait=True)

    # -- for the agent ---------------------------------------------------------------------

    def table(self, table: "Table[Any, Any]") -> MemoryTable:
        """Return the content of *table*, which is empty when the context begins."""
        return MemoryTable(table.name, table.codec)

    def stopped(self, message: str) -> None:
        """Note that the agent is over."""
        if self._error is None:
            self._error = HandlerError(message)

    # -- inside ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Run the agent until it ends."""
        instance = _Instance(self)
        try:
            await instance.run()
        finally:
            self._rows.asked.set()

    async def start(self) -> None:
        """Start the agent and wait until it asks for its first event."""
        self._task = asyncio.create_task(self.run(), name=f"agent {self.agent.name}")
        await self._wait()

    async def stop(self) -> None:
        """End the agent as a worker does: its stream ends."""
        assert self._task is not None  # noqa: S101 - started by the context
        self._rows.close()
        try:
            async with asyncio.timeout(_PUT_LIMIT_S):
                await self._task
        except TimeoutError:
            raise TimeoutError(
                f"the agent {self.agent.name} does not end although its stream has: "
                "what does it wait for?"
            ) from None

    def _event(
        self,
        value: Any,
        key: Any,
        partition: int,
        timestamp: float | None,
        headers: HeadersArg | None,
    ) -> Event:
        from turbine.topics import _raw_headers

        agent, offset = self.agent, self._put
        if not isinstance(agent.channel, Channel):
            value = decode(encode(value, agent.value_type), agent.value_type, default="json")
            key = decode(encode(key, str), agent.key_type, default="raw")
        self._put += 1
        raw = [] if headers is None else _raw_headers(headers)
        time_s = 0.0 if timestamp is None else timestamp
        return Event(agent.app, key, value, raw, str(agent.channel), partition, offset, time_s)

    async def _give(self, what: Event | BaseException, *, wait: bool) -> None:
        if self._task is None:
            raise RuntimeError("write: async with agent.test_context() as context:")
        self.check()
        if self._task.done():
            raise RuntimeError(f"the agent {self.agent.name} has ended: nothing reads this")
        self._rows.give(what)
        if wait:
            await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_PUT_LIMIT_S):
                await self._rows.asked.wait()
        except TimeoutError:
            raise TimeoutError(
                f"the agent {self.agent.name} did not ask for the next event in "
                f"{_PUT_LIMIT_S:.0f} s: put(..., wait=False) does not wait for it"
            ) from None
        self.check()

    def check(self) -> None:
        """Raise what the agent raised and nobody was told yet."""
        error, self._error = self._error, None
        if error is not None:
            raise error


class _Instance(AgentInstance):
    """An agent's instance whose worker is the context."""

    def __init__(self, context: AgentContext) -> None:
        super().__init__(
            cast("Any", _Native(context)),
            context.agent,
            cast("Any", context._rows),  # noqa: SLF001 - two halves of one thing
            0,
            ending=asyncio.Event(),
            on_crash=context.stopped,
        )
        self._context = context
        self._stream = _Stream(context.agent.app, cast("Any", context._rows))  # noqa: SLF001 - as above

    async def _yielded(self, value: Any) -> None:
        context = self._context
        event = self._stream.current_event
        if event is not None:
            context.results[event.offset] = value
        context.yielded.append(value)
        await super()._yielded(value)

    async def _after(self, exc: BaseException) -> bool:
        again = await super()._after(exc)
        if isinstance(exc, Exception) and (not again or self._context._rows.stopped):  # noqa: SLF001 - two halves of one thing
            self._context._error = exc  # noqa: SLF001 - as above
        return again


class _Stream(Stream):
    """A stream without a topic in between: what is grouped goes on at once, under its old key."""

    def group_by(self, *_args: Any, **_options: Any) -> "_Stream":
        return self

    through = group_by


class _Native:
    def __init__(self, context: AgentContext) -> None:
        self._context = context

    def agent_failed(self, _agent: str, message: str) -> None:
        self._context.stopped(message)


class _Rows:
    """The mailbox of the agent, which the test fills."""

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        self._queue: deque[Event | BaseException] = deque()
        self._news = asyncio.Event()
        self.asked = asyncio.Event()
        self.stopped = False
        self.hurried: Any = None

    def give(self, what: Event | BaseException) -> None:
        self.asked.clear()
        self._queue.append(what)
        self._news.set()

    def close(self) -> None:
        self.stopped = True
        self._news.set()

    def partitions(self) -> set[TP]:
        return {TP(str(self._context.agent.channel), 0)}

    async def next(self, deadline: float | None) -> "_Cursor | None":
        while not self._queue:
            if self.stopped:
                return None
            self.asked.set()
            self._news.clear()
            async with asyncio.timeout_at(deadline):
                await self._news.wait()
        what = self._queue.popleft()
        if isinstance(what, BaseException):
            raise what
        return _Cursor(self._context, what)


class _Cursor:
    """One event, as `Stream` takes it from the core."""

    def __init__(self, context: AgentContext, event: Event) -> None:
        self._context = context
        self._event = event
        self._handed = 0
        self.topic = event.topic
        self.partition = event.partition

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._handed:
            raise StopIteration
        self._handed = 1
        return self._event.value

    def values(self, limit: int) -> list[Any]:
        return list(itertools.islice(self, limit))

    def finish(self) -> None:
        pass

    follow = hold = abandon = finish

    def done_through(self, rows: int) -> None:
        pass

    ack = done_through

    def release(self) -> None:
        pass

    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        return self._event.raw_headers

    def value_of(self, _row: int) -> Any:
        return self._event.value

    def raw_of(self, _row: int) -> tuple[bytes | None, bytes | None]:
        value_type = self._context.agent.value_type
        return encode(self._event.key, str), encode(self._event.value, value_type)

    def handed(self) -> int:
        return self._handed

    def turn(self) -> TestTurn | None:
        return TestTurn(self.topic, self.partition) if self._context.agent.app.tables else None

    def is_hurried(self) -> bool:
        return False

    def key(self) -> Any:
        return self._event.key

    def raw(self) -> tuple[bytes | None, bytes | None]:
        return encode(self._event.key, str), None

    def envelope(self) -> tuple[Any, Sequence[tuple[str, bytes | None]], int, int]:
        event = self._event
        return event.key, event.raw_headers, event.offset, round(event.timestamp * 1_000)

    def bad(self, message: str) -> None:
        if self._context.agent.on_error == "fail":
            self._context.stopped(message)
            self._context._rows.stopped = True  # noqa: SLF001 - two halves of one thing
        else:
            self._context.refused.append((self._event, message))

    def bad_rows(self, _start: int, _end: int, message: str) -> None:
        self.bad(message)

    def rest_to_arrow(self, _limit: int) -> tuple[Any, int]:
        import pyarrow as pa

        left = 1 - self._handed
        self._handed = 1
        value = self._event.value
        row = value.model_dump() if hasattr(value, "model_dump") else value
        return pa.RecordBatch.from_pylist([row][:left]), left


class _Capture:
    """A producer that keeps what is sent."""

    def __init__(self, context: AgentContext) -> None:
        self._context = context

    def send(  # noqa: PLR0917 - as the core's own
        self,
        topic: str,
        key: Any,
        value: Any,
        partition: int = -1,
        timestamp_ms: int = -1,
        headers: Sequence[tuple[str, bytes | None]] | None = None,
    ) -> "_Taken":
        sent, place = self._context.sent, max(partition, 0)
        app = self._context.agent.app
        event = Event(app, key, value, headers or (), topic, place, len(sent), timestamp_ms / 1_000)
        sent.append(event)
        return _Taken(event)


class _Taken:
    """The acknowledgement of what was only kept."""

    def __init__(self, event: Event) -> None:
        self._event = event

    def done(self) -> bool:
        return True

    def result(self, _timeout_ms: int = 0) -> tuple[str, int, int, int]:
        event = self._event
        return event.topic, event.partition, event.offset, round(event.timestamp * 1_000)


@asynccontextmanager
async def test_context(agent: "Agent") -> "AsyncIterator[AgentContext]":
    """Run *agent* on this loop, without a broker; see `Agent.test_context`."""
    app = agent.app
    app._check_idle()  # noqa: SLF001 - the app's own part
    _declare.check_takes_one(agent.fn, "an agent", "stream")
    context = AgentContext(agent)
    app._runtime = cast("Any", context)  # noqa: SLF001 - the app's own part
    try:
        try:
            await context.start()
            yield context
        finally:
            await context.stop()
        context.check()
    finally:
        app._runtime = None  # noqa: SLF001 - the app's own part


test_context.__test__ = False  # type: ignore[attr-defined] # pytest would take it for a test
