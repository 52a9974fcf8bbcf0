"""
Turbine, its peers and the hand-written limit on the same work, on one broker, in one table.

Every program sees the same queue of records, in rounds that are interleaved, so that a machine that
is busy for a while disturbs all of them; the tables show medians. Ratios of rows of one run hold,
absolute figures belong to the machine. Programs whose speed differs by orders of magnitude are best
compared over the same time (``--seconds``), with more records in the queue than the quickest gets
through. With ``--broker both`` the rounds of Kafka and of the embedded broker are interleaved, too,
and there is a table for each.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import brokers
import latency
import report
import run
from gen import fill
from workloads import WORKLOADS, Program, Workload, programs

LIMIT_S = 900.0
"""Longest round."""


@dataclass
class Contestant:
    """
    One program at one workload.

    Attributes:
        program: The program.
        workload: The workload.
        rows: Throughput of each round.
        latencies: Latency of each round.
    """

    program: Program
    workload: Workload
    rows: list[run.Row] = field(default_factory=list)
    latencies: list[latency.Latency] = field(default_factory=list)

    @property
    def label(self) -> str:
        """Name of the program."""
        return self.program.label

    def expect(self, records: int, span: run.Span | None) -> int:
        """Outputs after which a round is over, of *records* in the queue."""
        # Where time ends it, everything may be read.
        events = records if span else min(records, self.program.most)
        return max(1, int(self.workload.outputs(events) * self.workload.share))

    def median(self, name: str) -> float:
        """Median of a figure of `run.Row` over the rounds that ended, or not a number."""
        return _median([getattr(row, name) for row in self.rows if row.is_complete])

    def median_latency(self, name: str) -> float:
        """Median of a figure of `latency.Latency`, or not a number."""
        return _median([getattr(row, name) for row in self.latencies])


class Field:
    """The programs that run on one broker, and the queues that are there for them."""

    def __init__(
        self,
        name: str,
        broker: brokers.RunningBroker,
        chosen: list[Contestant],
        span: run.Span | None,
    ) -> None:
        self.name = name
        self.broker = broker
        self.chosen = chosen
        self._span = span
        self._sources: dict[int, str] = {}

    def fill(self, records: int) -> None:
        """Write the queues: one for each number of users."""
        self._records = records
        for users in sorted({one.workload.users for one in self.chosen}):
            source = f"bench-{users}-{time.time_ns() // 1_000_000}"
            say(f"{records:,} records of {users:,} users into {source} on {self.name}")
            fill(self.broker.address, source, records, users)
            self._sources[users] = source

    def measure(self, one: Contestant, work: Path) -> None:
        """Add a round of *one*."""
        expect = one.expect(self._records, self._span)
        source = self._sources[one.workload.users]
        log = work / f"{one.label}-{one.workload.name}-{self.name}.log"
        row = run.measure(
            self.broker.address,
            source,
            expect,
            one.label,
            one.program.command,
            log=log,
            work=one.workload.name,
            limit_s=LIMIT_S,
            span=self._span,
        )
        one.rows.append(row)
        say(f"{self.name:8}  {one.workload.name:12}{report.short(row)}")

    def measure_latency(self, one: Contestant, work: Path, seconds: float) -> None:
        """Add a round of latency of *one*."""
        row = latency.measure(
            self.broker.address,
            one.label,
            one.program.command,
            rate=1_000,
            seconds=seconds,
            log=work / f"{one.label}-{self.name}-latency.log",
        )
        one.latencies.append(row)
        say(f"{self.name:8}  latency  {asdict(row)}")


def main() -> int:
    """Prepare, measure, print."""
    given = _arguments()
    records = given.records or (300_000 if given.quick else 2_000_000)
    rounds = given.rounds or (1 if given.quick else 3)
    work = Path(tempfile.mkdtemp(prefix="turbine-bench-"))
    chosen = [WORKLOADS[name] for name in given.workloads.split(",")]
    known = programs(given.only.split(","), quick=given.quick, most=_most(given.most))
    span = run.Span(given.warm, given.seconds) if given.seconds else None
    places: list[Field] = []
    try:
        for name in ["kafka", "embedded"] if given.broker == "both" else [given.broker]:
            is_given = name == "kafka" and given.kafka
            broker = brokers.Given(given.kafka) if is_given else brokers.start(name, work)
            contestants = [
                Contestant(program, workload)
                for workload in chosen
                for program in known
                if workload.name in program.works
            ]
            places.append(Field(name, broker, contestants, span))
            places[-1].fill(records)
        _measure(places, rounds, work)
        if not given.no_latency:
            _measure_latencies(places, 5 if given.quick else 15, work)
    finally:
        for place in places:
            place.broker.stop()
    say(f"logs of the programs: {work}")
    for place in places:
        for workload in chosen:
            rows = [one for one in place.chosen if one.workload is workload]
            broker_name = brokers.NAMES[place.name]
            report.table(workload, rows, records=records, rounds=rounds, broker=broker_name)
        report.goals(place.chosen, records)
    if given.broker == "both":
        report.ratios(*(place.chosen for place in places))
    if given.json:
        _write_json(given.json, places, records)
    every = [row for place in places for one in place.chosen for row in one.rows]
    return 0 if all(row.is_complete for row in every) else 1


def _measure(places: list[Field], rounds: int, work: Path) -> None:
    count = len(places[0].chosen)
    for number in range(rounds):
        say(f"round {number + 1}/{rounds}")
        for turn in range(number, number + count):
            # Another program and another broker go first each time.
            for place in places if turn % 2 else places[::-1]:
                place.measure(place.chosen[turn % count], work)


def _measure_latencies(places: list[Field], seconds: float, work: Path) -> None:
    for place in places:
        for one in place.chosen:
            if one.program.has_latency and one.workload.name == "map":
                place.measure_latency(one, work, seconds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer records, one round")
    parser.add_argument("--records", type=int, help="queued records (2,000,000; quick 300,000)")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (3; quick 1)")
    parser.add_argument(
        "--broker",
        choices=["kafka", "embedded", "both"],
        default="kafka",
        help="Apache Kafka, `turbine broker` in a process of its own, or one after the other",
    )
    parser.add_argument("--kafka", metavar="HOST:PORT", help="use this Kafka, start none")
    parser.add_argument("--no-latency", action="store_true", help="only throughput and memory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single row, too")
    parser.add_argument(
        "--only",
        default="turbine-agent,turbine-subscription,limit,bytewax,faust",
        help="programs, by comma; streams (Kafka Streams), quix and pathway are there, too",
    )
    parser.add_argument(
        "--most",
        default="",
        help="events after which a slow program is stopped, as faust=200000,streams=2000000",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        help="stop every program after so many seconds, instead of after a number of events",
    )
    parser.add_argument(
        "--warm",
        type=float,
        default=5.0,
        help="seconds from the first output that do not count, with --seconds (5)",
    )
    parser.add_argument(
        "--workloads", default="map", help=f"by comma: {', '.join(WORKLOADS)} (map)"
    )
    return parser.parse_args()


def _most(text: str) -> dict[str, int]:
    pairs = (one.split("=") for one in text.split(",") if one)
    return {name: int(events) for name, events in pairs}


def _median(values: list[float]) -> float:
    return statistics.median(values) if values else float("nan")


def say(text: str) -> None:
    """Tell the person at the terminal, beside the tables."""
    print(text, file=sys.stderr, flush=True)


def _write_json(path: Path, fields: list[Field], records: int) -> None:
    def rows(place: Field, of: str) -> list[dict[str, object]]:
        return [
            {"broker": place.name, "workload": one.workload.name, **asdict(row)}
            for one in place.chosen
            for row in getattr(one, of)
        ]

    found = {
        "records": records,
        "throughput": [row for place in fields for row in rows(place, "rows")],
        "latency": [row for place in fields for row in rows(place, "latencies")],
    }
    path.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    sys.exit(main())
