"""In-process queues: what an agent can read instead of a topic, without Kafka."""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Generator
from types import GenericAlias
from typing import TYPE_CHECKING, Any, ClassVar

from turbine.events import Event
from turbine.exceptions import DeclarationError, SendError
from turbine.types import HeadersArg, RecordMetadata

if TYPE_CHECKING:
    from turbine._channel_stream import ChannelStream
    from turbine.app import App

__all__ = ["Channel", "drain"]


class _Done:
    """A value that is in the queue already; awaiting it costs nothing."""

    __slots__ = ("_meta",)

    def __init__(self, meta: RecordMetadata) -> None:
        self._meta = meta

    def done(self) -> bool:
        return True

    def __await__(self) -> Generator[Any, None, RecordMetadata]:
        # The empty delegation makes this a generator, which never suspends.
        yield from ()
        return self._meta


class Channel:
    """
    A queue in this process; each value goes to one of its readers.

    Nothing of it survives the process. Made by `App.channel`.

    Attributes:
        name: Shown as the topic of its events.
        maxsize: Values that wait before `send` waits.
    """

    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)

    def __init__(
        self,
        app: "App",
        *,
        name: str = "channel",
        key_type: Any = None,
        value_type: Any = None,
        maxsize: int | None = None,
    ) -> None:
        if maxsize is not None and (type(maxsize) is not int or maxsize < 1):
            raise DeclarationError(f"maxsize={maxsize!r} is not possible: write a number from 1")
        self.app = app
        self.name = name
        self.key_type = key_type
        self.value_type = value_type
        self._maxsize = maxsize
        self._events: deque[Event] = deque()
        self._lock = threading.Lock()
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()
        self._sent = 0
        self._unfinished = 0

    @property
    def maxsize(self) -> int:
        """Values that wait before `send` waits."""
        return self._maxsize or self.app.conf.stream_buffer_maxsize

    async def send(
        self,
        *,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg | None = None,
    ) -> _Done:
        """Put a value in; waits while the channel is full. A *partition* has no meaning here."""
        del partition
        while (done := self._put(key, value, timestamp, headers)) is None:
            await self._wait_until(self._has_room)
        return done

    async def put(self, value: Any = None, **parts: Any) -> _Done:
        """Put a value in, as `send` does, or an `Event` as it is."""
        if isinstance(value, Event):
            return await self.deliver(value)
        return await self.send(value=value, **parts)

    async def deliver(self, event: Event) -> _Done:
        """Put an event in, with its key, headers and timestamp."""
        timestamp = event.timestamp if event.timestamp >= 0 else None
        return await self.send(
            key=event.key, value=event.value, headers=event.raw_headers, timestamp=timestamp
        )

    def clone(self, **changes: Any) -> "Channel":
        """Make another, empty channel like this one; *changes* as in `App.channel`."""
        kept = {
            "name": self.name,
            "key_type": self.key_type,
            "value_type": self.value_type,
            "maxsize": self._maxsize,
        }
        return Channel(self.app, **{**kept, **changes})

    derive = clone

    async def declare(self) -> None:
        """Do nothing: a channel is only in this process."""

    maybe_declare = declare

    def get_topic_name(self) -> str:
        """Refuse: a channel is no topic.

        Raises:
            DeclarationError: Always.
        """
        raise DeclarationError(f"the channel {self.name!r} has no topic: nothing of it is in Kafka")

    def send_soon(
        self,
        *,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg | None = None,
    ) -> _Done:
        """
        Put a value in from a plain function, in any thread.

        Raises:
            SendError: The channel is full.
        """
        del partition
        done = self._put(key, value, timestamp, headers)
        if done is None:
            raise SendError(
                f"the channel {self.name!r} has {self.maxsize} values waiting: "
                f"use await channel.send(...), which waits for room",
                retryable=True,
            )
        return done

    async def get(self, timeout: float | None = None) -> Event:  # noqa: ASYNC109 - Faust's name
        """
        Take the next event.

        Raises:
            TimeoutError: Nothing came within *timeout* seconds.
        """
        async with asyncio.timeout(timeout):
            event = await self._next()
        self._finish(1)
        return event

    async def join(self) -> None:
        """Wait until every value sent is finished: its reader has asked for another one."""
        await self._wait_until(lambda: not self._unfinished)

    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._events

    def stream(self) -> "ChannelStream":
        """A stream over it; several streams share the values."""
        from turbine._channel_stream import ChannelStream

        return ChannelStream(self)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self.stream().__aiter__()

    def __len__(self) -> int:
        return len(self._events)

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<Channel {self.name}: {len(self)} waiting>"

    # Readers and writers wait on futures of their own loop, so that one channel serves
    # threads, and one loop after another as tests have them.

    def _put(
        self, key: Any, value: Any, timestamp: float | None, headers: HeadersArg | None
    ) -> _Done | None:
        from turbine.topics import _raw_headers, _to_ms

        now = time.time() if timestamp is None else _to_ms(timestamp) / 1_000
        with self._lock:
            if len(self._events) >= self.maxsize:
                return None
            offset = self._sent
            self._sent += 1
            self._unfinished += 1
            raw = [] if headers is None else _raw_headers(headers)
            self._events.append(Event(self.app, key, value, raw, self.name, -1, offset, now))
        self._wake()
        return _Done(RecordMetadata(self.name, -1, offset, now))

    def _take(self) -> Event | None:
        with self._lock:
            if not self._events:
                return None
            event = self._events.popleft()
        self._wake()
        return event

    async def _next(self) -> Event:
        while (event := self._take()) is None:
            await self._wait_until(self._has_events)
        return event

    def _begin(self, events: int) -> None:
        with self._lock:
            self._unfinished += events

    def _finish(self, events: int) -> None:
        with self._lock:
            self._unfinished -= events
        self._wake()

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if condition():
                return
            self._waiting.append((loop, waiter))
        await waiter

    def _has_room(self) -> bool:
        return len(self._events) < self.maxsize

    def _has_events(self) -> bool:
        return bool(self._events)

    def _wake(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
        for loop, waiter in waiting:
            # A loop that has ended took its readers with it.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_finish, waiter)


async def drain(channels: Collection[Channel]) -> None:
    """Wait until all of *channels* are finished, also those that readers of others send to."""
    while any(channel._unfinished for channel in channels):  # noqa: SLF001 - two halves of one thing
        for channel in channels:
            await channel.join()


def _finish(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
