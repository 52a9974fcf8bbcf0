"""
What exactly-once costs: ``guarantees.py [--quick] [--records N] [--rounds N] [--kafka HOST:PORT]``.

The same handlers on the same queue, with ``at_least_once`` and with ``exactly_once``, at batches of
5,000 and in interleaved rounds; the table shows medians. Goals: 90 % of the throughput, and less
than 8 ms more, in the median, from a batch whose handler is done to one that is committed
(exactly-once: outputs, offset and state) or acknowledged (at-least-once: outputs).

Before the first round each guarantee runs once without being counted: a broker that has just
started compiles what it does, and whoever comes first would wait for that.

These times come from runs of their own, whose handlers rest before each batch: without rest both
sides are as late as their queues are long (``queued``). They are read off the worker's histograms,
by their buckets; the steps of a commit are printed beside.
"""

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from socket import socket

import brokers
import run
from gen import fill

HERE = Path(__file__).resolve().parent
GUARANTEES = ("at_least_once", "exactly_once")
HISTOGRAM = "turbine_produce_seconds"
STEPS = ("wait", "produce", "prepare", "flush", "offsets", "commit", "apply")
LEAST_SHARE, MOST_ADDED_MS = 0.9, 8.0
REST_MS = 30
RESTED_SHARE = 10
"""Of so many records one is read again with rests."""
_BUCKET = re.compile(r'^(\w+)_bucket\{(.*)le="([^"]+)".*\} (\S+)$', re.MULTILINE)


@dataclass
class Side:
    """
    One guarantee at one workload.

    Attributes:
        rows: Throughput of each round.
        queued_ms: Median time from handler to commit meanwhile, of each round.
        p50_ms: The same with rests.
        p99_ms: The same, of a hundred the slowest.
        steps_ms: Median times of the steps of a commit with rests, of each round.
    """

    rows: list[run.Row] = field(default_factory=list)
    queued_ms: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    steps_ms: list[list[float]] = field(default_factory=list)

    def median(self, values: list[float]) -> float:
        """Median over the rounds, or not a number."""
        return statistics.median(values) if values else float("nan")

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.median([row.rate_per_s for row in self.rows if row.is_complete])

    @property
    def cpu_us(self) -> float:
        """Processor time for a record, in microseconds, the broker's not included."""
        return self.median([row.cpu_us for row in self.rows if row.is_complete])

    def note(self, row: run.Row, metrics: str) -> None:
        """Take a run without rests."""
        self.rows.append(row)
        self.queued_ms.append(quantile(metrics, HISTOGRAM, 0.5))

    def note_rested(self, metrics: str) -> None:
        """Take a run with rests."""
        self.p50_ms.append(quantile(metrics, HISTOGRAM, 0.5))
        self.p99_ms.append(quantile(metrics, HISTOGRAM, 0.99))
        name = "turbine_eos_step_seconds"
        self.steps_ms.append([quantile(metrics, name, 0.5, f'step="{one}"') for one in STEPS])


def quantile(text: str, name: str, share: float, label: str = "") -> float:
    """
    Read a quantile, in ms, off the histogram *name* of ``/metrics``.

    All workers together; only what has *label*, if that is given.
    """
    counts: dict[float, float] = {}
    for found, labels, bound, count in _BUCKET.findall(text):
        if found == name and label in labels:
            counts[float(bound)] = counts.get(float(bound), 0.0) + float(count)
    wanted = share * max(counts.values(), default=0.0)
    below = before = 0.0
    for bound, count in sorted(counts.items()):
        if count >= wanted and count > before:
            part = (wanted - before) / (count - before)
            return 1e3 * (below + part * (bound - below)) if bound != float("inf") else 1e3 * below
        below, before = bound, count
    return float("nan")


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with closing(socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def measure(
    address: str,
    source: str,
    *,
    records: int,
    work: str,
    guarantee: str,
    log: Path,
    rest_ms: int = 0,
) -> tuple[run.Row, str]:
    """Run one side once; its figures, and its metrics at the end."""
    port, metrics = free_port(), []

    def look(_: str) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            metrics.append(answer.read().decode())

    program = [sys.executable, str(HERE / "turbine_state.py")]
    command = ["env", f"PORT={port}", f"GUARANTEE={guarantee}", f"PACE_MS={rest_ms}", *program]
    row = run.measure(address, source, records, guarantee, command, log=log, work=work, at_end=look)
    return row, "".join(metrics)


def compare(
    address: str, works: list[str], records: int, rounds: int, place: Path
) -> Iterator[tuple[str, dict[str, Side]]]:
    """Measure all sides of each workload, interleaved."""
    source = f"bench-{time.time_ns() // 1_000_000}"
    fill(address, source, records)
    for name in GUARANTEES:
        one = partial(measure, address, source, work=works[0], guarantee=name)
        one(records=records, log=place / f"warm-{name}.log")
    for work in works:
        sides = {name: Side() for name in GUARANTEES}
        for _ in range(rounds):
            for name, side in sides.items():
                one = partial(measure, address, source, work=work, guarantee=name)
                row, metrics = one(records=records, log=place / f"{work}-{name}.log")
                side.note(row, metrics)
                few, log = records // RESTED_SHARE, place / f"{work}-{name}-rested.log"
                side.note_rested(one(records=few, log=log, rest_ms=REST_MS)[1])
                print(f"{work:8}{name:16}{row.rate_per_s:12,.0f} /s", file=sys.stderr)
        yield work, sides


def main() -> int:
    """Measure, print, and return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--records", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--works", default="map,count")
    parser.add_argument("--kafka", help="address of a broker; one is started if not given")
    given = parser.parse_args()
    records = given.records or (300_000 if given.quick else 3_000_000)
    rounds = given.rounds or (1 if given.quick else 5)
    place = Path(tempfile.mkdtemp(prefix="turbine-bench-"))
    broker = brokers.Given(given.kafka) if given.kafka else brokers.start("kafka", place)
    is_reached = True
    try:
        for work, sides in compare(broker.address, given.works.split(","), records, rounds, place):
            row = summary(work, *(sides[name] for name in GUARANTEES))
            print(json.dumps(row))
            is_reached &= row["share"] >= LEAST_SHARE and row["added_p50_ms"] <= MOST_ADDED_MS
    finally:
        broker.stop()
    print(f"logs: {place}", file=sys.stderr)
    return 0 if is_reached else 1


def summary(work: str, relaxed: Side, exact: Side) -> dict[str, float | str]:
    """One row of figures."""
    return {
        "work": work,
        "at_least_once_per_s": round(relaxed.rate),
        "exactly_once_per_s": round(exact.rate),
        "share": round(exact.rate / relaxed.rate, 3),
        "queued_acknowledged_p50_ms": round(relaxed.median(relaxed.queued_ms), 2),
        "queued_committed_p50_ms": round(exact.median(exact.queued_ms), 2),
        "acknowledged_p50_ms": round(relaxed.median(relaxed.p50_ms), 2),
        "acknowledged_p99_ms": round(relaxed.median(relaxed.p99_ms), 2),
        "committed_p50_ms": round(exact.median(exact.p50_ms), 2),
        "committed_p99_ms": round(exact.median(exact.p99_ms), 2),
        "added_p50_ms": round(exact.median(exact.p50_ms) - relaxed.median(relaxed.p50_ms), 2),
        "at_least_once_cpu_us": round(relaxed.cpu_us, 2),
        "exactly_once_cpu_us": round(exact.cpu_us, 2),
        **{
            f"{step}_p50_ms": round(exact.median(list(times)), 2)
            for step, times in zip(STEPS, zip(*exact.steps_ms, strict=True), strict=True)
        },
    }


if __name__ == "__main__":
    sys.exit(main())
