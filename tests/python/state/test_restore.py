"""State that a machine has lost comes back: from its changelog, or by a checked replay."""

import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.fixtures import MakeTopic, MakeWorker, Produce
from support.kafka import Cluster
from support.wait import eventually
from support.workers import WorkerProcess

SOURCE = """
import os
import random
import pyarrow as pa
import turbine

app = turbine.App(
    os.environ["APP_ID"],
    broker=os.environ["KAFKA"],
    datadir=os.environ["DATA"],
    # A worker that was killed is a member of its group for so long.
    kafka={"session.timeout.ms": 1_500, "heartbeat.interval.ms": 300},
    checkpoint_interval=0.05,
    broker_commit_interval=0.02,
)
MORE = {}
if os.environ["GUARANTEE"] == "exactly_once" and "ON_CRASH" in os.environ:
    MORE["on_crash_recovery"] = os.environ["ON_CRASH"]
if "LIMIT" in os.environ:
    MORE["halt_if_gap_exceeds"] = int(os.environ["LIMIT"])

@app.subscribe(
    os.environ["SOURCE"],
    publish_to=os.environ["TARGET"],
    name="totals",
    batch_size=7,
    processing_guarantee=os.environ["GUARANTEE"],
    changelog=os.environ.get("CHANGELOG") != "no",
    **MORE,
)
def totals(batch, state, ctx):
    print("batch", ctx.batch_id, ctx.is_replay)
    users, seen, before, after = batch["user"].to_pylist(), [], [], []
    for user in users:
        entry = state.get(user) or {"n": 0, "nonce": 0}
        before.append(entry["nonce"])
        nonce = random.randrange(1, 1 << 50) if os.environ.get("RANDOM") else entry["nonce"] + 3
        entry = {"n": entry["n"] + 1, "nonce": nonce}
        state.put(user, entry)
        seen.append(entry["n"])
        after.append(entry["nonce"])
    return pa.record_batch(
        {"user": users, "n": seen, "before": before, "after": after}
    )
"""

USERS = ["ann", "bob", "cid"]


@pytest.fixture
def topics(make_topic: MakeTopic) -> tuple[str, str]:
    """An input and an output, with a partition and with two."""
    return make_topic("in", partitions=1), make_topic("out", partitions=1)


def rows(count: int, start: int = 0) -> list[dict[str, str]]:
    """Rows of three users, in turns."""
    return [{"user": USERS[i % len(USERS)]} for i in range(start, start + count)]


def check_chains(outputs: list[dict[str, Any]], each: int, *, exactly: bool) -> None:
    """Each user was counted up to *each* without a gap; once, in one chain, if *exactly*."""
    seen: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in outputs:
        seen[row["user"]].append(row)
    for user in USERS:
        numbers = [row["n"] for row in seen[user]]
        if not exactly:
            assert set(numbers) == set(range(1, each + 1)), f"{user}: {numbers}"
            continue
        assert numbers == list(range(1, each + 1)), f"{user}: {numbers}"
        links = [row["after"] for row in seen[user]]
        assert [row["before"] for row in seen[user]] == [0, *links[:-1]], user


class Line:
    """A worker that counts, its input and its output."""

    def __init__(
        self, worker_process: MakeWorker, topics: tuple[str, str], cluster: Cluster, **env: str
    ) -> None:
        self.source, self.target = topics
        self._cluster = cluster
        self._fed = 0
        self._make = worker_process
        self._env = {"SOURCE": self.source, "TARGET": self.target, **env}
        self.worker = self.make()

    def make(self, data: str = "data") -> WorkerProcess:
        """Another worker of the same app, with a state directory of its own."""
        return self._make(SOURCE, app_id=f"app-{self.source}", env={**self._env, "DATA": data})

    @property
    def data(self) -> Path:
        return self.worker.directory / "data"

    def outputs(self, count: int) -> list[dict[str, Any]]:
        """The outputs, at least so many."""
        return [one.json for one in self._cluster.consume(self.target, count)]

    def feed(self, count: int) -> None:
        """Write *count* more rows."""
        self._cluster.produce(self.source, rows(count, self._fed))
        self._fed += count

    def count_and_crash(self, count: int) -> None:
        """Let the worker count *count* rows; then it is killed, and its disk is lost."""
        self.feed(count)
        self.worker.start()
        self.outputs(count)
        self.crash()

    def go_on(self, count: int) -> list[dict[str, Any]]:
        """Start the worker again with *count* more rows; all outputs, once they are there."""
        self.feed(count)
        self.worker.start()
        return self.outputs(self._fed)

    def crash(self) -> None:
        """Kill the worker, and lose its disk."""
        self.worker.kill()
        assert self.data.is_dir()
        shutil.rmtree(self.data)

    def wait_for(self, each: int) -> None:
        """Wait until every user was counted up to *each*."""

        def is_there() -> bool:
            newest = {row["user"]: row["n"] for row in self.outputs(3)}
            return all(newest.get(user) == each for user in USERS)

        eventually(is_there, 20, f"everybody was counted up to {each}")


MakeLine = Callable[..., Line]


@pytest.fixture
def make_line(worker_process: MakeWorker, topics: tuple[str, str], cluster: Cluster) -> MakeLine:
    return partial(Line, worker_process, topics, cluster)


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_a_lost_disk_costs_no_state(make_line: MakeLine, guarantee: str) -> None:
    line = make_line(GUARANTEE=guarantee, RANDOM="yes")
    line.count_and_crash(90)
    outputs = line.go_on(90)
    if guarantee == "exactly_once":
        check_chains(outputs, 60, exactly=True)
        gaps = 'turbine_eos_state_gap_events{worker="totals-p0"} 0'
        assert gaps in line.worker.get("/metrics")[1]
    else:
        line.wait_for(60)
        check_chains(line.outputs(180), 60, exactly=False)
    assert "commits restored from" in line.worker.output()


def test_a_replay_is_silent_and_compared(make_line: MakeLine) -> None:
    line = make_line(GUARANTEE="exactly_once", CHANGELOG="no")
    line.count_and_crash(90)
    check_chains(line.go_on(90), 60, exactly=True)
    assert 'turbine_eos_state_gap_events{worker="totals-p0"} 1' in line.worker.get("/metrics")[1]
    assert "the handler sees 90 records again" in line.worker.output()
    # What was replayed is in the store: the next start has nothing to do.
    line.worker.kill()
    check_chains(line.go_on(3), 61, exactly=True)
    check_batches(line)


def check_batches(line: Line) -> None:
    """Of 183 rows the first 90 were seen twice, the second time as a replay of the same batches."""
    batches = re.findall(rf"batch {line.source}-0-(\d+) (\w+)", line.worker.output())
    first = [int(offset) for offset, is_replay in batches if is_replay == "False"]
    again = [int(offset) for offset, is_replay in batches if is_replay == "True"]
    assert first == sorted(set(first)), "the name of a batch is its own"
    assert first[0] == again[0] == 0
    assert again == [offset for offset in again if offset < 90]
    assert {offset for offset in first if offset < 90} == set(again)


def test_a_replay_that_gives_something_else_halts(make_line: MakeLine) -> None:
    line = make_line(GUARANTEE="exactly_once", CHANGELOG="no", RANDOM="yes")
    line.count_and_crash(30)
    line.worker.start()
    assert line.worker.wait() == 1, "no partition is left that can go on"
    assert "replay_diverged" in line.worker.output()
    assert len(line.outputs(30)) == 30, "nothing was written again"


def test_a_gap_is_accepted_where_that_is_asked_for(make_line: MakeLine) -> None:
    line = make_line(
        GUARANTEE="exactly_once",
        CHANGELOG="no",
        ON_CRASH="accept",
    )
    line.count_and_crash(30)
    check_chains(line.go_on(30)[30:], 10, exactly=True)
    assert "goes on without them" in line.worker.output()


def test_a_gap_that_is_too_large_ends_the_worker(make_line: MakeLine) -> None:
    line = make_line(
        GUARANTEE="exactly_once",
        CHANGELOG="no",
        ON_CRASH="accept",
        LIMIT="29",
    )
    line.count_and_crash(30)
    line.worker.start()
    assert line.worker.wait() == 3
    assert "gap_too_large" in line.worker.output()


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_state_moves_between_workers_without_a_gap(
    worker_process: MakeWorker,
    make_topic: MakeTopic,
    produce: Produce,
    cluster: Cluster,
    guarantee: str,
) -> None:
    topics = make_topic("in", partitions=2), make_topic("out", partitions=1)
    line = Line(worker_process, topics, cluster, GUARANTEE=guarantee, RANDOM="yes")

    def write(start: int) -> None:
        for partition in range(2):
            named = [{"user": f"{row['user']}{partition}"} for row in rows(30, start)]
            produce(line.source, named, partition=partition)

    first, second = line.worker, line.make("other")
    write(0)
    first.start().wait_ready()
    line.outputs(60)
    second.start().wait_ready()
    eventually(lambda: len(second.assignments()) == 1, 20, "the second worker has a partition")
    write(30)
    line.outputs(120)
    first.terminate()
    eventually(lambda: len(second.assignments()) == 2, 20, "the second worker has both")
    write(60)
    outputs = line.outputs(180)
    for partition in range(2):
        mine = [row for row in outputs if row["user"].endswith(str(partition))]
        named = [{**row, "user": row["user"][:-1]} for row in mine]
        check_chains(named, 30, exactly=guarantee == "exactly_once")
