"""
Word count as Pathway's benchmark defines it: 95th percentile of latency against the input rate.

Words are drawn uniformly from a dictionary of 5,000 with seven letters, and written as
``{"word": "abcdefg"}`` without a key to one partition of a real Apache Kafka, a batch every 8 ms.
Each program writes the count of each word that changed; it may leave out counts in between. The
broker stamps inputs and outputs when it appends them (LogAppendTime): the latency of a word is the
time to the first output whose count is at least its ordinal. A warm-up is left out.

Rates grow step by step, all programs at one rate before the next, until a program does not keep
up: its 95th percentile is above --give-up, or it has lost words. The knee is the highest rate at
which it did. ``--svg FILE`` draws the curves. Rates of one run compare, figures of different
machines do not: broker, feeder and program share this one.

Source: https://github.com/pathwaycom/pathway-benchmarks (wordcount-online-streaming).
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import brokers
import curves
import numpy as np
import setup_peers
from common import Program, drop_topics, make_topics
from confluent_kafka import Producer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from run import Ends
from wordcount_feed import feed
from wordcount_latency import Latencies, latencies, read

HERE = Path(__file__).resolve().parent
APPENDED = {"message.timestamp.type": "LogAppendTime"}
FIRST_OUTPUT_S = 60.0
QUIET_S = 1.0
"""Without a new output for so long, a program is done."""
BEHIND_S = 10.0
"""A program that still writes so long behind the last word is stopped: the rest is lost."""
RATES = "25000,50000,100000,150000,200000,300000,400000,500000,600000,800000,1000000"
WARM_UP_SHARE = 0.25


def commands(names: list[str]) -> dict[str, list[str]]:
    """How each program is started."""
    peer = ""
    if any(not name.startswith("turbine") for name in names):
        peer = str(setup_peers.peers() / "bin" / "python")
    own = HERE / "peers"
    everyone = {
        "turbine": [sys.executable, str(HERE / "turbine_words.py")],
        "bytewax": [peer, "-m", "bytewax.run", str(own / "bytewax_app.py")],
        "pathway-20": ["env", "COMMIT_MS=20", peer, str(own / "pathway_app.py")],
        "pathway-100": ["env", "COMMIT_MS=100", peer, str(own / "pathway_app.py")],
    }
    unknown = [name for name in names if name not in everyone]
    if unknown:
        raise SystemExit(f"no program {unknown[0]}: there are {', '.join(everyone)}")
    return {name: everyone[name] for name in names}


def measure(
    address: str, label: str, rate: int, given: argparse.Namespace, work: Path
) -> Latencies:
    """Run one program at one rate."""
    stamp = f"{label}-{time.time_ns() // 1_000_000}"
    source, target = f"words-{stamp}", f"counts-{stamp}"
    make_topics(address, source, target, partitions=1, config=APPENDED)
    ends = Ends(address, target, partitions=1)
    try:
        with Program(
            commands([label])[label],
            bootstrap=address,
            source=source,
            target=target,
            log=work / f"{label}-{rate}.log",
            work="words",
        ) as program:
            _wake(address, source, ends, program)
            awake = program.use()
            fed = asyncio.run(feed(address, source, rate, given.seconds))
            _wait_until_quiet(ends, program)
            use = program.use()
        outputs = read(address, target)
    finally:
        ends.close()
        drop_topics(address, source, target)
    took_ms, lost = latencies(fed, outputs, int(len(fed.ids) * WARM_UP_SHARE))
    return Latencies(
        label=label,
        rate_per_s=rate,
        words=len(took_ms) + lost,
        lost=lost,
        outputs=len(outputs.ids),
        p50_ms=_quantile(took_ms, 0.50),
        p95_ms=_quantile(took_ms, 0.95),
        p99_ms=_quantile(took_ms, 0.99),
        behind_s=round(fed.behind_s, 3),
        cpu_us=(use.cpu_s - awake.cpu_s) / len(fed.ids) * 1e6,
        rss_mb=use.rss_bytes / 2**20,
    )


def _quantile(ordered: np.ndarray, share: float) -> float:
    return float(np.quantile(ordered, share)) if len(ordered) else float("nan")


def _wake(address: str, source: str, ends: Ends, program: Program) -> None:
    """Write words that are in no dictionary until the program has answered one."""
    producer = Producer({"bootstrap.servers": address, "linger.ms": 0, "log_level": 3})
    end = time.monotonic() + FIRST_OUTPUT_S
    while not ends.total():
        if program.has_ended() or time.monotonic() > end:
            raise SystemExit("a program did not start: see its log")
        producer.produce(source, b'{"word":"wake up"}')
        producer.flush(10)
        time.sleep(0.2)


def _wait_until_quiet(ends: Ends, program: Program) -> None:
    """Wait until no output comes any more; a program that is far behind is not waited for."""
    last, since = ends.total(), time.monotonic()
    end = since + BEHIND_S
    while time.monotonic() < min(end, since + QUIET_S) and not program.has_ended():
        time.sleep(0.05)
        if (now := ends.total()) != last:
            last, since = now, time.monotonic()


def _keeps_up(row: Latencies, given: argparse.Namespace) -> bool:
    return not row.lost and row.p95_ms <= given.give_up


def _fed_in_time(row: Latencies) -> bool:
    return row.behind_s < 0.1


def main() -> int:
    """Go from rate to rate, print."""
    given = _arguments()
    names = given.only.split(",")
    commands(names)  # what is missing is installed, or refused, before anything runs
    work = Path(tempfile.mkdtemp(prefix="turbine-words-"))
    broker = brokers.Given(given.kafka) if given.kafka else brokers.start("kafka", work)
    columns = (TextColumn("{task.description:24}"), BarColumn(), TimeElapsedColumn())
    rows: list[Latencies] = []
    try:
        with Progress(*columns, transient=True) as bar:
            rates = [int(one) for one in given.rates.split(",")]
            todo = bar.add_task("rates", total=len(rates) * len(names))
            running = list(names)
            for rate in rates:
                for name in list(running):
                    bar.update(todo, description=f"{name} at {rate:,}")
                    row = measure(broker.address, name, rate, given, work)
                    rows.append(row)
                    bar.console.print(_short(row), highlight=False, soft_wrap=True)
                    bar.advance(todo)
                    if not _keeps_up(row, given):
                        running.remove(name)
    finally:
        broker.stop()
    print(f"logs of the programs: {work}", file=sys.stderr)
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    if given.svg:
        given.svg.write_text(_drawn(rows))
    table(rows, given)
    return 0


def _short(row: Latencies) -> str:
    return (
        f"{row.label:12} {row.rate_per_s:9,} words/s  p50 {row.p50_ms:8.1f} ms  "
        f"p95 {row.p95_ms:8.1f} ms  {row.cpu_us:6.2f} us a word  {row.rss_mb:5.0f} MiB"
        f"{f'  {row.lost:,} lost' if row.lost else ''}"
        f"{'' if _fed_in_time(row) else f'  FED LATE by {row.behind_s} s'}"
    )


def table(rows: list[Latencies], given: argparse.Namespace) -> None:
    """Print the 95th percentiles, and the knees, as Markdown."""
    names = list(dict.fromkeys(row.label for row in rows))
    found = {(row.label, row.rate_per_s): row for row in rows}
    print(f"| words/s | {' | '.join(f'{name}, p95 ms' for name in names)} |")
    print(f"| ---: | {' | '.join('---:' for _ in names)} |")
    for rate in dict.fromkeys(row.rate_per_s for row in rows):
        cells = [_cell(found.get((name, rate)), given) for name in names]
        print(f"| {rate:,} | {' | '.join(cells)} |")
    knees = [_knee([row for row in rows if row.label == name], given) for name in names]
    print(f"| knee | {' | '.join(knees)} |")


def _cell(row: Latencies | None, given: argparse.Namespace) -> str:
    if row is None:
        return ""
    return f"{row.p95_ms:,.1f}" if _keeps_up(row, given) else f"({row.p95_ms:,.0f})"


def _knee(mine: list[Latencies], given: argparse.Namespace) -> str:
    kept = [row.rate_per_s for row in mine if _keeps_up(row, given) and _fed_in_time(row)]
    is_over = not _keeps_up(mine[-1], given)
    return f"{'' if is_over else 'at least '}{max(kept, default=0):,}"


def _drawn(rows: list[Latencies]) -> str:
    lines = {
        name: [(row.rate_per_s, row.p95_ms) for row in rows if row.label == name]
        for name in dict.fromkeys(row.label for row in rows)
    }
    return curves.log_log(
        lines,
        title="Word count: 95th percentile of latency against the input rate",
        x="words a second",
        y="ms",
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", default="turbine,pathway-20,pathway-100,bytewax", help="programs, by comma"
    )
    parser.add_argument("--rates", default=RATES, help=f"words a second ({RATES})")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each measurement (12)")
    parser.add_argument(
        "--give-up", type=float, default=1_000.0, help="95th percentile in ms, see above (1000)"
    )
    parser.add_argument("--kafka", metavar="HOST:PORT", help="use this Kafka, start none")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single row, too")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the curves")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
