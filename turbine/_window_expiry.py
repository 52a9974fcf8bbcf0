"""
Windows of a table that come to their end: each is handed over once, and removed.

A partition has a watermark: the newest time that was seen in it. A window closes when the watermark
has come to its end and what it may stay behind that. It closes in the turn of the record that was
handled last, so that what its function writes and sends, its removal, the watermark and the offset
of the record are committed together. Where no record comes, time closes it: see
`turbine._window_cleaner`. Then the same is committed, at the offset that there is.

The watermark is in a table beside the one with the windows, and the windows that are open are found
in that one when a partition begins: after a restart, the same windows close at the same records.

# Not here

When a partition is looked at, and whether it is silent: `turbine._window_cleaner` has both.
"""

import heapq
import inspect
import logging
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from turbine._turns import TURN

if TYPE_CHECKING:
    from turbine._table_windows import Window, WindowRange
    from turbine.tables import Table

__all__ = ["Expiry"]

logger = logging.getLogger("turbine.tables")

_Follows: TypeAlias = Literal["records", "clock", "writes"]
_Waits: TypeAlias = Literal["time", "silence"] | None

_MISSING: Any = object()
_PAGE = 4_096


class _Part:
    """What is open in one partition."""

    def __init__(self, watermark: float, now: float) -> None:
        self.watermark = watermark
        self.heard = now
        """When the last record was handled, by the clock that does not go back."""
        self.turn: Any = None
        self.late = 0
        self._due: list[tuple[float, bytes]] = []
        self._known: set[bytes] = set()

    def add(self, due: float, data: bytes) -> None:
        """Note a window, if it is new."""
        if data not in self._known:
            self._known.add(data)
            heapq.heappush(self._due, (due, data))

    def is_due(self, watermark: float) -> bool:
        """Does a window close when the watermark is there?"""
        return bool(self._due) and self._due[0][0] <= watermark

    def take(self) -> tuple[float, bytes] | None:
        """Give the window that is due first, which is open no longer; None if none is due."""
        if not self.is_due(self.watermark):
            return None
        due, data = heapq.heappop(self._due)
        self._known.discard(data)
        return due, data


class Expiry:
    """
    Closes windows of one table.

    Attributes:
        times: The watermarks, by the topic that the table is written for.
        follows: What moves the watermark: the timestamps of all records, the clock whenever a
            record was handled, or only the times of what is written.
        late: Writes that were left out here, because their window had closed.
    """

    def __init__(
        self, table: "Table[Any, Any]", window: "Window", times: "Table[str, float]"
    ) -> None:
        self.times = times
        self.follows: _Follows = "records"
        self.late = 0
        self._table = table
        self._window = window
        self._parts: dict[tuple[str, int], _Part] = {}

    def forget(self, partitions: Iterable[tuple[str, int]] | None = None) -> None:
        """Forget *partitions*, or all: others go on with them."""
        for place in list(self._parts) if partitions is None else partitions:
            self._parts.pop(place, None)

    def follow(self, *, clock: bool, records: bool) -> None:
        """Say what moves the watermark besides writes: the clock, the timestamps of all records."""
        moved_by_records: _Follows = "records" if records else "writes"
        self.follows = "clock" if clock else moved_by_records

    def newest(self) -> float | None:
        """Give the newest watermark that can be seen from here; None if there is none."""
        return max(self.times.values(), default=None)

    # -- what agents write -----------------------------------------------------------------

    def is_late(self, window: "WindowRange") -> bool:
        """Has *window* closed? Says so, once a partition, since what was to be written is lost."""
        part = self._find()
        if part is None or self._closes(window) > part.watermark:
            return False
        self.late += 1
        part.late += 1
        if part.late == 1:
            logger.warning(
                "table %s: an event came after its window %s had closed, and is not counted there. "
                "Let windows wait for such events with a longer expires=",
                self._table.name,
                window,
            )
        return True

    def opened(self, key: Any, window: "WindowRange") -> None:
        """Note that the window was written, by the rows in the agent's hands."""
        part = self._find() or self._begin()
        part.add(self._closes(window), self._table.codec.encode_key((key, window)))

    def wrote_at(self, timestamp: float) -> None:
        """Move the watermark on to the time of a write."""
        part = self._find() or self._begin()
        part.heard = self._table.app.clock.monotonic()
        self._advance(part, timestamp)

    # -- closing ---------------------------------------------------------------------------

    async def handled(self, timestamp: float, *, skips: bool) -> None:
        """
        Close what is due, after a record was handled and while it is in the agent's hands.

        Args:
            timestamp: Of the record, in seconds; negative if it has none.
            skips: Whether a window whose function raises is logged and removed, as the agent
                leaves out records. Otherwise it stays, and the exception is the agent's.
        """
        part = self._find()
        if part is None:
            return
        part.heard = self._table.app.clock.monotonic()
        if self.follows == "clock":
            self._advance(part, self._now())
        elif self.follows == "records":
            self._advance(part, timestamp)
        await self._close_due(part, skips=skips)

    def waits_for(self) -> _Waits:
        """
        Say what the windows that time alone closes wait for, in the partition of the turn.

        Returns:
            ``"time"``: some are due. ``"silence"``: some are, if the partition is silent. None:
            none is.
        """
        part = self._find()
        if part is None:
            return None
        if part.is_due(self._passed(part, is_silent=False)):
            return "time"
        return "silence" if part.is_due(self._passed(part, is_silent=True)) else None

    async def passed(self, *, is_silent: bool, skips: bool) -> None:
        """
        Close what is due by the clock, in a turn without a record.

        Args:
            is_silent: Whether the partition is known to have nothing that is not handled.
            skips: As for `handled`.
        """
        part = self._find()
        if part is None:
            return
        watermark = self._passed(part, is_silent=is_silent)
        if part.is_due(watermark):
            self._advance(part, watermark)
            # What is silent goes on from here.
            part.heard = self._table.app.clock.monotonic()
            await self._close_due(part, skips=skips)

    def _passed(self, part: _Part, *, is_silent: bool) -> float:
        """Where the watermark is by the clock, without a record."""
        if self.follows == "clock":
            return max(part.watermark, self._now())
        app = self._table.app
        quiet_s = app.clock.monotonic() - part.heard
        is_over = is_silent and quiet_s >= app.conf.table_cleanup_interval
        return part.watermark + quiet_s if is_over else part.watermark

    def _now(self) -> float:
        now: datetime = self._table.app.clock.now(UTC)
        return now.timestamp()

    async def _close_due(self, part: _Part, *, skips: bool) -> None:
        while (taken := part.take()) is not None:
            try:
                await self._close(taken[1], skips=skips)
            except BaseException:
                part.add(*taken)
                raise

    async def _close(self, data: bytes, *, skips: bool) -> None:
        stored = key, (start, end) = self._table.codec.decode_key(data)
        value = self._table.get(stored, _MISSING)
        if value is _MISSING:
            return
        try:
            await self._tell((key, (start, end)), value)
        except Exception:
            if not skips:
                raise
            logger.exception(
                "on_window_close of table %s raised for %r: the window is removed",
                self._table.name,
                (key, (start, end)),
            )
        self._table.pop(stored, None)

    async def _tell(self, key: Any, value: Any) -> None:
        if self._table.on_window_close is None:
            return
        result = self._table.on_window_close(key, value)
        if inspect.isawaitable(result):
            await result

    # -- inside ----------------------------------------------------------------------------

    def _closes(self, window: "WindowRange") -> float:
        return self._window.ends(window) + (self._window.expires or 0.0)

    def _find(self) -> _Part | None:
        """The partition of the rows in hand; None if nothing was ever written there."""
        turn = TURN.get()
        part = self._parts.get((turn.topic, turn.partition))
        if part is not None and part.turn is turn:
            return part
        stored: float | None = self.times.get(turn.topic, None)
        watermark = -math.inf if stored is None else stored
        # A partition may begin anew at its last commit, and nobody tells.
        if part is None or part.watermark != watermark:
            if stored is None:
                self.forget([(turn.topic, turn.partition)])
                return None
            part = self._begin(watermark)
        part.turn = turn
        return part

    def _begin(self, watermark: float = -math.inf) -> _Part:
        """Look for the windows that are open in the partition of the rows in hand."""
        turn = TURN.get()
        now = self._table.app.clock.monotonic()
        part = self._parts[turn.topic, turn.partition] = _Part(watermark, now)
        encode = self._table.codec.encode_key
        for key, (start, end) in self._table.rows_of(turn.partition):
            part.add(self._closes((start, end)), encode((key, (start, end))))
        return part

    def _advance(self, part: _Part, timestamp: float) -> None:
        if timestamp > part.watermark:
            part.watermark = timestamp
            self.times[TURN.get().topic] = timestamp
