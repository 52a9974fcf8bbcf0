"""
Kafka's own verifier of exactly-once, with Turbine as the system under test.

    bench/eos_verifier.sh [--seconds 60] [--kills 15] [--simple] [--workers 3]

`org.apache.kafka.streams.tests.StreamsEosTest` of Kafka's test jar writes the input (``run``)
while workers that run ``eos/app.py`` are killed and started again, some with their state directory
deleted; then it checks (``verify-complex``, with ``--simple`` ``verify``) that every record of the
input up to the offsets of the group ``EosTest`` led to what it must, once and in order, and that no
transaction is left open. It prints ALL-RECORDS-DELIVERED.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import setup_peers
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

HERE = Path(__file__).resolve().parent

TEST = "org.apache.kafka.streams.tests.StreamsEosTest"
GROUP = "EosTest"
APP = os.environ.get("EOS_APP", str(HERE / "eos" / "app.py"))
SIMPLE = ("data", "echo", "min", "sum")
COMPLEX = (*SIMPLE, "repartition", "max", "cnt")
PARTITIONS = 5
VERDICT = "ALL-RECORDS-DELIVERED"
CAUGHT_UP_S = 300
LINES = 8


class Verifier:
    """
    `StreamsEosTest` against one broker.

    Args:
        address: ``host:port``.
        place: Directory for its files.
    """

    def __init__(self, address: str, place: Path) -> None:
        self._place = place
        (place / "properties").write_text(f"bootstrap.servers={address}\n", encoding="utf-8")
        jars = setup_peers.eos()
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
        self._command = ["java", "-Xmx512m", quiet, "-cp", f"{jars}/*", TEST]

    def _run(self, command: str) -> subprocess.Popen[str]:
        log = (self._place / f"{command}.log").open("w", encoding="utf-8")
        arguments = [str(self._place / "properties"), command]
        with log:
            return subprocess.Popen([*self._command, *arguments], stdout=log, stderr=log, text=True)

    def log(self, command: str) -> str:
        """What a command has printed."""
        return (self._place / f"{command}.log").read_text(encoding="utf-8")

    def generate(self) -> subprocess.Popen[str]:
        """Start writing the input; TERM ends it."""
        return self._run("run")

    def verify(self, *, is_complex: bool) -> bool:
        """Check everything that was written; print what it says."""
        command = "verify-complex" if is_complex else "verify"
        self._run(command).wait()
        said = self.log(command)
        print("\n".join(said.splitlines()[-LINES:]))
        return VERDICT in said


class Worker:
    """
    A place for one worker after the other.

    Args:
        directory: Log and state.
        env: Its variables.
    """

    def __init__(self, directory: Path, env: dict[str, str]) -> None:
        directory.mkdir()
        self.directory, self._env = directory, os.environ | env
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start one."""
        command = [
            sys.executable,
            "-m",
            "turbine",
            "-A",
            os.environ.get("EOS_APP", str(HERE / "eos" / "app.py")),
            "worker",
        ]
        state = ["--without-web", "-D", str(self.directory / "state")]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *state], env=self._env, stdout=log, stderr=log, start_new_session=True
            )

    def end(self, number: int) -> int:
        """Send a signal and wait; return the exit code."""
        assert self._process is not None, "never started"
        self._process.send_signal(number)
        return self._process.wait(60)

    def is_alive(self) -> bool:
        """Say whether it runs."""
        return self._process is not None and self._process.poll() is None

    def wipe(self) -> None:
        """Delete its state."""
        shutil.rmtree(self.directory / "state", ignore_errors=True)

    def tail(self) -> str:
        """Return the end of its log."""
        return "\n".join((self.directory / "log").read_text(encoding="utf-8").splitlines()[-15:])


def lag(address: str, topics: list[str]) -> int:
    """Records of *topics* that the group has not committed; transactions' markers do not count."""
    places = [TopicPartition(name, p) for name in topics for p in range(PARTITIONS)]
    admin = AdminClient({"bootstrap.servers": address})
    asked = [ConsumerGroupTopicPartitions(GROUP, places)]
    found = admin.list_consumer_group_offsets(asked)[GROUP].result(30)
    at = {(tp.topic, tp.partition): max(tp.offset, 0) for tp in found.topic_partitions}
    consumer = Consumer({"bootstrap.servers": address, "group.id": "eos-look"})
    try:
        return sum(
            max(0, consumer.get_watermark_offsets(tp, 10)[1] - at.get((tp.topic, tp.partition), 0))
            for tp in places
        )
    finally:
        consumer.close()


def nemesis(workers: list[Worker], kills: int, seconds: float, wipes: float) -> None:
    """End workers at random moments, spread over *seconds*."""
    end = time.monotonic() + seconds
    for number in range(kills):
        mean_s = (end - time.monotonic()) / (kills - number)
        time.sleep(max(0.0, random.uniform(0.2, 1.8) * mean_s))
        worker = random.choice(workers)
        check(workers)
        worker.end(signal.SIGKILL)
        if random.random() < wipes:
            worker.wipe()
        worker.start()
        print(f"{number + 1}/{kills} workers killed", file=sys.stderr)
    time.sleep(max(0.0, end - time.monotonic()))


def check(workers: list[Worker]) -> None:
    """No worker ends by itself."""
    for worker in workers:
        if not worker.is_alive():
            raise SystemExit(f"a worker ended by itself:\n{worker.tail()}")


def caught_up(address: str, workers: list[Worker], *, is_complex: bool) -> None:
    """Wait until the group has committed everything; what two looks agree on is the end."""
    topics = ["data", *(["repartition"] if is_complex else [])]
    end, before = time.monotonic() + CAUGHT_UP_S, -1
    while True:
        check(workers)
        now = lag(address, topics)
        # Behind the last record of ``repartition`` there is the marker of its transaction.
        if now == before and now <= (PARTITIONS if is_complex else 0):
            return
        if time.monotonic() > end:
            logs = "\n".join(worker.tail() for worker in workers)
            raise SystemExit(f"{now} records are left after {CAUGHT_UP_S} s\n{logs}")
        before = now
        time.sleep(2)


def main() -> int:
    """Run, verify, and return the exit code."""
    parser = argparse.ArgumentParser(prog="eos_verifier.sh", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long input is written")
    parser.add_argument("--kills", type=int, default=15)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--wipes", type=float, default=0.2, help="chance that state is deleted")
    parser.add_argument("--simple", action="store_true", help="without the second stage")
    parser.add_argument("--kafka", required=True, help="host:port of a broker without these topics")
    given = parser.parse_args()
    names = SIMPLE if given.simple else COMPLEX
    admin = AdminClient({"bootstrap.servers": given.kafka})
    for future in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names]).values():
        future.result(30)
    place = Path(tempfile.mkdtemp(prefix="turbine-eos-"))
    env = {"KAFKA": given.kafka, "EOS_COMPLEX": "0" if given.simple else "1"}
    workers = [Worker(place / f"w{number}", env) for number in range(given.workers)]
    verifier = Verifier(given.kafka, place)
    with ExitStack() as stack:
        for worker in workers:
            worker.start()
            stack.callback(lambda one: one.is_alive() and one.end(signal.SIGKILL), worker)
        generator = verifier.generate()
        stack.callback(generator.kill)
        nemesis(workers, given.kills, given.seconds, given.wipes)
        generator.terminate()
        generator.wait(60)
        print(verifier.log("run").splitlines()[-1], file=sys.stderr)
        caught_up(given.kafka, workers, is_complex=not given.simple)
        ends = [worker.end(signal.SIGTERM) for worker in workers]
    if any(ends):
        print(f"exit codes of workers: {ends}; logs in {place}", file=sys.stderr)
        return 1
    is_right = verifier.verify(is_complex=not given.simple)
    if is_right:
        shutil.rmtree(place)
    else:
        print(f"logs and state in {place}", file=sys.stderr)
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
