"""Somebody else commits for a partition that a worker has: it begins anew, or says why not."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

import turbine
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from support.kafka import CLIENT_TIMEOUT_S, Cluster
from support.wait import eventually_async as until

EXACT: dict[str, Any] = {"processing_guarantee": "exactly_once"}
QUICK = {"heartbeat.interval.ms": 100}


def overtake(address: str, group: str, name: str, topic: str, offset: int) -> None:
    """Shut out who has the transactional id *name* and commit *offset*, as another worker would."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": group})
    producer = Producer({"bootstrap.servers": address, "transactional.id": name})
    producer.init_transactions(CLIENT_TIMEOUT_S)
    producer.begin_transaction()
    offsets = [TopicPartition(topic, 0, offset)]
    producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata())
    producer.commit_transaction(CLIENT_TIMEOUT_S)
    consumer.close()


class Held:
    """Holds the handlers of the rows from 10 on up, until it is let go of."""

    def __init__(self) -> None:
        self._go = threading.Event()
        self.seen: list[int] = []
        self.let_go: Callable[[], None] = self._go.set

    def pass_by(self, numbers: list[Any]) -> None:
        self.seen.extend(numbers)
        if numbers and max(numbers) >= 10:
            assert self._go.wait(20)


async def test_a_partition_that_was_overtaken_goes_on_behind_the_foreign_commit(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume, broker: str
) -> None:
    app, held = app_factory(kafka=QUICK, broker_commit_interval=0.02), Held()
    rows, events = make_topic("rows", partitions=1), make_topic("events", partitions=1)
    outs = make_topic("copied", partitions=1), make_topic("echoed", partitions=1)

    @app.subscribe(rows, publish_to=outs[0], name="copy", **EXACT)
    def copy(batch: pa.RecordBatch) -> pa.RecordBatch:
        held.pass_by(batch["n"].to_pylist())
        return batch

    @app.agent(events, name="echo", sink=[outs[1]], **EXACT)
    async def echo(stream: turbine.Stream) -> Any:
        async for event in stream:
            await asyncio.to_thread(held.pass_by, [event["n"]])
            yield event

    for topic in (rows, events):
        produce(topic, [{"n": n} for n in range(10)])
    async with app.running():
        for out in outs:
            assert len(await asyncio.to_thread(consume, out, 10)) == 10
        for topic in (rows, events):
            produce(topic, [{"n": n} for n in range(10, 20)])
        await until(lambda: held.seen.count(10) == 2)
        mine, group = app.conf.id, app.subscriptions["copy"].group
        await asyncio.to_thread(overtake, broker, group, f"{mine}-{rows}-0-copy", rows, 15)
        await asyncio.to_thread(overtake, broker, mine, f"{mine}-{events}-0", events, 15)
        held.let_go()
        for out in outs:
            got = await asyncio.to_thread(consume, out, 15)
            assert [one.json["n"] for one in got] == [*range(10), *range(15, 20)]
        for topic in (rows, events):
            produce(topic, [{"n": 20}])
        for out in outs:
            assert (await asyncio.to_thread(consume, out, 16))[-1].json == {"n": 20}


async def test_a_halt_of_agents_is_told_with_its_reason_and_numbers(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, broker: str, cluster: Cluster
) -> None:
    app, held = app_factory(kafka=QUICK, broker_commit_interval=0.02), Held()
    topic = make_topic("in", partitions=1)
    counts = app.Table("counts", key_type=str, value_type=int, default=int)

    @app.agent(topic, name="count", **EXACT)
    async def count(stream: turbine.Stream) -> None:
        async for event in stream:
            await asyncio.to_thread(held.pass_by, [event["n"]])
            counts["all"] += 1

    produce(topic, [{"n": n} for n in range(10)])
    halts: list[Any] = []

    async def go_on_until_halted() -> None:
        async with app.running():
            await until(lambda: cluster.committed(app.conf.id, topic) == {0: 10})
            produce(topic, [{"n": 10}])
            await until(lambda: 10 in held.seen)
            mine = app.conf.id
            await asyncio.to_thread(overtake, broker, mine, f"{mine}-{topic}-0", topic, 5)
            held.let_go()
            halts.extend(await until(lambda: halts_of(app)))

    with pytest.raises(turbine.HandlerError, match=r"state at 10, committed 5"):
        await go_on_until_halted()
    (halt,) = halts
    assert (halt["reason"], halt["local"], halt["committed"]) == ("state_ahead", 10, 5)
    assert "detail" not in halt


def halts_of(app: turbine.App) -> list[Any]:
    """Why partitions of *app* stand still, as ``turbine doctor`` and ``/assignments`` see it."""
    native = app._runtime._native  # type: ignore[union-attr]
    return [line["halt"] for line in native.assignments() if line.get("halt")]
