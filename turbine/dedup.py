"""Rows that are left out because their key was there already."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from turbine._window_options import ms
from turbine.exceptions import DeclarationError

__all__ = ["Dedup", "check_dedup"]


class Dedup:
    """
    Leave out rows whose key was there already within a time.

    The first row of a key is kept, and another one only when its event time is *within* or more
    away. What is kept depends on the rows of the partition alone, not on how they were cut into
    batches. A row without a key (a null in one of its columns) or without event time is kept. Keys
    are remembered in memory until the watermark is *within* behind them; a partition that moves, or
    begins again, does so without memory: a duplicate may pass then, and no other row is lost.

    Args:
        key: Column, or columns, that tell rows apart.
        within: A number of seconds, text as ``"1h"``, or a timedelta.

    Raises:
        DeclarationError: There is no key, or no time.
    """

    __slots__ = ("key", "within_ms")

    def __init__(self, key: str | Sequence[str], within: float | timedelta | str) -> None:
        columns: list[Any] = [key] if isinstance(key, str) else list(key)
        if not columns or not all(isinstance(name, str) and name for name in columns):
            raise DeclarationError(f"Dedup(key={key!r}) names no column: write key=['id']")
        self.key = tuple(columns)
        self.within_ms = ms("within", within, least=1)

    def config(self) -> dict[str, Any]:
        """Describe it to the core."""
        return {"key": list(self.key), "within_ms": self.within_ms}

    def __repr__(self) -> str:
        return f"Dedup(key={list(self.key)!r}, within={self.within_ms / 1000:g})"


def check_dedup(given: Any, *, has_time: bool, schema: Any) -> Dedup | None:
    """
    Check the option ``dedup`` of a subscription.

    Raises:
        DeclarationError: It is none, or rows have no event time, or the model has no such column.
    """
    if given is None:
        return None
    if not isinstance(given, Dedup):
        raise DeclarationError(
            f"dedup={given!r} is none: write dedup=turbine.Dedup(key=['id'], within='1h')"
        )
    if not has_time:
        raise DeclarationError(
            "dedup needs the time of rows: add event_time='column' to the subscription, or "
            "event_time='timestamp' for that of the records"
        )
    missing = [name for name in given.key if schema is not None and name not in schema.names]
    if missing:
        raise DeclarationError(
            f"dedup reads {missing[0]!r}, which is not a column of the model: it has "
            f"{', '.join(schema.names)}"
        )
    return given
