"""At least once: whatever becomes of the workers, every record is handled."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.apps import source
from support.brokers import free_port
from support.churn import Load, churn, missing
from support.fixtures import MakeTopic, MakeWorker, Produce
from support.kafka import Cluster
from support.wait import eventually
from support.workers import WorkerProcess

BOTH = source("copy_both")
OUTPUTS = ("OUT_EVENTS", "OUT_BATCHES")

SLOW = """
import asyncio
import os
import turbine

app = turbine.App(os.environ["APP_ID"], broker="kafka://" + os.environ["KAFKA"])

@app.agent(os.environ["IN"], value_type=bytes)
async def slow(stream):
    async for _ in stream:
        await asyncio.sleep(0.002)

@app.subscribe(os.environ["IN"])
async def slow_batches(batch):
    await asyncio.sleep(2)
"""


def new_topics(cluster: Cluster) -> dict[str, str]:
    """An input and two outputs."""
    return {
        "IN": cluster.make_topic("in", partitions=6),
        **{name: cluster.make_topic(name.lower(), partitions=3) for name in OUTPUTS},
    }


def slowest(cluster: Cluster, env: dict[str, str]) -> Callable[[], int]:
    """Give the number of records in the output that has fewer."""
    return lambda: min(cluster.count(env[name]) for name in OUTPUTS)


def nothing_is_missing(cluster: Cluster, env: dict[str, str], total: int) -> None:
    """Assert that both outputs have every number, and say how many are repeated."""
    for name in OUTPUTS:
        lost, repeated = missing(cluster, env[name], total, 60)
        assert not lost, f"{name}: lost {lost} of {total}; {repeated} repeated"


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_25_kills_at_random_moments_lose_nothing(
    worker_process: MakeWorker, cluster: Cluster
) -> None:
    env = new_topics(cluster)
    workers = [worker_process(BOTH, env=env, web=False).start() for _ in range(2)]
    with Load(cluster.address, env["IN"], rate=2_000) as load:
        progress = slowest(cluster, env)
        eventually(progress, 30)
        churn(workers, [signal.SIGKILL] * 25, longest_pause_s=1.0, progress=progress)
    assert load.written > 10_000
    nothing_is_missing(cluster, env, load.written)
    assert [worker.terminate() for worker in workers] == [0, 0]


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_300_000_records_through_three_workers_that_come_and_go(
    worker_process: MakeWorker, cluster: Cluster
) -> None:
    env = new_topics(cluster)
    workers = [worker_process(BOTH, env=env, web=False).start() for _ in range(3)]
    with Load(cluster.address, env["IN"], rate=8_000) as load:
        progress = slowest(cluster, env)
        eventually(progress, 30)
        churn(workers, [signal.SIGTERM, signal.SIGKILL] * 8, longest_pause_s=2, progress=progress)
    load.top_up(300_000)
    nothing_is_missing(cluster, env, load.written)
    assert [worker.terminate() for worker in workers] == [0, 0, 0]


@contextmanager
def broker_process(directory: Path) -> Iterator[str]:
    """Run ``turbine broker`` with a data directory; gives its address."""
    port = free_port()
    command = [sys.executable, "-m", "turbine", "broker", "--port", str(port)]
    log = (directory / "broker.log").open("wb")
    broker = subprocess.Popen(
        [*command, "--data-dir", str(directory / "data")], stdout=log, stderr=subprocess.STDOUT
    )

    def serves() -> bool:
        assert broker.poll() is None, (directory / "broker.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        eventually(serves, why="the broker serves")
        yield f"127.0.0.1:{port}"
    finally:
        broker.terminate()
        code = broker.wait(20)
        log.close()
    assert code == 0


@pytest.mark.embedded
@pytest.mark.slow
def test_kills_lose_nothing_on_the_embedded_broker(app_id: str, tmp_path: Path) -> None:
    with broker_process(tmp_path) as address:
        cluster = Cluster(address)
        env = new_topics(cluster)
        workers = [
            WorkerProcess(
                tmp_path / str(i), BOTH, broker=address, app_id=app_id, env=env, web=False
            )
            for i in range(2)
        ]
        with workers[0], workers[1]:
            with Load(address, env["IN"], rate=2_000) as load:
                progress = slowest(cluster, env)
                eventually(progress, 30)
                churn(workers, [signal.SIGKILL] * 5, longest_pause_s=1, progress=progress)
            nothing_is_missing(cluster, env, load.written)
            assert [worker.terminate() for worker in workers] == [0, 0]


@pytest.mark.slow
def test_memory_stays_bounded_behind_slow_handlers(
    worker_process: MakeWorker,
    make_topic: MakeTopic,
    produce: Produce,
    cluster: Cluster,
    app_id: str,
) -> None:
    topic = make_topic("in")
    produce(topic, ({"n": n, "text": "x" * 1_000} for n in range(200_000)))
    worker = worker_process(SLOW, env={"IN": topic}, web=False).start()

    def resident_mib() -> int:
        status = Path(f"/proc/{worker.pid}/status").read_text(encoding="ascii")
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) // 1024

    def committed(group: str) -> int:
        return sum(cluster.committed(group, topic).values())

    # Both have begun, and the consumers have fetched what they may.
    eventually(lambda: committed(app_id) > 500 and committed(f"{app_id}-slow_batches") > 0, 40)
    assert committed(app_id) < 100_000, "the handler is not slow"
    assert resident_mib() < 400
