"""Agents as their authors write them: what they see, what they send, and when a record is done."""

# ruff: noqa: PERF401 - a comprehension over a stream would never have a value

import asyncio
import itertools
import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from pydantic import BaseModel

import turbine
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from support.kafka import Cluster
from support.wait import eventually_async as until


class Order(turbine.Record):
    id: int
    user: str
    amount: float = 0.0


class Plain(BaseModel):
    id: int
    tags: list[str] = []


# -- what an agent sees ------------------------------------------------------------------------


async def test_values_of_a_partition_come_in_their_order(
    app_factory: MakeApp, topic: str, produce: Produce
) -> None:
    seen: dict[int, list[int]] = defaultdict(list)
    app = app_factory()

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for value in stream:
            seen[value["partition"]].append(value["n"])

    for partition in range(4):
        produce(topic, [{"n": n, "partition": partition} for n in range(500)], partition=partition)
    async with app.running():
        await until(lambda: sum(map(len, seen.values())) == 2_000)
    assert seen == {partition: list(range(500)) for partition in range(4)}


async def test_an_event_has_everything_that_its_record_has(
    app_factory: MakeApp, topic: str, produce: Produce
) -> None:
    seen: list[Any] = []
    app = app_factory()

    @app.agent(app.topic(topic, key_type=str))
    async def agent(stream: Any) -> None:
        async for event in stream.events():
            seen.append(event)

    headers = [("a", b"1"), ("a", b"2"), ("none", None)]
    produce(topic, ["{}"], partition=3)
    produce(
        topic, [{"n": 1}], key="k", partition=3, headers=headers, timestamp_ms=1_700_000_000_123
    )
    async with app.running():
        await until(lambda: len(seen) == 2)
    event = seen[1]
    assert (event.key, event.value) == ("k", {"n": 1})
    assert (event.topic, event.partition, event.offset) == (topic, 3, 1)
    assert event.timestamp == pytest.approx(1_700_000_000.123)
    assert event.raw_headers == headers
    assert event.headers == {"a": b"2", "none": None}
    assert seen[0].key is None


async def test_items_are_pairs_of_key_and_value(
    app_factory: MakeApp, topic: str, produce: Produce
) -> None:
    seen: list[Any] = []
    app = app_factory()

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for key, value in stream.items():
            seen.append((key, value))

    produce(topic, [{"n": 1}, [2], 3, "true", "null"], key="k")
    async with app.running():
        await until(lambda: len(seen) == 5)
    # Without types a key is bytes and a value is what its JSON says.
    assert seen == [(b"k", {"n": 1}), (b"k", [2]), (b"k", 3), (b"k", True), (b"k", None)]


@pytest.mark.cases_alike
@pytest.mark.parametrize(
    ("value_type", "raw", "wanted"),
    [
        (Order, b'{"id": 1, "user": "ann", "amount": 2}', Order(id=1, user="ann", amount=2.0)),
        (Plain, b'{"id": 7, "tags": ["a"]}', Plain(id=7, tags=["a"])),
        (str, "gr\u00fc\u00df".encode(), "gr\u00fc\u00df"),
        (bytes, b"\x00\xff", b"\x00\xff"),
        (int, b"-42", -42),
        (int, b"123456789012345678901234567890", 123456789012345678901234567890),
        (dict, b'{"a": {"b": [1, 2.5, null]}}', {"a": {"b": [1, 2.5, None]}}),
        (None, b'"text"', "text"),
        (dict[str, int], b'{"a": 1}', {"a": 1}),
        (Order, None, None),
    ],
)
async def test_a_value_has_the_type_that_was_asked_for(
    app_factory: MakeApp, topic: str, produce: Produce, *, value_type: Any, raw: Any, wanted: Any
) -> None:
    seen: list[Any] = []
    app = app_factory()

    @app.agent(topic, value_type=value_type)
    async def agent(stream: Any) -> None:
        async for value in stream:
            seen.append(value)

    produce(topic, [raw])
    async with app.running():
        await until(lambda: len(seen) == 1)
    assert seen == [wanted]
    assert type(seen[0]) is type(wanted)


async def test_take_gives_full_lists_and_at_the_end_of_the_wait_what_there_is(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    topic, seen = make_topic(partitions=1), []
    app = app_factory()

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for values in stream.take(10, within=0.3):
            seen.append((asyncio.get_running_loop().time(), values))

    produce(topic, range(25))
    async with app.running():
        await until(lambda: len(seen) == 3)
    assert [values for _, values in seen] == [
        list(range(10)),
        list(range(10, 20)),
        list(range(20, 25)),
    ]
    # The full ones came at once, the rest after the wait.
    assert seen[1][0] - seen[0][0] < 0.2
    assert seen[2][0] - seen[1][0] >= 0.25


async def test_rows_of_take_are_done_when_the_next_list_is_asked_for(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    topic, seen = make_topic(partitions=1), []
    app, hold = app_factory(), asyncio.Event()

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for values in stream.take(10, within=0.1):
            seen.append(values)
            if len(seen) == 2:
                await hold.wait()

    produce(topic, range(20))
    async with app.running():
        await until(lambda: len(seen) == 2)
        await until(lambda: cluster.committed(app.conf.id, topic) == {0: 10})
        hold.set()
        await until(lambda: cluster.committed(app.conf.id, topic) == {0: 20})


async def test_take_events_gives_lists_of_events(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    topic, seen = make_topic(partitions=1), []
    app = app_factory()

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for events in stream.take_events(3, within=5):
            seen.append([(event.offset, event.key, event.value) for event in events])

    produce(topic, range(3), key="k")
    async with app.running():
        await until(lambda: len(seen) == 1)
    assert seen == [[(0, b"k", 0), (1, b"k", 1), (2, b"k", 2)]]


async def test_batches_are_arrow_of_the_model(
    app_factory: MakeApp, topic: str, produce: Produce, cluster: Cluster
) -> None:
    seen: list[pa.RecordBatch] = []
    app = app_factory()

    @app.agent(topic, value_type=Order)
    async def agent(stream: Any) -> None:
        async for batch in stream.batches(100):
            seen.append(batch)

    produce(topic, [{"id": n, "user": f"u{n}"} for n in range(1_000)], partition=0)
    async with app.running():
        await until(lambda: sum(batch.num_rows for batch in seen) == 1_000)
        await until(lambda: cluster.committed(app.conf.id, topic).get(0) == 1_000)
    assert max(batch.num_rows for batch in seen) <= 100
    rows = pa.Table.from_batches(seen)
    assert rows.schema.names == ["id", "user", "amount"]
    assert rows["id"].to_pylist() == list(range(1_000))
    assert rows["amount"].to_pylist() == [0.0] * 1_000


async def test_every_agent_of_a_topic_sees_every_record(
    app_factory: MakeApp, topic: str, produce: Produce, cluster: Cluster
) -> None:
    first: list[int] = []
    second: list[int] = []
    app, hold = app_factory(), asyncio.Event()

    @app.agent(topic)
    async def one(stream: Any) -> None:
        async for value in stream:
            first.append(value)

    @app.agent(topic)
    async def two(stream: Any) -> None:
        async for value in stream:
            second.append(value)
            if value == 5:
                await hold.wait()

    produce(topic, range(10), partition=0)
    async with app.running():
        await until(lambda: len(first) == 10 and len(second) == 6)
        # The slowest one says what is done.
        await until(lambda: cluster.committed(app.conf.id, topic) == {0: 5})
        hold.set()
        await until(lambda: len(second) == 10)
    assert first == second == list(range(10))


async def test_an_agent_reads_several_topics(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    left, right = make_topic("left"), make_topic("right")
    seen: set[tuple[str, int]] = set()
    app = app_factory()

    @app.agent(app.topic(left, right))
    async def agent(stream: Any) -> None:
        async for event in stream.events():
            seen.add((event.topic, event.value))

    produce(left, [1])
    produce(right, [2])
    async with app.running():
        await until(lambda: seen == {(left, 1), (right, 2)})


# -- concurrency -------------------------------------------------------------------------------


async def test_instances_run_side_by_side_and_a_key_keeps_its_order(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    topic, keys = make_topic(partitions=8), [f"key-{n % 100}" for n in range(2_000)]
    seen: dict[bytes, list[int]] = defaultdict(list)
    instances_of: dict[bytes, set[int]] = defaultdict(set)
    instances_at: dict[int, set[int]] = defaultdict(set)
    busy = most = 0
    app = app_factory()

    @app.agent(topic, concurrency=2)
    async def agent(stream: Any) -> None:
        nonlocal busy, most
        async for event in stream.events():
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0)
            seen[event.key].append(event.value)
            instances_of[event.key].add(stream.concurrency_index)
            instances_at[event.partition].add(stream.concurrency_index)
            busy -= 1

    produce(topic, range(2_000), keys=keys)
    async with app.running():
        await until(lambda: sum(map(len, seen.values())) == 2_000)
    assert most == 2
    for n in range(100):
        assert seen[b"key-%d" % n] == list(range(n, 2_000, 100))
    assert {len(instances) for instances in instances_of.values()} == {1}
    # The keys of a partition have something in common, and still every instance has its share.
    assert all(instances == {0, 1} for instances in instances_at.values())


# -- where a record is done ----------------------------------------------------------------------


async def test_a_record_is_done_when_the_agent_asks_for_the_next(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    topic, app_id = make_topic(partitions=1), "app-" + make_topic("id", partitions=1)
    produce(topic, range(10))

    async def run_until(last: int) -> list[int]:
        app, seen, forever = app_factory(app_id, drain_timeout=0.2), [], asyncio.Event()

        @app.agent(topic)
        async def agent(stream: Any) -> None:
            async for value in stream:
                seen.append(value)
                if value == last:
                    await forever.wait()

        async with app.running():
            await until(lambda: seen[-1:] == [last])
            await until(lambda: cluster.committed(app_id, topic) == {0: last})
        return seen

    assert await run_until(4) == [0, 1, 2, 3, 4]
    # The one in hand, and what was behind it, comes again.
    assert await run_until(9) == [4, 5, 6, 7, 8, 9]


async def test_what_an_agent_sent_is_there_before_its_record_is_done(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    source, target = make_topic("in", partitions=1), make_topic("out", partitions=1)
    app = app_factory()
    out = app.topic(target)

    @app.agent(source)
    async def agent(stream: Any) -> None:
        async for value in stream:
            await out.send(value=value)

    produce(source, range(5_000))
    async with app.running():
        committed = 0
        while committed < 5_000:
            committed = (await asyncio.to_thread(cluster.committed, app.conf.id, source)).get(0, 0)
            assert await asyncio.to_thread(cluster.count, target) >= committed
    assert cluster.count(target) == 5_000


async def test_rows_that_are_decoded_do_not_visit_the_loop(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    topic, turns, seen = make_topic(partitions=1), 0, 0
    app = app_factory()
    started = asyncio.Event()
    turns_at: list[int] = []

    def turn() -> None:
        nonlocal turns
        turns += 1
        if not started.is_set():
            asyncio.get_running_loop().call_soon(turn)

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        nonlocal seen
        async for _ in stream:
            seen += 1
            turns_at.append(turns)

    produce(topic, range(20_000))
    async with app.running():
        asyncio.get_running_loop().call_soon(turn)
        await until(lambda: seen == 20_000)
        started.set()
    # At most one turn a chunk of rows, not one a row.
    changes = sum(a != b for a, b in itertools.pairwise(turns_at))
    assert changes < 400


# -- sending -----------------------------------------------------------------------------------


async def test_yielded_values_go_to_every_kind_of_sink(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    source, target = make_topic("in"), make_topic("out")
    app = app_factory()
    got: dict[str, list[Any]] = defaultdict(list)
    channel = app.channel()

    @app.agent(channel)
    async def from_channel(stream: Any) -> None:
        async for value in stream:
            got["channel"].append(value)

    @app.agent()
    async def other(stream: Any) -> None:
        async for value in stream:
            got["agent"].append(value)

    def plain(value: Any) -> None:
        got["function"].append(value)

    async def coroutine(value: Any) -> None:
        await asyncio.sleep(0)
        got["coroutine"].append(value)

    @app.agent(source, value_type=Order, sink=[target, channel, other, plain, coroutine])
    async def agent(stream: Any) -> Any:
        async for order in stream:
            yield {"double": order.amount * 2}

    produce(source, [{"id": 1, "user": "ann", "amount": 4}], key="ann")
    async with app.running():
        await until(lambda: len(got) == 4)
        (record,) = await asyncio.to_thread(consume, target, 1)
    assert got == {
        kind: [{"double": 8.0}] for kind in ("channel", "agent", "function", "coroutine")
    }
    assert (record.key, record.json) == (b"ann", {"double": 8.0})


async def test_a_sent_record_has_what_it_was_given(
    app_factory: MakeApp, topic: str, consume: Consume
) -> None:
    app = app_factory()
    target = app.topic(topic)
    when = datetime(2024, 5, 1, 12, tzinfo=UTC)
    async with app.client():
        pending = await target.send(
            key="k", value={"n": 1}, partition=2, timestamp=when, headers={"h": "text", "n": None}
        )
        meta = await pending
        later = target.send_soon(key=b"raw", value=Order(id=1, user="bob"), partition=2)
        second = await later
        await app.send(topic, "text", key=7, partition=3)
    assert (meta.topic, meta.partition, meta.offset) == (topic, 2, 0)
    assert meta.timestamp == when.timestamp()
    assert second.offset == 1

    got = {(one.partition, one.offset): one for one in consume(topic, 3)}
    first = got[2, 0]
    assert (first.key, first.json) == (b"k", {"n": 1})
    assert first.headers == (("h", b"text"), ("n", None))
    assert first.timestamp_ms == 1_714_564_800_000
    assert (got[2, 1].key, got[2, 1].json) == (b"raw", {"id": 1, "user": "bob", "amount": 0.0})
    assert (got[3, 0].key, got[3, 0].value) == (b"7", b'"text"')


async def test_equal_keys_go_where_every_other_client_sends_them(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    ours, theirs = make_topic(partitions=7), make_topic(partitions=7)
    keys = [f"key-{n}" for n in range(200)]
    app = app_factory()
    async with app.client():
        for key in keys:
            await app.topic(ours).send(key=key, value=1)
    produce(theirs, [1] * len(keys), keys=keys)

    def places(topic: str) -> dict[bytes | None, int]:
        return {one.key: one.partition for one in consume(topic, len(keys))}

    assert places(ours) == places(theirs)


async def test_sending_to_an_agent_reaches_it(app_factory: MakeApp) -> None:
    app, seen = app_factory(), []

    @app.agent(value_type=Order)
    async def agent(stream: Any) -> None:
        async for order in stream:
            seen.append(order)

    async with app.running():
        await agent.cast(Order(id=1, user="a"))
        await (await agent.send(Order(id=2, user="b"), key="k"))
        agent.send_soon(Order(id=3, user="c"))
        await until(lambda: len(seen) == 3)
    assert {order.id for order in seen} == {1, 2, 3}


async def test_an_event_is_forwarded_with_its_headers(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    source, target = make_topic("in"), make_topic("out")
    app = app_factory()

    @app.agent(source)
    async def agent(stream: Any) -> None:
        async for event in stream.events():
            await event.forward(target)

    produce(source, [{"a": [1]}], key="k", headers=[("h", b"1")], timestamp_ms=12_345)
    async with app.running():
        (record,) = await asyncio.to_thread(consume, target, 1)
    assert (record.key, record.json, record.timestamp_ms) == (b"k", {"a": [1]}, 12_345)
    assert record.headers == (("h", b"1"),)


# -- jobs --------------------------------------------------------------------------------------


async def test_tasks_timers_and_crontabs_run_beside_the_agents(
    app_factory: MakeApp, topic: str
) -> None:
    app, seen = app_factory(), []
    calls: dict[str, int] = defaultdict(int)
    target = app.topic(topic)

    @app.agent(target)
    async def agent(stream: Any) -> None:
        async for value in stream:
            seen.append(value)

    @app.task
    async def once(the_app: turbine.App) -> None:
        assert the_app is app
        calls["task"] += 1
        await target.send(value="from the task")

    @app.timer(0.05)
    async def tick() -> None:
        calls["timer"] += 1

    @app.crontab("* * * * *")
    async def minutely() -> None:
        calls["crontab"] += 1

    # The minute is over soon, whatever the clock says.
    now = time.time()
    shift = 60 - now % 60 - 0.3

    class Clock:
        can_be_set = True
        monotonic = staticmethod(time.monotonic)
        sleep = staticmethod(asyncio.sleep)

        def now(self, zone: Any) -> datetime:
            return datetime.fromtimestamp(time.time() + shift, zone)

    app.clock = Clock()
    async with app.running():
        await until(lambda: seen == ["from the task"])
        await until(lambda: calls["timer"] >= 3 and calls["crontab"] == 1)
    assert calls["task"] == 1
    after = calls["timer"]
    await asyncio.sleep(0.12)
    assert calls["timer"] == after, "a timer went on after the end of the worker"


async def test_signals_tell_of_partitions(app_factory: MakeApp, topic: str) -> None:
    app, seen = app_factory(), []

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for _ in stream:
            pass

    @app.on_partitions_assigned.connect
    async def assigned(sender: Any, partitions: Any) -> None:
        seen.append(("assigned", sender, {tuple(tp) for tp in partitions}))

    @app.on_partitions_revoked.connect
    async def revoked(sender: Any, partitions: Any) -> None:
        seen.append(("revoked", sender, {tuple(tp) for tp in partitions}))

    everything = {(topic, partition) for partition in range(4)}
    async with app.running():
        await until(lambda: seen == [("assigned", app, everything)])
    assert seen[1:] == [("revoked", app, everything)]
