"""Exactly-once subscriptions that read their topic by another column: both hops are exact."""

import asyncio
import json
import signal
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

import turbine
from support.fixtures import Consume, MakeApp, MakeTopic, MakeWorker, Produce
from support.kafka import Cluster
from support.wait import eventually_async as until
from turbine._repartition import stages

EXACT: dict[str, Any] = {"processing_guarantee": "exactly_once"}
COPY = """
import os
import turbine

app = turbine.App(
    os.environ["APP_ID"],
    broker=os.environ["KAFKA"],
    kafka={"session.timeout.ms": 1_500, "heartbeat.interval.ms": 300},
)

@app.subscribe(
    os.environ["IN"],
    publish_to=os.environ["OUT"],
    name="copy",
    batch_size=50,
    repartition_by="user",
    repartition_partitions=3,
    processing_guarantee="exactly_once",
)
def copy(batch):
    return batch
"""


def clicks(count: int) -> list[dict[str, Any]]:
    return [{"n": n, "user": f"u{n % 7}"} for n in range(count)]


async def test_records_dead_letters_and_offsets_of_both_hops_take_effect_together(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    consume: Consume,
    cluster: Cluster,
) -> None:
    source, out, dead = (make_topic(name, partitions=2) for name in ("in", "out", "dead"))
    app = app_factory()

    @app.subscribe(
        source,
        publish_to=out,
        name="copy",
        repartition_by="user",
        dlq=dead,
        on_error="dlq",
        **EXACT,
    )
    def copy(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    (stage,) = stages(app)
    for partition in range(2):
        rows = [{**row, "n": 1_000 * partition + row["n"]} for row in clicks(300)]
        values = [json.dumps(row).encode() for row in rows]
        produce(source, [*values, b"not json"], partition=partition)
    async with app.running():
        got = await asyncio.to_thread(consume, out, 600)
        letters = await asyncio.to_thread(consume, dead, 2)
        await until(lambda: cluster.committed(stage["to"], source) == {0: 301, 1: 301})
    assert Counter(one.json["n"] for one in got) == Counter(
        {1_000 * p + n: 1 for p in range(2) for n in range(300)}
    )
    assert {one.header["turbine.source.topic"] for one in letters} == {source}
    # The markers of the first hop's transactions are there.
    assert cluster.count(stage["to"]) > len(cluster.consume(stage["to"], 600)) == 600


async def test_a_restart_goes_on_behind_the_last_commit_of_each_hop(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    source, out = make_topic("in", partitions=1), make_topic("out", partitions=1)
    rows = clicks(100)
    for start in (0, 50):
        app = app_factory("exact-hops")

        @app.subscribe(source, publish_to=out, name="copy", repartition_by="user", **EXACT)
        def copy(batch: pa.RecordBatch) -> pa.RecordBatch:
            return batch

        produce(source, rows[start : start + 50])
        async with app.running():
            got = await asyncio.to_thread(consume, out, start + 50)
        assert sorted(one.json["n"] for one in got) == list(range(start + 50))


def test_a_hop_that_others_read_at_least_once_is_exact_for_all() -> None:
    app = turbine.App("hops")
    for name, options in (("exact", EXACT), ("relaxed", {})):
        app.subscribe("in", name=name, publish_to=f"{name}-out", repartition_by="user", **options)(
            lambda batch: batch
        )
    assert [stage["guarantee"] for stage in stages(app)] == ["exactly_once"]


@pytest.mark.parametrize("point", ["commit::mid_produce", "commit::committed"])
def test_a_worker_killed_in_a_commit_neither_loses_nor_repeats(
    point: str,
    worker_process: MakeWorker,
    make_topic: MakeTopic,
    produce: Produce,
    cluster: Cluster,
) -> None:
    env = {"IN": make_topic("in", partitions=2), "OUT": make_topic("out", partitions=1)}
    for partition in range(2):
        rows = [{**row, "n": 1_000 * partition + row["n"]} for row in clicks(400)]
        produce(env["IN"], rows, partition=partition)
    armed = {"TURBINE_FAILPOINTS": f"{point}=3*off->kill"}
    first = worker_process(COPY, env=env | armed, web=False)
    assert first.start().wait(30.0) == -signal.SIGKILL
    second = worker_process(COPY, env=env, web=False).start()
    got = Counter(one.json["n"] for one in cluster.consume(env["OUT"], 800))
    assert got == Counter({1_000 * p + n: 1 for p in range(2) for n in range(400)})
    assert second.terminate() == 0
