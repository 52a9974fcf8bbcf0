"""The event loop of a worker under test: it can be asked whether it is idle, and told the time."""

import asyncio
import contextlib
import heapq
import itertools
import selectors
import time
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from turbine.testing._clock import Clock

__all__ = ["TestLoop"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Selector(selectors.DefaultSelector):
    """A selector that says whether it waits; with a virtual clock it never waits for a time."""

    def __init__(self, *, stands: bool) -> None:
        super().__init__()
        self._stands = stands
        self.is_waiting = False

    def select(self, timeout: float | None = None) -> Any:
        if self._stands and timeout is not None and timeout > 0:
            # Time comes only by an advance, which wakes the loop.
            timeout = None
        self.is_waiting = timeout is None or timeout > 0
        try:
            return super().select(timeout)
        finally:
            self.is_waiting = False


class TestLoop(asyncio.SelectorEventLoop):
    """
    An event loop on the time of a `Clock`, or on the time of this machine.

    With a clock, ``asyncio.sleep``, timeouts and ``Stream.take`` wait for `Clock.advance`.
    """

    __test__ = False  # pytest would take it for a test

    def __init__(self, clock: "Clock | None" = None) -> None:
        self._clock = clock
        self._due: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        self._poked = 0
        self._answered = 0
        self._calls_in_threads = 0
        self._wait = _Selector(stands=clock is not None)
        self._runs_since: float | None = None
        super().__init__(self._wait)

    def time(self) -> float:
        """Seconds that never go back."""
        if self._clock is None:
            return super().time()
        passed = self._clock.monotonic()
        since = self._runs_since
        return passed if since is None else passed + time.monotonic() - since

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Schedule a call; see `asyncio.loop.call_at`."""
        handle = super().call_at(when, callback, *args, context=context)
        if self._clock is not None:
            heapq.heappush(self._due, (when, next(self._numbers), handle))
        return handle

    def run_in_executor(
        self, executor: Any, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Call in a thread; see `asyncio.loop.run_in_executor`."""
        future = super().run_in_executor(executor, func, *args)
        self._calls_in_threads += 1
        future.add_done_callback(self._call_done)
        return future

    # -- from other threads ----------------------------------------------------------------

    def next_due(self) -> float | None:
        """When the next timer is due; the loop must be idle."""
        while self._due and (self._due[0][2].cancelled() or self._due[0][0] <= self.time()):
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def run_on(self) -> None:
        """From now on real time passes too: the loop comes to its end."""
        if self._runs_since is None:
            self._runs_since = time.monotonic()
        self.poke()

    def poke(self) -> None:
        """Make the loop look at the time."""
        self._poked += 1
        # A loop that has just closed has nothing to look at.
        with contextlib.suppress(RuntimeError):
            self.call_soon_threadsafe(self._answer)

    @property
    def is_idle(self) -> bool:
        """Whether everything that is due has run, and nothing runs in a thread of its pool."""
        return (
            self._wait.is_waiting
            and self._answered == self._poked
            and not self._calls_in_threads
            and not self.is_closed()
        )

    def _answer(self) -> None:
        self._answered += 1

    def _call_done(self, _: object) -> None:
        self._calls_in_threads -= 1
