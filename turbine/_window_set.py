"""What a windowed table has for one key: ``table[key]``."""

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from turbine.events import Event

if TYPE_CHECKING:
    from turbine._table_windows import Time, WindowRange
    from turbine.windowed_tables import WindowedTable

__all__ = ["WindowSet"]

K = TypeVar("K")
V = TypeVar("V")


class WindowSet(Generic[K, V]):
    """
    The values of one key, window by window.

    ``table[key] += 1`` changes the value in every window that holds the event's time.

    Attributes:
        key: The key.
        event: The event whose time counts; None: the one in the agent's hands.
    """

    __slots__ = ("_table", "event", "key")

    def __init__(self, table: "WindowedTable[K, V]", key: K, event: "Event | None" = None) -> None:
        self._table = table
        self.key = key
        self.event = event

    # -- reading ---------------------------------------------------------------------------

    def value(self, event: "Event | None" = None) -> V:
        """Value in the latest window that holds the event's time, as the table counts it."""
        return self._at(self._table.time_of(event or self.event))

    def now(self) -> V:
        """Value in the latest window that holds the present time."""
        return self._at(self._table.now())

    def current(self, event: "Event | None" = None) -> V:
        """Value in the latest window that holds the timestamp of the event's record."""
        return self._at(self._table.timestamp_of(event or self.event))

    def delta(self, d: "Time", event: "Event | None" = None) -> V:
        """As `current`, for the time *d* before."""
        timestamp = self._table.timestamp_of(event or self.event)
        return self._table.read(self.key, self._table.window.delta(timestamp, d))

    def __getitem__(self, where: Any) -> Any:
        """For an event: the same, as seen from it. For a pair of start and end: its value."""
        if isinstance(where, Event):
            return type(self)(self._table, self.key, where)
        return self._table.read(self.key, where)

    def _at(self, timestamp: float) -> V:
        return self._table.read(self.key, self._table.window.current(timestamp))

    # -- writing ---------------------------------------------------------------------------

    def __setitem__(self, where: Any, value: V) -> None:
        if isinstance(where, Event):
            self._table.write(self.key, value, where)
        elif value is not self:
            self._table.put(self.key, where, value)

    def __delitem__(self, where: "WindowRange") -> None:
        self._table.remove(self.key, where)

    def apply(self, op: Callable[[Any, Any], V], value: Any, event: "Event | None" = None) -> Self:
        """Replace the value ``v`` of each window of the event by ``op(v, value)``."""
        for window in self._table.windows_of(event or self.event):
            self._table.put(self.key, window, op(self._table.read(self.key, window), value))
        return self

    def __iadd__(self, other: Any) -> Self:
        return self.apply(operator.add, other)

    def __isub__(self, other: Any) -> Self:
        return self.apply(operator.sub, other)

    def __imul__(self, other: Any) -> Self:
        return self.apply(operator.mul, other)

    def __itruediv__(self, other: Any) -> Self:
        return self.apply(operator.truediv, other)

    def __ifloordiv__(self, other: Any) -> Self:
        return self.apply(operator.floordiv, other)

    def __imod__(self, other: Any) -> Self:
        return self.apply(operator.mod, other)

    def __ipow__(self, other: Any) -> Self:
        return self.apply(operator.pow, other)

    def __ilshift__(self, other: Any) -> Self:
        return self.apply(operator.lshift, other)

    def __irshift__(self, other: Any) -> Self:
        return self.apply(operator.rshift, other)

    def __iand__(self, other: Any) -> Self:
        return self.apply(operator.and_, other)

    def __ixor__(self, other: Any) -> Self:
        return self.apply(operator.xor, other)

    def __ior__(self, other: Any) -> Self:
        return self.apply(operator.or_, other)

    def __repr__(self) -> str:
        return f"<{self._table.name}[{self.key!r}]: a value a window>"
