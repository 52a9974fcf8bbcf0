"""
Workers that join, leave and are killed under load: ``rebalances.py [--count 200] [--seed 7]``.

A program of Faust's shape counts keys in a table (`turbine_rebalances`). Each change waits until
the partitions are shared evenly again and flow, and a moment more. What is measured is how long
each partition stood still (`gaps`): from the change on where its worker left or was killed, so that
the time until the broker misses a killed worker (``--session``) is a part of it.

Goals: 2 s for partitions that moved, 250 ms for those that stayed, every record has an output, and
the table's changelog ends with the right counts.
"""

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import brokers
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from gaps import Gap, Output, gaps
from rich.progress import Progress

HERE = Path(__file__).resolve().parent
PARTITIONS = 12
KEYS = 50 * PARTITIONS
MOST_WORKERS = 4
MOVED_MS, STAYED_MS = 2_000.0, 250.0
SETTLE_S = 60.0
TICK_S = 0.01


class Load(threading.Thread):
    """Writes a record a partition in turn, at a steady rate, until it is stopped."""

    def __init__(self, address: str, topic: str, rate: int) -> None:
        super().__init__(name="load")
        self._producer = Producer({"bootstrap.servers": address, "linger.ms": 0})
        self._topic, self._rate = topic, rate
        self._is_over = threading.Event()
        self.written = 0

    def run(self) -> None:
        """Write."""
        began = time.monotonic()
        while not self._is_over.wait(TICK_S):
            due = int((time.monotonic() - began) * self._rate)
            for n in range(self.written, due):
                value, key = json.dumps({"n": n}), key_of(n)
                self._producer.produce(self._topic, value, key, partition=n % PARTITIONS)
            self.written = max(self.written, due)
            self._producer.poll(0)

    def stop(self) -> None:
        """Stop, and wait until the broker has everything."""
        self._is_over.set()
        self.join()
        if self._producer.flush(60):
            raise SystemExit("the broker did not take all records")


class Watch(threading.Thread):
    """Reads the outputs as they come."""

    def __init__(self, address: str, topic: str) -> None:
        super().__init__(name="watch")
        self._consumer = Consumer(
            {
                "bootstrap.servers": address,
                "group.id": "rebalances-watch",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,
            }
        )
        self._consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
        self._is_over = threading.Event()
        self.outputs: list[Output] = []
        self.seen: Counter[int] = Counter()
        self.newest: dict[int, Output] = {}

    def run(self) -> None:
        """Read."""
        while not self._is_over.is_set():
            for message in self._consumer.consume(1_000, 0.02):
                if message.error() is None:
                    told = json.loads(message.value() or b"")
                    at_ms = message.timestamp()[1]
                    one = Output(told["p"], told["w"], told["at"] * 1e3, at_ms)
                    self.outputs.append(one)
                    self.newest[one.partition] = one
                    self.seen[told["n"]] += 1

    def stop(self) -> None:
        """Stop."""
        self._is_over.set()
        self.join()
        self._consumer.close()

    def owners(self, since_ms: float) -> dict[int, int]:
        """Who wrote the newest output of each partition that has one since *since_ms*."""
        newest = dict(self.newest)
        return {p: one.worker for p, one in newest.items() if one.at_ms >= since_ms}


class Fleet:
    """The workers; each place among them has a state directory that stays."""

    def __init__(self, place: Path, env: dict[str, str]) -> None:
        self._place, self._env = place, os.environ | env
        self._lives = 0
        self.living: dict[int, tuple[int, subprocess.Popen[bytes]]] = {}

    def join(self) -> None:
        """Start a worker in a place that is free."""
        slot = min(set(range(MOST_WORKERS)) - {slot for slot, _ in self.living.values()})
        self._lives += 1
        env = self._env | {"WORKER": str(self._lives), "STATE": str(self._place / f"state-{slot}")}
        command = [sys.executable, str(HERE / "turbine_rebalances.py"), "worker", "-l", "info"]
        with (self._place / f"worker-{slot}.log").open("ab") as log:
            process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        self.living[self._lives] = slot, process

    def end(self, number: int, draw: random.Random) -> None:
        """End one by a signal; a TERM must lead to a clean end, which is waited for later."""
        worker = draw.choice(sorted(self.living))
        _, process = self.living.pop(worker)
        process.send_signal(number)
        if process.wait(30) not in {0, -signal.SIGKILL}:
            raise SystemExit(f"worker {worker} ended badly; logs: {self._place}")

    def check(self) -> None:
        """End the measurement if a worker has ended by itself."""
        for worker, (_, process) in self.living.items():
            if process.poll() is not None:
                raise SystemExit(f"worker {worker} ended with {process.returncode}: {self._place}")

    def stop(self) -> None:
        """Kill what is left."""
        for _, process in self.living.values():
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Period:
    """What was done, or that nothing was, and since when, in ms since the epoch."""

    kind: str
    at_ms: float


class Run:
    """Changes one after the other."""

    def __init__(self, fleet: Fleet, watch: Watch, seed: int, pause_s: float) -> None:
        self._fleet, self._watch, self._draw = fleet, watch, random.Random(seed)
        self._pause_s = pause_s
        self.periods: list[Period] = []

    def change(self) -> None:
        """Do one thing, and wait until everything flows again."""
        draw, count = self._draw, len(self._fleet.living)
        least, most = count <= 2, count >= MOST_WORKERS
        kind = "join" if least or (not most and draw.random() < 0.5) else draw.choice(ENDS)
        self.periods.append(Period(kind, time.time() * 1e3))
        if kind == "join":
            self._fleet.join()
        else:
            self._fleet.end(signal.SIGTERM if kind == "leave" else signal.SIGKILL, draw)
        self.settle()
        self.periods.append(Period(QUIET, time.time() * 1e3))
        time.sleep(draw.uniform(0.5, 1.5) * self._pause_s)

    def settle(self) -> None:
        """Wait until the living share all partitions evenly, and all of them flow."""
        end, held_since = time.monotonic() + SETTLE_S, 0.0
        while True:
            self._fleet.check()
            now = time.monotonic()
            if not self._is_settled():
                held_since = 0.0
            elif held_since and now - held_since > SETTLED_FOR_S:
                return
            else:
                held_since = held_since or now
            if now > end:
                raise SystemExit(f"no even shares after {SETTLE_S} s: {self._watch.owners(0)}")
            time.sleep(0.05)

    def _is_settled(self) -> bool:
        owners = self._watch.owners(time.time() * 1e3 - 400)
        shares = Counter(owners.values())
        even = max(shares.values(), default=0) - min(shares.values(), default=0) <= 1
        return len(owners) == PARTITIONS and shares.keys() == self._fleet.living.keys() and even


ENDS = ("leave", "kill")
QUIET = "quiet"
SETTLED_FOR_S = 0.5


def key_of(n: int) -> str:
    """Key of record *n*; those of a key are in one partition."""
    return f"k{n % KEYS}"


def make_topics(address: str, *names: str) -> None:
    """Create topics whose times are those of the broker."""
    config = {"message.timestamp.type": "LogAppendTime"}
    new = [NewTopic(name, PARTITIONS, 1, config=config) for name in names]
    admin = AdminClient({"bootstrap.servers": address})
    for future in admin.create_topics(new).values():
        future.result(30)


def table(address: str, topic: str) -> dict[str, int]:
    """Read what a changelog ends with."""
    reader = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "rebalances-table",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    reader.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
    ended, found = set[int | None](), dict[str, int]()
    while len(ended) < PARTITIONS:
        for message in reader.consume(10_000, 0.2):
            if message.error() is not None:
                ended.add(message.partition())
            else:
                key = (message.key() or b"").decode().strip('"')
                found[key] = json.loads(message.value() or b"0")
    reader.close()
    return found


def row(kind: str, lengths: list[float], bound_ms: float) -> bool:
    """Print a distribution; say whether all are within the bound."""
    if not lengths:
        return True
    cuts = statistics.quantiles(lengths, n=1000, method="inclusive") if len(lengths) > 1 else []
    p50, p99 = (cuts[499], cuts[989]) if cuts else (lengths[0], lengths[0])
    within = sum(one <= bound_ms for one in lengths)
    share = f"{within} of {len(lengths)} within {bound_ms:g}"
    print(f"{kind:16} p50 {p50:6.0f}  p99 {p99:6.0f}  most {max(lengths):6.0f} ms  {share}")
    return within == len(lengths)


def report(run: Run, found: list[Gap]) -> bool:
    """Print how long partitions stood still; say whether the goals are reached."""
    moved, stayed, quiet = defaultdict[str, list[float]](list), list[float](), list[float]()
    for gap in found:
        kind = run.periods[gap.period].kind
        (quiet if kind == QUIET else moved[kind] if gap.has_moved else stayed).append(gap.length_ms)
    good = [row(f"moved, {kind}", moved[kind], MOVED_MS) for kind in ("join", *ENDS)]
    good.append(row("stayed", stayed, STAYED_MS))
    # What the machine does to all of them, without any change.
    row("between changes", quiet, STAYED_MS)
    for gap in found:
        if run.periods[gap.period].kind == QUIET:
            continue
        bound = MOVED_MS if gap.has_moved else STAYED_MS
        if gap.length_ms > bound:
            change = run.periods[gap.period]
            what = "moved" if gap.has_moved else "stayed"
            text = f"period {gap.period} ({change.kind} at {change.at_ms:.0f})"
            print(
                f"  over: {text}: partition {gap.partition} {what}: {gap.length_ms:.0f} ms "
                f"from {gap.began_ms:.0f}"
            )
    return all(good)


def measure(given: argparse.Namespace, address: str, place: Path, stack: ExitStack) -> bool:
    """Run the changes, wait for the last outputs, print, and say whether all is well."""
    stamp = time.time_ns() // 1_000_000
    source, target, group = f"in-{stamp}", f"out-{stamp}", f"rebalances-{stamp}"
    make_topics(address, source, target)
    env = {"KAFKA": address, "IN": source, "OUT": target, "GROUP": group}
    env |= {"GUARANTEE": given.guarantee, "PARTITIONS": str(PARTITIONS)}
    fleet = Fleet(place, env | {"SESSION_S": str(given.session)})
    watch, load = Watch(address, target), Load(address, source, given.rate)
    stack.callback(fleet.stop)
    watch.start()
    stack.callback(watch.stop)
    for _ in range(2):
        fleet.join()
    load.start()
    run = Run(fleet, watch, given.seed, given.pause)
    run.settle()
    with Progress() as progress:
        task = progress.add_task("rebalances", total=given.count)
        for _ in range(given.count):
            run.change()
            progress.advance(task)
    end_ms = time.time() * 1e3
    load.stop()
    end = time.monotonic() + SETTLE_S
    while len(watch.seen) < load.written and time.monotonic() < end:
        time.sleep(0.1)
    lost = load.written - len(watch.seen)
    repeated = watch.seen.total() - len(watch.seen)
    print(f"{load.written} records, {lost} without an output, {repeated} outputs repeated")
    wanted = Counter(key_of(n) for n in range(load.written))
    wrong = {k: v for k, v in table(address, f"{group}-counts-changelog").items() if wanted[k] != v}
    print(f"{len(wanted)} keys in the table, {len(wrong)} wrong", *list(wrong.items())[:3])
    found = gaps(watch.outputs, [one.at_ms for one in run.periods], end_ms)
    return report(run, found) and not lost and not wrong


def main() -> int:
    """Measure; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="changes")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rate", type=int, default=2_000, help="records a second")
    parser.add_argument("--session", type=float, default=1.0, help="session timeout, in seconds")
    parser.add_argument("--pause", type=float, default=1.0, help="mean seconds after each change")
    parser.add_argument("--guarantee", default="at_least_once")
    parser.add_argument("--kafka", help="address of a broker; one is started if not given")
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="turbine-rebalances-"))
    with ExitStack() as stack:
        broker = brokers.Given(given.kafka) if given.kafka else brokers.start("kafka", place)
        stack.callback(broker.stop)
        is_good = measure(given, broker.address, place, stack)
    if is_good:
        shutil.rmtree(place, ignore_errors=True)
    else:
        print(f"logs: {place}")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
