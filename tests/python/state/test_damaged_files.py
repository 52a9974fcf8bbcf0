"""Files of a store that are not what was written: found at a start or when read, never believed."""

import random
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from support.disks import cut, damage, flip, largest, newest
from support.fixtures import MakeTopic, MakeWorker
from support.kafka import Cluster
from support.keeping import ASIDE, READ, Keeping

BOTH = ["exactly_once", "at_least_once"]
MakeKeeping = Callable[..., Keeping]


@pytest.fixture
def make_keeping(
    worker_process: MakeWorker, make_topic: MakeTopic, cluster: Cluster, tmp_path: Path
) -> MakeKeeping:
    return partial(Keeping, worker_process, make_topic, cluster, tmp_path / "data")


def write_files(keeping: Keeping) -> None:
    """Let the worker keep something, in files: a start writes what is in the log into some."""
    keeping.start()
    keeping.feed(4)
    keeping.wait()
    keeping.worker.kill()
    keeping.start()
    keeping.worker.wait_ready()
    keeping.worker.kill()


@pytest.mark.parametrize(
    ("guarantee", "pattern", "spoil"),
    [
        ("exactly_once", "*.sst", partial(cut, by=7)),
        ("exactly_once", "MANIFEST-*", partial(flip, at=-20)),
        ("at_least_once", "CURRENT", Path.unlink),
    ],
    ids=["a file is cut", "the list of files has another byte", "the list has no name"],
)
def test_damage_that_a_start_finds_is_set_aside_and_restored(
    make_keeping: MakeKeeping, guarantee: str, pattern: str, spoil: Callable[[Path], None]
) -> None:
    keeping = make_keeping(guarantee)
    write_files(keeping)
    spoil(newest(keeping.files, pattern))
    keeping.go_on()
    assert ASIDE in keeping.said()
    keeping.check()


def test_damage_that_is_read_halts_its_partition_and_the_next_start_restores_it(
    make_keeping: MakeKeeping,
) -> None:
    keeping = make_keeping("exactly_once", PAD="20000")
    write_files(keeping)
    # Keys are in the order of partitions: this is the first block.
    flip(largest(keeping.files, "*.sst"), at=100, count=16)
    keeping.start()
    keeping.feed(1)
    keeping.wait(1)
    keeping.worker.wait_output(READ)
    rows = {row["partition"]: row for row in keeping.rows()}
    assert rows[1]["state"] == "running"
    assert "is damaged" in rows[0]["error"]
    assert "in front of the batch" in rows[0]["error"]
    keeping.worker.kill()
    keeping.go_on()
    assert ASIDE in keeping.said()
    keeping.check()


@pytest.mark.parametrize("point", ["commit::prepared", "commit::committed"])
def test_damage_to_a_pending_commit_is_found_and_the_broker_has_the_word(
    make_keeping: MakeKeeping, point: str
) -> None:
    """The commit has taken effect or not: what is on the disk of it cannot tell any more."""
    keeping = make_keeping("exactly_once", TURBINE_FAILPOINTS=f"{point}=1*off->kill")
    written = 0
    while written < 50:
        # It may have been a commit of the subscription that keeps nothing.
        keeping.start()
        keeping.feed(8)
        assert keeping.worker.wait(30) == -signal.SIGKILL
        log = newest(keeping.files, "*.log")
        written = len(log.read_bytes().rstrip(b"\0"))
    # What was written last is the pending commit.
    flip(log, at=written - 50)
    del keeping.worker.env["TURBINE_FAILPOINTS"]
    keeping.go_on()
    keeping.check()


@pytest.mark.slow
@pytest.mark.parametrize("guarantee", BOTH)
def test_whatever_is_damaged_no_output_is_wrong(
    make_keeping: MakeKeeping, guarantee: str, request: pytest.FixtureRequest
) -> None:
    """A worker at work is killed and its files are damaged; ``--damages`` says how often."""
    keeping, dice = make_keeping(guarantee), random.Random(guarantee)
    keeping.start()
    keeping.feed(4)
    keeping.wait()
    for _ in range(request.config.getoption("--damages")):
        keeping.worker.kill()
        what = damage(keeping.files, dice)
        keeping.start()
        keeping.feed(dice.randrange(1, 5))
        # At times it is killed in the middle of it.
        if dice.random() < 0.7:
            keeping.wait_as_a_supervisor(what)
    keeping.wait_as_a_supervisor("what came last")
    keeping.check()
