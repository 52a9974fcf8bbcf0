"""A reset counts for state that other machines have too, and for snapshots."""

from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import TopicPartition

import turbine
from support.fixtures import MakeApp, MakeTopic
from support.kafka import Cluster
from support.wait import eventually_async
from turbine._cli_reset import plan

Counts = dict[str, int]


def make(
    app_factory: MakeApp, source: str, guarantee: str, directory: Path, **settings: Any
) -> tuple[turbine.App, Counts]:
    """Return an app whose subscription and agent count rows, and what they have counted."""
    app = app_factory(f"app-{source}", datadir=directory, checkpoint_interval=0.05, **settings)
    table = app.Table("counts", key_type=str, value_type=int, default=int)
    counts: Counts = {}

    @app.subscribe(source, name="rows", processing_guarantee=guarantee)
    def count_rows(batch: pa.RecordBatch, state: turbine.State) -> None:
        counts["rows"] = state.get("rows", 0) + batch.num_rows
        state.put("rows", counts["rows"])

    @app.agent(source, name="events", processing_guarantee=guarantee)
    async def count_events(stream: Any) -> None:
        async for _ in stream:
            table["events"] += 1
            counts["events"] = table["events"]

    return app, counts


class Machines:
    """Machines that run the same app, each with a state directory of its own."""

    def __init__(self, cluster: Cluster, make_app: MakeApp, source: str, guarantee: str) -> None:
        self._cluster, self._source = cluster, source
        self._make = partial(make, make_app, source, guarantee)

    async def count(self, directory: Path, rows: int, **settings: Any) -> Counts:
        """Write so many *rows*, have all read and committed there; what was counted."""
        app, counts = self._make(directory, **settings)
        groups = (f"app-{self._source}", f"app-{self._source}-rows")
        async with app.running():
            self._cluster.produce(self._source, [{"n": n} for n in range(rows)])
            ends = self._cluster.ends(self._source)
            await eventually_async(
                lambda: all(self._cluster.committed(g, self._source) == ends for g in groups),
                why=f"everything is committed up to {ends}",
            )
        return counts

    def reset(self, directory: Path, *, without: int) -> list[str]:
        """Reset the app from there once the oldest records are gone; what was done."""
        gone = TopicPartition(self._source, 0, without)
        self._cluster.admin.delete_records([gone])[gone].result(20)
        app, _ = self._make(directory)
        with plan(app, None, with_changelog=True) as steps:
            for step in steps:
                step.run()
            return [step.what for step in steps]


@pytest.fixture(params=["at_least_once", "exactly_once"])
def machines(
    cluster: Cluster, app_factory: MakeApp, make_topic: MakeTopic, request: pytest.FixtureRequest
) -> Machines:
    """Machines of an app with this guarantee."""
    return Machines(cluster, app_factory, make_topic("in", partitions=1), request.param)


async def test_state_of_another_machine_is_void_after_a_reset(
    machines: Machines, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert await machines.count(one, 4) == {"rows": 4, "events": 4}
    assert await machines.count(two, 2) == {"rows": 6, "events": 6}
    assert machines.reset(one, without=4).count("offsets") == 2
    assert machines.reset(one, without=4) == [], "it is done already"
    assert await machines.count(two, 1) == {"rows": 3, "events": 3}
    assert await machines.count(two, 1) == {"rows": 4, "events": 4}


async def test_snapshots_of_before_a_reset_are_passed_over(
    machines: Machines, tmp_path: Path
) -> None:
    url = {"checkpoint_url": f"file://{tmp_path / 'snapshots'}"}
    assert await machines.count(tmp_path / "one", 4, **url) == {"rows": 4, "events": 4}
    machines.reset(tmp_path / "one", without=3)
    assert await machines.count(tmp_path / "two", 1, **url) == {"rows": 2, "events": 2}
