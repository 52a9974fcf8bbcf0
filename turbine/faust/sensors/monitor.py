"""
`Monitor`: what Faust's monitor knows, read from the metrics of the core when somebody asks.

Nothing is counted a record: totals, latencies and offsets are the core's. Counts of partitions that
have left this worker stay in the totals as far as somebody looked at them before.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from turbine.faust.sensors._readings import Readings, mean_of
from turbine.faust.sensors.base import Sensor
from turbine.types import TP

if TYPE_CHECKING:
    from turbine.app import App

__all__ = ["Monitor", "TableState"]

_HISTORY = 100
_RATE_S = 1.0


class TableState:
    """Keys of a table; reads and writes of it are not counted."""

    def __init__(self, table: Any) -> None:
        self.table = table
        self.keys_retrieved = self.keys_updated = self.keys_deleted = 0

    def asdict(self) -> Mapping[str, int]:
        """The counts, which are 0."""
        return {"keys_retrieved": 0, "keys_updated": 0, "keys_deleted": 0}


class Monitor(Sensor):
    """
    ``app.monitor``: numbers of the running worker; 0 and empty while none runs.

    Attributes:
        app: The app that it reads.
        metric_counts: What `count` was called with.
        rebalances: Times that partitions have come or gone.
        rebalance_end_latency: Seconds until what had come was restored, the last hundred.
        assignments_completed: Times that all partitions that were given run.
        assignments_failed: Times that one of them did not.
        assignment_latency: Seconds until one of the two, the last hundred.
        http_response_codes: Answers of pages by their status.
        http_response_latency: Seconds that pages took, the last hundred.
    """

    app: "App | None" = None

    def __init__(self, *, time: Callable[[], float] = time.monotonic, **options: Any) -> None:
        self.time = time
        self.metric_counts: Counter[str] = Counter()
        self.rebalances = 0
        self.rebalance_end_latency: deque[float] = deque(maxlen=_HISTORY)
        self.assignments_completed = self.assignments_failed = 0
        self.assignment_latency: deque[float] = deque(maxlen=_HISTORY)
        self.http_response_codes: Counter[int] = Counter()
        self.http_response_latency: deque[float] = deque(maxlen=_HISTORY)
        self._readings = Readings(lambda: getattr(self.app, "_attached", None))
        self._rate_from = (time(), 0)
        self._rate = 0
        kept = {name: options[name] for name in ("beacon", "loop") if name in options}
        super().__init__(**kept)

    # -- what the core counts --------------------------------------------------------------

    @property
    def messages_received_total(self) -> int:
        """Records read."""
        return self._readings.total("turbine_records_in_total")

    @property
    def messages_received_by_topic(self) -> Counter[str]:
        """Records read, by topic."""
        return self._readings.by_topic("turbine_records_in_total")

    @property
    def messages_active(self) -> int:
        """Records handed to agents and not done yet."""
        return sum(row["in_flight"] for row in self._readings.rows())

    @property
    def messages_sent(self) -> int:
        """Records that brokers have acknowledged."""
        return self._readings.total("turbine_records_acknowledged_total")

    @property
    def messages_s(self) -> int:
        """Records a second, since somebody asked a second or more ago."""
        now, total = self.time(), self.messages_received_total
        since, before = self._rate_from
        if now - since >= _RATE_S:
            self._rate = round((total - before) / (now - since))
            self._rate_from = now, total
        return self._rate

    events_total = messages_received_total
    events_active = messages_active
    events_s = messages_s

    @property
    def events_by_stream(self) -> Counter[str]:
        """Records read, by agent."""
        return self._readings.by_name("turbine_records_in_total")

    @property
    def events_runtime_avg(self) -> float:
        """Mean seconds of a batch in its handler; 0 for agents, whose records are not timed."""
        return mean_of(self._readings, "turbine_process_seconds")

    @property
    def commit_latency(self) -> deque[float]:
        """The mean seconds of a commit; nothing before the first."""
        mean = mean_of(self._readings, "turbine_commit_seconds")
        return deque([mean] if mean else [])

    @property
    def bad_records(self) -> int:
        """Records left out, or sent to a topic of dead letters."""
        return self._readings.total("turbine_bad_records_total")

    @property
    def tp_committed_offsets(self) -> dict[TP, int]:
        """Next offset to read on a restart."""
        return self._offsets("committed")

    @property
    def tp_read_offsets(self) -> dict[TP, int]:
        """Offset behind the last record read."""
        return self._offsets("position")

    @property
    def tp_end_offsets(self) -> dict[TP, int]:
        """End of each partition as of the last fetch."""
        return self._offsets("end")

    @property
    def tables(self) -> dict[str, TableState]:
        """Tables by name."""
        found = self.app.tables if self.app is not None else {}
        return {name: TableState(table) for name, table in found.items()}

    # -- for programs ----------------------------------------------------------------------

    def count(self, metric_name: str, count: int = 1) -> None:
        """Count something of the program's own."""
        self.metric_counts[metric_name] += count

    def secs_since(self, start_time: float) -> float:
        """Seconds since *start_time* of `time`."""
        return self.time() - start_time

    def ms_since(self, start_time: float) -> float:
        """Milliseconds since *start_time* of `time`."""
        return self.secs_since(start_time) * 1_000

    def secs_to_ms(self, timestamp: float) -> float:
        """Seconds as milliseconds."""
        return timestamp * 1_000

    def asdict(self) -> Mapping[str, Any]:
        """Everything, as JSON can hold it."""
        return {
            "messages_active": self.messages_active,
            "messages_received_total": self.messages_received_total,
            "messages_received_by_topic": dict(self.messages_received_by_topic),
            "messages_sent": self.messages_sent,
            "messages_s": self.messages_s,
            "events_active": self.events_active,
            "events_total": self.events_total,
            "events_s": self.events_s,
            "events_runtime_avg": self.events_runtime_avg,
            "events_by_stream": dict(self.events_by_stream),
            "bad_records": self.bad_records,
            "commit_latency": list(self.commit_latency),
            "tables": {name: table.asdict() for name, table in self.tables.items()},
            "metric_counts": dict(self.metric_counts),
            "topic_committed_offsets": _nested(self.tp_committed_offsets),
            "topic_read_offsets": _nested(self.tp_read_offsets),
            "topic_end_offsets": _nested(self.tp_end_offsets),
            "rebalances": self.rebalances,
            "rebalance_end_latency": list(self.rebalance_end_latency),
            "assignments_completed": self.assignments_completed,
            "assignments_failed": self.assignments_failed,
            "assignment_latency": list(self.assignment_latency),
            "http_response_codes": dict(self.http_response_codes),
            "http_response_latency": list(self.http_response_latency),
        }

    # -- what it is told -------------------------------------------------------------------

    def on_rebalance_start(self, app: Any) -> Any:
        """Count it."""
        self.rebalances += 1
        return super().on_rebalance_start(app)

    def on_rebalance_end(self, app: Any, state: Any) -> None:
        """Note how long it took."""
        del app
        if state is not None:
            self.rebalance_end_latency.append(time.monotonic() - state["time_start"])

    def on_assignment_completed(self, assignor: Any, state: Any) -> None:
        """Count it, and note how long it took."""
        del assignor
        self.assignments_completed += 1
        self.assignment_latency.append(time.monotonic() - state["time_start"])

    def on_assignment_error(self, assignor: Any, state: Any, exc: BaseException) -> None:
        """Count it, and note how long it took."""
        del assignor, exc
        self.assignments_failed += 1
        self.assignment_latency.append(time.monotonic() - state["time_start"])

    def on_web_request_end(
        self, app: Any, request: Any, response: Any, state: Any, *, view: Any = None
    ) -> None:
        """Note the status, and how long it took."""
        del app, request, view
        self.http_response_codes[500 if response is None else int(response.status)] += 1
        if state is not None:
            self.http_response_latency.append(time.monotonic() - state["time_start"])

    def _offsets(self, name: str) -> dict[TP, int]:
        rows = self._readings.rows()
        return {
            TP(row["topic"], row["partition"]): row[name] for row in rows if row[name] is not None
        }


def _nested(offsets: Mapping[TP, int]) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for tp, offset in offsets.items():
        found.setdefault(tp.topic, {})[tp.partition] = offset
    return found
