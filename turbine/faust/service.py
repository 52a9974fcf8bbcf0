"""
`Service`: something with a start and a stop, with tasks and timers, as programs take it from Faust.

An exception in a task or timer is logged and counted in ``errors``; it ends neither the service nor
the worker. Native programs write ``@app.task`` and ``@app.timer``.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta, tzinfo
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TypeVar, cast

from turbine._parsers import seconds
from turbine.timers import Crontab, Job, Task, Timer

if TYPE_CHECKING:
    from turbine.app import App

__all__ = ["Service", "WaitResult"]

F = TypeVar("F", bound=Callable[..., Any])

_PLAN = "_turbine_service_plan"
Plan = Callable[[Callable[..., Any]], Job]


class WaitResult(NamedTuple):
    """What `Service.wait` gives: the result, and whether the service was stopped instead."""

    result: Any
    stopped: bool


class Service:
    """
    Base of a program's own services.

    ::

        @app.service
        class Poller(faust.Service):
            async def on_start(self):
                self.client = await connect()

            @faust.Service.timer(10.0)
            async def poll(self): ...

    Attributes:
        started: Whether it has been started.
    """

    abstract: ClassVar[bool] = True

    def __init__(self, *, beacon: object = None, loop: object = None) -> None:
        del beacon, loop
        self.started = False
        self.log = self.logger = logging.getLogger(type(self).__module__)
        self._stopped: asyncio.Event | None = None
        self._failed_futures = 0
        self._jobs: list[Job] = []
        self._futures: set[asyncio.Task[Any]] = set()
        self._children: list[Service] = []
        self.__post_init__()

    def __post_init__(self) -> None:
        """Prepare; for programs."""

    # -- what programs write ---------------------------------------------------------------

    async def on_first_start(self) -> None:
        """Run before the first start."""

    async def on_start(self) -> None:
        """Run before its tasks."""

    async def on_started(self) -> None:
        """Run when its tasks have been started."""

    async def on_stop(self) -> None:
        """Run before its tasks are cancelled."""

    async def on_shutdown(self) -> None:
        """Run when its tasks have ended."""

    def on_init_dependencies(self) -> "Iterable[Service]":
        """Services that start with it."""
        return ()

    @staticmethod
    def task(fn: F) -> F:
        """Run a method once it has started; it may go on until `should_stop`."""
        _planned(fn, lambda bound: Task(_NO_APP, bound))
        return fn

    @staticmethod
    def timer(
        interval: float | timedelta, **options: object
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Run a method every *interval* seconds."""
        del options
        return lambda fn: _planned(fn, lambda bound: Timer(_NO_APP, bound, interval))

    @staticmethod
    def crontab(
        expression: str, *, timezone: tzinfo | str | None = None
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Run a method at the times of a cron line, in UTC unless a *timezone* is named."""
        return lambda fn: _planned(
            fn, lambda bound: Crontab(_NO_APP, bound, expression, timezone=timezone or "UTC")
        )

    # -- life ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start it and what depends on it; nothing, if it runs."""
        if self._stopped is not None:
            return
        self._stopped = asyncio.Event()
        if not self.started:
            await self.on_first_start()
        self.started = True
        await self.on_start()
        for child in [*self._children, *self.on_init_dependencies()]:
            await self.add_runtime_dependency(child)
        for name in dir(type(self)):
            plan: Plan | None = getattr(getattr(type(self), name, None), _PLAN, None)
            if plan is not None:
                job = plan(getattr(self, name))
                self._jobs.append(job)
                self.add_future(job.run())
        await self.on_started()

    async def maybe_start(self) -> None:
        """Start it unless it runs."""
        await self.start()

    async def stop(self) -> None:
        """Stop it and what depends on it; nothing, if it does not run."""
        if self._stopped is None or self._stopped.is_set():
            return
        self._stopped.set()
        await self.on_stop()
        for child in reversed(self._children):
            await child.stop()
        for future in self._futures:
            future.cancel()
        await asyncio.gather(*self._futures, return_exceptions=True)
        await self.on_shutdown()
        self._stopped = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # -- for its methods -------------------------------------------------------------------

    @property
    def errors(self) -> int:
        """Exceptions of its tasks and timers so far."""
        return self._failed_futures + sum(job.errors for job in self._jobs)

    @property
    def should_stop(self) -> bool:
        """Whether it is being stopped, or has not been started."""
        return self._stopped is None or self._stopped.is_set()

    def add_future(self, work: Awaitable[Any]) -> "asyncio.Task[Any]":
        """Run *work* until it ends or the service stops; an exception is logged and counted."""
        coroutine = work if asyncio.iscoroutine(work) else _await(work)
        task = asyncio.get_running_loop().create_task(coroutine)
        self._futures.add(task)
        task.add_done_callback(self._ended)
        return task

    def add_dependency(self, child: "Service") -> "Service":
        """Start and stop *child* with this service."""
        self._children.append(child)
        return child

    async def add_runtime_dependency(self, child: "Service") -> "Service":
        """Start *child* now, and stop it with this service."""
        if child not in self._children:
            self._children.append(child)
        await child.start()
        return child

    async def sleep(self, delay: float | timedelta) -> None:
        """Wait *delay* seconds, or until the service is stopped."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds(delay)):
                await self.wait_until_stopped()

    async def wait_until_stopped(self) -> None:
        """Wait until it is being stopped."""
        if self._stopped is not None:
            await self._stopped.wait()

    async def wait(
        self,
        work: Awaitable[Any],
        *,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109 - the word of programs
    ) -> WaitResult:
        """
        Wait for *work*, or until the service is stopped, which cancels it.

        Raises:
            TimeoutError: Neither has come within *timeout* seconds.
        """
        wanted = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self.wait_until_stopped())
        limit = None if timeout is None else seconds(timeout)
        try:
            done, _ = await asyncio.wait(
                {wanted, stopped}, timeout=limit, return_when=asyncio.FIRST_COMPLETED
            )
            if wanted in done:
                return WaitResult(wanted.result(), stopped=False)
            if stopped in done:
                return WaitResult(None, stopped=True)
            raise TimeoutError
        finally:
            wanted.cancel()
            stopped.cancel()

    # -- inside ----------------------------------------------------------------------------

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._futures.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed_futures += 1
            self.logger.error("a task of %r failed", self, exc_info=error)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


_NO_APP = cast("App", None)
"""Jobs of a service know no app: their methods take only the service."""


def _planned(fn: Any, plan: Plan) -> Any:
    setattr(fn, _PLAN, plan)
    return fn


async def _await(work: Awaitable[Any]) -> Any:
    return await work


def has_life(service: Service) -> bool:
    """Whether there is something to start: a task, a timer, or a function around the start."""
    hooks = ("on_first_start", "on_start", "on_started", "on_stop", "on_shutdown")
    kind = type(service)
    if any(getattr(kind, name) is not getattr(Service, name) for name in hooks):
        return True
    return any(hasattr(getattr(kind, name, None), _PLAN) for name in dir(kind))


def job_of(app: "App", service: "Callable[[], Service]", name: str) -> Task:
    """Make the job that starts a service with a worker of *app* and stops it before the drain."""

    async def run() -> None:
        running = service()
        await running.start()
        try:
            await running.wait_until_stopped()
        finally:
            async with asyncio.timeout(app.conf.drain_timeout):
                await running.stop()

    return Task(app, run, name=name)
