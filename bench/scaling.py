"""
What grows with what: the cost of an event with a million keys, and with ten million events.

Runs one program on queues of different sizes, in interleaved rounds on one Kafka, and prints the
processor time of an event of each. ``scaling.py --quick`` takes a tenth of everything.
"""

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import brokers
import report
import run
from gen import closed_windows, fill
from workloads import SIZE_MS, programs

FEW, MANY = 1_000, 1_000_000


@dataclass
class Case:
    """
    One queue and what is done with it.

    Attributes:
        text: What it is.
        work: The workload.
        events: Records of the queue.
        users: Keys.
        rows: What was measured.
    """

    text: str
    work: str
    events: int
    users: int
    rows: list[run.Row] = field(default_factory=list)

    @property
    def outputs(self) -> int:
        """Outputs after which a round is over."""
        if self.work != "window":
            return self.events
        return closed_windows(self.events, self.users, SIZE_MS, SIZE_MS)

    def us_per_event(self) -> float:
        """Processor time of an event, from the start of the process to its end."""
        costs = [row.whole_cpu_us * row.outputs / self.events for row in self.rows]
        return statistics.median(costs)

    def events_per_s(self) -> float:
        """Events a second, between the first output and the last."""
        return statistics.median(row.rate_per_s * self.events / self.outputs for row in self.rows)


def main() -> int:
    """Prepare, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the events, one round")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (3; quick 1)")
    given = parser.parse_args()
    unit = 100_000 if given.quick else 1_000_000
    rounds = given.rounds or (1 if given.quick else 3)
    cases = [
        Case(f"count, {FEW:,} keys", "count", 4 * unit, FEW),
        Case(f"count, {MANY:,} keys", "count", 4 * unit, MANY),
        Case(f"window, {unit:,} events", "window", unit, FEW),
        Case(f"window, {10 * unit:,} events", "window", 10 * unit, FEW),
    ]
    work = Path(tempfile.mkdtemp(prefix="turbine-bench-"))
    kafka = brokers.start("kafka", work)
    try:
        _measure(cases, kafka.address, rounds, work)
    finally:
        kafka.stop()
    for case in cases:
        print(f"{case.text:28}{case.us_per_event():8.2f} us/ev {case.events_per_s():14,.0f} ev/s")
    few, many, short, long = cases
    goals = [
        report.Goal(
            "time of a million keys to that of a thousand",
            few.events_per_s() / many.events_per_s(),
            2.0,
            at_least=False,
        ),
        report.Goal(
            "processor time an event, ten times the events",
            long.us_per_event() / short.us_per_event(),
            1.1,
            at_least=False,
        ),
    ]
    print("\ngoals:", *(goal.line() for goal in goals), sep="\n")
    return 0


def _measure(cases: list[Case], bootstrap: str, rounds: int, work: Path) -> None:
    [program] = programs(["turbine-subscription"], quick=False)
    sources: dict[tuple[int, int], str] = {}
    for case in cases:
        place = (case.events, case.users)
        if place not in sources:
            sources[place] = f"bench-{case.users}-{time.time_ns() // 1_000_000}"
            print(f"{case.events:,} records of {case.users:,} users", file=sys.stderr)
            fill(bootstrap, sources[place], case.events, case.users)
    for number in range(rounds):
        for case in cases if number % 2 else cases[::-1]:
            source = sources[case.events, case.users]
            row = run.measure(
                bootstrap,
                source,
                case.outputs,
                program.label,
                program.command,
                log=work / f"{case.work}-{case.users}-{case.events}.log",
                work=case.work,
            )
            case.rows.append(row)
            print(f"{case.text:28}{report.short(row)}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
