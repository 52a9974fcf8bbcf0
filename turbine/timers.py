"""
Background work of an app: tasks, timers and crontabs.

A job runs one call at a time: a call that takes longer than its interval makes the next tick be
left out, never doubled. An exception is logged and counted; it ends neither the job nor the worker.
"""

import asyncio
import inspect
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Protocol

from cronsim import CronSim, CronSimError

from turbine import _declare, _parsers
from turbine.exceptions import ConfigError, DeclarationError
from turbine.naming import function_name

if TYPE_CHECKING:
    from turbine.app import App

__all__ = ["Clock", "Crontab", "Job", "SystemClock", "Task", "Timer"]

logger = logging.getLogger("turbine.timers")

_LONGEST_SLEEP_S = 30.0
"""A crontab looks at the wall clock this often, so that a clock that is set is noticed."""


class Clock(Protocol):
    """
    Where jobs read the time; tests put their own in.

    Attributes:
        can_be_set: Whether its time may jump, so that who waits for long has to look again.
    """

    can_be_set: bool

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def now(self, zone: tzinfo) -> datetime:
        """Wall-clock time."""

    async def sleep(self, delay_s: float) -> None:
        """Wait."""


class SystemClock:
    """The time of this machine."""

    can_be_set = True

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def now(self, zone: tzinfo) -> datetime:
        """Wall-clock time in *zone*."""
        return datetime.now(zone)

    async def sleep(self, delay_s: float) -> None:
        """Wait *delay_s* seconds."""
        await asyncio.sleep(delay_s)


class Job(ABC):
    """
    Something that runs beside the handlers, from the start to the stop of a worker.

    Attributes:
        name: ``module.function`` unless given.
        kind: ``task``, ``timer`` or ``crontab``.
        calls: Finished calls.
        errors: Calls that raised.
        missed: Ticks left out because a call took too long.
        on_leader: Whether only the leader of the app's workers runs it; see `App.is_leader`.
    """

    kind = "job"
    fn: Callable[..., Any]

    def __init__(
        self,
        app: "App",
        fn: Callable[..., Any],
        *,
        name: str | None = None,
        on_leader: bool = False,
    ) -> None:
        # Decorators can be stacked: a job may be declared on a job.
        inner = fn.fn if isinstance(fn, Job) else fn
        self.app = app
        self.fn = inner
        self.name = name or function_name(inner, qualified=True)
        self.calls = 0
        self.errors = 0
        self.missed = 0
        self.on_leader = on_leader
        self._takes_app = _check_job(inner, self.kind)

    @abstractmethod
    async def run(self, clock: Clock | None = None) -> None:
        """Run until cancelled, or until there is nothing more to do."""

    async def call(self) -> None:
        """Call the function once; its exception is logged and counted."""
        try:
            await (self.fn(self.app) if self._takes_app else self.fn())
        except Exception:
            self.errors += 1
            logger.exception("%s %s failed", self.kind, self.name)
        finally:
            self.calls += 1

    async def tick(self) -> None:
        """Call the function, unless that is for the leader to do and this worker is not it."""
        if not self.on_leader or self.app.is_leader():
            await self.call()

    def __call__(self, *args: Any) -> Any:
        """Call the function itself, as a unit test does."""
        return self.fn(*args)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


class Task(Job):
    """Runs once when the worker has started; on the leader, once the worker is the leader."""

    kind = "task"

    async def run(self, clock: Clock | None = None) -> None:
        """Call the function."""
        del clock
        if self.on_leader:
            await self.app.until_leader()
        await self.call()


class Timer(Job):
    """
    Runs at ``start + n * interval_s``.

    The schedule hangs on the start, not on the end of the call before, so it does not drift.
    """

    kind = "timer"

    def __init__(
        self,
        app: "App",
        fn: Callable[..., Any],
        interval: float | timedelta,
        *,
        name: str | None = None,
        on_leader: bool = False,
    ) -> None:
        self.interval_s = _interval(interval)
        super().__init__(app, fn, name=name, on_leader=on_leader)

    async def run(self, clock: Clock | None = None) -> None:
        """Call the function at every tick."""
        clock = clock or SystemClock()
        start = clock.monotonic()
        tick = 1
        while True:
            while (delay_s := start + tick * self.interval_s - clock.monotonic()) > 0:
                await clock.sleep(delay_s)
            await self.tick()
            passed = math.floor((clock.monotonic() - start) / self.interval_s)
            late = max(passed - tick, 0)
            if late:
                self.missed += late
                logger.warning(
                    "timer %s takes longer than its interval of %s s: %d ticks left out",
                    self.name,
                    self.interval_s,
                    late,
                )
            tick += late + 1
            # A call that never suspends and always overruns must not keep the loop to itself.
            await asyncio.sleep(0)


class Crontab(Job):
    """
    Runs at the minutes that a cron expression names.

    Around a change of the clock it does what Debian's cron does: what falls into the missing hour
    runs right after it, and what falls into the repeated hour runs once.
    """

    kind = "crontab"

    def __init__(
        self,
        app: "App",
        fn: Callable[..., Any],
        expression: str,
        *,
        timezone: tzinfo | str | None = None,
        name: str | None = None,
        on_leader: bool = False,
    ) -> None:
        self.expression = _cron_expression(expression)
        self._zone = None if timezone is None else _zone(timezone)
        super().__init__(app, fn, name=name, on_leader=on_leader)

    @property
    def timezone(self) -> tzinfo:
        """Its time zone, or the one of the app."""
        return self._zone or self.app.conf.timezone

    async def run(self, clock: Clock | None = None) -> None:
        """Call the function at every minute that matches."""
        clock = clock or SystemClock()
        zone = self.timezone
        after = clock.now(zone)
        while (due := next(CronSim(self.expression, after), None)) is not None:
            while (delay_s := due.timestamp() - clock.now(zone).timestamp()) > 0:
                await clock.sleep(min(delay_s, _LONGEST_SLEEP_S) if clock.can_be_set else delay_s)
            await self.tick()
            after = max(due, clock.now(zone), key=datetime.timestamp)
            self.missed += _skipped(self.expression, due, after)


def _skipped(expression: str, due: datetime, now: datetime) -> int:
    """How many ticks after *due* have passed at *now*."""
    skipped = 0
    for tick in CronSim(expression, due):
        if tick.timestamp() > now.timestamp():
            break
        skipped += 1
    return skipped


def _check_job(fn: Any, kind: str) -> bool:
    """Refuse what cannot be a job; True if it wants the app."""
    name = getattr(fn, "__name__", repr(fn))
    if not _declare.is_kind(fn, inspect.iscoroutinefunction):
        raise DeclarationError(f"the {kind} {name} is not async: write 'async def {name}()'")
    wanted = _declare.parameters(fn)
    if len(wanted) > 1:
        names = ", ".join(parameter.name for parameter in wanted)
        raise DeclarationError(
            f"the {kind} {name} takes ({names}): write 'async def {name}()' or 'async def "
            f"{name}(app)'"
        )
    return len(wanted) == 1


def _interval(interval: float | timedelta) -> float:
    try:
        interval_s = _parsers.seconds(interval)
    except ConfigError as exc:
        raise DeclarationError(f"the interval of a timer {exc}") from None
    if interval_s <= 0:
        raise DeclarationError("the interval of a timer is longer than zero: write @app.timer(1.0)")
    return interval_s


def _cron_expression(expression: object) -> str:
    if not isinstance(expression, str):
        raise DeclarationError(
            f"a crontab is text, not {expression!r}: write @app.crontab('*/5 * * * *') for every "
            "five minutes"
        )
    try:
        CronSim(expression, datetime(2000, 1, 1))  # noqa: DTZ001 - only parsed, never run
    except CronSimError as exc:
        raise DeclarationError(
            f"the crontab {expression!r} cannot be read ({exc}): "
            f"write five fields, minute hour day month weekday, as '30 4 * * mon-fri'"
        ) from None
    return expression


def _zone(value: object) -> tzinfo:
    try:
        return _parsers.timezone(value)
    except ConfigError as exc:
        raise DeclarationError(f"timezone {exc}") from None
