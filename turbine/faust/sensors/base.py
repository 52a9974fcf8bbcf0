"""
`Sensor`: functions that are told what an app does, and `SensorDelegate`, who tells them.

A function costs nothing until a sensor overrides it: a program without sensors, or with a monitor
only, runs no Python code a record for them. Never called is ``on_topic_buffer_full``.
"""

import logging
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from turbine.exceptions import DeclarationError
from turbine.faust.sensors._moves import Moves
from turbine.faust.service import Service, has_life, job_of
from turbine.types import TP

if TYPE_CHECKING:
    from turbine.faust._app_sensors import AppSensors

__all__ = ["SENDS", "Sensor", "SensorDelegate"]

logger = logging.getLogger("turbine.faust.sensors")

SENDS = ("on_send_initiated", "on_send_completed", "on_send_error")
"""What is told of sends."""

_WITH_STATE = frozenset(
    {"on_assignment_start", "on_commit_initiated", "on_rebalance_start", "on_web_request_start"}
)
"""What gives a state to who overrides only the end."""


class Sensor(Service):
    """
    Base of a program's own sensors; every function does nothing.

    ``..._in``, ``..._initiated`` and ``..._start`` return a state that the function for the end
    gets. An exception in one is logged once, and that function of that sensor called no more.
    """

    def on_message_in(self, tp: TP, offset: int, message: Any) -> None:
        """A record is about to be handed to a stream."""

    def on_stream_event_in(self, tp: TP, offset: int, stream: Any, event: Any) -> Any:
        """An event is handed to an agent."""

    def on_stream_event_out(
        self, tp: TP, offset: int, stream: Any, event: Any, state: Any = None
    ) -> None:
        """The agent asks for the next one, or has raised."""

    def on_message_out(self, tp: TP, offset: int, message: Any) -> None:
        """A record is done."""

    def on_topic_buffer_full(self, tp: TP) -> None:
        """Never called: buffers are bounded by bytes, in the core."""

    def on_table_get(self, table: Any, key: Any) -> None:
        """A key was read; of a table with windows, the key is that of one window."""

    def on_table_set(self, table: Any, key: Any, value: Any) -> None:
        """A key was written."""

    def on_table_del(self, table: Any, key: Any) -> None:
        """A key was removed, if it was there."""

    def on_commit_initiated(self, consumer: Any) -> Any:
        """Offsets of agents are about to be committed."""
        del consumer
        return monotonic()

    def on_commit_completed(self, consumer: Any, state: Any) -> None:
        """They are committed; *state* is when that began, unless the beginning is overridden."""

    def on_send_initiated(
        self, producer: Any, topic: str, message: Any, keysize: int, valsize: int
    ) -> Any:
        """A record is about to be sent; sizes in bytes, 0 where the core encodes."""

    def on_send_completed(self, producer: Any, state: Any, metadata: Any) -> None:
        """A sent record is acknowledged; *metadata* says where it is."""

    def on_send_error(self, producer: Any, exc: BaseException, state: Any) -> None:
        """A sent record is lost."""

    def on_assignment_start(self, assignor: Any) -> Any:
        """The group has given partitions to this worker; who gets which, the client decides."""
        del assignor
        return {"time_start": monotonic()}

    def on_assignment_error(self, assignor: Any, state: Any, exc: BaseException) -> None:
        """One of them cannot run."""

    def on_assignment_completed(self, assignor: Any, state: Any) -> None:
        """All of them run."""

    def on_rebalance_start(self, app: Any) -> Any:
        """Partitions have come or gone."""
        del app
        return {"time_start": monotonic()}

    def on_rebalance_return(self, app: Any, state: Any) -> None:
        """The worker knows its partitions."""

    def on_rebalance_end(self, app: Any, state: Any) -> None:
        """What has come is restored and runs."""

    def on_web_request_start(self, app: Any, request: Any, *, view: Any = None) -> Any:
        """A page is asked for."""
        del app, request, view
        return {"time_start": monotonic()}

    def on_web_request_end(
        self, app: Any, request: Any, response: Any, state: Any, *, view: Any = None
    ) -> None:
        """A page has answered; *response* is None if it raised."""

    def asdict(self) -> Mapping[str, Any]:
        """What it knows."""
        return {}


class SensorDelegate:
    """
    ``app.sensors``: every sensor of an app.

    Each function of `Sensor` can be called here too, and calls all who override it.

    Attributes:
        hears_sends: Whether one of them wants to know what is sent.
        moves: Tells them of partitions and their commits.
    """

    def __init__(self, app: "AppSensors") -> None:
        self.app = app
        self._sensors: list[Sensor] = []
        self._broken: set[tuple[int, str]] = set()
        self.hears_sends = False
        self.moves = Moves(self)

    def add(self, sensor: Sensor) -> None:
        """
        Tell *sensor* from now on.

        Raises:
            DeclarationError: It is none.
        """
        if not isinstance(sensor, Sensor):
            raise DeclarationError(
                f"{sensor!r} is no sensor: write 'class Mine(faust.Sensor)', and add Mine()"
            )
        if sensor in self._sensors:
            return
        if not hasattr(sensor, "started"):
            # It has an __init__ of its own that does not call the one of its base.
            Service.__init__(sensor)
        self._sensors.append(sensor)
        self._note_sends()
        if has_life(sensor):
            self.app._add_job(job_of(self.app, lambda: sensor, f"sensor {type(sensor).__name__}"))  # noqa: SLF001 - the app's own part
        self.moves.connect(self.app)

    def remove(self, sensor: Sensor) -> None:
        """Tell *sensor* no more; nothing happens if it is not there."""
        if sensor in self._sensors:
            self._sensors.remove(sensor)
            self._note_sends()

    def _note_sends(self) -> None:
        self.hears_sends = self.hears(*SENDS)
        self.app.look_who_hears()

    def __iter__(self) -> Iterator[Sensor]:
        return iter(list(self._sensors))

    def __len__(self) -> int:
        return len(self._sensors)

    def __bool__(self) -> bool:
        return True

    def hears(self, *names: str) -> bool:
        """Whether a sensor overrides one of the functions."""
        return any(_overrides(sensor, name) for sensor in self._sensors for name in names)

    def begin(self, name: str, *args: Any, **kwargs: Any) -> dict[int, Any]:
        """Call the function *name* of every sensor that overrides it; their states."""
        return {
            id(sensor): self._call(sensor, name, *args, **kwargs)
            for sensor in list(self._sensors)
            if name in _WITH_STATE or _overrides(sensor, name)
        }

    def end(self, name: str, *args: Any, state: dict[int, Any], **kwargs: Any) -> None:
        """Call the function *name* with each sensor's own state behind *args*."""
        for sensor in list(self._sensors):
            if _overrides(sensor, name):
                self._call(sensor, name, *args, state.get(id(sensor)), **kwargs)

    def end_sent(self, producer: Any, state: dict[int, Any], metadata: Any) -> None:
        """Tell that a record is acknowledged."""
        for sensor in list(self._sensors):
            own = state.get(id(sensor))
            self._call(sensor, "on_send_completed", producer, own, metadata)

    def end_with_error(
        self, name: str, whose: Any, exc: BaseException, *, state: dict[int, Any]
    ) -> None:
        """Tell that something has failed: *exc* stands behind the state where Faust has it so."""
        for sensor in list(self._sensors):
            own = state.get(id(sensor))
            args = (own, exc) if name == "on_assignment_error" else (exc, own)
            self._call(sensor, name, whose, *args)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_") or not hasattr(Sensor, name):
            raise AttributeError(name)
        return lambda *args, **kwargs: self.begin(name, *args, **kwargs)

    def _call(self, sensor: Sensor, name: str, *args: Any, **kwargs: Any) -> Any:
        if (id(sensor), name) in self._broken:
            return None
        try:
            return getattr(sensor, name)(*args, **kwargs)
        except Exception:
            self._broken.add((id(sensor), name))
            logger.exception("%r.%s raised, and is not called again", sensor, name)
            return None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._sensors!r}>"


def _overrides(sensor: Sensor, name: str) -> bool:
    return getattr(type(sensor), name) is not getattr(Sensor, name)
