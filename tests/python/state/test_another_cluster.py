"""State is of one cluster: one with a topic of the same name has another."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import turbine
from support.brokers import Broker, Embedded
from support.failing import failure_of, runtime_of
from support.kafka import Cluster
from support.wait import eventually_async

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def clusters() -> Iterator[list[Cluster]]:
    """Two clusters that know nothing of each other, each with the topics "in" and "out"."""
    brokers: list[Broker] = [Embedded(), Embedded()]
    made = []
    for broker in brokers:
        broker.start()
        cluster = Cluster(broker.address)
        for topic in ("in", "out"):
            cluster.make_topic_named(topic, 1)
        made.append(cluster)
    yield made
    for broker in brokers:
        broker.stop()


def counting(cluster: Cluster, directory: Path, guarantee: str) -> turbine.App:
    """Make an app that numbers the records of "in", with its state in *directory*."""
    app = turbine.App(
        f"counting-{guarantee}",
        broker=f"kafka://{cluster.address}",
        datadir=directory,
        web_enabled=False,
        checkpoint_interval=0.05,
    )

    def count(batch: pa.RecordBatch, state: turbine.State) -> pa.RecordBatch:
        seen = state.get("seen", 0)
        state.put("seen", seen + batch.num_rows)
        return pa.record_batch({"n": range(seen, seen + batch.num_rows)})

    options: dict[str, Any] = {"processing_guarantee": guarantee}
    app.subscribe("in", publish_to="out", name="count", **options)(count)
    return app


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_state_is_not_taken_to_another_cluster(
    clusters: list[Cluster], tmp_path: Path, guarantee: str
) -> None:
    here, there = clusters
    here.produce("in", [{"x": x} for x in range(20)])
    # As many that the offset of the state is inside the other topic.
    there.produce("in", [{"x": x} for x in range(50)])
    app = counting(here, tmp_path, guarantee)
    async with app.running():
        native, end = runtime_of(app).native, here.count("in")

        def is_through() -> bool:
            return [row["committed"] for row in native.assignments()] == [end]

        await eventually_async(is_through, why="all is committed")
    before = there.count("out")
    said = await failure_of(counting(there, tmp_path, guarantee))
    assert "another_cluster: the state is that of a topic in another Kafka cluster" in said
    assert there.count("out") == before, "nothing of the other topic was worked on"
    # Back at home it goes on where it was.
    here.produce("in", [{"x": 20}])
    app = counting(here, tmp_path, guarantee)
    async with app.running():
        native, end = runtime_of(app).native, here.count("in")
        await eventually_async(is_through, why="all is committed")
