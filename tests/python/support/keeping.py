"""The app ``keep_and_copy``: its worker, its rows, and whether its outputs follow from them."""

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

from support.apps import source
from support.fixtures import MakeTopic, MakeWorker
from support.kafka import Cluster
from support.wait import eventually

ASIDE = "all its partitions are restored from changelog, snapshot or input"
READ = "start the worker again"
"""Ends what is said of damage that a start finds, and of damage that is read."""
USERS = ["ann", "bob", "cid"]
PARTITIONS = 2


class Keeping:
    """
    A worker with state on two partitions, and beside it a subscription without any.

    Args:
        worker_process: Prepares the worker.
        make_topic: Creates its topics.
        cluster: Where they are.
        data: Its state directory.
        guarantee: What it promises.
        env: More variables.
    """

    def __init__(
        self,
        worker_process: MakeWorker,
        make_topic: MakeTopic,
        cluster: Cluster,
        data: Path,
        guarantee: str,
        **env: str,
    ) -> None:
        self._cluster = cluster
        self._is_exact = guarantee == "exactly_once"
        self._fed = [0] * PARTITIONS
        self._topic = make_topic("in", PARTITIONS)
        self._out, self._copies = make_topic("out", 1), make_topic("copies", 1)
        more = {"DATA": str(data), "GUARANTEE": guarantee, "PAD": "2000", **env}
        named = {"IN": self._topic, "OUT": self._out, "COPIES": self._copies}
        self.worker = worker_process(source("keep_and_copy"), env=named | more)
        self.files = data / "state" / "rocksdb"
        self._from = 0

    def start(self) -> None:
        """Start the worker; what it says from now on is what `said` returns."""
        self._from = len(self.worker.output())
        self.worker.start()

    def said(self) -> str:
        """Everything that the worker wrote since its last start."""
        return self.worker.output()[self._from :]

    def feed(self, each: int, partitions: tuple[int, ...] = (0, 1)) -> None:
        """Write *each* more rows of every user of these partitions."""
        for partition in partitions:
            rows = [{"user": f"{user}{partition}"} for _ in range(each) for user in USERS]
            self._cluster.produce(self._topic, rows, partition=partition)
            self._fed[partition] += each

    def is_through(self, partition: int) -> bool:
        """Say whether the newest outputs of *partition* are those of its last rows."""
        newest = {row["user"]: row["n"] for row in self.outputs()}
        for user in (f"{user}{partition}" for user in USERS):
            assert newest.get(user) == self._fed[partition], f"{user}: {newest.get(user)}"
        return True

    def wait(self, *partitions: int, deadline_s: float = 30.0) -> None:
        """Wait until everything of these partitions, or of all, is through."""
        for partition in partitions or range(PARTITIONS):
            eventually(partial(self.is_through, partition), deadline_s, f"partition {partition}")

    def go_on(self) -> None:
        """Start the worker again, with one more row of every user; wait until all is through."""
        self.start()
        self.feed(1)
        self.wait()

    def wait_as_a_supervisor(self, behind: str) -> None:
        """
        Wait until everything is through; a worker that finds its state damaged is started again.

        Args:
            behind: What has happened, for the message.
        """

        def is_through() -> bool:
            if READ in self.said():
                if self.worker.is_alive():
                    self.worker.kill()
                self.start()
            return all(self.is_through(partition) for partition in range(PARTITIONS))

        eventually(is_through, 60, f"everything is through, behind {behind}")

    def rows(self) -> list[dict[str, Any]]:
        """The partitions of what has state, as ``/assignments`` shows them."""
        return [row for row in self.worker.assignments() if row["name"] == "keep"]

    def wait_for_copies(self) -> None:
        """Wait until the subscription without state has copied everything."""
        wanted = len(USERS) * sum(self._fed)
        eventually(
            lambda: len(self._cluster.consume(self._copies, 0)) >= wanted, 30, "all is copied"
        )

    def outputs(self) -> list[dict[str, Any]]:
        """What is committed."""
        return [one.json for one in self._cluster.consume(self._out, 0)]

    def check(self) -> None:
        """Each user was counted without a gap; exactly-once, once, and by one chain of states."""
        seen: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in self.outputs():
            seen[row["user"]].append(row)
        for partition, fed in enumerate(self._fed):
            for user in (f"{user}{partition}" for user in USERS):
                numbers = [row["n"] for row in seen[user]]
                if not self._is_exact:
                    assert set(numbers) == set(range(1, fed + 1)), f"{user}: {numbers}"
                    continue
                assert numbers == list(range(1, fed + 1)), f"{user}: {numbers}"
                links = [row["after"] for row in seen[user]]
                assert [row["before"] for row in seen[user]] == [0, *links[:-1]], user
