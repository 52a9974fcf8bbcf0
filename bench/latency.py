"""
End-to-end latency of one program: ``latency.py BOOTSTRAP LABEL -- COMMAND...``.

Feeds an empty topic at a fixed rate and reads what the program writes. A sample is the time from
``produce()`` of an event to the moment its output is in the hands of the reader; the first seconds
are warm-up. Prints one JSON row.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from common import Program, drop_topics, make_topics
from confluent_kafka import Consumer, Producer

WARM_UP_S = 3.0
FIRST_OUTPUT_S = 90.0


@dataclass(frozen=True)
class Latency:
    """
    One measurement.

    Attributes:
        label: Name of the program.
        rate_per_s: Events a second that were fed.
        samples: Events that were counted.
        p50_ms: Median, in ms.
        p99_ms: 99th percentile, in ms.
        max_ms: Slowest, in ms.
        missing: Events sent well before the end whose output never came.
    """

    label: str
    rate_per_s: int
    samples: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    missing: int


class Feeder(threading.Thread):
    """Sends events evenly, on its own thread, and remembers when it sent each."""

    def __init__(self, bootstrap: str, topic: str, rate: int) -> None:
        super().__init__(name="feeder", daemon=True)
        self.sent: list[float] = []
        self._topic, self._rate = topic, rate
        self._stop_asked = threading.Event()
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "linger.ms": 1, "partitioner": "murmur2_random"}
        )

    def run(self) -> None:
        """Send what is due, every millisecond."""
        start = time.perf_counter()
        while not self._stop_asked.is_set():
            due = int((time.perf_counter() - start) * self._rate)
            while len(self.sent) < due:
                self._send(len(self.sent))
            self._producer.poll(0)
            time.sleep(0.001)
        self._producer.flush(10)

    def stop(self) -> None:
        """Send no more, and wait for the acknowledgements."""
        self._stop_asked.set()
        self.join()

    def _send(self, number: int) -> None:
        user = f"u{number % 1_000:06d}"
        event = {
            "id": number,
            "user": user,
            "ts": time.time_ns() // 1_000_000,
            "amount": 1.5,
            "kind": "view",
            "region": "eu-west",
            "session": "s000000000000",
            "ok": True,
        }
        self.sent.append(time.perf_counter())
        self._producer.produce(self._topic, orjson.dumps(event), user)


def measure(
    bootstrap: str, label: str, command: list[str], *, rate: int, seconds: float, log: Path
) -> Latency:
    """Feed *command* at *rate* events a second and watch it for *seconds*."""
    stamp = f"{label}-{time.time_ns() // 1_000_000}"
    source, target = f"lat-in-{stamp}", f"lat-out-{stamp}"
    make_topics(bootstrap, source, target)
    feeder = Feeder(bootstrap, source, rate)
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"read-{stamp}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 5,
        }
    )
    reader.subscribe([target])
    try:
        with Program(command, bootstrap=bootstrap, source=source, target=target, log=log):
            feeder.start()
            return _read(reader, feeder, label, rate, seconds)
    finally:
        if feeder.is_alive():
            feeder.stop()
        reader.close()
        drop_topics(bootstrap, source, target)


def _read(reader: Consumer, feeder: Feeder, label: str, rate: int, seconds: float) -> Latency:
    samples: list[float] = []
    seen: set[int] = set()
    first: float | None = None
    end = time.perf_counter() + FIRST_OUTPUT_S
    while time.perf_counter() < end:
        for message in reader.consume(500, 0.01):
            now = time.perf_counter()
            if message.error() is not None:
                continue
            if first is None:
                first = now
                end = now + WARM_UP_S + seconds
            number = orjson.loads(message.value() or b"")["id"]
            seen.add(number)
            if now - first > WARM_UP_S:
                samples.append((now - feeder.sent[number]) * 1_000)
    # What was sent in the last second may still be under way.
    missing = sum(n not in seen for n, at in enumerate(feeder.sent) if at < end - 1)
    feeder.stop()
    samples.sort()
    return Latency(
        label=label,
        rate_per_s=rate,
        samples=len(samples),
        p50_ms=_quantile(samples, 0.50),
        p99_ms=_quantile(samples, 0.99),
        max_ms=_quantile(samples, 1.0),
        missing=missing,
    )


def _quantile(ordered: list[float], share: float) -> float:
    if not ordered:
        return float("nan")
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1)


def main() -> int:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap")
    parser.add_argument("label")
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--log", type=Path, default=Path(tempfile.gettempdir()) / "bench.log")
    own, command = sys.argv[1:], []
    if "--" in own:
        own, command = own[: own.index("--")], own[own.index("--") + 1 :]
    given = parser.parse_args(own)
    if not command:
        parser.error("write the command behind --")
    row = measure(
        given.bootstrap,
        given.label,
        command,
        rate=given.rate,
        seconds=given.seconds,
        log=given.log,
    )
    print(json.dumps(asdict(row)))
    return 0 if row.samples else 1


if __name__ == "__main__":
    sys.exit(main())
