"""`DatadogMonitor`: as `StatsdMonitor`, with topics and partitions as tags of Datadog."""

from typing import Any

from turbine.faust.sensors.statsd import StatsdMonitor

__all__ = ["DatadogMonitor"]


class DatadogMonitor(StatsdMonitor):
    """A monitor that tells the agent of Datadog on this machine."""

    def line(self, name: str, value: float, kind: str, tags: dict[str, Any]) -> str:
        """One number with its tags."""
        listed = ",".join(f"{tag}:{of}" for tag, of in tags.items())
        return f"{self.prefix}.{name}:{value}|{kind}" + (f"|#{listed}" if listed else "")
