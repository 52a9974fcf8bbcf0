"""
`OpenTelemetryMonitor`: what the monitor knows, as metrics of OpenTelemetry.

Instruments are observed: whoever exports them sets the pace, and nothing runs a record. What is
exported is at most a second old.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from turbine.exceptions import ConfigError
from turbine.faust.sensors._reported import Number, counters, gauges
from turbine.faust.sensors.monitor import Monitor
from turbine.faust.service import Service

__all__ = ["OpenTelemetryMonitor"]

_COUNTERS: Final = {
    "messages_received": "Records handed to agents.",
    "events": "Events that agents are done with.",
    "messages_sent": "Records sent.",
    "rebalances": "Times that partitions have come or gone.",
    "topic.messages_received": "Records handed to agents, by topic.",
    "http_status_code": "Answers of pages, by status.",
    "count": "What the program counts by Monitor.count, by name.",
}
_GAUGES: Final = {
    "messages_active": "Records that agents have in their hands.",
    "read_offset": "Offset behind the last record handed out, by partition.",
    "committed_offset": "Offset that is committed, by partition.",
    "end_offset": "Offset behind the last record of the partition.",
}


class OpenTelemetryMonitor(Monitor):
    """
    A monitor whose numbers are metrics of OpenTelemetry.

    ::

        app.monitor = OpenTelemetryMonitor()

    Args:
        meter_provider: Who gives the meter; None: the one that the program has set.
        prefix: In front of every name, with a dot.
        **options: As `Monitor`.

    Raises:
        ConfigError: The package opentelemetry-api is missing.
    """

    def __init__(self, meter_provider: Any = None, prefix: str = "faust", **options: Any) -> None:
        try:
            from opentelemetry import metrics
        except ImportError:
            raise ConfigError(
                "OpenTelemetryMonitor needs the package opentelemetry-api: "
                "pip install 'turbine-stream[opentelemetry]'"
            ) from None
        super().__init__(**options)
        self._seen: tuple[Number, ...] = ()
        self._observation = metrics.Observation
        meter = metrics.get_meter("turbine.faust", meter_provider=meter_provider)
        for kind, names in (
            (meter.create_observable_counter, _COUNTERS),
            (meter.create_observable_gauge, _GAUGES),
        ):
            for name, text in names.items():
                kind(f"{prefix}.{name}", callbacks=[self._observer(name)], description=text)

    async def on_stop(self) -> None:
        """Look once more, for the last export."""
        self.look()

    @Service.timer(1.0)
    async def _every_second(self) -> None:
        self.look()

    def look(self) -> None:
        """Take the numbers that are exported next."""
        counts = (("count", n, {"name": name}) for name, n in self.metric_counts.items())
        # At once: exporters look from threads of their own.
        self._seen = (*counters(self), *gauges(self), *counts)

    def _observer(self, wanted: str) -> Callable[[Any], Iterable[Any]]:
        def observe(_options: Any) -> Iterable[Any]:
            make = self._observation
            return [make(value, tags) for name, value, tags in self._seen if name == wanted]

        return observe
