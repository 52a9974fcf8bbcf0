"""Brokers that go away and come back: the worker says so, goes on by itself, and loses nothing."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.apps import source
from support.brokers import Kafka, free_port
from support.churn import missing
from support.kafka import Cluster
from support.wait import eventually
from support.workers import WorkerProcess

BOTH = source("copy_both")


class Own:
    """The embedded broker as a program, with its data in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, or start it again on the same data."""
        data = str(self._directory / "data")
        command = ["broker", "--port", str(self._port), "--data-dir", data]
        with (self._directory / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "turbine", *command], stdout=log, stderr=log
            )

    def kill(self) -> None:
        """KILL it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Own]:
    """A broker of this test alone."""
    broker = Own(tmp_path)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def kafka() -> Iterator[Kafka]:
    """An Apache Kafka of this test alone."""
    broker = Kafka()
    broker.start()
    yield broker
    broker.stop()


def survives(
    worker: WorkerProcess, cluster: Cluster, env: dict[str, str], outage: Callable[[], None]
) -> None:
    """Assert that *worker* handles what was written before, and after, an outage."""
    outputs = [env["OUT_EVENTS"], env["OUT_BATCHES"]]
    numbers = [{"n": n} for n in range(20_000)]
    cluster.produce(env["IN"], numbers)
    eventually(lambda: all(cluster.count(topic) for topic in outputs), 30, "work has begun")
    outage()
    cluster.produce(env["IN"], [{"n": n} for n in range(20_000, 21_000)])
    for topic in outputs:
        lost, _ = missing(cluster, topic, 21_000, 30)
        assert not lost
    assert worker.is_alive()


def topics(cluster: Cluster) -> dict[str, str]:
    return {
        "IN": cluster.make_topic("in", partitions=2),
        "OUT_EVENTS": cluster.make_topic("events"),
        "OUT_BATCHES": cluster.make_topic("batches"),
    }


def unwell(worker: WorkerProcess) -> str:
    """Wait until the worker says that it is not well; return why."""

    def reasons() -> str:
        status, body = worker.get("/health")
        return " ".join(body["reasons"]) if status == 503 else ""

    return eventually(reasons, 20, "health says that the broker is gone")


@pytest.mark.embedded
@pytest.mark.slow
def test_a_worker_outlives_a_kill_of_the_embedded_broker(
    own: Own, app_id: str, tmp_path: Path
) -> None:
    cluster = Cluster(own.address)
    env = topics(cluster)
    worker = WorkerProcess(tmp_path / "w", BOTH, broker=own.address, app_id=app_id, env=env)

    def outage() -> None:
        own.kill()
        assert "kafka" in unwell(worker)
        own.start()

    with worker:
        survives(worker.wait_ready(), cluster, env, outage)
        assert worker.terminate() == 0


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_worker_outlives_a_restart_of_kafka(kafka: Kafka, app_id: str, tmp_path: Path) -> None:
    cluster = Cluster(kafka.address)
    env = topics(cluster)
    worker = WorkerProcess(tmp_path / "w", BOTH, broker=kafka.address, app_id=app_id, env=env)

    def outage() -> None:
        kafka.pause()
        assert "kafka" in unwell(worker)
        time.sleep(1)  # long enough for requests to fail, not only to wait
        kafka.start()

    with worker:
        survives(worker.wait_ready(), cluster, env, outage)
        eventually(lambda: worker.get("/health")[0] == 200, 30, "the worker is well again")
        assert worker.terminate() == 0
