"""Offsets without a record for the application, and topics that begin anew."""

# ruff: noqa: PERF401 - a comprehension over a stream would never have a value

import asyncio
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import Producer
from confluent_kafka.cimpl import NewTopic, TopicPartition

from support.failing import runtime_of
from support.fixtures import MakeApp, MakeTopic, Produce
from support.kafka import Cluster
from support.wait import eventually
from support.wait import eventually_async as until


@pytest.mark.kafka
async def test_transaction_markers_and_aborted_records_hold_nothing_up(
    app_factory: MakeApp, make_topic: MakeTopic, cluster: Cluster
) -> None:
    topic = make_topic(partitions=1)
    writer = Producer({"bootstrap.servers": cluster.address, "transactional.id": topic})
    writer.init_transactions(30)

    def transaction(numbers: range, *, commits: bool) -> None:
        writer.begin_transaction()
        for n in numbers:
            writer.produce(topic, b'{"n": %d}' % n)
        writer.flush(30)
        if commits:
            writer.commit_transaction(30)
        else:
            writer.abort_transaction(30)

    app = app_factory()
    seen: list[int] = []
    rows: list[int] = []

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for value in stream:
            seen.append(value["n"])

    @app.subscribe(topic, name="rows")
    def collect(batch: pa.RecordBatch) -> None:
        rows.extend(batch["n"].to_pylist())  # type: ignore[arg-type]

    transaction(range(100), commits=True)
    transaction(range(100, 150), commits=False)
    transaction(range(150, 151), commits=True)
    wanted = [*range(100), 150]
    async with app.running():
        await until(lambda: seen == wanted and rows == wanted)
        for group in (app.conf.id, f"{app.conf.id}-rows"):
            # Records 0-99, a marker, 50 aborted ones, a marker, one at 152, and its marker.
            await until(lambda g=group: cluster.committed(g, topic) == {0: 154})  # type: ignore[misc]


async def test_records_that_were_deleted_hold_nothing_up(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    topic = make_topic(partitions=1)
    app_id = "app-" + topic
    seen: list[int] = []

    async def run_until(last: int) -> None:
        app = app_factory(app_id)

        @app.agent(topic)
        async def agent(stream: Any) -> None:
            async for value in stream:
                seen.append(value)

        async with app.running():
            await until(lambda: seen[-1:] == [last])
            await until(lambda: cluster.committed(app_id, topic) == {0: last + 1})

    produce(topic, range(100))
    await run_until(99)
    produce(topic, range(100, 200))
    place = TopicPartition(topic, 0, 150)
    await asyncio.to_thread(cluster.admin.delete_records([place])[place].result, 10)
    await run_until(199)
    assert seen == [*range(100), *range(150, 200)]


@pytest.mark.parametrize("reader", ["agent", "subscription"])
async def test_a_topic_that_is_made_anew_is_read_or_named(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, cluster: Cluster, *, reader: str
) -> None:
    topic = make_topic(partitions=1)
    app = app_factory(kafka={"topic.metadata.refresh.interval.ms": 500})
    seen: list[int] = []

    async def agent(stream: Any) -> None:
        async for value in stream:
            seen.append(value["n"])

    def rows(batch: pa.RecordBatch) -> None:
        seen.extend(batch["n"].to_pylist())  # type: ignore[arg-type]

    if reader == "agent":
        app.agent(topic)(agent)
    else:
        app.subscribe(topic)(rows)

    def make_anew() -> None:
        cluster.admin.delete_topics([topic])[topic].result(10)
        eventually(lambda: topic not in cluster.topics(), why="the topic is gone")
        cluster.admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(10)
        eventually(lambda: cluster.partitions(topic) == 1, why="the topic is there again")

    produce(topic, [{"n": n} for n in range(100)])
    async with app.running():
        await until(lambda: len(seen) == 100)
        await asyncio.to_thread(make_anew)
        await asyncio.to_thread(produce, topic, [{"n": n} for n in range(1_000, 1_010)])
        runtime = runtime_of(app)
        # A partition that stops is told of a moment after its state says so.
        await until(lambda: 1_009 in seen or runtime.failures, 25)
        problem = [*runtime.failures, *runtime.native.health()]
        runtime.failures.clear()
    assert 1_009 in seen or any(f"{topic}[0] begins anew" in why for why in problem), problem
