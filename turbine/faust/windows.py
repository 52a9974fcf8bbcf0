"""
Windows of time, as Faust gives them: pairs of start and end in seconds.

The end of a tumbling or hopping window is 0.1 s before the next one starts: programs print these
pairs, store them and compare them. Windows of `turbine.windowing` are half-open instead.
"""

import math
from datetime import timedelta
from typing import Final, TypeAlias

from turbine._parsers import seconds

__all__ = ["HoppingWindow", "SlidingWindow", "TumblingWindow", "Window", "WindowRange"]

WindowRange: TypeAlias = tuple[float, float]
"""Start and end, in seconds since the Unix epoch."""

_GAP_S: Final = 0.1


class Window:
    """
    Which windows a time is in.

    Attributes:
        expires: Seconds until the data of a window goes; None: it stays.
    """

    expires: float | None = None

    def ranges(self, timestamp: float) -> list[WindowRange]:
        """All windows that hold *timestamp*, the earliest first."""
        raise NotImplementedError

    def current(self, timestamp: float) -> WindowRange:
        """The latest of them."""
        return self.ranges(timestamp)[-1]

    def earliest(self, timestamp: float) -> WindowRange:
        """The first of them."""
        return self.ranges(timestamp)[0]

    def delta(self, timestamp: float, d: timedelta | float) -> WindowRange:
        """The latest that holds the time *d* before *timestamp*."""
        return self.current(timestamp - seconds(d))

    def ends(self, window: WindowRange) -> float:
        """When *window* is over: the first time that it does not hold."""
        return window[1]

    def stale(self, timestamp: float, latest_timestamp: float) -> bool:
        """Has the data of *timestamp* expired when *latest_timestamp* is seen?"""
        if not self.expires:
            return False
        return timestamp <= self._oldest(latest_timestamp - self.expires)

    def _oldest(self, timestamp: float) -> float:
        return timestamp


class HoppingWindow(Window):
    """
    Windows of one length that start at equal steps.

    Attributes:
        size: Length, in seconds.
        step: From one start to the next, in seconds.
    """

    def __init__(
        self,
        size: timedelta | float,
        step: timedelta | float,
        expires: timedelta | float | None = None,
    ) -> None:
        self.size = seconds(size)
        self.step = seconds(step)
        self.expires = seconds(expires) if expires else None

    def ranges(self, timestamp: float) -> list[WindowRange]:
        """All windows that hold *timestamp*, the earliest first."""
        last = math.floor(timestamp / self.step)
        count = max(math.floor(self.size / self.step), 1)
        return [self._range(number) for number in range(last - count + 1, last + 1)]

    def ends(self, window: WindowRange) -> float:
        """When *window* is over: where its pair says 0.1 s less."""
        return window[0] + self.size

    def _range(self, number: int) -> WindowRange:
        start = float(number * self.step)
        return start, start + self.size - _GAP_S

    def _oldest(self, timestamp: float) -> float:
        return self.current(timestamp)[0]


class TumblingWindow(HoppingWindow):
    """Windows of one length, one behind the other."""

    def __init__(self, size: timedelta | float, expires: timedelta | float | None = None) -> None:
        super().__init__(size, size, expires)


class SlidingWindow(Window):
    """
    The time around each record.

    Attributes:
        before: Seconds before it.
        after: Seconds behind it.
    """

    def __init__(
        self,
        before: timedelta | float,
        after: timedelta | float,
        expires: timedelta | float | None = None,
    ) -> None:
        self.before = seconds(before)
        self.after = seconds(after)
        self.expires = seconds(expires) if expires else None

    def ranges(self, timestamp: float) -> list[WindowRange]:
        """The one window around *timestamp*."""
        return [(timestamp - self.before, timestamp + self.after)]
