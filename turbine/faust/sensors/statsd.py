"""
`StatsdMonitor`: sends what the monitor knows to a StatsD server, once a second, over UDP.

Counters go as what has come since the last time, offsets and what is active as gauges. The names
are Faust's. Nothing waits for the server: what it does not take is lost.
"""

import contextlib
import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from turbine.faust.sensors._reported import Number, counters, gauges
from turbine.faust.sensors.monitor import Monitor
from turbine.faust.service import Service

__all__ = ["StatsdMonitor"]

_PACKET_BYTES = 1_400
"""What fits one packet of most networks."""


class StatsdMonitor(Monitor):
    """
    A monitor that tells a StatsD server.

    Args:
        host: Where the server is.
        port: Its port for UDP.
        prefix: In front of every name, with a dot.
        rate: Taken, without effect: there is one packet a second.
        **options: As `Monitor`.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 8_125,
        prefix: str = "faust-app",
        rate: float = 1.0,
        **options: Any,
    ) -> None:
        self.host, self.port, self.prefix, self.rate = host, port, prefix, rate
        self._socket: socket.socket | None = None
        self._sent: Counter[str] = Counter()
        super().__init__(**options)

    async def on_start(self) -> None:
        """Open the socket."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    async def on_stop(self) -> None:
        """Send what has come since the last time."""
        self.report()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @Service.timer(1.0)
    async def _every_second(self) -> None:
        self.report()

    def report(self) -> None:
        """Send everything now."""
        for packet in _packets(self.lines()):
            # Nobody may be there; the next second tells again.
            with contextlib.suppress(OSError):
                if self._socket is not None:
                    self._socket.sendto(packet, (self.host, self.port))

    def lines(self) -> Iterator[str]:
        """What is to be sent, a line a number; counters count from here on anew."""
        counts: list[Number] = [(name, n, {}) for name, n in self.metric_counts.items()]
        for name, total, tags in (*counters(self), *counts):
            key = f"{name}{tags}"
            new, self._sent[key] = total - self._sent[key], total
            if new:
                yield self.line(name, new, "c", tags)
        for name, value, tags in gauges(self):
            yield self.line(name, value, "g", tags)

    def line(self, name: str, value: float, kind: str, tags: dict[str, Any]) -> str:
        """One number; tags are a part of the name."""
        own = f"{name}.{'.'.join(str(tag) for tag in tags.values())}" if tags else name
        return f"{self.prefix}.{own}:{value}|{kind}"


def _packets(lines: Iterable[str]) -> Iterator[bytes]:
    """Put as many lines into a packet as fit."""
    packet = b""
    for line in lines:
        raw = line.encode()
        if packet and len(packet) + 1 + len(raw) > _PACKET_BYTES:
            yield packet
            packet = b""
        packet = packet + b"\n" + raw if packet else raw
    if packet:
        yield packet
