"""
Throughput of the queries of Nexmark: ``nexmark_rates.py --events 3000000 --rounds 3``.

Fills topics of a real Apache Kafka with the seeded events of `nexmark.events`, runs each query in a
worker of its own with default settings, one after the other in interleaved rounds, and prints a
table; ``--json FILE`` keeps every single row. A round lasts from the moment at which the worker has
its partitions to that at which the output has as many rows as DuckDB counts for the same events.
Events a second count the events of the benchmark (of 50 one is a person, three are auctions, 46 are
bids): what a query reads of them is one topic a kind. Nothing else on the machine should be busy.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import brokers
from common import Program, drop_topics, make_topics
from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import AdminClient
from nexmark.queries import NAMES, STAGES
from nexmark.queue import Queue, fill
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from run import LOOK_S, Ends

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Row:
    """
    One round of one query.

    Attributes:
        query: Its name.
        events: Events of the benchmark.
        rows: Rows that it wrote.
        expected: Rows that DuckDB counts.
        seconds: From its partitions to its last row.
        cpu_s: Processor time of the worker in between.
        start_cpu_s: Processor time before: interpreter, imports, joining the group.
        peak_mb: Most resident memory, in MiB.
    """

    query: str
    events: int
    rows: int
    expected: int
    seconds: float
    cpu_s: float
    start_cpu_s: float
    peak_mb: float

    @property
    def is_complete(self) -> bool:
        """Whether it wrote what was expected."""
        return self.rows >= self.expected


def measure(address: str, name: str, queue: Queue, log: Path, limit_s: float) -> Row:
    """Run query *name* until its output is complete, or *limit_s* seconds are over."""
    target = f"nexmark-{name}-{time.time_ns() // 1_000_000}"
    stages = [f"{target}-{stage}" for stage in STAGES.get(name, ())]
    make_topics(address, target)
    if stages:
        make_topics(address, *stages, partitions=1)
    ends = Ends(address, target)
    command = [sys.executable, str(HERE / "turbine_nexmark.py")]
    try:
        with Program(
            command, bootstrap=address, source=queue.topic, target=target, log=log, work=name
        ) as program:
            _wait_for_partitions(program, address)
            return _watch(program, ends, queue, name, limit_s)
    finally:
        ends.close()
        drop_topics(address, target, *stages)


def _watch(program: Program, ends: Ends, queue: Queue, name: str, limit_s: float) -> Row:
    began, start = time.monotonic(), program.use()
    peak, rows, expected = start.rss_bytes, 0, queue.rows[name]
    last = start
    while rows < expected and time.monotonic() - began < limit_s and not program.has_ended():
        time.sleep(LOOK_S)
        rows, last = ends.total(), program.use()
        peak = max(peak, last.rss_bytes)
    return Row(
        query=name,
        events=sum(queue.counts.values()),
        rows=rows,
        expected=expected,
        seconds=time.monotonic() - began,
        cpu_s=last.cpu_s - start.cpu_s,
        start_cpu_s=start.cpu_s,
        peak_mb=peak / 2**20,
    )


def _wait_for_partitions(program: Program, address: str) -> None:
    admin = AdminClient({"bootstrap.servers": address, "log_level": 3})
    end = time.monotonic() + 30
    while time.monotonic() < end and not program.has_ended():
        groups = admin.list_consumer_groups(states={ConsumerGroupState.STABLE}).result(10).valid
        if any(one.group_id.startswith(program.group) for one in groups):
            return
        time.sleep(LOOK_S)


def main() -> int:
    """Fill, measure, print."""
    given = _arguments()
    names = NAMES if given.only is None else given.only.split(",")
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise SystemExit(f"no query {unknown[0]}: there are {', '.join(NAMES)}")
    work = Path(tempfile.mkdtemp(prefix="turbine-nexmark-"))
    broker = brokers.Given(given.kafka) if given.kafka else brokers.start("kafka", work)
    columns = (TextColumn("{task.description:24}"), BarColumn(), TimeElapsedColumn())
    rows: list[Row] = []
    try:
        with Progress(*columns, console=None, transient=True) as bar:
            queue = _filled(broker.address, given.events, bar)
            todo = bar.add_task("queries", total=len(names) * given.rounds)
            for turn in range(given.rounds):
                # Forth and back, so that what warms up or fills up meets all of them.
                for name in names if turn % 2 == 0 else names[::-1]:
                    bar.update(todo, description=f"round {turn + 1}: {name}")
                    log = work / f"{name}-{turn}.log"
                    rows.append(measure(broker.address, name, queue, log, given.limit))
                    bar.console.print(_short(rows[-1]), highlight=False, soft_wrap=True)
                    bar.advance(todo)
    finally:
        broker.stop()
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    print(f"logs of the workers: {work}", file=sys.stderr)
    table(rows)
    return 0 if all(row.is_complete for row in rows) else 1


def _filled(address: str, events: int, bar: Progress) -> Queue:
    task = bar.add_task(f"{events:,} events", total=events)
    topic = f"nexmark-bids-{time.time_ns() // 1_000_000}"
    return fill(address, topic, events, lambda more: bar.advance(task, more))


def _short(row: Row) -> str:
    return (
        f"{row.query:4} {row.events / row.seconds:12,.0f} events/s "
        f"{row.cpu_s / row.events * 1e6:6.2f} us an event {row.peak_mb:6.0f} MiB "
        f"{row.rows:,} of {row.expected:,} rows{'' if row.is_complete else '  INCOMPLETE'}"
    )


def table(rows: list[Row]) -> None:
    """Print medians of the rounds, as Markdown."""
    by_query: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_query[row.query].append(row)
    print("| query | events/s | CPU us an event | events/s a core used | peak MB | rows |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, mine in by_query.items():
        done = [row for row in mine if row.is_complete]
        if not done:
            print(
                f"| {name} | incomplete: {mine[-1].rows:,} of {mine[-1].expected:,} rows | | | | |"
            )
            continue
        rate = statistics.median(row.events / row.seconds for row in done)
        cpu_us = statistics.median(row.cpu_s / row.events for row in done) * 1e6
        peak = statistics.median(row.peak_mb for row in done)
        print(
            f"| {name} | {rate:,.0f} | {cpu_us:.2f} | {1e6 / cpu_us:,.0f} | {peak:,.0f} "
            f"| {done[0].expected:,} |"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=3_000_000, help="queued events (3,000,000)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--only", help=f"queries, by comma: {','.join(NAMES)} (all)")
    parser.add_argument("--limit", type=float, default=300.0, help="longest round, in s (300)")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="use this Kafka, start none")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single row, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
