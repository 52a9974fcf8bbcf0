"""What needs no handler is not committed in front of what a handler still has."""

import threading
from collections.abc import Callable

import pyarrow as pa
import pytest

from support.failing import runtime_of
from support.fixtures import Consume, MakeApp, MakeTopic
from support.kafka import Cluster
from support.upstream import Upstream
from support.wait import eventually_async

Behind = Callable[[Cluster, Upstream, str, int], None]


def bad_records(cluster: Cluster, _upstream: Upstream, topic: str, partition: int) -> None:
    """Write a record that nobody can decode."""
    cluster.produce(topic, [b"?"], partition=partition)


def markers(_cluster: Cluster, upstream: Upstream, _topic: str, partition: int) -> None:
    """Write records that are taken back."""
    upstream.write(range(90, 93), partition=partition, commits=False)


@pytest.mark.parametrize("write_behind", [bad_records, markers])
async def test_what_needs_no_handler_waits_for_what_has_one(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    cluster: Cluster,
    consume: Consume,
    write_behind: Behind,
) -> None:
    source, sink, letters = make_topic("in", 2), make_topic("out", 1), make_topic("dlq", 1)
    app, upstream = app_factory(), Upstream(cluster, source)
    has_begun, may_end = threading.Event(), threading.Event()

    @app.subscribe(
        source,
        publish_to=sink,
        name="slow",
        processing_guarantee="exactly_once",
        on_error="dlq",
        dlq=letters,
    )
    def slow(batch: pa.RecordBatch) -> pa.RecordBatch:
        has_begun.set()
        may_end.wait(30)
        return batch

    def at() -> dict[int, tuple[int | None, int | None]]:
        rows = runtime_of(app).native.assignments()
        return {row["partition"]: (row["position"], row["committed"]) for row in rows}

    async with app.running():
        upstream.write(range(3), partition=0)
        await eventually_async(has_begun.is_set, why="the handler has its rows")
        write_behind(cluster, upstream, source, 0)
        end = cluster.ends(source)[0]
        await eventually_async(lambda: at()[0][0] == end, why="it is taken")
        for _ in range(2):
            write_behind(cluster, upstream, source, 1)
            there = cluster.ends(source)[1]
            await eventually_async(lambda: at()[1][1] == there, why="partition 1 is free")  # noqa: B023
        assert at()[0][1] in {None, 0}, "what comes behind the rows is committed before them"
        may_end.set()
        await eventually_async(lambda: at()[0] == (end, end), why="everything is committed")
        assert sorted(got.json["n"] for got in consume(sink, 3)) == [0, 1, 2]
