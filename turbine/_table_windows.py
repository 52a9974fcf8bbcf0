"""
Windows of tables: pairs of start and end in seconds, and how a table is given some.

A window holds the times from its start up to its end, without the end. Times are counted in whole
milliseconds, as Kafka's are, so that windows shorter than a second meet exactly.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from turbine._parsers import seconds
from turbine.exceptions import ConfigError, DeclarationError

if TYPE_CHECKING:
    from turbine.windowed_tables import WindowedTable

__all__ = ["Closed", "Hopping", "Sliding", "Time", "Window", "WindowRange", "Windowable"]

WindowRange: TypeAlias = tuple[float, float]
"""Start and end, in seconds since the Unix epoch."""
Time: TypeAlias = timedelta | float
"""Seconds, or a `timedelta`."""
Closed: TypeAlias = Callable[[Any, Any], Any]
"""What `on_window_close` is: given ``(key, (start, end))`` and the value; sync or async."""


class Window(Protocol):
    """Which windows a time is in."""

    expires: float | None
    """Seconds behind the end after which a window closes; None: it stays."""

    def ranges(self, timestamp: float) -> list[WindowRange]:
        """All windows that hold *timestamp*, the earliest first."""

    def current(self, timestamp: float) -> WindowRange:
        """The latest of them."""

    def delta(self, timestamp: float, d: Time) -> WindowRange:
        """The latest that holds the time *d* before *timestamp*."""

    def ends(self, window: WindowRange) -> float:
        """When *window* is over, in seconds: the first time that it does not hold."""


class Hopping:
    """Windows of one length that start at equal steps; tumbling if the step is the length."""

    def __init__(self, size: Time, step: Time, expires: Time | None = None) -> None:
        self._size_ms = _length_ms("size", size)
        self._step_ms = _length_ms("step", step)
        self.expires = _expires(expires)

    def ranges(self, timestamp: float) -> list[WindowRange]:
        """All windows that hold *timestamp*, the earliest first."""
        at_ms = round(timestamp * 1_000)
        first = (at_ms - self._size_ms) // self._step_ms + 1
        return [self._range(number) for number in range(first, at_ms // self._step_ms + 1)]

    def current(self, timestamp: float) -> WindowRange:
        """The latest of them."""
        return self._range(round(timestamp * 1_000) // self._step_ms)

    def delta(self, timestamp: float, d: Time) -> WindowRange:
        """The latest that holds the time *d* before *timestamp*."""
        return self.current(timestamp - seconds(d))

    def ends(self, window: WindowRange) -> float:
        """When *window* is over, in seconds."""
        return window[1]

    def _range(self, number: int) -> WindowRange:
        start_ms = number * self._step_ms
        return start_ms / 1_000, (start_ms + self._size_ms) / 1_000


class Sliding:
    """The time around each event, from *before* it to *after* it."""

    def __init__(self, before: Time, after: Time, expires: Time | None = None) -> None:
        self._before, self._after = _time("before", before), _time("after", after)
        self.expires = _expires(expires)

    def ranges(self, timestamp: float) -> list[WindowRange]:
        """The one window around *timestamp*."""
        return [self.current(timestamp)]

    def current(self, timestamp: float) -> WindowRange:
        """The same."""
        return round(timestamp - self._before, 3), round(timestamp + self._after, 3)

    def delta(self, timestamp: float, d: Time) -> WindowRange:
        """The window around the time *d* before *timestamp*."""
        return self.current(timestamp - seconds(d))

    def ends(self, window: WindowRange) -> float:
        """When *window* is over, in seconds."""
        return window[1]


class Windowable:
    """The part of a table that gives it windows."""

    app: Any
    name: str

    def tumbling(
        self, size: Time, expires: Time | None = None, *, key_index: bool = False
    ) -> "WindowedTable[Any, Any]":
        """
        Keep a value a key and window, with windows one behind the other.

        Args:
            size: Length of a window: seconds, or a `timedelta`; from a millisecond on.
            expires: How long after its end a window closes, and is removed; None: never.
            key_index: Accepted, and not needed: keys and items are always there.

        Raises:
            DeclarationError: A length cannot be.
        """
        return self.hopping(size, size, expires, key_index=key_index)

    def hopping(
        self, size: Time, step: Time, expires: Time | None = None, *, key_index: bool = False
    ) -> "WindowedTable[Any, Any]":
        """As `tumbling`, with a window that starts every *step*; what is written goes to all."""
        if _length_ms("step", step) > _length_ms("size", size):
            raise DeclarationError(
                f"step={step!r} is longer than size={size!r}: no window would hold what is between"
            )
        window = self.app.hopping_windows(size, step, _expires(expires))
        return self.using_window(window, key_index=key_index)

    def using_window(self, window: Window, *, key_index: bool = False) -> "WindowedTable[Any, Any]":
        """As `tumbling`, with a window of one's own, as `Sliding`."""
        from turbine.windowed_tables import windowed

        del key_index
        return windowed(self, window)


def _time(name: str, given: Any) -> float:
    try:
        return seconds(given)
    except ConfigError as exc:
        raise DeclarationError(f"{name}={given!r}: {name} {exc}") from None


def _expires(given: Time | None) -> float | None:
    return None if given is None else _time("expires", given)


def _length_ms(name: str, given: Any) -> int:
    length_ms = round(_time(name, given) * 1_000)
    if length_ms < 1:
        raise DeclarationError(f"{name}={given!r} is too short: write a millisecond or more")
    return length_ms
