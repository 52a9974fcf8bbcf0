"""
Streams of channels: what an agent of a channel iterates over.

An event is finished, as `Channel.join` counts, when the agent asks for the next one or, after
`noack`, when it is acknowledged.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from turbine._askers import Askers
from turbine._operators import SKIPPED, Operators, run_steps
from turbine._parsers import seconds
from turbine._turns import STREAM
from turbine.events import Event
from turbine.types import TP

if TYPE_CHECKING:
    from turbine.channels import Channel

__all__ = ["ChannelStream"]


class ChannelStream(Operators):
    """
    Values of a channel, in their order.

    Attributes:
        current_event: The event handed out last; None before the first.
        concurrency_index: Which instance of the agent this is, from 0.
    """

    def __init__(self, channel: "Channel", concurrency_index: int = 0) -> None:
        super().__init__()
        self.channel = channel
        self.app = channel.app
        self.concurrency_index = concurrency_index
        self.current_event: Event | None = None
        self._in_hand: list[Event] = []
        self._again: list[Event] = []
        self._acks = _Acks(channel)
        self.askers = Askers(channel.app)
        self._is_list = False

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._walked(_value_of)

    def events(self) -> AsyncIterator[Event]:
        """Events instead of values."""
        return self._walked(_event_of)

    def items(self) -> AsyncIterator[tuple[Any, Any]]:
        """(key, value) pairs."""
        return self._walked(_item_of)

    def take(self, max_: int, within: float | timedelta | None = None) -> AsyncIterator[list[Any]]:
        """
        Lists of up to *max_* values.

        Args:
            max_: Most values of a list.
            within: Longest wait after the first value of a list, in seconds; None: until there are
                *max_*.

        Raises:
            ValueError: *max_* is less than 1.
        """
        return self._take(max_, within, _value_of)

    def take_events(
        self, max_: int, within: float | timedelta | None = None
    ) -> AsyncIterator[list[Event]]:
        """As `take`, with `Event` objects."""
        return self._take(max_, within, _event_of)

    def take_with_timestamp(
        self, max_: int, within: float | timedelta | None, timestamp_field_name: str
    ) -> AsyncIterator[list[Any]]:
        """As `take`; dicts get the event's time, in seconds, as *timestamp_field_name*."""

        def stamped(event: Event, value: Any) -> Any:
            if isinstance(value, dict):
                value[timestamp_field_name] = event.timestamp
            return value

        return self._take(max_, within, stamped)

    @property
    def active_partitions(self) -> set[TP]:
        """No partition: nothing of a channel is in Kafka."""
        return set()

    def active(self) -> "ChannelStream":
        """The stream that hands out events: this one."""
        return self

    # -- for the runtime -------------------------------------------------------------------

    def raw_key(self) -> Any:
        """Key of the event in hand."""
        return None if self.current_event is None else self.current_event.key

    def headers(self) -> Any:
        """Headers of the event in hand."""
        event = None if self._is_list else self.current_event
        return () if event is None else event.raw_headers

    def place(self) -> tuple[str, int, int] | None:
        """Where the event in hand is."""
        event = self.current_event
        return None if event is None else (event.topic, event.partition, event.offset)

    def again(self) -> None:
        """Hand the events in hand out once more."""
        self._again = self._in_hand[::-1]

    def let_go(self) -> None:
        """Do nothing: nobody could read the events again."""

    # -- inside ----------------------------------------------------------------------------

    async def _walked(self, project: Callable[[Event, Any], Any]) -> AsyncIterator[Any]:
        while True:
            event = await self._next()
            value = await run_steps(self._steps, event.value) if self._steps else event.value
            if value is SKIPPED:
                self.channel._finish(1)  # noqa: SLF001 - two halves of one thing
                continue
            self._in_hand = [event]
            try:
                yield project(event, value)
            finally:
                self._finish(1)

    async def _take(
        self, max_: int, within: float | timedelta | None, project: Callable[[Event, Any], Any]
    ) -> AsyncIterator[list[Any]]:
        if max_ < 1:
            raise ValueError("take(max_, within): max_ is a number from 1")
        limit_s = None if within is None else seconds(within)
        source = _Kept(self)
        while True:
            found = [await anext(source)]
            with suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    while len(found) < max_:
                        found.append(await anext(source))
            self._in_hand = [event for event, _ in found]
            self._is_list = True
            self.askers.begin((one.raw_headers, one) for one in self._in_hand if one.raw_headers)
            try:
                yield [project(event, value) for event, value in found]
                await self.askers.end()
            finally:
                self._finish(len(found))

    async def _next(self) -> Event:
        if self._again:
            event = self._again.pop()
            self.channel._begin(1)  # noqa: SLF001 - two halves of one thing
        else:
            event = await self.channel._next()  # noqa: SLF001 - two halves of one thing
        if self._by_hand:
            event._place = (self._acks, next(self._acks.numbers), True)  # noqa: SLF001 - as above
        self.current_event = event
        STREAM.set(self)
        return event

    def _finish(self, events: int) -> None:
        if not self._by_hand:
            self.channel._finish(events)  # noqa: SLF001 - two halves of one thing


class _Kept:
    """Events that no filter has kept back, one by one; may be cancelled and asked again."""

    def __init__(self, stream: ChannelStream) -> None:
        self._stream = stream

    async def __anext__(self) -> tuple[Event, Any]:
        stream = self._stream
        while True:
            event = await stream._next()  # noqa: SLF001 - a part of it
            if not stream._steps:  # noqa: SLF001 - a part of it
                return event, event.value
            try:
                value = await run_steps(stream._steps, event.value)  # noqa: SLF001 - a part of it
            except asyncio.CancelledError:
                # The wait for the list is over, not the event.
                stream._again.append(event)  # noqa: SLF001 - a part of it
                stream.channel._finish(1)  # noqa: SLF001 - a part of it
                raise
            if value is not SKIPPED:
                return event, value
            stream.channel._finish(1)  # noqa: SLF001 - a part of it


class _Acks:
    """Acknowledgements by hand of one stream; each event counts once."""

    def __init__(self, channel: "Channel") -> None:
        self._channel = channel
        self._done: set[int] = set()
        self.numbers = itertools.count()

    def ack(self, row: int) -> None:
        if row not in self._done:
            self._done.add(row)
            self._channel._finish(1)  # noqa: SLF001 - two halves of one thing

    def raw_of(self, _row: int) -> tuple[None, None]:
        return None, None

    def value_of(self, _row: int) -> None:
        return None


def _value_of(_event: Event, value: Any) -> Any:
    return value


def _event_of(event: Event, value: Any) -> Event:
    event.value = value
    return event


def _item_of(event: Event, value: Any) -> tuple[Any, Any]:
    return event.key, value
