"""A Faust app that runs goes on as a Turbine app: the same group, topics, offsets and table."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from support.fixtures import MakeTopic, MakeWorker
from support.kafka import Cluster
from support.real_faust import FaustWorker, needs_faust
from support.wait import eventually

pytestmark = [needs_faust, pytest.mark.slow, pytest.mark.timeout(180)]

PARTITIONS = 4
KEYS = 23
EACH = 500
PROGRAM = """
import os

import faust

app = faust.App(
    os.environ["APP_ID"],
    broker="kafka://" + os.environ["KAFKA"],
    topic_partitions=4,
    store="memory://",
    broker_commit_interval=0.2,
    reply_create_topic=True,
)
source = app.topic(os.environ["IN"], key_type=str, value_type=int)
target = app.topic(os.environ["OUT"], key_type=str, value_type=int)
counts = app.Table("counts", default=int, partitions=4)


@app.agent(source)
async def count(stream):
    async for key, number in stream.items():
        counts[key] += number
        await target.send(key="x" + key, value=counts[key])


@app.agent(app.topic(os.environ["ASKED"], value_type=int, partitions=1))
async def double(numbers):
    async for number in numbers:
        yield 2 * number


@app.command()
async def question(self):
    print(f"answer {await double.ask(21)}")


if "ASKS" in os.environ:
    # Somebody else is to answer.
    del app.agents[double.name]

    @app.task
    async def ask():
        print(f"answer {await double.ask(21)}")
"""
OURS = PROGRAM.replace("\nimport faust\n", "\nfrom turbine import faust\n")


@pytest.fixture
def env(make_topic: MakeTopic, broker: str, app_id: str) -> dict[str, str]:
    """Topics of the program, its id and its broker."""
    return {
        "IN": make_topic("in", partitions=PARTITIONS),
        "OUT": make_topic("out", partitions=PARTITIONS),
        "ASKED": make_topic("asked", partitions=1),
        "APP_ID": app_id,
        "KAFKA": broker,
    }


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """The program, as it was written for Faust."""
    program = tmp_path / "theirs.py"
    program.write_text(PROGRAM, encoding="utf-8")
    return program


def write(cluster: Cluster, env: dict[str, str], begin: int) -> Counter[bytes]:
    """Write numbers; give their sums by key."""
    numbers = range(begin, begin + EACH)
    keys = [f"k{n % KEYS}" for n in numbers]
    cluster.produce(env["IN"], numbers, keys=keys)
    sums = Counter[bytes]()
    for key, number in zip(keys, numbers, strict=True):
        sums[f'"{key}"'.encode()] += number
    return sums


def committed(cluster: Cluster, env: dict[str, str]) -> int:
    """How many records the group has behind it."""
    return sum(cluster.committed(env["APP_ID"], env["IN"]).values())


def table(cluster: Cluster, env: dict[str, str]) -> dict[bytes | None, int]:
    """What the changelog ends with."""
    changes = cluster.consume(f"{env['APP_ID']}-counts-changelog", KEYS)
    return {one.key: one.json for one in changes}


def test_a_turbine_worker_goes_on_where_a_faust_worker_has_stopped(
    cluster: Cluster, env: dict[str, str], theirs: Path, worker_process: MakeWorker
) -> None:
    sums = write(cluster, env, 0)
    with FaustWorker(theirs, env):
        eventually(lambda: committed(cluster, env) == EACH, 60, "Faust has committed everything")
    assert table(cluster, env) == sums
    before = cluster.consume(env["OUT"], EACH)

    sums += write(cluster, env, EACH)
    ours = worker_process(OURS, env=env, web=False).start()
    eventually(lambda: committed(cluster, env) == 2 * EACH, 60, "Turbine has committed the rest")
    assert ours.terminate() == 0

    assert table(cluster, env) == sums
    outputs = cluster.consume(env["OUT"], 2 * EACH)
    # None of Faust's records was read again.
    assert len(outputs) == 2 * EACH
    places = {(one.key, one.partition) for one in outputs}
    assert places == {(one.key, one.partition) for one in before}, "a key moved"
    assert len(places) == KEYS


def test_a_turbine_app_asks_an_agent_of_faust(
    env: dict[str, str], theirs: Path, tmp_path: Path
) -> None:
    ours = tmp_path / "ours.py"
    ours.write_text(OURS, encoding="utf-8")
    with FaustWorker(theirs, env) as worker:
        worker.wait_output("Worker ready")
        asked = [sys.executable, "-m", "turbine", "-A", str(ours), "question"]
        assert "answer 42" in answer_of(asked, env)


def test_a_faust_app_asks_an_agent_of_turbine(
    env: dict[str, str], theirs: Path, worker_process: MakeWorker
) -> None:
    ours = worker_process(OURS, env=env).start().wait_ready()
    with FaustWorker(theirs, env | {"APP_ID": f"{env['APP_ID']}-asks", "ASKS": "1"}) as worker:
        worker.wait_output("answer 42")
    assert ours.terminate() == 0


def answer_of(asked: list[str], env: dict[str, str]) -> str:
    """Run a command; give what it printed."""
    done = subprocess.run(
        asked, env=os.environ | env, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
