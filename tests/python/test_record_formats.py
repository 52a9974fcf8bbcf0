"""Formats, keys, headers, timestamps and partitions of records, through a whole subscription."""

import asyncio
from typing import Any, cast

import pyarrow as pa
import pytest

import turbine
from support.failing import failure_of
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from support.kafka import Got
from turbine.codecs import Csv, Protobuf
from turbine.exceptions import DeclarationError

pytestmark = pytest.mark.any_broker

PROTO = """
syntax = "proto3";
message Order { int64 id = 1; string user = 2; repeated int32 points = 3; }
"""


class Order(turbine.Record):
    id: int
    user: str


@pytest.fixture
def topics(make_topic: MakeTopic) -> tuple[str, str]:
    """An input with one partition and an output with four."""
    return make_topic("in", partitions=1), make_topic("out", partitions=4)


async def read(consume: Consume, topic: str, at_least: int) -> list[Got]:
    return await asyncio.to_thread(consume, topic, at_least)


def ipc(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def rows(data: bytes | None) -> list[dict[str, Any]]:
    assert data is not None
    return pa.ipc.open_stream(data).read_all().to_pylist()


MSGPACK = b"\x82\xa2id\x07\xa4user\xa2u1"
PROTOBUF = b"\x08\x07\x12\x02u1"


def orders(*pairs: tuple[int, str]) -> pa.RecordBatch:
    ids, users = zip(*pairs, strict=True)
    return pa.record_batch([pa.array(ids), pa.array(users)], names=["id", "user"])


@pytest.mark.parametrize(
    ("value_format", "data"),
    [
        ("msgpack", MSGPACK),
        (Csv(delimiter=";"), b"7;u1"),
        (Protobuf(PROTO), PROTOBUF),
    ],
)
async def test_a_format_is_read_and_written(  # noqa: PLR0917 - fixtures
    app_factory: MakeApp,
    topics: tuple[str, str],
    produce: Produce,
    consume: Consume,
    value_format: Any,
    data: bytes,
) -> None:
    app = app_factory()
    source = app.topic(topics[0], value_format=value_format)
    target = app.topic(topics[1], value_format=value_format)
    seen: list[Any] = []

    @app.subscribe(source, publish_to=target, model=Order, message_key="user", on_error="skip")
    def same(batch: pa.RecordBatch) -> pa.RecordBatch:
        seen.extend(batch.to_pylist())
        return batch

    produce(topics[0], [data, b"\xc1 no such format", data])
    async with app.running():
        got = await read(consume, topics[1], 2)
    assert seen == [{"id": 7, "user": "u1"}] * 2
    assert [(one.key, one.value) for one in got] == [(b"u1", data)] * 2


async def test_a_record_of_arrow_gives_several_rows(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    source = app.topic(topics[0], value_format="arrow")
    target = app.topic(topics[1], value_format="arrow")
    offsets: list[Any] = []

    @app.subscribe(source, publish_to=target, model=Order, with_metadata=["offset"])
    def same(batch: pa.RecordBatch) -> pa.RecordBatch:
        offsets.extend(batch["_offset"].to_pylist())
        return batch

    produce(topics[0], [ipc(orders((1, "a"), (2, "b"))), ipc(orders((7, "c")))])
    async with app.running():
        got = await read(consume, topics[1], 1)
        while sum(len(rows(one.value)) for one in got) < len(offsets) or len(offsets) < 3:
            got = await read(consume, topics[1], len(got))
    assert offsets == [0, 0, 1]
    assert sorted(row["id"] for one in got for row in rows(one.value)) == [1, 2, 7]


async def test_a_record_of_several_rows_is_one_dead_letter(
    app_factory: MakeApp,
    topics: tuple[str, str],
    make_topic: MakeTopic,
    produce: Produce,
    consume: Consume,
) -> None:
    app, dead = app_factory(), make_topic("dead", partitions=1)
    source = app.topic(topics[0], value_format="arrow")

    @app.subscribe(source, publish_to=topics[1], model=Order, on_error="dlq", dlq=dead)
    def picky(batch: pa.RecordBatch) -> pa.RecordBatch:
        if max(row["id"] for row in batch.to_pylist()) > 1:
            raise ValueError("too high")
        return batch

    whole = ipc(orders((1, "a"), (2, "b"), (3, "c")))
    produce(topics[0], [b"no stream", whole])
    async with app.running():
        letters = await read(consume, dead, 2)
        got = await read(consume, topics[1], 1)
    assert [one.json for one in got] == [{"id": 1, "user": "a"}]
    assert [one.header["turbine.source.offset"] for one in letters] == ["0", "1"]
    assert [one.value for one in letters] == [b"no stream", whole]


async def test_bytes_and_text_are_a_column(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    source = app.topic(topics[0], value_format="raw")
    target = app.topic(topics[1], value_format="string")

    @app.subscribe(source, publish_to=target)
    def hexadecimal(batch: pa.RecordBatch) -> pa.RecordBatch:
        assert batch.schema.field("value").type == pa.binary()
        texts = [row["value"].hex() for row in batch.to_pylist()]
        return pa.record_batch([pa.array(texts)], names=["value"])

    produce(topics[0], [b"\xff\x00", b""])
    async with app.running():
        got = await read(consume, topics[1], 2)
    assert {one.value for one in got} == {b"ff00", b""}


# -- beside the values -------------------------------------------------------------------------


async def test_headers_timestamps_and_partitions_go_out_when_asked_for(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    app = app_factory()

    @app.subscribe(
        topics[0],
        publish_to=topics[1],
        model=Order,
        message_key="id",
        with_metadata=["headers", "offset"],
        write_metadata=["headers", "timestamp", "partition"],
        write_tombstones=True,
    )
    def stamp(batch: pa.RecordBatch) -> pa.RecordBatch:
        count = batch.num_rows
        batch = batch.set_column(1, "user", pa.array(["x", None][:count], pa.string()))
        batch = batch.append_column("_timestamp", pa.array([1_700_000_000_123] * count))
        return batch.append_column("_partition", pa.array([3] * count, pa.int32()))

    produce(topics[0], [{"id": 1, "user": "a"}, {"id": 2, "user": "b"}], headers=[("h", b"1")])
    async with app.running():
        got = await read(consume, topics[1], 2)
    assert [one.partition for one in got] == [3, 3]
    assert [one.timestamp_ms for one in got] == [1_700_000_000_123] * 2
    assert [one.headers for one in got] == [(("h", b"1"),)] * 2
    assert [(one.key, one.value) for one in got] == [(b"1", b'{"id":1,"user":"x"}'), (b"2", None)]


async def test_metadata_of_the_input_stays_inside_unless_asked_for(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    app = app_factory()

    @app.subscribe(
        topics[0],
        publish_to=topics[1],
        model=Order,
        with_metadata=["headers", "timestamp", "partition"],
    )
    def same(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    produce(topics[0], [{"id": 1, "user": "a"}], headers=[("h", b"1")], timestamp_ms=1_000)
    async with app.running():
        (got,) = await read(consume, topics[1], 1)
    assert (got.headers, got.value) == ((), b'{"id":1,"user":"a"}')
    assert got.timestamp_ms > 1_000


async def test_a_partition_that_does_not_exist_stops_and_loses_nothing(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    app, wrong = app_factory(), [True]

    @app.subscribe(topics[0], publish_to=topics[1], model=Order, write_metadata=["partition"])
    def place(batch: pa.RecordBatch) -> pa.RecordBatch:
        number = 9 if wrong[0] else 2
        return batch.append_column("_partition", pa.array([number] * batch.num_rows))

    produce(topics[0], [{"id": 1, "user": "a"}])
    why = await failure_of(app)
    assert "partition 9" in why or "UnknownPartition" in why, why
    wrong[0] = False
    async with app.running():
        (got,) = await read(consume, topics[1], 1)
    assert (got.partition, got.value) == (2, b'{"id":1,"user":"a"}')


async def test_keys_have_a_format_of_their_own(
    app_factory: MakeApp,
    topics: tuple[str, str],
    make_topic: MakeTopic,
    produce: Produce,
    consume: Consume,
) -> None:
    app, dead = app_factory(), make_topic("dead", partitions=1)
    source = app.topic(topics[0], key_format="int64")
    target = app.topic(topics[1], key_format="int32")

    @app.subscribe(
        source,
        publish_to=target,
        model=Order,
        with_metadata=["key"],
        message_key="_key",
        on_error="dlq",
        dlq=dead,
    )
    def same(batch: pa.RecordBatch) -> pa.RecordBatch:
        assert batch["_key"].type == pa.int64()
        return batch

    order = {"id": 1, "user": "a"}
    keys = [(-2).to_bytes(8, "big", signed=True), b"short", None]
    produce(topics[0], [order] * 3, keys=keys)
    async with app.running():
        got = await read(consume, topics[1], 2)
        (letter,) = await read(consume, dead, 1)
    assert {one.key for one in got} == {(-2).to_bytes(4, "big", signed=True), None}
    assert all(one.json == order for one in got)
    assert letter.header["turbine.source.offset"] == "1"
    assert letter.header["turbine.error"] == "key: expected 8 bytes, found 5"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"write_metadata": ["offset"], "publish_to": "out"}, "write_metadata='offset'"),
        ({"write_metadata": "headers", "publish_to": "out"}, "is not a list"),
        ({"write_metadata": ["headers"]}, "there is no output: add publish_to="),
        ({"write_tombstones": 1, "publish_to": "out"}, "write True or False"),
    ],
)
def test_what_cannot_be_written_is_refused_where_it_is_declared(
    options: dict[str, Any], said: str
) -> None:
    app = turbine.App("refusing", web_enabled=False)
    with pytest.raises(DeclarationError, match=said):
        app.subscribe("in", name="one", **options)(lambda batch: batch)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Csv(delimiter="ab"), "write one ASCII character"),
        (lambda: Csv(delimiter='"'), "a cell would never end"),
        (lambda: Csv(columns=["a", "a"]), "names a cell twice"),
        (lambda: Csv(columns=cast("Any", "a,b")), "is not a list of names"),
        (Protobuf, "is no schema"),
        (lambda: Protobuf(PROTO, schema_id=7), "add framing='confluent'"),
    ],
)
def test_a_format_that_cannot_work_is_refused(make: Any, said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        make()


async def test_a_schema_that_cannot_work_is_refused_at_the_start(
    app_factory: MakeApp, topics: tuple[str, str]
) -> None:
    app = app_factory()
    broken = app.topic(topics[0], value_format=Protobuf("message {"))
    app.subscribe(broken, name="broken")(lambda batch: batch)
    with pytest.raises(turbine.exceptions.TurbineError, match="Protobuf schema is broken"):
        async with app.running():
            pass
