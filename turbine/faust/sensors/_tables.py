"""Tells sensors what is read and written in tables, where one of them wants to know."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turbine._native import Table as NativeTable
    from turbine._native import Turn
    from turbine.faust.sensors.base import SensorDelegate

__all__ = ["TABLES", "WatchedTable"]

TABLES = ("on_table_get", "on_table_set", "on_table_del")


class WatchedTable:
    """
    The core's side of one table, with sensors told of each key: after it was read or written.

    Going through keys, counting them and ``clear`` are not told.

    Args:
        table: What sensors see.
        native: What does the work.
        sensors: Who is told.
    """

    def __init__(self, table: Any, native: "NativeTable", sensors: "SensorDelegate") -> None:
        self._table = table
        self._native = native
        self._sensors = sensors
        self.page, self.count, self.clear = native.page, native.count, native.clear

    @property
    def partitions(self) -> list[int]:
        """Partitions of the table that this worker has."""
        return self._native.partitions

    def get(self, turn: "Turn | None", key: Any, default: Any, /) -> Any:
        """Read one."""
        value = self._native.get(turn, key, default)
        self._sensors.begin("on_table_get", self._table, key)
        return value

    def get_many(self, turn: "Turn | None", keys: Iterable[Any], default: Any, /) -> list[Any]:
        """Read some."""
        keys = list(keys)
        values = self._native.get_many(turn, keys, default)
        for key in keys:
            self._sensors.begin("on_table_get", self._table, key)
        return values

    def has(self, turn: "Turn | None", key: Any, /) -> bool:
        """Look for one."""
        found = self._native.has(turn, key)
        self._sensors.begin("on_table_get", self._table, key)
        return found

    def put(self, turn: "Turn | None", key: Any, value: Any, /) -> None:
        """Write one."""
        self._native.put(turn, key, value)
        self._sensors.begin("on_table_set", self._table, key, value)

    def put_many(self, turn: "Turn | None", pairs: Iterable[Any], /) -> None:
        """Write some."""
        pairs = [tuple(pair) for pair in pairs]
        self._native.put_many(turn, pairs)
        for key, value in pairs:
            self._sensors.begin("on_table_set", self._table, key, value)

    def delete(self, turn: "Turn | None", key: Any, /) -> bool:
        """Remove one."""
        was_there = self._native.delete(turn, key)
        self._sensors.begin("on_table_del", self._table, key)
        return was_there
