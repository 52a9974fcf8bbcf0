"""A machine is lost with its disk: its state comes back from a snapshot, and from the input."""

import contextlib
import json
import shutil
import signal
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.fixtures import MakeTopic, MakeWorker
from support.kafka import Cluster
from support.wait import eventually
from support.workers import WorkerProcess

COUNTS = """
import os
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

@app.subscribe(
    os.environ["IN"],
    publish_to=os.environ["OUT"],
    name="counts",
    batch_size=7,
    processing_guarantee=os.environ["GUARANTEE"],
    changelog=os.environ.get("CHANGELOG") == "yes",
)
def counts(batch, state, ctx):
    users, seen = batch["user"].to_pylist(), []
    for user in users:
        count = (state.get(user) or 0) + 1
        state.put(user, count)
        seen.append(count)
    return pa.record_batch({"user": users, "n": seen})
"""

USERS = ["ann", "bob", "cid"]


def rows(count: int) -> list[dict[str, str]]:
    return [{"user": USERS[n % len(USERS)]} for n in range(count)]


def take(worker: WorkerProcess) -> dict[str, Any]:
    """Have a snapshot taken; what `/snapshots` says of it."""
    answer = httpx.post(f"http://127.0.0.1:{worker.port}/snapshots", timeout=10)
    number = answer.json()["tasks"][0]["asked"]

    def row() -> dict[str, Any]:
        found: dict[str, Any] = worker.get("/snapshots")[1]["tasks"][0]
        return found

    eventually(lambda: row()["answered"] >= number, 60, "the snapshot is answered")
    return row()


def take_all(worker: WorkerProcess, offset: int) -> None:
    """Have snapshots taken until one has *offset* records; outputs come before the state."""
    eventually(lambda: take(worker)["next"] == offset, 30, "a snapshot has everything")


def parts(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for space in manifest["spaces"] for part in space["parts"]]


def _made(manifest: Path) -> int:
    return int(json.loads(manifest.read_text())["created_ms"])


class Machine:
    """A worker, its disk, and what goes in and out."""

    def __init__(
        self,
        guarantee: str,
        place: Path,
        make_topic: MakeTopic,
        cluster: Cluster,
        changelog: str = "no",
    ) -> None:
        self.place = place
        self.source, self.target = (make_topic(name, partitions=1) for name in ("in", "out"))
        self.cluster, self.data, self.is_exact = cluster, place / "data", "exactly" in guarantee
        self.env = {
            "IN": self.source,
            "OUT": self.target,
            "DATA": str(self.data),
            "GUARANTEE": guarantee,
            "CHANGELOG": changelog,
            "TURBINE_CHECKPOINT_URL": f"file://{place}/snapshots",
        }

    def send(self, count: int) -> None:
        self.cluster.produce(self.source, rows(count))

    def lose(self) -> None:
        """What was on its disk."""
        shutil.rmtree(self.data)

    def damage_the_newest(self) -> None:
        """Cut the files that only the newest snapshot has."""
        manifests = sorted(self.place.glob("snapshots/**/manifests/*"), key=_made)
        named = [
            {(part["epoch"], part["sha256"]) for part in parts(json.loads(one.read_text()))}
            for one in manifests
        ]
        only = named[-1] - set().union(*named[:-1])
        assert only, "the newest snapshot has a file of its own"
        for file in self.place.glob("snapshots/**/parts/*"):
            if any(sha in file.name for _, sha in only):
                file.write_bytes(file.read_bytes()[:-1] + b"?")

    def check(self, each: int) -> None:
        """Wait until every user was counted so often; without a gap, and if exactly, once."""
        eventually(
            lambda: [max(n, default=0) for n in self.counted()] == [each] * 3, 60, "all are counted"
        )
        for numbers in self.counted():
            assert set(numbers) == set(range(1, each + 1))
            if self.is_exact:
                assert numbers == sorted(set(numbers)), "an output came twice"

    def counted(self) -> list[list[int]]:
        seen = defaultdict(list)
        for record in self.cluster.consume(self.target, 0):
            row = record.json
            seen[row["user"]].append(row["n"])
        return [seen[user] for user in USERS]


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_state_comes_back_from_a_snapshot_when_there_is_nothing_else(
    guarantee: str,
    worker_process: MakeWorker,
    make_topic: MakeTopic,
    cluster: Cluster,
    tmp_path: Path,
) -> None:
    machine = Machine(guarantee, tmp_path, make_topic, cluster)
    machine.send(60)
    worker = worker_process(COUNTS, env=machine.env).start().wait_ready()
    take_all(worker, 60)
    machine.send(30)
    machine.check(30)
    worker.kill()
    machine.lose()

    worker.start()
    worker.wait_output("restored from a snapshot of offset 60")
    machine.send(30)
    machine.check(40)
    assert worker.terminate() == 0


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_changelog_keeps_what_the_oldest_snapshot_lacks(
    guarantee: str,
    worker_process: MakeWorker,
    make_topic: MakeTopic,
    cluster: Cluster,
    tmp_path: Path,
) -> None:
    machine = Machine(guarantee, tmp_path, make_topic, cluster, changelog="yes")
    worker = worker_process(COUNTS, app_id=f"app-{machine.source}", env=machine.env)
    log = f"app-{machine.source}-counts-changelog"
    machine.send(30)
    worker.start().wait_ready()
    take_all(worker, 30)
    machine.send(30)
    machine.check(20)
    take_all(worker, 60)
    eventually(lambda: cluster.start(log) > 0, why="what both snapshots have is deleted")
    assert cluster.start(log) < cluster.ends(log)[0]
    machine.send(30)
    machine.check(30)

    worker.kill()
    machine.lose()
    worker.start()
    worker.wait_output("restored from a snapshot of offset 60")
    machine.send(30)
    machine.check(40)

    worker.kill()
    machine.lose()
    machine.damage_the_newest()
    worker.start()
    worker.wait_output("restored from a snapshot of offset 30")
    machine.send(30)
    machine.check(50)
    said = worker.output()
    assert "sees" not in said, "the changelog has the rest: no record is replayed"
    assert worker.terminate() == 0


@pytest.mark.slow
def test_a_crash_at_any_point_of_a_snapshot_or_a_restore_is_got_over(
    worker_process: MakeWorker, make_topic: MakeTopic, cluster: Cluster, tmp_path: Path
) -> None:
    """Each point is reached: the process ends there."""
    machine = Machine("exactly_once", tmp_path, make_topic, cluster)
    sent = 0

    def start(point: str = "") -> WorkerProcess:
        env = machine.env | ({"TURBINE_FAILPOINTS": f"{point}=kill"} if point else {})
        return worker_process(COUNTS, env=env).start()

    for point in ("snapshot::uploaded", "snapshot::completed"):
        machine.send(30)
        sent += 10
        worker = start(point).wait_ready()
        machine.check(sent)
        with contextlib.suppress(httpx.TransportError):
            httpx.post(f"http://127.0.0.1:{worker.port}/snapshots", timeout=10)
        assert worker.wait() == -signal.SIGKILL, point
    for point in ("snapshot::fetched", "snapshot::cleared", "snapshot::loaded"):
        worker = start().wait_ready()
        take_all(worker, 3 * sent)
        worker.kill()
        machine.lose()
        assert start(point).wait() == -signal.SIGKILL, point
        machine.send(30)
        sent += 10
        worker = start()
        machine.check(sent)
        worker.kill()
