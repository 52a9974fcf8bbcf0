"""A clock that stands still until a test advances it, for apps and for the embedded broker."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol

from turbine import _native
from turbine.testing._eventually import PAUSE_S, Eventually, Steps
from turbine.testing._loop import TestLoop

__all__ = ["Clock", "Watched"]

_QUIET_LOOKS = 2
"""So many looks one after the other must find everything idle: news may be between two places."""


class Watched(Protocol):
    """What a clock waits for: the apps of a test."""

    def loops(self) -> Iterator[TestLoop]:
        """Every loop that reads this clock."""

    def busy(self, *, commits: bool) -> list[str]:
        """What is not idle; nothing, if all is."""


class Clock:
    """
    Time that passes only when a test says so.

    Timers, crontabs, ``asyncio.sleep``, timeouts and ``Stream.take`` of the apps of the test read
    it, and so does the embedded broker. ``time.time()`` and ``datetime.now()`` do not: an app that
    asks ``app.clock.now(UTC)`` instead gets this time here and the real one in production.

    Attributes:
        native: The same clock, for the broker.
    """

    def __init__(self, start: datetime | float | None = None) -> None:
        if start is None:
            start = float(int(time.time()))
        if isinstance(start, datetime):
            if start.tzinfo is None:
                raise ValueError("a clock starts in a time zone: write datetime(..., tzinfo=UTC)")
            start = start.timestamp()
        self._start_ms = round(start * 1_000)
        self._passed_s = 0.0
        self._told_ms = 0
        self._watched: Watched | None = None
        self._forgotten: dict[int, str] | None = None
        self.native = _native.Clock(self._start_ms / 1_000)

    can_be_set = False

    # -- reading ---------------------------------------------------------------------------

    def time(self) -> float:
        """Seconds since the Unix epoch."""
        return self._start_ms / 1_000 + self._passed_s

    def now(self, zone: tzinfo = UTC) -> datetime:
        """The time in *zone*."""
        return datetime.fromtimestamp(self.time(), zone)

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._passed_s

    async def sleep(self, delay_s: float) -> None:
        """Wait until so much of this time has passed; for the apps of the test."""
        await asyncio.sleep(delay_s)

    # -- turning ---------------------------------------------------------------------------

    def advance(self, by: float | timedelta, *, timeout: float = 30.0) -> Eventually[None]:
        """
        Let time pass, and wait until the apps are idle.

        Timers run in their order, each at its own time. Idle means: no timer is due, every record
        in the topics that the apps read is handled and its offset committed, or waits in a handler
        for time to pass. What a handler awaits outside of Kafka (a socket, a file) is not seen.

        Args:
            by: Seconds, or a `timedelta`.
            timeout: Longest real time to wait, in seconds.

        Raises:
            TimeoutError: Something is not idle in time; the message says what.
            ValueError: Time does not go back.
        """
        seconds = by.total_seconds() if isinstance(by, timedelta) else float(by)
        if seconds < 0:
            raise ValueError(f"clock.advance({by!r}): time does not go back")
        return Eventually(
            f"clock.advance({by!r})", self._advance(seconds, timeout), self._forgotten
        )

    def idle(self, *, timeout: float = 30.0) -> Eventually[None]:
        """
        Wait until the apps are idle, without letting time pass.

        Raises:
            TimeoutError: Something is not idle in time; the message says what.
        """
        return self.advance(0, timeout=timeout)

    # -- inside ----------------------------------------------------------------------------

    def watch(self, watched: Watched, forgotten: dict[int, str]) -> None:
        """Wait for the apps of this test from now on."""
        self._watched, self._forgotten = watched, forgotten

    def _advance(self, seconds: float, timeout_s: float) -> Steps[None]:
        deadline = time.monotonic() + timeout_s
        target = self._passed_s + seconds
        yield from self._settle(deadline, timeout_s, commits=False)
        while self._passed_s < target:
            # With what is in flight at that time done, before time goes on.
            self._move_to(min([target, *self._dues()]))
            yield from self._settle(deadline, timeout_s, commits=False)
        yield from self._settle(deadline, timeout_s, commits=True)

    def _dues(self) -> list[float]:
        return [due for loop in self._loops() if (due := loop.next_due()) is not None]

    def _loops(self) -> Iterator[TestLoop]:
        return iter(()) if self._watched is None else self._watched.loops()

    def _move_to(self, passed_s: float) -> None:
        self._passed_s = passed_s
        passed_ms = int(passed_s * 1_000)
        self.native.advance((passed_ms - self._told_ms) / 1_000)
        self._told_ms = passed_ms
        for loop in self._loops():
            loop.poke()

    def _settle(self, deadline: float, timeout_s: float, *, commits: bool) -> Steps[None]:
        if self._watched is None:
            return
        quiet = 0
        while quiet < _QUIET_LOOKS:
            busy = self._watched.busy(commits=commits)
            quiet = 0 if busy else quiet + 1
            if busy and time.monotonic() > deadline:
                listed = "\n  - ".join(busy)
                raise TimeoutError(
                    f"after {timeout_s:g} s of real time, at {self.now():%Y-%m-%d %H:%M:%S} of the "
                    f"virtual clock, this is not idle:\n  - {listed}"
                )
            yield PAUSE_S if busy else PAUSE_S / 5
