"""
Joins of two topics beside Kafka Streams, on one Apache Kafka, in one table.

*streams* is a windowed join of two streams: orders and their payments, of which one in twenty comes
too late, within ten seconds of event time. *table* is a join of clicks with a table of 100,000
users. JSON in and out, keyed by what is joined on, four partitions each. Kafka Streams keeps its
stores on disk and in changelogs, at-least-once, with two threads, as Turbine does with its
defaults.

Rounds of both programs are interleaved; the table shows medians. A round ends when the output has
as many rows as the join gives, counted while the queue was written. In the first round the rows of
both programs are read and compared, whatever their order: a program that writes other rows fails
the run. Goal: three times the throughput of Kafka Streams, and less memory. Nothing else on the
machine should be busy.
"""

import argparse
import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import brokers
import orjson
import run
import setup_peers
from common import PARTITIONS
from confluent_kafka import Consumer, TopicPartition
from joins_queue import WORKS, Queue, fill
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

HERE = Path(__file__).resolve().parent
LIMIT_S = 600.0
GOAL = 3.0

Digest = tuple[int, int]
"""How many rows there are, and the sum of their hashes."""


def commands(names: list[str]) -> dict[str, list[str]]:
    """How each program is started."""
    unknown = [name for name in names if name not in {"turbine", "streams"}]
    if unknown:
        raise SystemExit(f"no program {unknown[0]}: there are turbine and streams")
    jars = f"{setup_peers.streams()}/*" if "streams" in names else ""
    java = ["java", "-Xmx2g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", jars]
    everyone = {
        "turbine": [sys.executable, str(HERE / "turbine_joins.py")],
        "streams": [*java, str(HERE / "peers" / "streams" / "Joins.java")],
    }
    return {name: everyone[name] for name in names}


def digest(address: str, topic: str) -> Digest:
    """Read *topic* to its end and give a figure that does not depend on the order of its rows."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": f"read-{topic}", "log_level": 3})
    places = [TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)]
    left = sum(consumer.get_watermark_offsets(place, timeout=30)[1] for place in places)
    consumer.assign(places)
    count = total = 0
    while left > 0:
        messages = consumer.consume(min(10_000, left), 10)
        if not messages:
            raise SystemExit(f"{topic} has {left} records less than it says")
        left -= len(messages)
        for message in messages:
            row = orjson.loads(message.value() or b"null")
            text = orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
            hashed = hashlib.blake2b(text, digest_size=8).digest()
            total = (total + int.from_bytes(hashed, "big")) % 2**64
            count += 1
    consumer.close()
    return count, total


class Contest:
    """
    Both programs at one join.

    Attributes:
        work: Name of the join.
        queue: What they read.
        rows: What was measured, by the name of the program.
        digests: What each wrote in the first round.
    """

    def __init__(self, address: str, work: str, records: int) -> None:
        self.work = work
        self.queue: Queue = fill(address, work, f"joins-{time.time_ns() // 1_000_000}", records)
        self.rows: defaultdict[str, list[run.Row]] = defaultdict(list)
        self.digests: dict[str, Digest] = {}
        self._address = address

    def measure(self, name: str, command: list[str], log: Path) -> run.Row:
        """Add a round of *name*."""
        row = run.measure(
            self._address,
            f"{self.queue.left},{self.queue.right}",
            self.queue.matches,
            name,
            command,
            log=log,
            work=self.work,
            limit_s=LIMIT_S,
            at_end=self._look(name),
        )
        self.rows[name].append(row)
        return row

    def _look(self, name: str) -> Callable[[str], None]:
        def look(target: str) -> None:
            if name not in self.digests:
                self.digests[name] = digest(self._address, target)

        return look

    def records_per_s(self, name: str) -> float:
        """Records of both topics a second, the median."""
        return self.median(name, "rate_per_s") * self.queue.records / self.queue.matches

    def cpu_us(self, name: str) -> float:
        """Processor time of a record of the input in microseconds, with the start, the median."""
        return self.median(name, "whole_cpu_us") * self.queue.matches / self.queue.records

    def median(self, name: str, figure: str) -> float:
        """Median of a figure of `run.Row` over the rounds that ended."""
        found = [getattr(row, figure) for row in self.rows[name] if row.is_complete]
        return statistics.median(found) if found else float("nan")


def main() -> int:
    """Fill, measure, compare, print."""
    given = _arguments()
    names = given.only.split(",")
    how = commands(names)
    work = Path(tempfile.mkdtemp(prefix="turbine-joins-"))
    broker = brokers.Given(given.kafka) if given.kafka else brokers.start("kafka", work)
    columns = (TextColumn("{task.description:24}"), BarColumn(), TimeElapsedColumn())
    contests: list[Contest] = []
    try:
        with Progress(*columns, transient=True) as bar:
            works = given.workloads.split(",")
            todo = bar.add_task("records", total=len(works) * (1 + len(names) * given.rounds))
            for one in works:
                bar.update(todo, description=f"{given.records:,} records of {one}")
                contests.append(Contest(broker.address, one, given.records))
                bar.advance(todo)
            for turn in range(given.rounds):
                for contest in contests:
                    for name in names if turn % 2 == 0 else names[::-1]:
                        bar.update(todo, description=f"{contest.work}: {name}")
                        log = work / f"{name}-{contest.work}-{turn}.log"
                        row = contest.measure(name, how[name], log)
                        text = _short(contest, row)
                        bar.console.print(text, highlight=False, soft_wrap=True)
                        bar.advance(todo)
    finally:
        broker.stop()
    print(f"logs of the programs: {work}", file=sys.stderr)
    if given.json:
        rows = [
            {"join": contest.work, **asdict(contest.queue), **asdict(row)}
            for contest in contests
            for mine in contest.rows.values()
            for row in mine
        ]
        given.json.write_text(json.dumps(rows, indent=1))
    table(contests, names)
    return _judged(contests)


def _short(contest: Contest, row: run.Row) -> str:
    share = contest.queue.records / contest.queue.matches
    return (
        f"{contest.work:8} {row.label:8} {row.rate_per_s * share:10,.0f} records/s "
        f"{row.whole_cpu_us / share:7.2f} us a record {row.peak_mb:6,.0f} MiB "
        f"{row.outputs:,} of {contest.queue.matches:,} rows"
        f"{'' if row.is_complete else '  INCOMPLETE'}"
    )


def table(contests: list[Contest], names: list[str]) -> None:
    """Print medians, as Markdown."""
    print(
        "| join | program | records/s | to Streams | CPU us a record | peak MB | s to first row |"
    )
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for contest in contests:
        for name in names:
            rate = contest.records_per_s(name)
            share = rate / contest.records_per_s("streams") if "streams" in names else float("nan")
            print(
                f"| {contest.work} | {name} | {rate:,.0f} | {share:.2f} "
                f"| {contest.cpu_us(name):.2f} | {contest.median(name, 'peak_mb'):,.0f} "
                f"| {contest.median(name, 'first_s'):.1f} |"
            )


def _judged(contests: list[Contest]) -> int:
    """Say what was not as it should be; 0 if nothing."""
    failures = []
    for one in contests:
        if any(not row.is_complete for rows in one.rows.values() for row in rows):
            failures.append(f"{one.work}: a round did not end within {LIMIT_S:.0f} s")
        if len(set(one.digests.values())) > 1:
            failures.append(f"{one.work}: the programs wrote other rows: {one.digests}")
        elif one.digests:
            count = next(iter(one.digests.values()))[0]
            print(f"{one.work}: the same {count:,} rows of {', '.join(one.digests)}")
        if {"turbine", "streams"} <= one.rows.keys():
            ratio = one.records_per_s("turbine") / one.records_per_s("streams")
            memory = one.median("turbine", "peak_mb") < one.median("streams", "peak_mb")
            reached = "reached" if ratio >= GOAL and memory else "not reached"
            less = "less" if memory else "not less"
            print(f"{one.work}: {ratio:.1f} times the throughput, {less} memory: {reached}")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=1_000_000, help="a join (1,000,000)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--only", default="turbine,streams", help="programs (turbine,streams)")
    parser.add_argument("--workloads", default=",".join(WORKS), help=f"joins ({','.join(WORKS)})")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="use this Kafka, start none")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single row, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
