"""What a Faust app is besides its declarations: a service that is started, asked and stopped."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta, tzinfo
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from turbine import app as native
from turbine._parsers import seconds
from turbine.faust.service import Service, job_of
from turbine.timers import Crontab, Timer

if TYPE_CHECKING:
    from turbine.faust.web.cache import Backend
    from turbine.worker import Runtime

__all__ = ["AppLife", "FlowControl"]

S = TypeVar("S", bound=type[Service])


class FlowControl:
    """What tests of Faust programs switch on: nothing here waits for it."""

    def __init__(self) -> None:
        self._is_active = True

    def is_active(self) -> bool:
        """Whether it was resumed last."""
        return self._is_active

    def resume(self) -> None:
        """Do nothing more than to say so."""
        self._is_active = True

    def suspend(self) -> None:
        """Do nothing more than to say so."""
        self._is_active = False

    clear = resume


class AppLife(native.App):
    """
    The part of `turbine.faust.App` that runs.

    Attributes:
        flow_control: What tests switch on.
    """

    serves_without_pages = True
    producer_only = False
    client_only = False

    def __init__(self, id: str, **settings: Any) -> None:  # noqa: A002 - the word of Faust
        super().__init__(id, **settings)
        self.flow_control = FlowControl()
        self.log = self.logger = logging.getLogger("faust.app")
        self._inside: AbstractAsyncContextManager[Any] | None = None
        self._futures: set[asyncio.Future[Any]] = set()
        self.on_worker_init.connect(_with_cache)
        self.on_before_shutdown.connect(_without_cache)

    @cached_property
    def cache(self) -> "Backend":
        """
        Where pages keep their answers: in the memory of this worker, or in a Redis.

        Raises:
            ConfigError: The setting names a Redis that cannot be used.
        """
        from turbine.faust.web.cache import Memory
        from turbine.faust.web.redis import SCHEMES, Redis

        url = str(self.conf.cache or "memory://")
        if url.startswith(SCHEMES):
            return Redis(url, f"{self.conf.group}-cache")
        if not url.startswith("memory"):
            self.logger.warning(
                "cache=%s://: answers of pages are kept in the memory of this worker; for one that "
                "is shared write redis://host:6379/0",
                url.partition("://")[0],
            )
        return Memory()

    # -- jobs ------------------------------------------------------------------------------

    def service(self, cls: S) -> S:
        """Start a `Service` with each worker, and stop it before the worker drains."""
        self._add_job(job_of(self, cls, cls.__name__))
        return cls

    def timer(
        self,
        interval: float | timedelta,
        *,
        name: str | None = None,
        on_leader: bool = False,
        **options: object,
    ) -> Callable[[Callable[..., Any]], Timer]:
        """As `turbine.App.timer`; ``max_drift_correction`` has no effect, as nothing drifts."""
        del options
        return super().timer(interval, name=name, on_leader=on_leader)

    def crontab(
        self,
        expression: str,
        /,
        *,
        timezone: tzinfo | str | None = None,
        tz: tzinfo | str | None = None,
        name: str | None = None,
        on_leader: bool = False,
        **options: object,
    ) -> Callable[[Callable[..., Any]], Crontab]:
        """As `turbine.App.crontab`."""
        del options
        return super().crontab(expression, timezone=timezone, tz=tz, name=name, on_leader=on_leader)

    # -- life ------------------------------------------------------------------------------

    def worker_init(self) -> None:
        """Do nothing: a worker that starts sends ``on_worker_init`` itself."""

    async def start(self) -> None:
        """Run inside a program that has its own loop, until `stop`; see `running`."""
        if self.producer_only or self.client_only:
            await self.start_client()
            return
        inside = self.running()
        await inside.__aenter__()
        self._inside = inside

    async def maybe_start(self) -> None:
        """As `start`, unless it runs."""
        if self._attached is None:
            await self.start()

    async def stop(self) -> None:
        """End what `start` has begun, or drain the worker that runs."""
        inside, self._inside = self._inside, None
        if inside is not None:
            await inside.__aexit__(None, None, None)
        elif (runtime := _worker_of(self)) is not None:
            runtime.request_stop()
        else:
            await self.stop_client()

    async def maybe_start_client(self) -> None:
        """Make `send` work, unless it does."""
        if self._attached is None:
            await self.start_client()

    @property
    def started(self) -> bool:
        """Whether a worker or client of the app runs."""
        return self._attached is not None

    @property
    def should_stop(self) -> bool:
        """Whether its worker drains; True without a worker."""
        runtime = _worker_of(self)
        return runtime is None or runtime.is_stopping

    @property
    def rebalancing(self) -> bool:
        """Whether partitions that came to this worker are not ready yet."""
        runtime = _worker_of(self)
        rows = [] if runtime is None else runtime.native.assignments()
        return any(row["state"] in {"assigned", "restoring"} for row in rows)

    async def sleep(self, delay: float | timedelta) -> None:
        """Wait *delay* seconds, or until the worker drains."""
        runtime = _worker_of(self)
        if runtime is None:
            await asyncio.sleep(seconds(delay))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds(delay)):
                await runtime.until_stop()

    def add_future(self, work: Awaitable[Any]) -> "asyncio.Future[Any]":
        """Run *work* beside the handlers; an exception of it is logged."""
        future = asyncio.ensure_future(work)
        self._futures.add(future)
        future.add_done_callback(self._ended)
        return future

    def _ended(self, task: "asyncio.Future[Any]") -> None:
        self._futures.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.logger.error("a future of %r failed", self, exc_info=error)


def _with_cache(app: AppLife) -> None:
    """Refuse a cache that cannot be used before anything runs."""
    # Memory can always be had, and pages are not there as a rule.
    if not str(app.conf.cache or "memory://").startswith("memory"):
        _ = app.cache


async def _without_cache(app: AppLife) -> None:
    # One that nobody has asked for is not made now.
    close = getattr(app.__dict__.get("cache"), "close", None)
    if close is not None:
        await close()


def _worker_of(app: AppLife) -> "Runtime | None":
    """The worker that runs, if one does: not a client, and not what a test has put there."""
    attached = app._attached  # noqa: SLF001 - the app's own part
    if attached is None:
        return None
    from turbine.worker import Runtime

    return attached if isinstance(attached, Runtime) else None
