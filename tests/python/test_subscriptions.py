"""Subscriptions as their authors write them: batches in, batches out."""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, cast

import arro3.core
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pydantic import BaseModel

import turbine
from support.failing import failure_of, runtime_of
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from support.kafka import Cluster
from support.wait import eventually_async as until
from turbine import _native
from turbine.timers import SystemClock


class Order(turbine.Record):
    id: int
    user: str
    amount: float = 0.0


ORDERS: list[dict[str, Any]] = [{"id": n, "user": f"u{n % 3}", "amount": n / 2} for n in range(100)]


async def read(consume: Consume, topic: str, at_least: int) -> list[Any]:
    """JSON of the records of *topic*, in the order of their partitions."""
    return [one.json for one in await asyncio.to_thread(consume, topic, at_least)]


@pytest.fixture
def topics(make_topic: MakeTopic) -> tuple[str, str]:
    """An input and an output with one partition each."""
    return make_topic("in", partitions=1), make_topic("out", partitions=1)


# -- batches -----------------------------------------------------------------------------------


async def test_a_function_sees_a_record_batch_of_its_model(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    batches: list[Any] = []
    threads: set[str] = set()

    @app.subscribe(topics[0], publish_to=topics[1], model=Order)
    def double(batch: pa.RecordBatch) -> pa.RecordBatch:
        batches.append(batch)
        threads.add(threading.current_thread().name)
        return batch.set_column(2, "amount", pc.multiply(batch["amount"], 2.0))

    produce(topics[0], ORDERS)
    async with app.running():
        got = await read(consume, topics[1], 100)
    assert got == [{**order, "amount": order["amount"] * 2} for order in ORDERS]
    assert all(type(batch) is pa.RecordBatch for batch in batches)
    assert batches[0].schema.names == ["id", "user", "amount"]
    assert batches[0].schema.types == [pa.int64(), pa.string(), pa.float64()]
    # A plain function never runs on the event loop.
    assert threading.main_thread().name not in threads


async def test_an_async_function_runs_on_the_loop(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    app, loops = app_factory(), set()

    @app.subscribe(topics[0], publish_to=topics[1], model=Order)
    async def same(batch: pa.RecordBatch) -> pa.RecordBatch:
        loops.add(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return batch

    produce(topics[0], ORDERS)
    async with app.running():
        assert await read(consume, topics[1], 100) == ORDERS
        assert loops == {asyncio.get_running_loop()}


async def test_batches_of_a_partition_never_overlap_and_those_of_others_do(
    app_factory: MakeApp, topic: str, produce: Produce
) -> None:
    app = app_factory()
    places: set[int] = set()
    seen: dict[int, list[int]] = {partition: [] for partition in range(4)}
    most = 0

    @app.subscribe(topic, batch_size=50, with_metadata=["partition"])
    async def slow(batch: pa.RecordBatch) -> None:
        nonlocal most
        partition = batch["_partition"][0].as_py()
        assert partition not in places, "two batches of one partition at once"
        places.add(partition)
        most = max(most, len(places))
        await asyncio.sleep(0.01)
        seen[partition] += cast("list[int]", batch["n"].to_pylist())
        places.discard(partition)

    for partition in range(4):
        produce(topic, [{"n": n} for n in range(200)], partition=partition)
    async with app.running():
        await until(lambda: sum(map(len, seen.values())) == 800)
    assert seen == {partition: list(range(200)) for partition in range(4)}
    assert most > 1


async def test_batch_size_is_the_most_and_is_reached_when_much_arrives(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce
) -> None:
    app, sizes = app_factory(), []

    @app.subscribe(topics[0], model=Order, batch_size=300, batch_timeout_ms=2_000)
    def sized(batch: pa.RecordBatch) -> None:
        sizes.append(batch.num_rows)
        time.sleep(0.05)  # while it works, rows arrive

    produce(topics[0], ORDERS * 30)
    async with app.running():
        await until(lambda: sum(sizes) == 3_000)
    assert max(sizes) == 300
    assert len(sizes) <= 14


async def test_an_idle_function_does_not_wait_for_more_rows(
    app_factory: MakeApp, topics: tuple[str, str], consume: Consume, cluster: Cluster
) -> None:
    app, arrived = app_factory(), asyncio.Event()
    loop = asyncio.get_running_loop()

    @app.subscribe(topics[0], model=Order, batch_timeout_ms=10_000)
    def prompt(batch: pa.RecordBatch) -> None:
        loop.call_soon_threadsafe(arrived.set)

    source = app.topic(topics[0])
    waits: list[float] = []
    async with app.running():
        for n in range(10):
            arrived.clear()
            began = loop.time()
            await source.send(value={"id": n, "user": "u"})
            await asyncio.wait_for(arrived.wait(), 9)
            waits.append(loop.time() - began)
    # Far below batch_timeout_ms, even on a machine with other work.
    assert sorted(waits)[5] < 0.25, waits


async def test_rows_wait_for_more_rows_as_long_as_the_clock_of_the_app_says(
    app_factory: MakeApp, topics: tuple[str, str]
) -> None:
    class Standing(SystemClock):
        native = _native.Clock()

    app, sizes = app_factory(), []
    app.clock = Standing()
    may_go_on = threading.Event()

    @app.subscribe(topics[0], model=Order, batch_timeout_ms=3_600_000)
    def slow(batch: pa.RecordBatch) -> None:
        sizes.append(batch.num_rows)
        may_go_on.wait(20)

    source = app.topic(topics[0])
    async with app.running():
        native = runtime_of(app).native

        def rows_in_hand() -> int:
            return sum(row["in_flight"] for row in native.assignments())

        await source.send(value={"id": 1, "user": "u"})
        await until(lambda: rows_in_hand() == 1, why="one is with the handler")
        await source.send(value={"id": 2, "user": "u"})
        await source.send(value={"id": 3, "user": "u"})
        await asyncio.sleep(0.6)  # longer than the core looks away
        assert rows_in_hand() == 1, "the others wait for more"
        Standing.native.advance(3_600)
        await until(lambda: rows_in_hand() == 3, why="the hour is over")
        await source.send(value={"id": 4, "user": "u"})
        may_go_on.set()
        await until(lambda: sum(sizes) == 4)
    assert sizes == [1, 2, 1]


async def test_nothing_is_published_for_none(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, cluster: Cluster
) -> None:
    app = app_factory()

    @app.subscribe(topics[0], publish_to=topics[1], name="quiet")
    def quiet(batch: pa.RecordBatch) -> None:
        return None

    produce(topics[0], ORDERS)
    async with app.running():
        group = f"{app.conf.id}-quiet"
        await until(lambda: cluster.committed(group, topics[0]) == {0: 100})
    assert cluster.count(topics[1]) == 0


def as_polars(batch: pa.RecordBatch) -> Any:
    return pl.DataFrame(batch)


def as_table(batch: pa.RecordBatch) -> Any:
    return pa.table(batch)


def as_arro3(batch: pa.RecordBatch) -> Any:
    return arro3.core.RecordBatch.from_arrow(batch)


def as_many_chunks(batch: pa.RecordBatch) -> Any:
    half = batch.num_rows // 2
    return pa.Table.from_batches([batch.slice(0, half), batch.slice(half)])


@pytest.mark.cases_alike
@pytest.mark.parametrize("convert", [as_polars, as_table, as_arro3, as_many_chunks])
async def test_whatever_has_an_arrow_interface_is_taken_back(
    app_factory: MakeApp,
    topics: tuple[str, str],
    produce: Produce,
    consume: Consume,
    convert: Callable[[Any], Any],
) -> None:
    app = app_factory()

    @app.subscribe(topics[0], publish_to=topics[1], model=Order, name="converted")
    def converted(batch: pa.RecordBatch) -> Any:
        return convert(batch)

    produce(topics[0], ORDERS)
    async with app.running():
        assert await read(consume, topics[1], 100) == ORDERS


@pytest.mark.cases_alike
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ([{"id": 1}], "a handler returned list: return a RecordBatch"),
        ({"id": [1]}, "a handler returned dict"),
        (True, "a handler returned bool"),
        (pa.array([1, 2]), "not rows of named columns"),
        (pl.Series([1]), "not rows of named columns"),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_wrong_result_stops_the_partition_with_a_clear_reason(
    app_factory: MakeApp,
    topics: tuple[str, str],
    produce: Produce,
    *,
    wrong: Any,
    reason: str,
    is_async: bool,
) -> None:
    app = app_factory()

    def plain(batch: pa.RecordBatch) -> Any:
        return wrong

    async def coroutine(batch: pa.RecordBatch) -> Any:
        return wrong

    app.subscribe(topics[0], publish_to=topics[1])(coroutine if is_async else plain)
    produce(topics[0], ORDERS)
    assert reason in await failure_of(app)


async def test_a_missing_key_column_stops_the_partition_with_a_clear_reason(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce
) -> None:
    app = app_factory()

    @app.subscribe(topics[0], publish_to=topics[1], message_key="owner")
    def keyed(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    produce(topics[0], ORDERS)
    assert "owner" in await failure_of(app)


# -- metadata and keys -------------------------------------------------------------------------


async def test_metadata_columns_come_on_request_and_never_go_out(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    app, batches = app_factory(), []
    names = ["key", "topic", "partition", "offset", "timestamp", "headers"]

    @app.subscribe(topics[0], publish_to=topics[1], model=Order, with_metadata=names)
    def same(batch: pa.RecordBatch) -> pa.RecordBatch:
        batches.append(batch)
        return batch

    headers = [("a", b"1"), ("b", None)]
    produce(topics[0], ORDERS[:3], key="k", headers=headers, timestamp_ms=1_700_000_000_123)
    produce(topics[0], ORDERS[3:4], timestamp_ms=1_700_000_000_124)
    async with app.running():
        got = await asyncio.to_thread(consume, topics[1], 4)
    assert [one.json for one in got] == ORDERS[:4]
    assert {one.headers for one in got} == {()}

    rows = pa.Table.from_batches(batches).to_pylist()
    assert [row["_offset"] for row in rows] == [0, 1, 2, 3]
    first = rows[0]
    assert (first["_key"], first["_topic"], first["_partition"]) == (b"k", topics[0], 0)
    assert first["_timestamp"] == datetime(2023, 11, 14, 22, 13, 20, 123_000, UTC)
    assert [(h["name"], h["value"]) for h in first["_headers"]] == headers
    assert rows[3]["_key"] is None
    assert rows[3]["_headers"] == []


async def test_a_field_with_the_name_of_a_metadata_column_is_refused(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce
) -> None:
    app = app_factory()

    @app.subscribe(topics[0], with_metadata=["offset"])
    def clash(batch: pa.RecordBatch) -> None: ...

    produce(topics[0], [{"_offset": 77, "a": 1}])
    assert "`_offset` has the name of a metadata column" in await failure_of(app)


async def test_message_key_is_the_key_of_the_output(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    source, target, plain = make_topic("in"), make_topic("out", 4), make_topic("plain", 4)
    app = app_factory()

    @app.subscribe(source, publish_to=target, message_key="user")
    def keyed(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    produce(source, ORDERS)
    async with app.running():
        got = await asyncio.to_thread(consume, target, 100)
    assert all(one.key == one.json["user"].encode() for one in got)
    # In the partition where any other client puts that key.
    produce(plain, [1, 1, 1], keys=["u0", "u1", "u2"])
    places = {one.key: one.partition for one in await asyncio.to_thread(consume, plain, 3)}
    assert {(one.key, one.partition) for one in got} == set(places.items())


# -- schemas -----------------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    sku: str
    price: Decimal


class Nested(BaseModel):
    id: int
    items: list[Item]
    labels: dict[str, int]
    note: str | None = None
    at: datetime
    day: date
    colour: Colour
    kind: Literal["a", "b"]
    blob: bytes


NESTED = {
    "id": 1,
    "items": [{"sku": "x", "price": "1.50"}, {"sku": "y", "price": "2"}],
    "labels": {"one": 1, "two": 2},
    "note": None,
    "at": "2024-05-01T12:00:00Z",
    "day": "2024-05-01",
    "colour": "red",
    "kind": "b",
    "blob": "bytes",
}


async def test_a_model_with_nested_types_goes_in_and_out(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    app, rows = app_factory(), []

    @app.subscribe(topics[0], publish_to=topics[1], model=Nested)
    def same(batch: pa.RecordBatch) -> pa.RecordBatch:
        rows.extend(batch.to_pylist())
        return batch

    produce(topics[0], [NESTED])
    async with app.running():
        (out,) = await read(consume, topics[1], 1)
    (row,) = rows
    assert [item["price"] for item in row["items"]] == [Decimal("1.50"), Decimal(2)]
    assert dict(row["labels"]) == {"one": 1, "two": 2}
    assert row["at"] == datetime(2024, 5, 1, 12, tzinfo=UTC)
    assert (row["day"], row["colour"], row["kind"]) == (date(2024, 5, 1), "red", "b")
    assert (row["note"], row["blob"]) == (None, b"bytes")
    # What was written is the same order again, for whoever reads it with the model.
    assert Nested.model_validate(out) == Nested.model_validate(NESTED)


async def test_a_schema_is_inferred_once_and_widened_for_the_whole_stream(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    app, schemas = app_factory(), []
    seen = 0

    @app.subscribe(topics[0], publish_to=topics[1])
    def same(batch: pa.RecordBatch) -> pa.RecordBatch:
        nonlocal seen
        schemas.append(batch.schema)
        seen += batch.num_rows
        return batch

    wave: list[list[dict[str, Any]]] = [
        [{"a": 1, "b": "x"}],
        [{"a": 2}],
        [{"a": 2.5, "b": "y", "c": [1]}],
        [{"a": 3, "b": None, "c": None}],
    ]
    async with app.running():
        total = 0
        for records in wave:
            produce(topics[0], records)
            total += len(records)
            await until(lambda wanted=total: seen == wanted)  # type: ignore[misc]
        got = await read(consume, topics[1], 4)
    assert [schema.names for schema in schemas] == [
        ["a", "b"],
        ["a", "b"],
        ["a", "b", "c"],
        ["a", "b", "c"],
    ]
    assert [schema.field("a").type for schema in schemas] == [
        pa.int64(),
        pa.int64(),
        pa.float64(),
        pa.float64(),
    ]
    values = [{name: value for name, value in row.items() if value is not None} for row in got]
    assert values == [{"a": 1, "b": "x"}, {"a": 2}, {"a": 2.5, "b": "y", "c": [1]}, {"a": 3}]


async def test_every_subscription_sees_every_record(
    app_factory: MakeApp, topic: str, produce: Produce
) -> None:
    app = app_factory()
    counts = {"one": 0, "two": 0, "agent": 0}

    @app.subscribe(topic)
    def one(batch: pa.RecordBatch) -> None:
        counts["one"] += batch.num_rows

    @app.subscribe(topic)
    async def two(batch: pa.RecordBatch) -> None:
        counts["two"] += batch.num_rows

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for _ in stream:
            counts["agent"] += 1

    produce(topic, ORDERS)
    async with app.running():
        await until(lambda: counts == {"one": 100, "two": 100, "agent": 100})


async def test_a_batch_is_done_when_its_output_is_there(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, cluster: Cluster
) -> None:
    app = app_factory()

    @app.subscribe(topics[0], publish_to=topics[1], batch_size=100, name="same")
    def same(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    produce(topics[0], ORDERS * 100)
    async with app.running():
        committed = 0
        while committed < 10_000:
            committed = cluster.committed(f"{app.conf.id}-same", topics[0]).get(0, 0)
            assert cluster.count(topics[1]) >= committed
    assert cluster.count(topics[1]) == 10_000
