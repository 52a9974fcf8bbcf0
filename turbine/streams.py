"""Streams: what an agent iterates over."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from turbine._parsers import seconds
from turbine.events import Event

if TYPE_CHECKING:
    from turbine._agents_runtime import Rows
    from turbine._native import Cursor
    from turbine.app import App

__all__ = ["Stream"]

_NOTHING: Any = object()


class Stream:
    """
    Rows of the partitions that this worker has, for one instance of an agent.

    A row counts as done when the agent asks for the next one. What the agent has not asked beyond
    is read again after a crash. Iterating does not visit the event loop while there are decoded
    rows.

    Attributes:
        app: The app.
        concurrency_index: Which instance of the agent this is, from 0.
    """

    def __init__(self, app: "App", rows: "Rows", concurrency_index: int = 0) -> None:
        self.app = app
        self.concurrency_index = concurrency_index
        self._rows = rows
        self._cursor: Cursor | None = None
        self._held: list[tuple[Cursor, int, int]] = []

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._values()

    async def _values(self) -> AsyncIterator[Any]:
        while (cursor := await self._current()) is not None:
            cursor.follow()
            for value in cursor:
                yield value
            await self._leave()

    async def events(self) -> AsyncIterator[Event]:
        """`Event` objects instead of values: key, headers, topic, partition, offset, timestamp."""
        while (cursor := await self._current()) is not None:
            cursor.follow()
            for value in cursor:
                yield _event(self.app, cursor, value)
            await self._leave()

    async def items(self) -> AsyncIterator[tuple[Any, Any]]:
        """``(key, value)`` pairs."""
        while (cursor := await self._current()) is not None:
            cursor.follow()
            for value in cursor:
                yield cursor.key(), value
            await self._leave()

    def take(self, max_: int, within: float | timedelta) -> AsyncIterator[list[Any]]:
        """
        Lists of up to *max_* values, of any of the partitions.

        All rows of a list are done when the agent asks for the next list.

        Args:
            max_: Most values of a list.
            within: Longest wait after the first value of a list, in seconds.

        Raises:
            ValueError: *max_* is less than 1.
        """
        return self._take(max_, seconds(within), _value_of)

    def take_events(self, max_: int, within: float | timedelta) -> AsyncIterator[list[Event]]:
        """As `take`, with `Event` objects."""
        return self._take(max_, seconds(within), self._event_of)

    async def batches(self, max_rows: int = 10_000) -> AsyncIterator[Any]:
        """
        `pyarrow.RecordBatch` objects, each of one partition.

        As large as what has arrived, at most *max_rows* rows. Columns are those of the agent's
        ``value_type``; without one they are inferred from the first records.
        """
        if max_rows < 1:
            raise ValueError("batches(max_rows): write a number from 1")
        while (cursor := await self._current()) is not None:
            cursor.hold()
            start = cursor.handed()
            batch, taken = cursor.rest_to_arrow(max_rows)
            if not taken:
                await self._leave()
                continue
            self._held.append((cursor, start, cursor.handed()))
            if batch.num_rows:
                yield batch
            self._done()

    @property
    def current_event(self) -> Event | None:
        """The row handed out last, as an event without its value; None before the first."""
        cursor = self._cursor
        if cursor is None or not cursor.handed():
            return None
        return _event(self.app, cursor, None)

    # -- for the runtime -------------------------------------------------------------------

    def refuse(self, message: str) -> bool:
        """Apply ``on_error`` to the rows in the agent's hands; False if there are none."""
        if self._held:
            for cursor, start, end in self._held:
                cursor.bad_rows(start, end, message)
            self._done()
            return True
        if self._cursor is not None and self._cursor.handed():
            self._cursor.bad(message)
            return True
        return False

    def finish(self) -> None:
        """Mark the rows in the agent's hands as done: it has returned."""
        self._done()
        if self._cursor is not None:
            self._cursor.finish()

    def raw_key(self) -> bytes | None:
        """Key bytes of the row in the agent's hands, for what it yields."""
        if self._held or self._cursor is None or not self._cursor.handed():
            return None
        return self._cursor.raw()[0]

    # -- inside ----------------------------------------------------------------------------

    async def _current(self, deadline: float | None = None) -> "Cursor | None":
        """The cursor begun, or the next one; None when the worker has stopped."""
        if self._cursor is None:
            self._cursor = await self._rows.next(deadline)
        return self._cursor

    async def _leave(self) -> None:
        self._cursor = None
        # The rows are at their end: let timers and other agents have the loop.
        await asyncio.sleep(0)

    async def _take(
        self, max_: int, within_s: float, project: "Callable[[Cursor, Any], Any]"
    ) -> AsyncIterator[list[Any]]:
        if max_ < 1:
            raise ValueError("take(max_, within): max_ is a number from 1")
        loop = asyncio.get_running_loop()
        values: list[Any] = []
        deadline: float | None = None
        stopped = False
        while not stopped:
            try:
                cursor = await self._current(deadline)
            except TimeoutError:
                cursor = None
            else:
                stopped = cursor is None
            if cursor is not None:
                await self._collect(cursor, values, max_, project)
                if values and deadline is None:
                    deadline = loop.time() + within_s
            late = deadline is not None and loop.time() >= deadline
            if values and (stopped or late or len(values) >= max_):
                yield values
                self._done()
                values, deadline = [], None

    async def _collect(
        self,
        cursor: "Cursor",
        values: list[Any],
        max_: int,
        project: "Callable[[Cursor, Any], Any]",
    ) -> None:
        cursor.hold()
        start = cursor.handed()
        while len(values) < max_:
            value = next(cursor, _NOTHING)
            if value is _NOTHING:
                break
            values.append(project(cursor, value))
        if cursor.handed() > start:
            self._held.append((cursor, start, cursor.handed()))
        if len(values) < max_:
            await self._leave()

    def _done(self) -> None:
        held, self._held = self._held, []
        for cursor, _, end in held:
            cursor.done_through(end)

    def _event_of(self, cursor: "Cursor", value: Any) -> Event:
        return _event(self.app, cursor, value)


def _value_of(_cursor: "Cursor", value: Any) -> Any:
    return value


def _event(app: "App", cursor: "Cursor", value: Any) -> Event:
    key, headers, offset, timestamp_ms = cursor.envelope()
    return Event(
        app,
        key,
        value,
        headers,
        cursor.topic,
        cursor.partition,
        offset,
        timestamp_ms / 1_000,
    )
