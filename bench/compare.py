"""
Turbine, its peers and the hand-written limit on the same work, on one broker, in one table.

Every program sees the same queue of records, in rounds that are interleaved, so that a machine that
is busy for a while disturbs all of them; the table shows medians. Ratios of rows of one table hold,
absolute figures belong to the machine. With ``--broker both`` the rounds of Kafka and of the
embedded broker are interleaved, too, and there is a table for each.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import brokers
import latency
import run
import setup_peers
from gen import fill

HERE = Path(__file__).resolve().parent


@dataclass
class Contestant:
    """
    One program of the comparison.

    Attributes:
        label: Its name in the table.
        command: How it is started.
        most: Outputs after which it is stopped; slow ones would take all day otherwise.
        has_latency: Whether its latency is measured: the limit batches for 50 ms on purpose.
        rows: Throughput of each round.
        latencies: Latency of each round.
    """

    label: str
    command: list[str]
    most: int
    has_latency: bool = True
    rows: list[run.Row] = field(default_factory=list)
    latencies: list[latency.Latency] = field(default_factory=list)

    def median(self, name: str) -> float:
        """Median of a figure of `run.Row` over the rounds that ended, or not a number."""
        return _median([getattr(row, name) for row in self.rows if row.is_complete])

    def median_latency(self, name: str) -> float:
        """Median of a figure of `latency.Latency`, or not a number."""
        return _median([getattr(row, name) for row in self.latencies])


@dataclass(frozen=True)
class Goal:
    """A figure to reach: *value* against *bound*."""

    text: str
    value: float
    bound: float
    at_least: bool

    def line(self) -> str:
        """Say whether it is reached, and by how much not."""
        reached = self.value >= self.bound if self.at_least else self.value <= self.bound
        word = "reached" if reached else "MISSED "
        sign = ">=" if self.at_least else "<="
        return f"  {word}  {self.text}: {self.value:.2f} ({sign} {self.bound:g})"


def contestants(peers: Path, limit: Path, *, quick: bool) -> dict[str, Contestant]:
    """Name everything that can run here, in the order of the table."""
    python, share = sys.executable, 4 if quick else 1
    peer = str(peers / "bin" / "python")
    here = HERE / "peers"
    everything = 10**9
    found = [
        Contestant("turbine-agent", [python, str(HERE / "turbine_agent_map.py")], everything),
        Contestant(
            "turbine-subscription", [python, str(HERE / "turbine_subscription_map.py")], everything
        ),
        Contestant("limit", [str(limit)], everything, has_latency=False),
        Contestant(
            "bytewax", [peer, "-m", "bytewax.run", str(here / "bytewax_map.py")], 1_000_000 // share
        ),
        Contestant(
            "faust",
            [peer, "-m", "faust", "-W", str(here), "-A", "faust_map", "worker", "-l", "error"],
            40_000 // share,
        ),
        Contestant("quix", [peer, str(here / "quix_map.py")], 500_000 // share),
    ]
    return {one.label: one for one in found}


class Field:
    """The programs that run on one broker, and the queue that is there for them."""

    def __init__(self, name: str, broker: brokers.RunningBroker, chosen: list[Contestant]) -> None:
        self.name = name
        self.broker = broker
        self.chosen = chosen
        self._source = f"bench-{time.time_ns() // 1_000_000}"

    def fill(self, records: int) -> None:
        """Write the queue."""
        self._records = records
        _say(f"{records:,} records into {self._source} on {self.name} at {self.broker.address}")
        fill(self.broker.address, self._source, records)

    def measure(self, one: Contestant, work: Path) -> None:
        """Add a round of *one*."""
        expect = min(self._records, one.most)
        address, log = self.broker.address, work / f"{one.label}-{self.name}.log"
        row = run.measure(address, self._source, expect, one.label, one.command, log=log)
        one.rows.append(row)
        _say(f"{self.name:8}  {_short(row)}")

    def measure_latency(self, one: Contestant, work: Path, seconds: float) -> None:
        """Add a round of latency of *one*."""
        row = latency.measure(
            self.broker.address,
            one.label,
            one.command,
            rate=1_000,
            seconds=seconds,
            log=work / f"{one.label}-{self.name}-latency.log",
        )
        one.latencies.append(row)
        _say(f"{self.name:8}  latency  {asdict(row)}")


def main() -> int:
    """Prepare, measure, print."""
    given = _arguments()
    records = given.records or (300_000 if given.quick else 2_000_000)
    rounds = given.rounds or (1 if given.quick else 3)
    work = Path(tempfile.mkdtemp(prefix="turbine-bench-"))
    places: list[Field] = []
    try:
        for name in ["kafka", "embedded"] if given.broker == "both" else [given.broker]:
            is_given = name == "kafka" and given.kafka
            broker = brokers.Given(given.kafka) if is_given else brokers.start(name, work)
            places.append(Field(name, broker, _chosen(given)))
            places[-1].fill(records)
        _measure(places, rounds, work)
        if not given.no_latency:
            _measure_latencies(places, 5 if given.quick else 15, work)
    finally:
        for place in places:
            place.broker.stop()
    _say(f"logs of the programs: {work}")
    for place in places:
        _report(place.chosen, records, rounds, brokers.NAMES[place.name])
    if given.broker == "both":
        _report_ratios(*places)
    if given.json:
        _write_json(given.json, places, records)
    rows = [row for place in places for one in place.chosen for row in one.rows]
    return 0 if all(row.is_complete for row in rows) else 1


def _measure(places: list[Field], rounds: int, work: Path) -> None:
    programs = len(places[0].chosen)
    for number in range(rounds):
        _say(f"round {number + 1}/{rounds}")
        for turn in range(number, number + programs):
            # Another program and another broker go first each time.
            for place in places if turn % 2 else places[::-1]:
                place.measure(place.chosen[turn % programs], work)


def _measure_latencies(places: list[Field], seconds: float, work: Path) -> None:
    for place in places:
        for one in place.chosen:
            if one.has_latency:
                place.measure_latency(one, work, seconds)


def _chosen(given: argparse.Namespace) -> list[Contestant]:
    names = given.only.split(",")
    needs_peers = {"bytewax", "faust", "quix"} & set(names)
    peers = setup_peers.peers() if needs_peers else Path()
    limit = setup_peers.limit() if "limit" in names else Path()
    everyone = contestants(peers, limit, quick=given.quick)
    return [everyone[name] for name in names]


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
        help="programs, by comma; quix is there, too",
    )
    return parser.parse_args()


# -- the table -------------------------------------------------------------------------------


def _median(values: list[float]) -> float:
    return statistics.median(values) if values else float("nan")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _short(row: run.Row) -> str:
    state = "" if row.is_complete else f"  INCOMPLETE: {row.outputs} outputs"
    return (
        f"{row.label:22}{row.rate_per_s:12,.0f} ev/s {row.cpu_us:8.2f} us/ev "
        f"{row.peak_mb:7.0f} MB  first after {row.first_s:.1f} s{state}"
    )


def _ratio(one: float, other: float) -> float:
    return one / other if other else float("nan")


def _cell(value: float, form: str) -> str:
    return "-" if value != value else format(value, form)  # noqa: PLR0124 - not a number


def _report(chosen: list[Contestant], records: int, rounds: int, broker: str) -> None:
    named = {one.label: one for one in chosen}
    bases = [named[name] for name in ("limit", "bytewax", "faust") if name in named]
    print(
        f"\nmap: {records:,} queued records, 4 partitions, median of {rounds} interleaved "
        f"round(s); latency at 1,000 ev/s\n{os.cpu_count()} cores, {platform.machine()}, "
        f"CPython {platform.python_version()}, {broker} on the same machine\n"
    )
    heads = ["program", "ev/s", "CPU us/ev", "peak MB", "p50 ms", "p99 ms"]
    heads += [f"ev/s : {base.label}" for base in bases]
    heads += ["CPU : limit"] if "limit" in named else []
    lines = [heads]
    for one in chosen:
        rate, cpu = one.median("rate_per_s"), one.median("cpu_us")
        cells = [one.label, _cell(rate, ",.0f"), _cell(cpu, ".2f")]
        cells += [_cell(one.median("peak_mb"), ".0f")]
        cells += [_cell(one.median_latency(name), ".1f") for name in ("p50_ms", "p99_ms")]
        cells += [_cell(_ratio(rate, base.median("rate_per_s")), ".2f") for base in bases]
        if "limit" in named:
            cells.append(_cell(_ratio(cpu, named["limit"].median("cpu_us")), ".2f"))
        lines.append(cells)
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    for number, line in enumerate(lines):
        first, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print(f"| {' | '.join([first, *rest])} |")
        if number == 0:
            marks = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
            print(f"| {' | '.join(marks)} |")
    goals = _goals(named)
    if goals:
        print("\ngoals:", *(goal.line() for goal in goals), sep="\n")


def _report_ratios(kafka: Field, embedded: Field) -> None:
    goals = []
    for one, other in zip(embedded.chosen, kafka.chosen, strict=True):
        ratio = _ratio(one.median("rate_per_s"), other.median("rate_per_s"))
        goals.append(Goal(f"{one.label}, embedded broker to Kafka", ratio, 1.0, at_least=True))
    print("\nthroughput of one program on both brokers:", *(g.line() for g in goals), sep="\n")


def _goals(named: dict[str, Contestant]) -> list[Goal]:
    def ratio(figure: str, one: str, other: str) -> float:
        return _ratio(named[one].median(figure), named[other].median(figure))

    agent, subscription = "turbine-agent", "turbine-subscription"
    goals: list[Goal] = []
    if {subscription, "limit"} <= named.keys():
        rate, cpu = (ratio(name, subscription, "limit") for name in ("rate_per_s", "cpu_us"))
        goals.append(Goal("subscription, throughput to limit", rate, 1.0, at_least=True))
        goals.append(Goal("subscription, CPU time to limit", cpu, 1.0, at_least=False))
    for peer, bound in (("faust", 40.0), ("bytewax", 1.5)):
        if {agent, peer} <= named.keys():
            rate = ratio("rate_per_s", agent, peer)
            goals.append(Goal(f"agent, throughput to {peer}", rate, bound, at_least=True))
    for label in (agent, subscription):
        if label not in named:
            continue
        one = named[label]
        goals.append(Goal(f"{label}, peak MB", one.median("peak_mb"), 400.0, at_least=False))
        if one.latencies:
            p50, p99 = (one.median_latency(name) for name in ("p50_ms", "p99_ms"))
            goals.append(Goal(f"{label}, p50 ms", p50, 10.0, at_least=False))
            goals.append(Goal(f"{label}, p99 ms", p99, 30.0, at_least=False))
    return goals


def _write_json(path: Path, fields: list[Field], records: int) -> None:
    def rows(place: Field, of: str) -> list[dict[str, object]]:
        every = [row for one in place.chosen for row in getattr(one, of)]
        return [{"broker": place.name, **asdict(row)} for row in every]

    found = {
        "records": records,
        "map": [row for place in fields for row in rows(place, "rows")],
        "latency": [row for place in fields for row in rows(place, "latencies")],
    }
    path.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    sys.exit(main())
