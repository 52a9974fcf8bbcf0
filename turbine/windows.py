"""
Windows over event time: which rows belong together, and when their result comes out.

```python
from turbine import aggregates as agg, windows

@app.subscribe(
    "orders",
    publish_to="turnover",
    event_time="ts",
    window=windows.tumbling(
        "10s", key="user", value={"n": agg.Count(), "total": agg.Sum("amount")}
    ),
)
def turnover(panes):
    return panes
```

A result is a row: the key columns with their own types, ``window_start_ms`` and ``window_end_ms``
(milliseconds since the Unix epoch, the end is exclusive), and one column for each aggregate. Where
anything but final results can come out, ``window_result`` says what a row is: ``final``,
``change``, ``early``, ``update``, ``idle`` or ``evicted``.

All lengths are seconds, a `timedelta`, or text as ``"10s"``, ``"250ms"``, ``"1h"``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Literal, TypedDict, Unpack
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from turbine._declare import one_of, refuse_unknown, whole_number
from turbine._window_options import Emit, columns, emit, ms
from turbine.exceptions import DeclarationError

__all__ = [
    "Duration",
    "Emit",
    "Options",
    "Window",
    "calendar",
    "count",
    "early",
    "every",
    "everything",
    "hopping",
    "session",
    "sliding",
    "tumbling",
]

Duration = float | timedelta | str
"""A length of time: seconds, a `timedelta`, or text as ``"10s"``."""

CalendarUnit = Literal["hour", "day", "week", "month", "quarter", "year"]

_UNITS = ("hour", "day", "week", "month", "quarter", "year")

early = Emit.early
every = Emit.every


class Options(TypedDict, total=False):
    """
    Options that all windows take.

    Attributes:
        key: Column or columns whose values tell groups apart; none: all rows are one group.
        grace: How long a window takes late rows after the watermark has passed its end.
        emit: ``"final"``: one result, when the window closes. ``"changes"``: one a row as well.
            ``early(interval)``: the windows that changed, once in an interval, as well.
        persistent: Keep open windows in the store, so that they survive the process.
        time_column: Column with the event time, if not that of the subscription.
        max_open: Most open windows over all keys; the oldest is closed before its time, marked
            ``evicted``.
    """

    key: str | Sequence[str]
    grace: Duration
    emit: Emit | str
    persistent: bool
    time_column: str | None
    max_open: int | None


@dataclass(frozen=True)
class Window:
    """
    A declared window. Made by the functions of this module.

    Attributes:
        kind: How rows are assigned, as the core reads it; times in ms.
        key: Columns whose values tell groups apart; empty: all rows are one group.
        value: The aggregates.
        emit: When results come out.
        grace_ms: How long a window takes rows after the watermark has passed its end.
        time_column: Column with the event time; None: that of the subscription.
        persistent: Whether its state survives the process.
        max_open: Most open windows; the oldest is closed before its time.
        name: Name of its state; None: chosen by the subscription.
    """

    kind: Mapping[str, Any]
    key: tuple[str, ...]
    value: Any
    emit: Emit = field(default_factory=Emit)
    grace_ms: int = 0
    time_column: str | None = None
    persistent: bool = False
    max_open: int | None = None
    name: str | None = None

    def spec(self, name: str, *, on_late: str = "drop") -> dict[str, Any]:
        """
        Describe the window to the core.

        Args:
            name: Name of its state, unique in the subscription.
            on_late: What happens to a row whose windows are closed: drop, route or update.
        """
        from turbine.aggregates import as_specs

        return {
            "name": self.name or name,
            "kind": dict(self.kind),
            "key": list(self.key),
            "aggregates": as_specs(self.value),
            "time_column": self.time_column,
            "grace_ms": self.grace_ms,
            "emit": self.emit.to_json(),
            "on_late": on_late,
            "persistent": self.persistent,
            "max_open": self.max_open,
        }

    def keyed_by(self, column: str) -> bool:
        """Whether *column* is one of its keys, so that rows may be sharded by it."""
        return column in self.key

    def named(self, name: str) -> "Window":
        """The same window with a name for its state."""
        return replace(self, name=name)


def tumbling(
    size: Duration,
    *,
    value: Any = None,
    offset: Duration = 0,
    **options: Unpack[Options],
) -> Window:
    """
    Windows of one length, side by side; a row belongs to one of them.

    ```text
    time      0         10        20        30
    rows      a   b       c  d       e
    windows   [ a b    )[ c d    )[ e      )
    ```

    Args:
        size: Length.
        value: What is computed: an aggregate, or a mapping of output names to aggregates; in a plan
            of `turbine.flows` `Flow.agg` says it.
        offset: Where a window begins, counted from the epoch: ``offset="30m"`` for half hours.
        options: What all windows take, see `Options`.

    Raises:
        DeclarationError: An option is not possible; the message says what to write.
    """
    kind = {"type": "tumbling", "size_ms": ms("size", size), "offset_ms": _offset(offset)}
    return _window(kind, value, options)


def calendar(
    unit: CalendarUnit,
    *,
    timezone: str = "UTC",
    value: Any = None,
    **options: Unpack[Options],
) -> Window:
    """
    Hours, days, weeks, months, quarters or years as a time zone's calendar has them.

    A day may have 23 or 25 hours, where clocks change; weeks begin on Monday.

    Args:
        unit: Which of them.
        timezone: IANA name, as ``"Europe/Paris"``.
        value: What is computed.
        options: What all windows take, see `Options`.

    Raises:
        DeclarationError: An option is not possible.
    """
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise DeclarationError(
            f"timezone={timezone!r} is unknown: write an IANA name as 'Europe/Paris'"
        ) from None
    kind = {"type": "calendar", "unit": one_of("unit", unit, _UNITS), "timezone": timezone}
    return _window(kind, value, options)


def hopping(
    size: Duration,
    step: Duration,
    *,
    value: Any = None,
    offset: Duration = 0,
    **options: Unpack[Options],
) -> Window:
    """
    Windows of one length that overlap: one begins every *step*.

    ```text
    time      0         10        20        30
    rows      a   b       c  d       e
    windows   [ a b      c  d   )
                        [ c  d      e      )
    ```

    Rows are kept in panes of one step, and windows are made of panes: what a row costs does not
    grow with ``size / step``.

    Args:
        size: Length.
        step: From one start to the next; *size* is a multiple of it.
        value: What is computed.
        offset: Where a window begins, counted from the epoch.
        options: What all windows take, see `Options`.

    Raises:
        DeclarationError: An option is not possible, or *step* does not divide *size*.
    """
    size_ms, step_ms = ms("size", size), ms("step", step)
    if step_ms > size_ms or size_ms % step_ms:
        raise DeclarationError(
            f"step={step!r} does not divide size={size!r}: windows are made of whole steps, "
            "as hopping('10s', '1s')"
        )
    kind = {"type": "hopping", "size_ms": size_ms, "step_ms": step_ms, "offset_ms": _offset(offset)}
    return _window(kind, value, options)


def sliding(
    size: Duration,
    *,
    value: Any = None,
    **options: Unpack[Options],
) -> Window:
    """
    For each row, the rows of its key in the *size* before it: one result a row.

    ```text
    time      0         10        20        30
    rows      a   b       c  d       e
    results   a   ab     bc bcd     cde          size 12: (t - 12, t]
    ```

    The result of a row comes out when the watermark has passed its time and the grace, so that rows
    out of order count.

    Args:
        size: Length; the row itself is included, a row exactly *size* before it is not.
        value: What is computed.
        options: What all windows take, see `Options`.

    Raises:
        DeclarationError: An option is not possible.
    """
    _without("a sliding window, which has one result a row", options, "emit")
    kind = {"type": "sliding", "size_ms": ms("size", size)}
    return _window(kind, value, options)


def session(
    gap: Duration,
    *,
    max_duration: Duration | None = None,
    value: Any = None,
    **options: Unpack[Options],
) -> Window:
    """
    Rows of a key without a pause of *gap* between them.

    ```text
    time      0         10        20        30
    rows      a   b       c  d             e
    sessions  [ a b       c  d      )     [ e      )      gap 8
    ```

    A row that comes late may join two sessions. ``window_start_ms`` is the first row,
    ``window_end_ms`` the last row plus the gap.

    Args:
        gap: A pause of this length ends a session.
        max_duration: Longest time from the first row of a session to its end; None: unbounded.
        value: What is computed.
        options: What all windows take, see `Options`.

    Raises:
        DeclarationError: An option is not possible.
    """
    gap_ms = ms("gap", gap)
    longest = None if max_duration is None else ms("max_duration", max_duration)
    if longest is not None and longest < gap_ms:
        raise DeclarationError(
            f"max_duration={max_duration!r} is shorter than gap={gap!r}: no session would fit"
        )
    kind = {"type": "session", "gap_ms": gap_ms, "max_duration_ms": longest}
    return _window(kind, value, options)


def count(
    rows: int,
    step: int | None = None,
    *,
    value: Any = None,
    **options: Unpack[Options],
) -> Window:
    """
    So many rows of a key, in their order.

    ```text
    rows      a b c d e f g
    windows   [a b c][d e f][g ...          count(3)
              [a b c]
                [b c d] ...                 count(3, step=1)
    ```

    Args:
        rows: Rows of a window.
        step: Rows from one window's start to the next; None: *rows*.
        value: What is computed.
        options: What all windows take, see `Options`.

    Raises:
        DeclarationError: An option is not possible.
    """
    _without("a window of so many rows", options, "grace")
    whole_number("rows", rows, least=1)
    if step is not None:
        whole_number("step", step, least=1)
    kind = {"type": "count", "rows": rows, "step": step}
    return _window(kind, value, options)


def everything(
    *,
    value: Any = None,
    **options: Unpack[Options],
) -> Window:
    """
    One window that never ends: running values.

    Args:
        value: What is computed.
        options: What all windows take, see `Options`; ``emit`` is ``"changes"``, the value after
            each row, if not given. ``every(rows)``: after so many rows of a key.
            ``early(interval)``: the keys that changed, once in an interval.

    Raises:
        DeclarationError: An option is not possible; ``emit="final"`` would never give a result.
    """
    _without("a window that never ends", options, "grace")
    when: Options = {"emit": "changes"}
    window = _window({"type": "global"}, value, when | options)
    if window.emit == Emit():
        raise DeclarationError(
            "emit='final' gives no result for a window that never ends: "
            "write emit='changes', early('10s') or every(100)"
        )
    return window


def _window(kind: Mapping[str, Any], value: Any, options: Options) -> Window:
    known = Options.__annotations__.keys()
    refuse_unknown(f"a {kind['type']} window", options.keys() - known, known)
    names = columns("key", options.get("key", ()))
    _check_outputs(names, value)
    max_open, persistent = options.get("max_open"), options.get("persistent", False)
    if max_open is not None:
        whole_number("max_open", max_open, least=1)
        if persistent:
            raise DeclarationError(
                "max_open bounds windows in memory, and persistent=True keeps them in the store: "
                "leave one of them out"
            )
    return Window(
        kind=kind,
        key=names,
        value=value,
        emit=emit(options.get("emit", "final")),
        grace_ms=ms("grace", options.get("grace", 0), least=0),
        time_column=options.get("time_column"),
        persistent=persistent,
        max_open=max_open,
    )


def _check_outputs(key: tuple[str, ...], value: Any) -> None:
    from turbine.aggregates import as_specs

    taken = {*key, "window_start_ms", "window_end_ms", "window_result"}
    for one in [] if value is None else as_specs(value):
        if one["output"] in taken:
            raise DeclarationError(
                f"an aggregate is called {one['output']!r}, and the result has such a column "
                "already: give it another name"
            )


def _without(kind: str, options: Options, *names: str) -> None:
    """Refuse options that make no sense for a kind of window."""
    for name in names:
        if name in options:
            raise DeclarationError(f"{name}= makes no sense for {kind}: leave it out")


def _offset(offset: Duration) -> int:
    if isinstance(offset, int | float) and not isinstance(offset, bool) and offset < 0:
        return -ms("offset", -offset, least=0)
    if isinstance(offset, timedelta) and offset < timedelta(0):
        return -ms("offset", -offset, least=0)
    return ms("offset", offset, least=0)
