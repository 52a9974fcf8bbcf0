"""State is of one topic: one of the same name that was created later is another."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import turbine
from support.failing import failure_of, runtime_of
from support.fixtures import MakeApp, MakeTopic
from support.kafka import Cluster
from support.wait import eventually_async

GUARANTEES = pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])


class Counting:
    """An app that numbers the records of a topic."""

    def __init__(
        self, make: MakeApp, make_topic: MakeTopic, cluster: Cluster, guarantee: str
    ) -> None:
        self.source, self.target = (make_topic(name, partitions=1) for name in ("in", "out"))
        self.cluster, self._make, self._guarantee = cluster, make, guarantee
        self.app = self.make()

    def make(self) -> turbine.App:
        app = self._make("app-" + self.source, checkpoint_interval=0.05)

        def count(batch: pa.RecordBatch, state: turbine.State) -> pa.RecordBatch:
            seen = state.get("seen", 0)
            state.put("seen", seen + batch.num_rows)
            return pa.record_batch({"n": range(seen, seen + batch.num_rows)})

        options: dict[str, Any] = {"processing_guarantee": self._guarantee}
        app.subscribe(self.source, publish_to=self.target, name="count", **options)(count)
        return app

    async def take(self, records: int) -> None:
        """Run until so many more records are committed, and their state with them."""
        self.cluster.produce(self.source, [{"x": x} for x in range(records)])
        end = self.cluster.count(self.source)
        app = self.make()
        async with app.running():
            native = runtime_of(app).native

            def is_through() -> bool:
                return [row["committed"] for row in native.assignments()] == [end]

            await eventually_async(is_through, why="all is committed")

    def numbers(self, at_least: int) -> list[int]:
        return [one.json["n"] for one in self.cluster.consume(self.target, at_least)]


@pytest.fixture
def counting(
    app_factory: MakeApp, make_topic: MakeTopic, cluster: Cluster, guarantee: str
) -> Counting:
    return Counting(app_factory, make_topic, cluster, guarantee)


@GUARANTEES
async def test_a_topic_that_was_created_again_is_not_taken_for_the_old_one(
    counting: Counting,
) -> None:
    await counting.take(20)
    counting.cluster.remake_topic(counting.source)
    # As many that the offset of the state is inside the new topic.
    counting.cluster.produce(counting.source, [{"x": x} for x in range(50)])
    said = await failure_of(counting.make())
    assert "another_topic: the topic was deleted and created again" in said
    assert counting.numbers(20) == list(range(20)), "nothing of the new topic was worked on"


@GUARANTEES
async def test_without_local_state_the_changelog_of_the_old_topic_is_left_out(
    counting: Counting, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await counting.take(20)
    counting.cluster.remake_topic(counting.source)
    shutil.rmtree(tmp_path / f"app-{counting.source}")
    await counting.take(5)
    await counting.take(3)
    assert counting.numbers(28) == [*range(20), *range(8)]
    # Both of them are in the changelog now.
    shutil.rmtree(tmp_path / f"app-{counting.source}")
    await counting.take(2)
    assert counting.numbers(30) == [*range(20), *range(10)]
    assert "as it was before it was deleted" in caplog.text
