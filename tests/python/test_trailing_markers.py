"""Markers of transactions and aborted records at the end: positions go on behind them too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import TopicPartition

import turbine
from support.failing import runtime_of
from support.fixtures import MakeApp, MakeTopic
from support.kafka import Cluster
from support.upstream import Upstream
from support.wait import eventually_async
from turbine.testing._reader import TopicReader

PLAIN = "without state"
KINDS = pytest.mark.parametrize("kind", [PLAIN, "at_least_once", "exactly_once"])
Make = Callable[..., tuple[turbine.App, list[int], list[int]]]


def maker(app_factory: MakeApp, source: str, kind: str, **settings: Any) -> Make:
    """Return what makes an app whose subscription and agent note what they read."""

    def make(**more: Any) -> tuple[turbine.App, list[int], list[int]]:
        every = {"checkpoint_interval": 0.05, **settings, **more}
        app = app_factory(f"app-{source}", **every)
        rows: list[int] = []
        events: list[int] = []

        def note(batch: pa.RecordBatch) -> None:
            rows.extend(n.as_py() for n in batch["n"])

        def count(batch: pa.RecordBatch, state: turbine.State) -> None:
            state.put("rows", state.get("rows", 0) + batch.num_rows)
            note(batch)

        counts = None
        options: dict[str, Any] = {}
        if kind != PLAIN:
            counts = app.Table("counts", key_type=str, value_type=int, default=int)
            options = {"processing_guarantee": kind}
        app.subscribe(source, name="rows", **options)(note if kind == PLAIN else count)

        @app.agent(source, name="events", **options)
        async def note_events(stream: Any) -> None:
            async for event in stream:
                if counts is not None:
                    counts[str(event["n"])] += 1
                events.append(event["n"])

        return app, rows, events

    return make


def committed(app: turbine.App) -> set[tuple[str, int, int | None]]:
    """What both have committed of the partitions that they have: name, partition, offset."""
    rows = runtime_of(app).native.assignments()
    return {(row["name"], row["partition"], row["committed"]) for row in rows}


def both_at(ends: dict[int, int]) -> set[tuple[str, int, int | None]]:
    """What both have committed who are at *ends*."""
    return {(name, *end) for name in ("rows", "events") for end in ends.items()}


@KINDS
async def test_a_topic_that_retention_has_emptied_is_no_truncated_one(
    app_factory: MakeApp, make_topic: MakeTopic, cluster: Cluster, kind: str
) -> None:
    source = make_topic("in", partitions=1)
    make = maker(app_factory, source, kind)
    upstream = Upstream(cluster, source)

    async def is_at_the_end(app: turbine.App) -> int:
        end = cluster.count(source)
        await eventually_async(lambda: committed(app) == both_at({0: end}), why=f"both at {end}")
        return end

    upstream.write(range(90, 94), commits=False)
    app, *read = make()
    async with app.running():
        assert await is_at_the_end(app) == 5, "nothing but what was aborted"
        upstream.write(range(4))
        upstream.write(range(94, 98), commits=False)
        end = await is_at_the_end(app)
    assert read == [[0, 1, 2, 3], [0, 1, 2, 3]]
    gone = TopicPartition(source, 0, end)
    cluster.admin.delete_records([gone])[gone].result(20)
    app, *read = make()
    async with app.running():
        if kind != PLAIN:
            await eventually_async(
                lambda: committed(app) == both_at({0: end}), why="nothing is missing"
            )
        upstream.write(range(4, 6))
        await is_at_the_end(app)
    assert read == [[4, 5], [4, 5]]


async def test_who_reads_what_is_not_committed_misses_nothing_of_it(
    app_factory: MakeApp, make_topic: MakeTopic, cluster: Cluster
) -> None:
    source = make_topic("in", partitions=1)
    upstream = Upstream(cluster, source)
    upstream.write(range(3))
    upstream.write(range(3, 6), commits=False)
    kafka = {"isolation.level": "read_uncommitted"}
    app, rows, events = maker(app_factory, source, "at_least_once", kafka=kafka)()
    async with app.running():
        end = cluster.count(source)
        await eventually_async(lambda: committed(app) == both_at({0: end}), why=f"both at {end}")
        upstream.write_and_die(range(6, 9))
        await eventually_async(
            lambda: committed(app) == both_at({0: end + 3}), why="nobody has ended it"
        )
    assert (rows, events) == (list(range(9)), list(range(9)))


@KINDS
async def test_positions_behind_markers_stay_right_over_rebalances(
    app_factory: MakeApp, make_topic: MakeTopic, cluster: Cluster, tmp_path: Path, kind: str
) -> None:
    source = make_topic("in", partitions=2)
    make = maker(app_factory, source, kind)
    upstream = Upstream(cluster, source)
    both = [make(datadir=tmp_path / name) for name in ("first", "second")]
    (first, *_), (second, *_) = both
    wanted: list[int] = []

    def write() -> None:
        for partition in range(2):
            rows = range(len(wanted), len(wanted) + 3)
            upstream.write(rows, partition=partition)
            upstream.write(range(1_000, 1_003), partition=partition, commits=False)
            wanted.extend(rows)

    async def settled(*apps: turbine.App, each: int) -> None:
        ends, groups = cluster.ends(source), (f"app-{source}", f"app-{source}-rows")

        def is_there() -> bool:
            # Who has just got a partition has not committed anything of it.
            shares = [len(runtime_of(app).native.assignments()) for app in apps]
            at = [cluster.committed(group, source) for group in groups]
            return shares == [2 * each] * len(apps) and at == [ends, ends]

        await eventually_async(is_there, why="at the ends")

    write()
    async with first.running():
        await settled(first, each=2)
        async with second.running():
            await settled(first, second, each=1)
            write()
            await settled(first, second, each=1)
        await settled(first, each=2)
        write()
        await settled(first, each=2)
    assert sorted(n for _, rows, _ in both for n in rows) == wanted
    assert sorted(n for _, _, events in both for n in events) == wanted


def test_a_reader_of_a_whole_topic_comes_to_its_end_behind_an_aborted_tail(
    make_topic: MakeTopic, cluster: Cluster
) -> None:
    topic = make_topic("out", partitions=2)
    upstream = Upstream(cluster, topic)
    upstream.write(range(2), partition=0)
    upstream.write_and_die(range(90, 95), partition=0)
    # Whoever comes after it ends what it has left open.
    upstream = Upstream(cluster, topic)
    reader = TopicReader(cluster.address, topic)
    try:
        assert [raw.value for raw in reader.records()] == [b'{"n": 0}', b'{"n": 1}']
        upstream.write(range(2, 3), partition=1)
        upstream.write(range(90, 95), partition=1, commits=False)
        values = [raw.value for raw in reader.records()]
    finally:
        reader.close()
    assert values == [b'{"n": 0}', b'{"n": 1}', b'{"n": 2}']
