"""
Memory of a table with many keys: ``memory.py [--records 5000000] [--keys 1500000]``.

An agent writes each record of a queue into a table on disk; then its state is deleted and comes
back from the changelog. Resident memory and progress are printed every second of both, and at the
end a JSON row. Goals: memory grows by less than the budget from the first tenth of the records on,
and so while restoring; 200,000 keys a second are restored. A thousand keys are asked for and
compared.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import brokers
from common import make_topics
from confluent_kafka import Producer
from guarantees import free_port

HERE = Path(__file__).resolve().parent
SEED = 383
MOST_VALUE = 1_000
SAMPLE = 1_000
LOOK_S = 1.0
LIMIT_S = 1_800.0
GOAL_KEYS_PER_S = 200_000
MIB = 1 << 20


@dataclass(frozen=True)
class Sight:
    """
    The worker at one moment.

    Attributes:
        time_s: Since it was started.
        count: Records read, or keys restored, so far.
        rss_bytes: Resident memory.
    """

    time_s: float
    count: int
    rss_bytes: int


class Worker:
    """
    The worker, one life after the other.

    Args:
        place: Log and state.
        env: Its variables.
    """

    def __init__(self, place: Path, env: dict[str, str]) -> None:
        self.state, self._log = place / "state", place / "worker.log"
        self.port = free_port()
        self._env = os.environ | env | {"STATE": str(self.state), "PORT": str(self.port)}
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0

    def start(self) -> None:
        """Begin a life."""
        self._began = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / "turbine_keys.py")],
                env=self._env,
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)
            self._process = None

    def ask(self, path: str) -> tuple[int, str]:
        """Status and body of a page of its server; status 0 while there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as got:
                return got.status, got.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()
        except OSError:
            return 0, ""

    def see(self, metric: str) -> Sight:
        """Look at it now; *metric* counts its progress."""
        assert self._process is not None
        if self._process.poll() is not None:
            raise SystemExit(f"the worker ended:\n{self._log.read_text(encoding='utf-8')[-3000:]}")
        _, text = self.ask("/metrics")
        found = re.findall(rf"^{metric}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        rss_kb = re.search(r"VmRSS:\s+(\d+)", status)
        assert rss_kb is not None
        count = round(sum(map(float, found)))
        return Sight(time.monotonic() - self._began, count, int(rss_kb[1]) << 10)

    def watch(self, metric: str, has_ended: Callable[[Sight], bool]) -> list[Sight]:
        """Look every second, and tell, until the end."""
        seen: list[Sight] = []
        while not seen or not has_ended(seen[-1]):
            if seen:
                time.sleep(LOOK_S)
            seen.append(self.see(metric))
            say(
                f"{seen[-1].time_s:7.1f} s {seen[-1].count:12,} {seen[-1].rss_bytes / MIB:7.0f} MiB"
            )
            if seen[-1].time_s > LIMIT_S:
                raise SystemExit(f"not done after {LIMIT_S} s")
        return seen


def fill(address: str, topic: str, records: int, keys: int) -> dict[str, int]:
    """Write the records; the last value of each key."""
    draw, last = random.Random(SEED), {}
    producer = Producer(
        {
            "bootstrap.servers": address,
            "partitioner": "murmur2_random",
            "linger.ms": 50,
            "queue.buffering.max.messages": 2_000_000,
        }
    )
    for number in range(records):
        key, value = str(draw.randint(1, keys)), draw.randint(0, MOST_VALUE)
        last[key] = value
        while True:
            try:
                producer.produce(topic, str(value), key)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 10_000 == 0:
            producer.poll(0)
    if producer.flush(300):
        raise SystemExit("the records were not acknowledged")
    return last


def count_wrong(worker: Worker, wanted: dict[str, int]) -> int:
    """How many of some keys the worker has another value of."""
    chosen = random.Random(SEED).sample(sorted(wanted), min(SAMPLE, len(wanted)))
    wrong = 0
    for key in chosen:
        status, text = worker.ask(f"/tables/last/{key}")
        rows = json.loads(text).get("rows", []) if status == 200 else []
        wrong += [row["value"] for row in rows] != [wanted[key]]
    return wrong


def main() -> int:
    """Write, restore, print, and return 1 if a goal is missed."""
    given = _arguments()
    place = Path(tempfile.mkdtemp(prefix="turbine-memory-"))
    with ExitStack() as stack:
        broker = brokers.Given(given.kafka) if given.kafka else brokers.start("kafka", place)
        stack.callback(broker.stop)
        source = f"keys-{time.time_ns() // 1_000_000}"
        make_topics(broker.address, source)
        say(f"{given.records:,} records of up to {given.keys:,} keys into {source}")
        wanted = fill(broker.address, source, given.records, given.keys)
        env = {"KAFKA": broker.address, "IN": source, "GROUP": f"group-{source}"}
        env |= {"BUDGET": str(given.budget_mib * MIB), "GUARANTEE": given.guarantee}
        worker = Worker(place, env)
        stack.callback(worker.stop)
        worker.start()
        written = worker.watch("turbine_records_in_total", lambda s: s.count >= given.records)
        # An orderly end commits what is left.
        worker.stop()
        shutil.rmtree(worker.state)
        worker.start()
        is_ready = lambda _: worker.ask("/ready")[0] == 200  # noqa: E731 - used once
        restored = worker.watch("turbine_restored_keys_total", is_ready)
        wrong = count_wrong(worker, wanted)
        row = summary(written, restored) | {"keys": len(wanted), "wrong": wrong}
    print(json.dumps({"guarantee": given.guarantee, "budget_mib": given.budget_mib} | row))
    is_flat = max(row["written_growth_mib"], row["restored_growth_mib"]) <= given.budget_mib
    return 0 if is_flat and not wrong and row["restored_per_s"] >= GOAL_KEYS_PER_S else 1


def summary(written: list[Sight], restored: list[Sight]) -> dict[str, int]:
    """The figures of both parts."""
    steady = [one for one in written if one.count >= written[-1].count / 10]
    # What the worker takes before it has anything.
    idle = [one for one in restored[:-1] if not one.count][-1]
    took_s = restored[-1].time_s - idle.time_s
    return {
        "records": written[-1].count,
        "written_per_s": round(written[-1].count / written[-1].time_s),
        "written_peak_mib": _peak(written) // MIB,
        "written_growth_mib": (_peak(steady) - steady[0].rss_bytes) // MIB,
        "restored": restored[-1].count,
        "restored_per_s": round(restored[-1].count / took_s),
        "restored_peak_mib": _peak(restored) // MIB,
        "restored_growth_mib": (_peak(restored) - idle.rss_bytes) // MIB,
    }


def _peak(seen: list[Sight]) -> int:
    return max(one.rss_bytes for one in seen)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=5_000_000)
    parser.add_argument("--keys", type=int, default=1_500_000)
    parser.add_argument("--budget-mib", type=int, default=256, help="state_memory_bytes")
    parser.add_argument("--guarantee", default="at_least_once")
    parser.add_argument("--kafka", help="address of a broker; one is started if not given")
    return parser.parse_args()


def say(text: str) -> None:
    """Tell the person at the terminal, beside the row."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
