"""Streams: what an agent iterates over."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from turbine._parsers import seconds
from turbine._turns import enter
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
        self._lists: dict[tuple[str, int] | None, _List] = {}
        rows.hurried = self._is_hurried

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._values()

    async def _values(self) -> AsyncIterator[Any]:
        while (cursor := await self._current()) is not None:
            cursor.follow()
            is_new = True
            for value in cursor:
                if is_new:
                    is_new = self._enter(cursor)
                yield value
            await self._leave()

    async def events(self) -> AsyncIterator[Event]:
        """`Event` objects instead of values: key, headers, topic, partition, offset, timestamp."""
        while (cursor := await self._current()) is not None:
            cursor.follow()
            is_new = True
            for value in cursor:
                if is_new:
                    is_new = self._enter(cursor)
                yield _event(self.app, cursor, value)
            await self._leave()

    async def items(self) -> AsyncIterator[tuple[Any, Any]]:
        """``(key, value)`` pairs."""
        while (cursor := await self._current()) is not None:
            cursor.follow()
            is_new = True
            for value in cursor:
                if is_new:
                    is_new = self._enter(cursor)
                yield cursor.key(), value
            await self._leave()

    def take(self, max_: int, within: float | timedelta) -> AsyncIterator[list[Any]]:
        """
        Lists of up to *max_* values, of any of the partitions.

        All rows of a list are done when the agent asks for the next list. In an app with tables,
        or with agents that are exactly-once, a list has values of one partition: what the agent
        writes belongs to that one. There a commit may end a list before its time.

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
                self._enter(cursor)
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
        if not self._held:
            lists, self._lists = self._lists, {}
            self._held = [held for one in lists.values() for held in one.held]
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

    def _enter(self, cursor: "Cursor") -> bool:
        """Let writes belong to the rows in hand; asked once there are some, which hold the cut."""
        enter(self.app, cursor.turn())
        return False

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
        stopped = False
        while not stopped:
            deadline = min((one.deadline for one in self._lists.values()), default=None)
            try:
                cursor = await self._current(deadline)
            except TimeoutError:
                cursor = None
            else:
                stopped = cursor is None
            if cursor is not None:
                await self._collect(cursor, max_, within_s, project)
            for key, one in list(self._lists.items()):
                late = loop.time() >= one.deadline
                if stopped or late or len(one.values) >= max_ or one.is_hurried():
                    self._held = self._lists.pop(key).held
                    if one.values:
                        self._enter(self._held[-1][0])
                        yield one.values
                    self._done()

    async def _collect(
        self,
        cursor: "Cursor",
        max_: int,
        within_s: float,
        project: "Callable[[Cursor, Any], Any]",
    ) -> None:
        cursor.hold()
        start = cursor.handed()
        key = None if cursor.turn() is None else (cursor.topic, cursor.partition)
        one = self._lists.get(key)
        values = [] if one is None else one.values
        while len(values) < max_:
            value = next(cursor, _NOTHING)
            if value is _NOTHING:
                break
            values.append(project(cursor, value))
        if cursor.handed() > start:
            if one is None:
                deadline = asyncio.get_running_loop().time() + within_s
                one = self._lists[key] = _List(values, deadline)
            one.held.append((cursor, start, cursor.handed()))
        if len(values) < max_:
            await self._leave()

    def _is_hurried(self) -> bool:
        return any(one.is_hurried() for one in self._lists.values())

    def _done(self) -> None:
        held, self._held = self._held, []
        for cursor, _, end in held:
            cursor.done_through(end)

    def _event_of(self, cursor: "Cursor", value: Any) -> Event:
        return _event(self.app, cursor, value)


class _List:
    """A list that an agent collects: of one partition where that matters, else of all."""

    __slots__ = ("deadline", "held", "values")

    def __init__(self, values: list[Any], deadline: float) -> None:
        self.values = values
        self.deadline = deadline
        self.held: list[tuple[Cursor, int, int]] = []

    def is_hurried(self) -> bool:
        """Whether a commit waits for it."""
        return self.held[-1][0].is_hurried()


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
