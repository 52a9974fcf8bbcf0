"""
Windows of a table that come to their end: each is handed over once, and removed.

A partition has a watermark: the newest time that was seen in it. A window closes when the watermark
has come to its end and what it may stay behind that. It closes in the turn of the record that was
handled last, so that what its function writes and sends, its removal, the watermark and the offset
of the record are committed together.

The watermark is in a table beside the one with the windows, and the windows that are open are found
in that one when a partition begins: after a restart, the same windows close at the same records.

# Not here

Closing without a record: nothing is committed in a partition in which nothing happens. A window
that is due there closes with the next record of the partition.
"""

import heapq
import inspect
import logging
import math
from collections.abc import Iterable
from datetime import UTC
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from turbine._turns import TURN

if TYPE_CHECKING:
    from turbine._table_windows import Window, WindowRange
    from turbine.tables import Table

__all__ = ["Expiry"]

logger = logging.getLogger("turbine.tables")

_Follows: TypeAlias = Literal["records", "clock", "writes"]

_MISSING: Any = object()
_PAGE = 4_096


class _Part:
    """What is open in one partition."""

    def __init__(self, watermark: float) -> None:
        self.watermark = watermark
        self.turn: Any = None
        self.late = 0
        self._due: list[tuple[float, bytes]] = []
        self._known: set[bytes] = set()

    def add(self, due: float, data: bytes) -> None:
        """Note a window, if it is new."""
        if data not in self._known:
            self._known.add(data)
            heapq.heappush(self._due, (due, data))

    def take(self) -> tuple[float, bytes] | None:
        """Give the window that is due first, which is open no longer; None if none is due."""
        if not self._due or self._due[0][0] > self.watermark:
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
        self._advance(self._find() or self._begin(), timestamp)

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
        if self.follows == "clock":
            self._advance(part, self._table.app.clock.now(UTC).timestamp())
        elif self.follows == "records":
            self._advance(part, timestamp)
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
        part = self._parts[turn.topic, turn.partition] = _Part(watermark)
        encode = self._table.codec.encode_key
        for key, (start, end) in self._table.rows_of(turn.partition):
            part.add(self._closes((start, end)), encode((key, (start, end))))
        return part

    def _advance(self, part: _Part, timestamp: float) -> None:
        if timestamp > part.watermark:
            part.watermark = timestamp
            self.times[TURN.get().topic] = timestamp
