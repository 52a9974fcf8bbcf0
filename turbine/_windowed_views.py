"""Keys, values and items of a windowed table, in the windows of one time."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from turbine._table_windows import Time
    from turbine._window_set import WindowSet
    from turbine.events import Event
    from turbine.windowed_tables import WindowedTable

__all__ = ["WindowedItems", "WindowedKeys", "WindowedValues"]

K = TypeVar("K")
V = TypeVar("V")
Read = Callable[["WindowSet[Any, Any]"], Any]


class _View:
    def __init__(self, table: "WindowedTable[Any, Any]") -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._table!r}>"


class WindowedKeys(_View, Generic[K]):
    """Keys that have a value in any window."""

    def __iter__(self) -> Iterator[K]:
        return iter(self._table)

    def __contains__(self, key: object) -> bool:
        return any(one == key for one in self)


class _Seen(_View):
    """
    What each key has in one window.

    A key without a value there has what the table's default makes; without a default it is left
    out.
    """

    def _pairs(self, read: Read) -> Iterator[tuple[Any, Any]]:
        for key in self._table:
            try:
                yield key, read(self._table[key])
            except KeyError:
                continue

    def _now(self) -> Iterator[tuple[Any, Any]]:
        return self._pairs(lambda values: values.now())

    def _value(self) -> Iterator[tuple[Any, Any]]:
        return self._pairs(lambda values: values.value())

    def _current(self, event: "Event | None") -> Iterator[tuple[Any, Any]]:
        return self._pairs(lambda values: values.current(event))

    def _delta(self, d: "Time", event: "Event | None") -> Iterator[tuple[Any, Any]]:
        return self._pairs(lambda values: values.delta(d, event))


class WindowedItems(_Seen, Generic[K, V]):
    """Pairs of key and value."""

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._value()

    def now(self) -> Iterator[tuple[K, V]]:
        """As `WindowSet.now`."""
        return self._now()

    def current(self, event: "Event | None" = None) -> Iterator[tuple[K, V]]:
        """As `WindowSet.current`."""
        return self._current(event)

    def delta(self, d: "Time", event: "Event | None" = None) -> Iterator[tuple[K, V]]:
        """As `WindowSet.delta`."""
        return self._delta(d, event)


class WindowedValues(_Seen, Generic[V]):
    """Values alone, in the order of the keys."""

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in self._value())

    def now(self) -> Iterator[V]:
        """As `WindowSet.now`."""
        return (value for _, value in self._now())

    def current(self, event: "Event | None" = None) -> Iterator[V]:
        """As `WindowSet.current`."""
        return (value for _, value in self._current(event))

    def delta(self, d: "Time", event: "Event | None" = None) -> Iterator[V]:
        """As `WindowSet.delta`."""
        return (value for _, value in self._delta(d, event))
