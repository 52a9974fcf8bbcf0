"""
Tells sensors of partitions: they come and go, and their offsets are committed.

The core does both. Of assignments and rebalances Python hears always, of commits only where a
sensor wants to know.
"""

from typing import TYPE_CHECKING, Any

from turbine.exceptions import TurbineError
from turbine.types import TP

if TYPE_CHECKING:
    from turbine.app import App
    from turbine.faust.sensors.base import SensorDelegate

__all__ = ["COMMITS", "Moves"]

COMMITS = ("on_commit_initiated", "on_commit_completed")
ASSIGNMENTS = ("on_assignment_start", "on_assignment_error", "on_assignment_completed")
REBALANCES = ("on_rebalance_start", "on_rebalance_return", "on_rebalance_end")


class Moves:
    """What is under way; there is no object of a consumer or an assignor: sensors see None."""

    def __init__(self, sensors: "SensorDelegate") -> None:
        self._sensors = sensors
        self._is_connected = False
        self._rebalance: dict[int, Any] | None = None
        self._assignment: dict[int, Any] | None = None
        self._commits: dict[tuple[str, tuple[TP, ...]], dict[int, Any]] = {}

    def connect(self, app: "App") -> None:
        """Listen to the app, if a sensor wants to know."""
        if self._is_connected or not self._sensors.hears(*ASSIGNMENTS, *REBALANCES):
            return
        self._is_connected = True
        app.on_partitions_assigned.connect(self._assigned)
        app.on_partitions_revoked.connect(self._moved)
        app.on_partition_failed.connect(self._failed)
        app.on_rebalance_complete.connect(self._settled)

    def commit(self, kind: str, group: str, partitions: tuple[TP, ...]) -> None:
        """Tell of a commit; of one that is refused, nothing more than its beginning."""
        place = group, partitions
        if kind == "commits":
            self._commits[place] = self._sensors.begin("on_commit_initiated", None)
        elif (state := self._commits.pop(place, None)) is not None:
            self._sensors.end("on_commit_completed", None, state=state)

    def _assigned(self, app: "App", partitions: object) -> None:
        self._moved(app, partitions)
        if self._assignment is None:
            self._assignment = self._sensors.begin("on_assignment_start", None)

    def _failed(self, app: "App", partition: TP, reason: str) -> None:
        """Tell that what was given cannot all run."""
        del app
        state, self._assignment = self._assignment, None
        if state is not None:
            exc = TurbineError(f"{partition.topic}[{partition.partition}]: {reason}")
            self._sensors.end_with_error("on_assignment_error", None, exc, state=state)

    def _moved(self, app: "App", partitions: object) -> None:
        del partitions
        if self._rebalance is None:
            self._rebalance = self._sensors.begin("on_rebalance_start", app)
            self._sensors.end("on_rebalance_return", app, state=self._rebalance)

    def _settled(self, app: "App") -> None:
        assignment, self._assignment = self._assignment, None
        if assignment is not None:
            self._sensors.end("on_assignment_completed", None, state=assignment)
        state, self._rebalance = self._rebalance, None
        if state is not None:
            self._sensors.end("on_rebalance_end", app, state=state)
