"""The part of a Faust app that tells sensors: ``app.sensors``, ``app.monitor``."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from turbine import app as native
from turbine.exceptions import DeclarationError
from turbine.faust.sensors._moves import COMMITS
from turbine.faust.sensors._observing import EVENTS, PAGES, Observer, PageWatch
from turbine.faust.sensors._tables import TABLES, WatchedTable
from turbine.faust.sensors.base import SensorDelegate
from turbine.faust.sensors.monitor import Monitor
from turbine.signals import Signal
from turbine.types import TP

__all__ = ["AppSensors"]


class AppSensors(native.App):
    """
    What programs see of sensors.

    Attributes:
        sensors: Who is told what the app does.
        on_produce_message: Signal ``(app, key=, value=, partition=, timestamp=, headers=)`` before
            a record goes out, sync; what is put into the list of headers goes with it.
    """

    def __init__(self, id: str, **settings: Any) -> None:  # noqa: A002 - the word of Faust
        kind = settings.pop("Monitor", None)
        super().__init__(id, **settings)
        self._monitor_kind = kind
        self._monitor: Monitor | None = None
        self.tells_of_sends = False
        self.sensors = SensorDelegate(self)
        self.on_produce_message = Signal("on_produce_message", self.look_who_hears)
        self.on_worker_init.connect(_with_monitor)

    @property
    def monitor(self) -> Monitor:
        """Numbers of the running worker; another one may be assigned."""
        if self._monitor is None:
            self.monitor = _monitor_class(self._monitor_kind)()
        assert self._monitor is not None  # noqa: S101 - just set
        return self._monitor

    @monitor.setter
    def monitor(self, monitor: Monitor) -> None:
        if self._monitor is not None:
            self.sensors.remove(self._monitor)
        monitor.app = self
        self.sensors.add(monitor)
        self._monitor = monitor

    def make_observer(self) -> Observer | None:
        """Return what a stream tells of its events, if a sensor wants to know."""
        return Observer(self.sensors) if self.sensors.hears(*EVENTS) else None

    @property
    def hears_commits(self) -> bool:
        """Whether a sensor wants to know of commits."""
        return self.sensors.hears(*COMMITS)

    def commit_heard(self, kind: str, group: str, partitions: Sequence[TP]) -> None:
        """Tell of a commit."""
        self.sensors.moves.commit(kind, group, tuple(partitions))

    def watch_table(self, table: Any, native: Any) -> Any:
        """Return what *table* reads and writes through: it tells, if a sensor wants to know."""
        wanted = self.sensors.hears(*TABLES)
        return WatchedTable(table, native, self.sensors) if wanted else native

    def page_middleware(self) -> list[Any]:
        """Tell of pages, if a sensor wants to know."""
        from starlette.middleware import Middleware

        wanted = self.sensors.hears(*PAGES)
        return [Middleware(PageWatch, sensors=self.sensors)] if wanted else []

    def look_who_hears(self) -> None:
        """Take note of a sensor, or a function of `on_produce_message`, that came or went."""
        self.tells_of_sends = self.sensors.hears_sends or bool(self.on_produce_message)


def _with_monitor(app: Any) -> None:
    _ = app.monitor


def _monitor_class(kind: Any) -> type[Monitor]:
    """
    Find the class that ``Monitor=`` names.

    Raises:
        DeclarationError: It is no monitor.
    """
    if isinstance(kind, str):
        module, _, name = kind.replace(":", ".").rpartition(".")
        try:
            kind = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as exc:
            raise DeclarationError(f"Monitor={kind!r} cannot be imported: {exc}") from None
    if kind is None:
        return Monitor
    if isinstance(kind, type) and issubclass(kind, Monitor):
        return kind
    raise DeclarationError(
        f"Monitor={kind!r} is no monitor: write 'class Mine(faust.Monitor)', and give Mine"
    )
