"""Several workers of one app in one process: who sends for whom."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from turbine.exceptions import NotRunning

if TYPE_CHECKING:
    from turbine._native import Admin, Producer
    from turbine._native import Table as NativeTable
    from turbine.app import App
    from turbine.tables import Table
    from turbine.worker import Runtime

__all__ = ["CURRENT", "Workers", "workers_of"]

CURRENT: "ContextVar[Runtime | None]" = ContextVar("turbine_testing_worker", default=None)
"""The worker whose handler runs here."""


class Workers:
    """
    What an app sends through while a test runs workers of it.

    A handler sends through its own worker, so that what a killed or paused one sends goes nowhere;
    the test itself sends through the worker that was started last.
    """

    keeps_producer = False

    def __init__(self, app: "App", now_ms: Callable[[], int] | None) -> None:
        self._app = app
        self._now_ms = now_ms
        self._running: list[Runtime] = []
        self._retired: list[Runtime] = []

    def table(self, table: "Table[Any, Any]") -> "NativeTable":
        """The core's side of *table*, of the caller's worker."""
        return self._runtime().table(table)

    def _runtime(self) -> "Runtime":
        runtime = CURRENT.get()
        if runtime is None or runtime.app is not self._app:
            if not self._running:
                raise NotRunning("no worker of the app runs: start one with turbine_worker(app)")
            runtime = self._running[-1]
        return runtime

    @property
    def producer(self) -> "Producer":
        """The producer of the caller's worker."""
        runtime = self._runtime()
        if self._now_ms is None:
            return runtime.producer
        return cast("Producer", _Stamping(runtime.producer, self._now_ms))

    @property
    def native(self) -> Any:
        """The core's side of the caller's worker; None while none runs."""
        return self._runtime().native if self._running else None

    @property
    def admin(self) -> "Admin":
        """What the caller's worker asks the brokers with."""
        return self._runtime().admin

    def add(self, runtime: "Runtime") -> None:
        """One more."""
        self._running.append(runtime)
        self._app._runtime = self  # noqa: SLF001 - the app's own part

    def retire(self, runtime: "Runtime") -> None:
        """One has been killed; its handlers may still run, and send nowhere."""
        if runtime in self._running:
            self._running.remove(runtime)
            self._retired.append(runtime)

    def remove(self, runtime: "Runtime") -> None:
        """One less."""
        for known in (self._running, self._retired):
            if runtime in known:
                known.remove(runtime)
        if not (self._running or self._retired) and self._app._runtime is self:  # noqa: SLF001 - the app's own part
            self._app._runtime = None  # noqa: SLF001 - the app's own part


class _Stamping:
    """A producer on a virtual clock: records have the time of the clock."""

    def __init__(self, producer: "Producer", now_ms: Callable[[], int]) -> None:
        self._producer = producer
        self._now_ms = now_ms

    def send(  # noqa: PLR0917 - as the core's own
        self,
        topic: str,
        key: Any,
        value: Any,
        partition: int = -1,
        timestamp_ms: int = -1,
        headers: Any = None,
    ) -> Any:
        time_ms = self._now_ms() if timestamp_ms < 0 else timestamp_ms
        return self._producer.send(topic, key, value, partition, time_ms, headers)

    def wait_room(self, timeout_ms: int) -> bool:
        return self._producer.wait_room(timeout_ms)


def workers_of(app: "App", now_ms: Callable[[], int] | None) -> Workers:
    """Where workers of *app* are added; made anew while none runs."""
    attached = app._runtime  # noqa: SLF001 - the app's own part
    if isinstance(attached, Workers):
        return attached
    app._check_idle()  # noqa: SLF001 - the app's own part
    return Workers(app, now_ms)
