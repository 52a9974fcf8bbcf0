"""The HTTP side of a worker, asked from outside its process."""

import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.fixtures import MakeTopic, MakeWorker, Produce
from support.kafka import Cluster
from support.wait import eventually
from support.workers import WorkerProcess

pytestmark = pytest.mark.any_broker

TOKEN = "a-token-that-nobody-guesses"

ECHO = """
import os
import turbine

app = turbine.App(os.environ["APP_ID"], broker="kafka://" + os.environ["KAFKA"])

@app.subscribe(os.environ["IN"], publish_to=os.environ["OUT"])
def echo(batch):
    return batch
"""


@pytest.fixture
def topics(make_topic: MakeTopic) -> dict[str, str]:
    return {"IN": make_topic("in"), "OUT": make_topic("out")}


@pytest.fixture
def default_port() -> Iterator[int]:
    """The default port, taken, unless somebody has it already."""
    with closing(socket.socket()) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8400))
            taken.listen()
        except OSError:
            pass  # taken is what the test wants
        yield 8400


def test_a_worker_shows_health_metrics_and_assignments(
    worker_process: MakeWorker, topics: dict[str, str], produce: Produce, cluster: Cluster
) -> None:
    worker = worker_process(ECHO, env=topics).start().wait_ready()
    produce(topics["IN"], [{"n": n} for n in range(100)], keys=[str(n) for n in range(100)])
    eventually(lambda: cluster.count(topics["OUT"]) == 100, why="all records are out")

    assert worker.get("/health") == (200, {"status": "ok", "reasons": []})
    assert worker.get("/ready") == (200, {"status": "ok", "reasons": []})

    rows = worker.assignments()
    assert sorted((row["topic"], row["partition"]) for row in rows) == [
        (topics["IN"], partition) for partition in range(4)
    ]
    assert {row["name"] for row in rows} == {"echo"}

    def committed() -> bool:
        rows = worker.assignments()
        return sum(row["committed"] or 0 for row in rows) == 100

    eventually(committed, why="all records are committed")


def test_metrics_time_every_step_of_the_line(
    worker_process: MakeWorker, topics: dict[str, str], produce: Produce, cluster: Cluster
) -> None:
    worker = worker_process(ECHO, env=topics).start().wait_ready()
    produce(topics["IN"], [{"n": n} for n in range(100)], partition=2)
    eventually(lambda: cluster.count(topics["OUT"]) == 100, why="all records are out")

    def total(name: str) -> float:
        _, text = worker.get("/metrics")
        pattern = rf"^{name}(?:\{{[^}}]*\}})? (\S+)$"
        return sum(float(value) for value in re.findall(pattern, text, re.MULTILINE))

    def untimed() -> list[str]:
        steps = ["poll", "decode", "process", "produce", "commit", "batch_duration"]
        return [step for step in steps if total(f"turbine_{step}_seconds_count") == 0]

    eventually(lambda: not untimed(), why="every step is timed")
    eventually(lambda: total("turbine_records_in_total") == 100, why="records in are counted")
    eventually(lambda: total("turbine_records_out_total") == 100, why="records out are counted")
    assert total("turbine_records_acknowledged_total") == 100
    eventually(lambda: total("turbine_lag_records") == 0, why="nothing is left to do")


def test_a_foreign_name_is_refused(worker_process: MakeWorker, topics: dict[str, str]) -> None:
    worker = worker_process(ECHO, env=topics).start().wait_ready()
    assert worker.get("/metrics", {"Host": "evil.example"})[0] == 403
    assert worker.get("/metrics", {"Host": "localhost:1"})[0] == 200


def test_a_token_closes_everything_but_health_and_ready(
    worker_process: MakeWorker, topics: dict[str, str]
) -> None:
    worker = worker_process(ECHO, env=topics | {"TURBINE_API_TOKEN": TOKEN}).start().wait_ready()
    assert worker.get("/health")[0] == 200
    assert worker.get("/metrics")[0] == 401
    assert worker.get("/assignments", {"Authorization": "Bearer wrong"})[0] == 401
    assert worker.get("/assignments", {"Authorization": f"Bearer {TOKEN}"})[0] == 200
    worker.terminate()
    assert TOKEN not in worker.output()


def _fails(worker: WorkerProcess) -> str:
    """Wait for an end that is not a success and not a traceback; return what it said."""
    assert worker.start().wait(30) != 0
    said = worker.output()
    assert "Traceback" not in said
    return said


def test_an_explicit_port_that_is_taken_is_an_error(
    worker_process: MakeWorker, topics: dict[str, str]
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        args = ["--api-port", port]
        said = _fails(worker_process(ECHO, env=topics, web="default", args=args))
    assert port in said
    assert "--api-port" in said


def test_a_default_port_that_is_taken_moves_and_says_so(
    worker_process: MakeWorker, topics: dict[str, str], default_port: int
) -> None:
    worker = worker_process(ECHO, env=topics, web="default").start()
    said = worker.wait_output(f"port {default_port} is taken")
    found = re.search(rf"port {default_port} is taken, using (\d+)", said)
    assert found is not None
    worker.port = int(found.group(1))
    worker.wait_ready()


def test_a_bind_beyond_loopback_without_a_token_is_an_error(
    worker_process: MakeWorker, topics: dict[str, str]
) -> None:
    args = ["--api-host", "0.0.0.0"]
    said = _fails(worker_process(ECHO, env=topics, args=args))
    assert "TURBINE_API_TOKEN" in said


def test_without_web_nothing_listens(worker_process: MakeWorker, topics: dict[str, str]) -> None:
    worker = worker_process(ECHO, env=topics, web=False).start()

    def assigned() -> bool:
        return worker.is_alive() and "echo" in worker.output()

    eventually(assigned, why="the banner is there")
    listening = 0
    for family in ("tcp", "tcp6"):
        table = Path(f"/proc/{worker.pid}/net/{family}").read_text(encoding="ascii")
        listening += sum(_is_own_listener(worker.pid, row) for row in table.splitlines()[1:])
    assert listening == 0


def _is_own_listener(pid: int, row: str) -> bool:
    """Say whether a row of ``/proc/net/tcp`` is a listening socket of process *pid*."""
    fields = row.split()
    if fields[3] != "0A":
        return False
    socket_name = f"socket:[{fields[9]}]"
    links = Path(f"/proc/{pid}/fd").iterdir()
    return any(str(link.readlink()) == socket_name for link in links if link.is_symlink())
