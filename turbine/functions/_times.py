"""
Functions of times.

A time is a timestamp, a date (its midnight) or an integer: ms since the Unix epoch. One without a
zone is UTC; ``timezone="Europe/Berlin"`` reads the calendar there.
"""

from turbine.functions._expr import Expr, IntoExpr, call

__all__ = [
    "date_add",
    "date_diff",
    "date_trunc",
    "day",
    "day_of_year",
    "epoch_ms",
    "format_ts",
    "hour",
    "minute",
    "month",
    "parse_ts",
    "parse_ts_or_null",
    "quarter",
    "second",
    "week",
    "weekday",
    "year",
]


def epoch_ms(time: IntoExpr) -> Expr:
    """Give the ms since the Unix epoch, int64, rounded down also before 1970."""
    return call("epoch_ms", time)


def year(time: IntoExpr, timezone: str | None = None) -> Expr:
    """Give the year, int64."""
    return call("year", time, timezone=timezone)


def quarter(time: IntoExpr, timezone: str | None = None) -> Expr:
    """Give the quarter, 1 to 4."""
    return call("quarter", time, timezone=timezone)


def month(time: IntoExpr, timezone: str | None = None) -> Expr:
    """Give the month, 1 to 12."""
    return call("month", time, timezone=timezone)


def week(time: IntoExpr, timezone: str | None = None) -> Expr:
    """Give the ISO week, 1 to 53."""
    return call("week", time, timezone=timezone)


def day(time: IntoExpr, timezone: str | None = None) -> Expr:
    """Give the day of the month, from 1."""
    return call("day", time, timezone=timezone)


def day_of_year(time: IntoExpr, timezone: str | None = None) -> Expr:
    """Give the day of the year, from 1."""
    return call("day_of_year", time, timezone=timezone)


def weekday(time: IntoExpr, timezone: str | None = None) -> Expr:
    """Give the day of the week; Monday is 0, as in Python."""
    return call("weekday", time, timezone=timezone)


def hour(time: IntoExpr, timezone: str | None = None) -> Expr:
    """Give the hour, 0 to 23."""
    return call("hour", time, timezone=timezone)


def minute(time: IntoExpr, timezone: str | None = None) -> Expr:
    """Give the minute, 0 to 59."""
    return call("minute", time, timezone=timezone)


def second(time: IntoExpr, timezone: str | None = None) -> Expr:
    """Give the second, 0 to 59, without its fraction."""
    return call("second", time, timezone=timezone)


def date_trunc(unit: str, time: IntoExpr, timezone: str | None = None) -> Expr:
    """
    Give the start of the unit that *time* lies in.

    Args:
        unit: ``"microsecond"``, ``"millisecond"``, ``"second"``, ``"minute"``, ``"hour"``,
            ``"day"``, ``"week"`` (from Monday), ``"month"``, ``"quarter"`` or ``"year"``.
        time: What to truncate; the result is a timestamp of the same unit.
        timezone: Whose calendar; a day may begin later than midnight where clocks skip it.
    """
    return call("date_trunc", time, unit=unit, timezone=timezone)


def date_add(time: IntoExpr, amount: IntoExpr, unit: str, timezone: str | None = None) -> Expr:
    """
    Add so many units of the calendar, as `date_trunc` names them; negative ones go back.

    A day of a month that is shorter becomes its last one; days and longer keep the time on the
    clock of *timezone*.
    """
    return call("date_add", time, amount, unit=unit, timezone=timezone)


def date_diff(start: IntoExpr, end: IntoExpr, unit: str) -> Expr:
    """Count the whole units from *start* to *end*, in UTC, int64; negative if *end* is earlier."""
    return call("date_diff", start, end, unit=unit)


def format_ts(time: IntoExpr, format: str | None = None, timezone: str | None = None) -> Expr:  # noqa: A002 - what it is
    """Write as text, by ``"%Y-%m-%d %H:%M:%S%.3f"``; ISO 8601 without a *format*."""
    return call("format_ts", time, format=format, timezone=timezone)


def parse_ts(text: IntoExpr, format: str | None = None) -> Expr:  # noqa: A002 - what it is
    """
    Read text as a timestamp in us, UTC; other text cannot be computed.

    Args:
        text: What to read.
        format: As ``"%d.%m.%Y %H:%M %z"``; ISO 8601 without one. Without an offset it is UTC,
            without a time it is midnight.
    """
    return call("parse_ts", text, format=format)


def parse_ts_or_null(text: IntoExpr, format: str | None = None) -> Expr:  # noqa: A002 - what it is
    """Read as `parse_ts` does; null, and not counted, for other text."""
    return call("parse_ts_or_null", text, format=format)
