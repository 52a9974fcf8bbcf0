"""Event time as it is declared: where it is, and how late rows may be."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from turbine import _declare
from turbine._window_options import ms
from turbine.exceptions import DeclarationError

__all__ = ["EVENT_TIME_OPTIONS", "EventTime", "event_time"]

EVENT_TIME_OPTIONS = ("event_time", "event_time_unit", "out_of_orderness", "idle_close")
_UNITS = ("s", "ms", "us", "ns")
_KAFKAS = "_timestamp"


@dataclass(frozen=True)
class EventTime:
    """
    Where the event time of rows is.

    Attributes:
        column: Column, or dotted path into nested fields; None: the timestamp of the record.
        unit: What a number counts: ``s``, ``ms``, ``us`` or ``ns``.
        out_of_orderness_ms: How far behind the newest row a row may be without being late.
        idle_close_ms: After so long without records windows close by the clock; None: never.
    """

    column: str | None
    unit: str = "ms"
    out_of_orderness_ms: int = 0
    idle_close_ms: int | None = None

    def config(self) -> dict[str, Any]:
        """Describe it to the core."""
        return {
            "column": self.column,
            "unit": self.unit,
            "out_of_orderness_ms": self.out_of_orderness_ms,
            "idle_close_ms": self.idle_close_ms,
        }


def event_time(
    column: object,
    *,
    unit: str | None = None,
    out_of_orderness: float | timedelta | str | None = None,
    idle_close: float | timedelta | str | None = None,
    schema: Any = None,
) -> EventTime | None:
    """
    Check the options of event time together.

    Args:
        column: What was given as ``event_time``.
        unit: As ``event_time_unit``; ms if None.
        out_of_orderness: Seconds, a `timedelta` or text as ``"5s"``; 0 if None.
        idle_close: The same; never if None.
        schema: Arrow schema of the rows, if it is known.

    Raises:
        DeclarationError: They cannot work; the message says what to write.
    """
    if column is None:
        given = {
            "event_time_unit": unit,
            "out_of_orderness": out_of_orderness,
            "idle_close": idle_close,
        }
        for name, value in given.items():
            if value is not None:
                raise DeclarationError(
                    f"{name}={value!r} says nothing without event_time=: name the column with the "
                    "time of a row, or write event_time='timestamp' for that of its record"
                )
        return None
    if not isinstance(column, str) or not column:
        raise DeclarationError(
            f"event_time={column!r} is not a column: write its name, 'a.b' for a nested field, or "
            "'timestamp' for the time of the record"
        )
    return EventTime(
        column=_column(column, schema),
        unit=_declare.one_of("event_time_unit", "ms" if unit is None else unit, _UNITS),
        out_of_orderness_ms=(
            0 if out_of_orderness is None else ms("out_of_orderness", out_of_orderness, least=0)
        ),
        idle_close_ms=None if idle_close is None else ms("idle_close", idle_close),
    )


def _column(column: str, schema: Any) -> str | None:
    names = [] if schema is None else schema.names
    if column == _KAFKAS or (column == "timestamp" and column not in names):
        return None
    first = column.split(".", 1)[0]
    if schema is not None and column not in names and first not in names:
        raise DeclarationError(
            f"event_time={column!r} is not a column of the model: it has {', '.join(names)}"
        )
    return column
