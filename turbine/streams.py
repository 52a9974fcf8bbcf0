"""Streams: what an agent iterates over."""

import asyncio
import functools
import itertools
import math
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from turbine._askers import Askers
from turbine._collected import NOBODY, Collected
from turbine._operators import SKIPPED, Operators, run_steps
from turbine._parsers import seconds
from turbine._turns import STREAM, enter
from turbine.events import CurrentEvent, Event
from turbine.exceptions import StateError
from turbine.types import TP

if TYPE_CHECKING:
    from turbine._agents_runtime import Rows
    from turbine._native import Cursor
    from turbine._window_expiry import Expiry
    from turbine.app import App

__all__ = ["Stream"]

_NOTHING: Any = object()


class Stream(Operators):
    """
    Rows of the partitions that this worker has, for one instance of an agent.

    A row counts as done when the agent asks for the next one, or, after `noack`, when its event is
    acknowledged. What is not done is read again after a crash. Iterating does not visit the event
    loop while there are decoded rows. Iterating inside of an iteration goes on with the same rows.

    Attributes:
        app: The app.
        concurrency_index: Which instance of the agent this is, from 0.
    """

    def __init__(self, app: "App", rows: "Rows", concurrency_index: int = 0) -> None:
        super().__init__()
        self.app = app
        self.concurrency_index = concurrency_index
        self.rows = rows
        self.merged: Stream | None = None
        self.before: Stream | None = None
        self._cursor: Cursor | None = None
        self._held: list[tuple[Cursor, int, int]] = []
        self._lists: dict[tuple[str, int] | None, Collected] = {}
        self._given: Any = None
        self._is_again = False
        self.askers = Askers(app)
        self._answers = bool(getattr(rows, "answers", False))
        self._observer = app.make_observer() or NOBODY
        rows.hurried = self._is_hurried

    def __aiter__(self) -> AsyncIterator[Any]:
        is_plain = not (self._steps or self._by_hand or self._expiries or self._observer)
        return self._values() if is_plain else self._walked(_value_of)

    async def _values(self) -> AsyncIterator[Any]:
        while (cursor := await self._current()) is not None:
            cursor.follow()
            is_new = True
            for value in self._rows_of(cursor):
                if is_new:
                    is_new = self._enter(cursor)
                yield value
            await self._leave(cursor)

    def events(self) -> AsyncIterator[Event]:
        """`Event` objects instead of values: key, headers, topic, partition, offset, timestamp."""
        return self._walked(self._event_of)

    def items(self) -> AsyncIterator[tuple[Any, Any]]:
        """``(key, value)`` pairs."""
        return self._walked(_item_of)

    def take(self, max_: int, within: float | timedelta | None = None) -> AsyncIterator[list[Any]]:
        """
        Lists of up to *max_* values, of any of the partitions.

        All rows of a list are done when the agent asks for the next list. In an app with tables,
        or with agents that are exactly-once, a list has values of one partition: what the agent
        writes belongs to that one. There a commit may end a list before its time.

        Args:
            max_: Most values of a list.
            within: Longest wait after the first value of a list, in seconds; None: until there are
                *max_*, however long that takes.

        Raises:
            ValueError: *max_* is less than 1.
        """
        return self._take(max_, within, _value_of)

    def take_events(
        self, max_: int, within: float | timedelta | None = None
    ) -> AsyncIterator[list[Event]]:
        """As `take`, with `Event` objects."""
        return self._take(max_, within, self._event_of)

    def take_with_timestamp(
        self, max_: int, within: float | timedelta | None, timestamp_field_name: str
    ) -> AsyncIterator[list[Any]]:
        """As `take`; dicts get the record's time, in seconds, as *timestamp_field_name*."""

        def stamped(cursor: "Cursor", value: Any) -> Any:
            if isinstance(value, dict):
                value[timestamp_field_name] = cursor.envelope()[3] / 1_000
            return value

        return self._take(max_, within, stamped)

    async def batches(self, max_rows: int = 10_000) -> AsyncIterator[Any]:
        """
        `pyarrow.RecordBatch` objects, each of one partition.

        As large as what has arrived, at most *max_rows* rows. Columns are those of the agent's
        ``value_type``; without one they are inferred from the first records.

        Raises:
            ValueError: *max_rows* is less than 1, or the stream has filters or processors.
        """
        if max_rows < 1:
            raise ValueError("batches(max_rows): write a number from 1")
        if self._steps or self._by_hand:
            raise ValueError(
                "batches() goes without filter(), add_processor(), echo() and noack(): select rows "
                "of the batch instead"
            )
        if self._is_again and self._held:
            self._is_again = False
            self._enter(self._held[-1][0])
            yield self._given
            await self._close(self._held[-1][0])
            self._done()
        while (cursor := await self._current()) is not None:
            cursor.hold()
            start = cursor.handed()
            batch, taken = cursor.rest_to_arrow(max_rows)
            if not taken:
                await self._leave(cursor)
                continue
            self._held.append((cursor, start, cursor.handed()))
            if batch.num_rows:
                self._enter(cursor)
                self._given = batch
                yield batch
                await self._close(cursor)
            self._done()

    @property
    def current_event(self) -> Event | None:
        """The row handed out last; None before the first. Its value is decoded when asked for."""
        cursor = self._held[-1][0] if self._held else self._cursor
        if cursor is None or not cursor.handed():
            return None
        return _event(self.app, cursor, None, by_hand=self._by_hand, kind=CurrentEvent)

    @property
    def active_partitions(self) -> set[TP]:
        """Partitions whose rows come here."""
        return self.rows.partitions()

    def combine(self, *others: Any) -> "Stream":
        """As ``self & other``, for several; each part keeps its filters and processors."""
        if not all(isinstance(other, Stream) for other in others):
            return super().combine(*others)  # type: ignore[no-any-return] # it raises
        from turbine._merged import merge

        return merge([self, *others])

    def active(self) -> "Stream":
        """The stream that hands out rows: this one, or what it was combined to."""
        return self if self.merged is None else self.merged.active()

    # -- for the runtime -------------------------------------------------------------------

    def refuse(self, message: str, *, is_buried: bool = False) -> bool:
        """
        Apply ``on_error`` to the rows in the agent's hands; False if there are none.

        Args:
            message: What was raised.
            is_buried: Whether they go to the dead letters, which acknowledges them too.
        """
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
            if self._by_hand and is_buried:
                self._cursor.ack(self._cursor.handed() - 1)
            return True
        return False

    def place(self) -> tuple[str, int, int] | None:
        """Topic, partition and offset of the last row in the agent's hands; None without any."""
        cursor = self._held[-1][0] if self._held else self._cursor
        if cursor is None or not cursor.handed() or (self._lists and not self._held):
            return None
        return cursor.topic, cursor.partition, cursor.envelope()[2]

    def again(self) -> None:
        """Hand the rows in the agent's hands out once more."""
        self._is_again = True

    def restarted(self) -> None:
        """Forget what a call of the agent's function has made of the stream."""
        super().restarted()
        self._observer.end(self)
        self.before, self.merged = self.merged or self.before, None

    def adopt(self, other: "Stream") -> None:
        """Go on with the rows that *other*, combined from the same streams, has begun."""
        for name in ("_cursor", "_is_again", "_held", "_lists", "_given"):
            setattr(self, name, getattr(other, name))

    def forget(self) -> None:
        """Forget rows of a worker that is gone."""
        self._cursor = None
        self._held, self._lists, self._is_again = [], {}, False
        self.merged = self.before = None

    def let_go(self) -> None:
        """Leave the rows in the agent's hands as they are: they are read again."""
        held, self._held = self._held, []
        for cursor in {id(one[0]): one[0] for one in held}.values():
            cursor.abandon()
        if self._cursor is not None:
            self._cursor.abandon()
            self._cursor = None

    def finish(self) -> None:
        """Mark the rows in the agent's hands as done: it has returned."""
        self._done()
        if self._cursor is not None and not self._by_hand:
            self._cursor.finish()

    def raw_key(self) -> bytes | None:
        """Key bytes of the row in the agent's hands, for what it yields."""
        if self._held or self._cursor is None or not self._cursor.handed():
            return None
        return self._cursor.raw()[0]

    def headers(self) -> list[tuple[str, bytes | None]]:
        """Headers of the row in the agent's hands."""
        if self._held or self._cursor is None or not self._cursor.handed():
            return []
        return self._cursor.headers()

    # -- inside ----------------------------------------------------------------------------

    async def _walked(self, project: "Callable[[Cursor, Any], Any]") -> AsyncIterator[Any]:
        """Rows behind the filters and processors, each as *project* makes it."""
        while (cursor := await self._current()) is not None:
            self._begin(cursor)
            is_new = True
            for row in self._rows_of(cursor):
                if is_new:
                    is_new = self._enter(cursor)
                value = row
                if self._steps:
                    value = await run_steps(self._steps, row)
                    if value is SKIPPED:
                        self._skip(cursor)
                        continue
                if self._observer:
                    self._observer.begin(self, [_event(self.app, cursor, value, by_hand=False)])
                yield project(cursor, value)
                self._observer.end(self)
                if self._expiries:
                    await self._close(self._cursor or cursor)
            if self._by_hand:
                cursor.abandon()
            await self._leave(cursor)

    async def _current(self, deadline: float | None = None) -> "Cursor | None":
        """The cursor begun, or the next one; None when the worker has stopped."""
        if self._cursor is None:
            self._cursor = await self.rows.next(deadline)
        return self._cursor

    def _rows_of(self, cursor: "Cursor") -> Iterable[Any]:
        """What *cursor* has left, and in front of it the row that is to be handled again."""
        if not self._is_again:
            return cursor
        self._is_again = False
        return itertools.chain([cursor.value_of(cursor.handed() - 1)], cursor)

    def _begin(self, cursor: "Cursor") -> None:
        if not self._by_hand:
            cursor.follow()
            return
        if cursor.turn() is not None:
            raise StateError(
                "noack() is not possible here: tables, and exactly-once agents, commit what is "
                "done up to an offset. Leave noack() out, or, in an app with tables, write it in "
                "the agent's own function, and write to no table there"
            )
        cursor.hold()

    def _enter(self, cursor: "Cursor") -> bool:
        """Let writes belong to the rows in hand; asked once there are some, which hold the cut."""
        enter(self.app, cursor.turn())
        STREAM.set(self)
        return False

    @functools.cached_property
    def _expiries(self) -> "list[Expiry]":
        """What closes windows of tables."""
        return [table.expiry for table in self.app.tables.values() if table.expiry is not None]

    async def _close(self, cursor: "Cursor") -> None:
        """Close windows that are due, as a part of what the rows in hand have done."""
        turn = cursor.turn() if self._expiries else None
        if turn is None:
            return
        enter(self.app, turn)
        policy = getattr(self.rows, "policy", None)
        skips = policy is not None and policy.last in {"skip", "dlq"}
        timestamp = cursor.envelope()[3] / 1_000
        for expiry in self._expiries:
            await expiry.handled(timestamp, skips=skips)

    def _skip(self, cursor: "Cursor") -> None:
        if self._by_hand:
            cursor.ack(cursor.handed() - 1)

    async def _leave(self, cursor: "Cursor") -> None:
        # An iteration inside of this one may have gone on to other rows.
        if self._cursor is cursor:
            self._cursor = None
        # The rows are at their end: let timers and other agents have the loop.
        await asyncio.sleep(0)

    async def _take(
        self,
        max_: int,
        within: float | timedelta | None,
        project: "Callable[[Cursor, Any], Any]",
    ) -> AsyncIterator[list[Any]]:
        if max_ < 1:
            raise ValueError("take(max_, within): max_ is a number from 1")
        within_s = math.inf if within is None else seconds(within)
        loop = asyncio.get_running_loop()
        if self._is_again and self._held:
            self._is_again = False
            self._enter(self._held[-1][0])
            yield self._given
            await self._close(self._held[-1][0])
            self._done()
        stopped = False
        while not stopped:
            deadline = min((one.deadline for one in self._lists.values()), default=math.inf)
            try:
                cursor = await self._current(None if deadline == math.inf else deadline)
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
                        self._given = one.values
                        self._observer.begin(self, one.events)
                        self.askers.begin(one.askers)
                        yield one.values
                        await self.askers.end()
                        self._observer.end(self)
                        await self._close(self._held[-1][0])
                    self._done()

    async def _collect(
        self,
        cursor: "Cursor",
        max_: int,
        within_s: float,
        project: "Callable[[Cursor, Any], Any]",
    ) -> None:
        self._begin(cursor)
        cursor.hold()
        start = cursor.handed()
        key = None if cursor.turn() is None else (cursor.topic, cursor.partition)
        one = self._lists.get(key)
        values = [] if one is None else one.values
        notes = Collected(values, math.inf) if one is None else one
        is_noted = self._answers or bool(self._observer)
        if is_noted or self._steps or project is not _value_of:
            await self._pick(cursor, max_, project, notes if is_noted else None, values)
        else:
            while len(values) < max_ and (more := cursor.values(max_ - len(values))):
                values += more
        if cursor.handed() > start:
            if one is None:
                deadline = asyncio.get_running_loop().time() + within_s
                notes.deadline = deadline
                one = self._lists[key] = notes
            one.held.append((cursor, start, cursor.handed()))
        if len(values) < max_:
            if self._by_hand:
                cursor.abandon()
            else:
                # A list may be larger than what is polled at once.
                cursor.release()
            await self._leave(cursor)

    async def _pick(
        self,
        cursor: "Cursor",
        max_: int,
        project: "Callable[[Cursor, Any], Any]",
        notes: "Collected | None",
        values: list[Any],
    ) -> None:
        """Append what is behind the filters and processors to *values*, up to *max_*."""
        while len(values) < max_:
            value = next(cursor, _NOTHING)
            if value is _NOTHING:
                return
            if self._steps:
                value = await run_steps(self._steps, value)
                if value is SKIPPED:
                    self._skip(cursor)
                    continue
            values.append(project(cursor, value))
            if notes is not None:
                self._note(cursor, value, notes)

    def _note(self, cursor: "Cursor", value: Any, one: "Collected") -> None:
        """Keep of a row what a list does not show: who asked, and what is told of it."""
        if self._observer:
            one.events.append(_event(self.app, cursor, value, by_hand=False))
        if self._answers and (headers := cursor.headers()):
            one.askers.append((headers, _event(self.app, cursor, value, by_hand=False)))

    def _is_hurried(self) -> bool:
        return any(one.is_hurried() for one in self._lists.values())

    def _done(self) -> None:
        held, self._held = self._held, []
        self._given = None
        if self._by_hand:
            return
        for cursor, _, end in held:
            cursor.done_through(end)

    def _event_of(self, cursor: "Cursor", value: Any) -> Event:
        return _event(self.app, cursor, value, by_hand=self._by_hand)


def _value_of(_cursor: "Cursor", value: Any) -> Any:
    return value


def _item_of(cursor: "Cursor", value: Any) -> tuple[Any, Any]:
    return cursor.key(), value


def _event(
    app: "App", cursor: "Cursor", value: Any, *, by_hand: bool, kind: type[Event] = Event
) -> Event:
    key, headers, offset, timestamp_ms = cursor.envelope()
    return kind(
        app,
        key,
        value,
        headers,
        cursor.topic,
        cursor.partition,
        offset,
        timestamp_ms / 1_000,
        (cursor, cursor.handed() - 1, by_hand),
    )
