"""A disk without room: what stands still says so, what needs no disk goes on, nothing is lost."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.disks import SmallDisk
from support.fixtures import MakeTopic, MakeWorker
from support.kafka import Cluster
from support.keeping import Keeping
from support.snapshots import take
from support.wait import eventually
from support.workers import WorkerProcess
from turbine import _cli_doctor

GUARANTEES = ["exactly_once", "at_least_once"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of its own for state."""
    disk = SmallDisk(tmp_path / "disk", 16)
    yield disk
    disk.close()


def halted(worker: WorkerProcess) -> list[dict[str, Any]]:
    """The partitions that stand still."""
    try:
        return [row for row in worker.assignments() if row["state"] == "failed"]
    except OSError:
        return []


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_a_full_disk_halts_what_has_state_and_loses_nothing(
    disk: SmallDisk,
    worker_process: MakeWorker,
    make_topic: MakeTopic,
    cluster: Cluster,
    guarantee: str,
) -> None:
    data = disk.place / "data"
    keeping = Keeping(worker_process, make_topic, cluster, data, guarantee, PAD="100000")
    worker = keeping.worker
    keeping.start()
    worker.wait_ready()
    keeping.feed(1)
    keeping.wait()
    disk.fill()
    keeping.feed(8)
    eventually(lambda: halted(worker), 60, "the disk is full")
    # One store has the state of both: the other one stands still with what it writes next.
    keeping.feed(1)
    eventually(lambda: len(halted(worker)) == 2, 60, "the disk is full")
    for row in halted(worker):
        assert "No space left on device" in row["error"]
        assert "see that the disk has room" in row["error"]
        assert "until the worker is started again" in row["error"]
        told = _cli_doctor._running(row, {"keep": {"keep"}})
        assert told["code"] in {"store_failed", "not_applied"}
        assert "nothing has to be reset" in _cli_doctor.words(told["code"])
        assert _cli_doctor.commands("turbine", told) == []
    keeping.feed(1)
    keeping.wait_for_copies()
    assert worker.get("/health")[0] == 503
    worker.terminate()

    # Whoever starts it again before there is room is told the same.
    ballast = disk.fill()
    keeping.start()
    eventually(lambda: len(halted(worker)) == 2, 30, "there is no room yet")
    assert "has room" in halted(worker)[0]["error"]
    worker.terminate()

    ballast.unlink()
    keeping.start()
    keeping.feed(1)
    keeping.wait()
    keeping.check()
    assert worker.terminate() == 0


def test_a_place_of_snapshots_without_room_holds_nothing_up(
    disk: SmallDisk,
    worker_process: MakeWorker,
    make_topic: MakeTopic,
    cluster: Cluster,
    tmp_path: Path,
) -> None:
    env = {"TURBINE_CHECKPOINT_URL": f"file://{disk.place}/snapshots", "PAD": "100000"}
    keeping = Keeping(worker_process, make_topic, cluster, tmp_path / "data", "exactly_once", **env)
    keeping.start()
    keeping.worker.wait_ready()
    keeping.feed(2)
    keeping.wait()
    ballast = disk.fill()
    assert "No space left on device" in take(keeping.worker)["error"]
    keeping.feed(2)
    keeping.wait()
    ballast.unlink()
    length = 'turbine_changelog_records{worker="keep-p0"} '
    eventually(lambda: length in keeping.worker.get("/metrics")[1], 30, "it has a length")
    eventually(lambda: take(keeping.worker)["error"] is None, 30, "there is room again")
    # Nothing of the attempt that failed is left in the way of a restore.
    keeping.worker.kill()
    shutil.rmtree(tmp_path / "data")
    keeping.go_on()
    assert "restored from a snapshot" in keeping.said()
    keeping.check()
