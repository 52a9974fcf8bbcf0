"""
From a kill -9 to the first output: ``restart.py [--gigabytes 1] [--rounds 15] [--nameless]``.

Fills the state of a handler with random text, a kilobyte a record, so that compression saves little
of it; then, each round: SIGKILL, a record is written, the worker is started again on its state
directory, and the time from that start to the first new output, read with ``read_committed``, is
taken. Goal: a median of 1.5 s.

The group forgets a dead member after its session timeout (``--session``, Kafka's default). A worker
comes back under its name, for which nobody waits; with ``--nameless`` it comes as a stranger.
"""

import argparse
import base64
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import brokers
from common import PARTITIONS, make_topics
from confluent_kafka import Consumer, Producer, TopicPartition

HERE = Path(__file__).resolve().parent
VALUE_BYTES = 1_000
GOAL_S = 1.5
LIMIT_S = 900.0


class Worker:
    """
    The worker, one life after the other.

    Args:
        place: Log and state.
        env: Its variables.
    """

    def __init__(self, place: Path, env: dict[str, str]) -> None:
        self.state, self._log = place / "state", place / "worker.log"
        self._env = os.environ | env | {"STATE": str(self.state)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin a life."""
        command = [sys.executable, str(HERE / "turbine_restart.py")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=self._env, stdout=log, stderr=log)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def cpu_s(self) -> float:
        """Processor time that it has used in this life."""
        if self._process is None:
            return 0.0
        stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8")
        fields = stat.rsplit(")", 1)[1].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def check(self) -> None:
        """End the measurement if the worker has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise SystemExit(f"the worker ended:\n{self._log.read_text(encoding='utf-8')[-3000:]}")


class Outputs:
    """The outputs, read from the end on."""

    def __init__(self, address: str, topic: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": address,
                "group.id": "restart-watch",
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 10,
            }
        )
        self._consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
        self.count = 0

    def read_until(self, wanted: int, worker: Worker) -> None:
        """Read until there are *wanted*."""
        end = time.monotonic() + LIMIT_S
        while self.count < wanted:
            found = self._consumer.consume(10_000, 0.02)
            self.count += sum(message.error() is None for message in found)
            worker.check()
            if time.monotonic() > end:
                raise SystemExit(f"{self.count} of {wanted} outputs after {LIMIT_S} s")


def fill(producer: Producer, topic: str, keys: range) -> None:
    """Write a record for each of *keys*."""
    for number in keys:
        text = base64.b64encode(os.urandom(VALUE_BYTES)).decode()
        value = json.dumps({"key": f"{number:012d}", "text": text}).encode()
        while True:
            try:
                producer.produce(topic, value, str(number % 1_000))
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(60)


def size(place: Path) -> int:
    """Bytes of the files below *place*."""
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())


def main() -> int:
    """Fill, measure, print a JSON row, and return 1 if the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--guarantee", default="exactly_once")
    parser.add_argument("--session", type=float, default=45.0, help="session timeout, in seconds")
    parser.add_argument("--nameless", action="store_true", help="with an empty group.instance.id")
    parser.add_argument("--kafka", help="address of a broker; one is started if not given")
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="turbine-restart-"))
    with ExitStack() as stack:
        broker = brokers.Given(given.kafka) if given.kafka else brokers.start("kafka", place)
        stack.callback(broker.stop)
        source, target = (f"{name}-{time.time_ns() // 1_000_000}" for name in ("in", "out"))
        make_topics(broker.address, source, target)
        producer = Producer({"bootstrap.servers": broker.address, "linger.ms": 5})
        keys = int(given.gigabytes * 1e9 / VALUE_BYTES)
        env = {"KAFKA": broker.address, "IN": source, "OUT": target, "GROUP": f"group-{target}"}
        env |= {"GUARANTEE": given.guarantee, "SESSION_S": str(given.session)}
        env |= {"NAMELESS": "1"} if given.nameless else {}
        worker, outputs = Worker(place, env), Outputs(broker.address, target)
        worker.start()
        stack.callback(worker.kill)
        fill(producer, source, range(keys))
        outputs.read_until(keys, worker)
        print(f"{size(worker.state) / 1e9:.2f} GB of state", file=sys.stderr)
        rounds = [
            restart(worker, outputs, producer, source, keys + number)
            for number in range(given.rounds)
        ]
        times, cpu = zip(*rounds, strict=True)
        row = {
            "guarantee": given.guarantee,
            "is_nameless": given.nameless,
            "session_s": given.session,
            "state_gb": round(size(worker.state) / 1e9, 2),
            "rounds": given.rounds,
            "p50_s": round(statistics.median(times), 2),
            "most_s": round(max(times), 2),
            "cpu_p50_s": round(statistics.median(cpu), 2),
            "all_s": [round(one, 2) for one in times],
        }
    print(json.dumps(row))
    return 0 if row["p50_s"] <= GOAL_S else 1


def restart(
    worker: Worker, outputs: Outputs, producer: Producer, source: str, number: int
) -> tuple[float, float]:
    """One round: its time, and the processor time of the worker, in seconds."""
    worker.kill()
    fill(producer, source, range(number, number + 1))
    began = time.monotonic()
    worker.start()
    outputs.read_until(number + 1, worker)
    return time.monotonic() - began, worker.cpu_s()


if __name__ == "__main__":
    sys.exit(main())
