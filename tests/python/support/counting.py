"""A worker whose agents count into tables, and what must be true however often it is killed."""

import shutil
from collections import Counter
from typing import Any

from support.apps import source
from support.fixtures import MakeTopic, MakeWorker
from support.kafka import Cluster
from support.wait import eventually
from support.workers import WorkerProcess

KEYS = 37


class Counting:
    """
    The worker, its input and its output, with two partitions each.

    Args:
        worker_process: Makes the worker.
        make_topic: Makes the topics.
        cluster: Their broker.
        guarantee: The worker's processing guarantee.
        inputs: Topics that its agents read, all into the same tables.

    Attributes:
        another: Makes a second worker of the same app, on a machine of its own.
    """

    def __init__(
        self,
        worker_process: MakeWorker,
        make_topic: MakeTopic,
        cluster: Cluster,
        guarantee: str,
        inputs: int = 1,
    ) -> None:
        self._cluster = cluster
        self._topics = [make_topic(f"in{index}", partitions=2) for index in range(inputs)]
        self._out = make_topic("out", partitions=2)
        env = {"IN": ",".join(self._topics), "OUT": self._out, "GUARANTEE": guarantee}

        def make() -> WorkerProcess:
            return worker_process(source("count_in_tables"), env=env, web=False)

        self.another = make
        self.worker = make()
        self.group = self.worker.env["APP_ID"]
        self.total = 0

    def write(self, count: int) -> None:
        """Write the next *count* numbers."""
        for index, topic in enumerate(self._topics):
            numbers = range(self.total + index, self.total + count, len(self._topics))
            self._cluster.produce(topic, numbers, keys=[f"k{n % KEYS}" for n in numbers])
        self.total += count

    def wait_committed(self, rows: int) -> None:
        """Wait until at least *rows* rows are committed."""

        def reached() -> bool:
            each = [self._cluster.committed(self.group, topic) for topic in self._topics]
            return sum(sum(offsets.values()) for offsets in each) >= rows

        eventually(reached, 30, f"{rows} rows are committed")

    def kill_while_it_works(self, times: int) -> None:
        """Write, start the worker, and kill it once it has written some outputs; so many times."""
        for _ in range(times):
            self.write(3_000)
            wanted = self._cluster.count(self._out) + 500
            self.worker.start()
            eventually(lambda: self._cluster.count(self._out) > wanted, 30)  # noqa: B023 - at once
            self.worker.kill()

    def finish(self, rows: int = 100) -> None:
        """Write *rows* more, let the worker commit everything, and stop it."""
        self.write(rows)
        self.worker.start()
        self.wait_committed(self.total)
        assert self.worker.terminate() == 0

    def lose_the_disk(self) -> None:
        """Delete what the worker, which has ended, kept on this machine."""
        shutil.rmtree(self.worker.directory / f"{self.group}-data")

    @property
    def wanted(self) -> Counter[str]:
        """How many rows each key has."""
        return Counter(f"k{n % KEYS}" for n in range(self.total))

    def outputs(self) -> list[dict[str, Any]]:
        """Everything that was written; at least one output for each row."""
        return [one.json for one in self._cluster.consume(self._out, self.total)]

    def check_tables(self) -> None:
        """What the changelogs end with is what the rows give, none left out, none taken twice."""
        changes = self._cluster.consume(f"{self.group}-counts-changelog", KEYS)
        last = {one.key: one.value for one in changes}
        assert last == {key.encode(): str(n).encode() for key, n in self.wanted.items()}
        sums = self._cluster.consume(f"{self.group}-sums-changelog", 2)
        by_partition = {one.partition: int(one.value or b"") for one in sums}
        assert sum(by_partition.values()) == sum(range(self.total))

    def check_exact_outputs(self) -> None:
        """Each row has one output, and the counts of a key are 1, 2, 3 ..."""
        outputs = self.outputs()
        assert sorted(one["n"] for one in outputs) == list(range(self.total))
        for key, count in self.wanted.items():
            seen = [one["count"] for one in outputs if one["key"] == key]
            assert seen == list(range(1, count + 1))
