"""The numbers of a monitor that it tells somebody else, with the names of Faust's monitors."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from turbine.faust.sensors.monitor import Monitor

__all__ = ["Number", "counters", "gauges"]

Number: TypeAlias = tuple[str, int, dict[str, Any]]
"""Name, value, and what it is of."""


def counters(monitor: "Monitor") -> Iterator[Number]:
    """What only grows."""
    yield "messages_received", monitor.messages_received_total, {}
    yield "events", monitor.events_total, {}
    yield "messages_sent", monitor.messages_sent, {}
    yield "rebalances", monitor.rebalances, {}
    for topic, n in monitor.messages_received_by_topic.items():
        yield "topic.messages_received", n, {"topic": topic}
    for code, n in monitor.http_response_codes.items():
        yield "http_status_code", n, {"status_code": code}


def gauges(monitor: "Monitor") -> Iterator[Number]:
    """What goes up and down: offsets, and what is active."""
    yield "messages_active", monitor.messages_active, {}
    for name, offsets in (
        ("read_offset", monitor.tp_read_offsets),
        ("committed_offset", monitor.tp_committed_offsets),
        ("end_offset", monitor.tp_end_offsets),
    ):
        for tp, offset in offsets.items():
            yield name, offset, {"topic": tp.topic, "partition": tp.partition}
