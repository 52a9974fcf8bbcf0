"""Avro topics: read, written, evolved, and compared with fastavro."""

import asyncio
import io
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
import pyarrow as pa
import pytest

import turbine
from support.failing import failure_of
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from support.registry import Registry, frame
from support.wait import eventually_async as until
from turbine.codecs import Avro

pytestmark = pytest.mark.any_broker

EVENT: dict[str, Any] = {
    "type": "record",
    "name": "Event",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "user", "type": ["null", "string"], "default": None},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["buy", "sell"]}},
        {
            "name": "price",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2},
        },
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
        {"name": "clock", "type": {"type": "int", "logicalType": "time-millis"}},
        {"name": "uuid", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 3}},
        {"name": "ratio", "type": "float"},
        {"name": "tags", "type": {"type": "array", "items": ["null", "string"]}},
        {"name": "counts", "type": {"type": "map", "values": "int"}},
        {
            "name": "place",
            "type": {
                "type": "record",
                "name": "Place",
                "fields": [{"name": "x", "type": "double"}, {"name": "ok", "type": "boolean"}],
            },
        },
    ],
}

EVENTS: list[dict[str, Any]] = [
    {
        "id": n,
        "user": None if n % 3 == 0 else f"u{n}",
        "kind": ["buy", "sell"][n % 2],
        "price": Decimal(n - 5) / 4,
        "day": date(1969 + n, 1, 2),
        "at": datetime(2024, 5, 1, 12, 0, n, n, tzinfo=UTC),
        "local": datetime(2024, 5, 1, 12, 0, n, 1_000 * n),  # noqa: DTZ001 - without a zone
        "clock": time(1, 2, n, 5_000),
        "uuid": UUID(int=n),
        "hash": bytes([n, 255, 0]),
        "ratio": n / 2,
        "tags": [None, "x"] * n,
        "counts": {f"k{n}": n},
        "place": {"x": n / 3, "ok": n % 2 == 0},
    }
    for n in range(10)
]


def as_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    return batch.to_pylist(maps_as_pydicts="strict")


def shown(event: dict[str, Any]) -> dict[str, Any]:
    """An event as a column shows it: a UUID is text."""
    return {**event, "uuid": str(event["uuid"])}


def datum(schema: Any, event: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), event)
    return out.getvalue()


def read_datum(schema: Any, data: bytes) -> Any:
    return fastavro.schemaless_reader(io.BytesIO(data), fastavro.parse_schema(schema), None)


@pytest.fixture
def topics(make_topic: MakeTopic) -> tuple[str, str]:
    """An input and an output with one partition each."""
    return make_topic("in", partitions=1), make_topic("out", partitions=1)


@pytest.fixture
def registry() -> Iterator[Registry]:
    one = Registry()
    yield one
    one.stop()


async def pass_through(
    app: turbine.App, source: Any, target: Any, consume: Consume, count: int, **options: Any
) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Rows that a subscription of *source* sees, and the values that it writes to *target*."""
    rows: list[dict[str, Any]] = []

    @app.subscribe(source, publish_to=target, **options)
    def same(batch: pa.RecordBatch) -> pa.RecordBatch:
        rows.extend(as_rows(batch))
        return batch

    name = target if isinstance(target, str) else target.name
    async with app.running():
        got = await asyncio.to_thread(consume, name, count)
    values = [one.value for one in got]
    assert None not in values
    return rows, [value for value in values if value is not None]


# -- compared with fastavro ----------------------------------------------------------------------


async def test_every_type_is_read_from_and_written_for_fastavro(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    avro = Avro(schema=EVENT, framing="raw")
    produce(topics[0], [datum(EVENT, event) for event in EVENTS])
    source, target = (app.topic(name, value_format=avro) for name in topics)
    rows, values = await pass_through(app, source, target, consume, len(EVENTS))
    assert rows == [shown(event) for event in EVENTS]
    assert [read_datum(EVENT, value) for value in values] == EVENTS


async def test_single_objects_carry_the_fingerprint_that_fastavro_computes(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    form = fastavro.schema.to_parsing_canonical_form(EVENT)
    head = b"\xc3\x01" + bytes.fromhex(fastavro.schema.fingerprint(form, "CRC-64-AVRO"))
    produce(topics[0], [head + datum(EVENT, event) for event in EVENTS])
    target = app.topic(topics[1], value_format=Avro(schema=EVENT, framing="single_object"))
    rows, values = await pass_through(
        app, topics[0], target, consume, len(EVENTS), avro_schema=json.dumps(EVENT)
    )
    assert [row["id"] for row in rows] == list(range(10))
    assert {value[:10] for value in values} == {head}


async def test_bad_records_go_to_the_dead_letters_and_their_neighbours_do_not(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    names = [make_topic(name, partitions=1) for name in ("in", "out", "dead")]
    good = [datum(EVENT, event) for event in EVENTS]
    broken = [good[1][:-1], good[2] + b"\0", b"", b"\xff" * 30]
    produce(names[0], [*good[:5], *broken, *good[5:]])
    avro = Avro(schema=EVENT, framing="raw")
    source, target = (app.topic(name, value_format=avro) for name in names[:2])
    rows, _ = await pass_through(app, source, target, consume, 10, on_error="dlq", dlq=names[2])
    assert [row["id"] for row in rows] == list(range(10))
    letters = await asyncio.to_thread(consume, names[2], 4)
    assert [letter.value for letter in letters] == broken


# -- with a registry -----------------------------------------------------------------------------


async def test_records_of_several_versions_become_rows_of_the_readers_schema(
    app_factory: MakeApp,
    topics: tuple[str, str],
    produce: Produce,
    consume: Consume,
    registry: Registry,
) -> None:
    def version(*fields: Any) -> dict[str, Any]:
        return {"type": "record", "name": "V", "fields": list(fields)}

    number = {"name": "n", "type": "int"}
    old = version(number, {"name": "gone", "type": "string"})
    new = version({"name": "extra", "type": "double", "default": 0.5}, {**number, "type": "long"})
    reader = version({**number, "type": "long"}, {"name": "extra", "type": "double", "default": 1})
    ids = [registry.register("a-value", old), registry.register("b-value", new)]
    produce(
        topics[0],
        [
            frame(ids[0], datum(old, {"n": 1, "gone": "x"})),
            frame(ids[1], datum(new, {"n": 2, "extra": 2.5})),
            frame(ids[0], datum(old, {"n": 3, "gone": "y"})),
        ],
    )
    app = app_factory(schema_registry=registry.url)
    source = app.topic(topics[0], value_format=Avro(schema=reader))
    rows, _ = await pass_through(app, source, topics[1], consume, 3)
    assert rows == [{"n": 1, "extra": 1.0}, {"n": 2, "extra": 2.5}, {"n": 3, "extra": 1.0}]


async def test_without_a_schema_columns_are_those_of_all_writers_together(
    app_factory: MakeApp,
    topics: tuple[str, str],
    produce: Produce,
    consume: Consume,
    registry: Registry,
) -> None:
    first = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}
    more = [{"name": "b", "type": "string"}, {"name": "a", "type": "long"}]
    second = {"type": "record", "name": "R", "fields": more}
    one, two = registry.register("one", first), registry.register("two", second)
    big = 2**40
    produce(
        topics[0],
        [
            frame(one, datum(first, {"a": 1})),
            frame(two, datum(second, {"b": "x", "a": big})),
            frame(one, datum(first, {"a": 2})),
        ],
    )
    app = app_factory(schema_registry=registry.url)
    source = app.topic(topics[0], value_format="avro")
    rows, _ = await pass_through(app, source, topics[1], consume, 3)
    assert rows == [{"a": 1, "b": None}, {"a": big, "b": "x"}, {"a": 2, "b": None}]


async def test_a_model_reads_what_fits_its_fields(
    app_factory: MakeApp,
    topics: tuple[str, str],
    produce: Produce,
    consume: Consume,
    registry: Registry,
) -> None:
    class Bid(turbine.Record):
        id: int
        user: str | None
        price: Decimal
        at: datetime

    produce(topics[0], registry.framed(EVENT, EVENTS))
    app = app_factory(schema_registry=registry.url)
    source = app.topic(topics[0], value_format="avro", value_type=Bid)
    rows, _ = await pass_through(app, source, topics[1], consume, 10)
    names = ("id", "user", "price", "at")
    assert rows == [{name: event[name] for name in names} for event in EVENTS]


async def test_an_id_that_the_registry_does_not_have_is_a_bad_record(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, registry: Registry
) -> None:
    produce(topics[0], [frame(77, b"\x02")])
    app = app_factory(schema_registry=registry.url)

    @app.subscribe(app.topic(topics[0], value_format="avro"))
    def none(batch: pa.RecordBatch) -> None:
        del batch

    said = await failure_of(app)
    assert "does not have the schema with id 77" in said
    assert registry.url in said


async def test_while_the_registry_is_down_the_partition_waits_and_no_record_is_bad(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, registry: Registry
) -> None:
    produce(topics[0], registry.framed(EVENT, EVENTS))
    registry.native.set_down(True)
    app = app_factory(schema_registry=registry.url, schema_registry_timeout=0.1)
    ids: list[int] = []

    @app.subscribe(app.topic(topics[0], value_format="avro"), on_error="skip")
    def seen(batch: pa.RecordBatch) -> None:
        ids.extend(row["id"] for row in as_rows(batch))

    async with app.running():
        native = app._runtime.native  # type: ignore[union-attr]
        await until(lambda: any("waits" in reason for reason in native.health()))
        assert "turbine_schema_registry_failures_total 0" not in native.metrics()
        registry.native.set_down(False)
        await until(lambda: len(ids) == 10)
        await until(lambda: not native.health())
    assert ids == list(range(10))


# -- written with a registry ---------------------------------------------------------------------


async def test_what_is_written_without_a_schema_takes_the_latest_of_its_subject(
    app_factory: MakeApp,
    topics: tuple[str, str],
    produce: Produce,
    consume: Consume,
    registry: Registry,
) -> None:
    id = registry.register(f"{topics[1]}-value", EVENT)  # noqa: A001 - the registry's own word
    produce(topics[0], registry.framed(EVENT, EVENTS))
    app = app_factory(schema_registry=registry.url)
    source, target = (app.topic(name, value_format="avro") for name in topics)
    _, values = await pass_through(app, source, target, consume, 10)
    assert values == [frame(id, datum(EVENT, event)) for event in EVENTS]


async def test_a_schema_is_registered_only_where_that_is_allowed(
    app_factory: MakeApp,
    topics: tuple[str, str],
    produce: Produce,
    consume: Consume,
    registry: Registry,
) -> None:
    produce(topics[0], [{"n": 1, "s": "x"}])
    app = app_factory(schema_registry=registry.url)

    @app.subscribe(topics[0], publish_to=app.topic(topics[1], value_format="avro"))
    def same(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    said = await failure_of(app)
    assert f"no schema of the subject {topics[1]}-value" in said
    assert "auto_register=True" in said

    app = app_factory(schema_registry=registry.url)
    target = app.topic(topics[1], value_format=Avro(auto_register=True, strategy="topic_record"))
    _, values = await pass_through(app, topics[0], target, consume, 1)
    record = topics[1].replace("-", "_")
    made = registry.latest(f"{topics[1]}-{record}")
    schema = json.loads(made["schema"])
    assert [field["type"] for field in schema["fields"]] == [["null", "long"], ["null", "string"]]
    assert values == [frame(made["id"], datum(schema, {"n": 1, "s": "x"}))]


async def test_a_column_that_the_schema_does_not_have_stops_the_partition(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce
) -> None:
    app = app_factory()
    schema = {"type": "record", "name": "R", "fields": [{"name": "n", "type": "long"}]}
    produce(topics[0], [{"n": 1, "s": "x"}])
    target = app.topic(topics[1], value_format=Avro(schema=schema, framing="raw"))

    @app.subscribe(topics[0], publish_to=target)
    def same(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    assert "`s` is not a field of the schema" in await failure_of(app)


# -- declarations --------------------------------------------------------------------------------


async def test_what_cannot_work_is_said_before_the_start(
    app_factory: MakeApp, topics: tuple[str, str]
) -> None:
    union = {"type": "record", "name": "R", "fields": [{"name": "v", "type": ["int", "string"]}]}
    for choices, said in (
        (Avro(), "needs a schema registry"),
        (Avro(schema=union, framing="raw"), "a union of int, string"),
        (Avro(schema="{", framing="raw"), "cannot be used"),
    ):
        app = app_factory()

        @app.subscribe(app.topic(topics[0], value_format=choices))
        def none(batch: pa.RecordBatch) -> None:
            del batch

        with pytest.raises(turbine.ConfigError, match=said):
            async with app.running():
                pass
