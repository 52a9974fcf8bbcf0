"""JSON records through a subscription: what arrives as columns, what is refused, what goes out."""

import datetime as dt
import enum
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

import arro3.core
import polars as pl
import pyarrow as pa
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

import turbine
from support.fixtures import MakeApp
from support.kafka import Cluster, Got
from support.wait import eventually_async

pytestmark = pytest.mark.any_broker


class Kind(enum.StrEnum):
    BUY = "buy"
    SELL = "sell"


class Point(turbine.Record):
    x: float
    y: int | None = None


class Order(turbine.Record):
    """A field of every type that a column can have."""

    id: int
    user: str = Field(alias="userName", min_length=1)
    amount: Annotated[Decimal, Field(max_digits=12, decimal_places=2)]
    kind: Kind
    side: Literal["a", "b"] | None = None
    at: dt.datetime
    day: dt.date | None = None
    clock: dt.time | None = None
    took: dt.timedelta | None = None
    points: list[Point] = Field(default_factory=list)
    counts: dict[str, int] | None = None
    blob: bytes = b"none"
    extra: Any = None
    score: float = 1.5


GOOD: dict[str, Any] = {
    "id": 1,
    "userName": "ä",
    "amount": "12.50",
    "kind": "buy",
    "at": "2024-02-29T12:30:00+02:00",
}


class Line:
    """One subscription between two topics; collects what its handler saw."""

    def __init__(self, app: turbine.App, cluster: Cluster) -> None:
        self.source, self.out, self.dlq = (
            cluster.make_topic(name, partitions=1) for name in ("in", "out", "dlq")
        )
        self._app, self._cluster = app, cluster
        self.seen: list[pa.RecordBatch] = []

    async def run(
        self,
        values: Sequence[Any],
        handler: Callable[[pa.RecordBatch], Any] = lambda batch: batch,
        *,
        good: int | None = None,
        **options: Any,
    ) -> list[Got]:
        """Write *values*, of which *good* (or all) become rows, and give back what came out."""
        got = await self.settle(values, handler, **options)
        assert len(got) == (len(values) if good is None else good), [
            letter.header for letter in self.dead(len(values) - len(got))
        ]
        return got

    async def settle(
        self,
        values: Sequence[Any],
        handler: Callable[[pa.RecordBatch], Any] = lambda batch: batch,
        **options: Any,
    ) -> list[Got]:
        """Write *values*, run until each is out or dead, and give back what came out."""

        def handle(batch: pa.RecordBatch) -> Any:
            self.seen.append(batch)
            return handler(batch)

        options = {"on_error": "dlq", "dlq": self.dlq, **options}
        self._app.subscribe(self.source, publish_to=self.out, name="line", **options)(handle)
        self._cluster.produce(self.source, values, partition=0)
        async with self._app.running():
            await eventually_async(
                lambda: (
                    self._cluster.count(self.out) + self._cluster.count(self.dlq) >= len(values)
                ),
                why="all records are out or dead",
            )
        return self._cluster.consume(self.out, 0)

    def dead(self, count: int) -> list[Got]:
        """Dead letters."""
        return self._cluster.consume(self.dlq, count)


@pytest.fixture
def line(app_factory: MakeApp, cluster: Cluster) -> Line:
    return Line(app_factory(), cluster)


async def test_every_type_of_a_model_arrives_as_its_column(line: Line) -> None:
    full = GOOD | {
        "side": "a",
        "day": "2024-02-29",
        "clock": "12:30:00.5",
        "took": "PT90S",
        "points": [{"x": 1, "y": None}, {"x": 2.5, "y": 7}],
        "counts": {"b": 2, "a": 1},
        "blob": "bytes ü",
        "extra": {"any": [1, None, "x"]},
        "score": 0.1,
        "unknown": [{"left": "out"}],
    }
    (got,) = await line.run([full], model=Order)
    (row,) = line.seen[0].to_pylist()
    expected = Order.model_validate(full).model_dump()
    assert row["at"] == expected.pop("at") == dt.datetime(2024, 2, 29, 10, 30, tzinfo=dt.UTC)
    assert dict(row["counts"]) == expected.pop("counts")
    assert json.loads(row["extra"]) == expected.pop("extra")
    assert {name: row[name] for name in expected} == expected
    assert line.seen[0].schema.names == list(Order.model_fields)
    assert got.json["extra"] == {"any": [1, None, "x"]}
    assert got.json["at"] == "2024-02-29T10:30:00Z"
    # What goes out is what the model reads: its own names aside, nothing has changed.
    again = Order.model_validate(got.json | {"userName": got.json["user"]})
    assert again == Order.model_validate(full)


async def test_missing_fields_are_null_or_their_default(line: Line) -> None:
    await line.run([GOOD], model=Order)
    (row,) = line.seen[0].to_pylist()
    assert row["points"] == []
    assert (row["blob"], row["score"], row["extra"], row["counts"]) == (b"none", 1.5, None, None)


BAD: list[tuple[bytes | None, str]] = [
    (b'{"id":1}{"id":2}', "a second JSON object follows in the same record"),
    (b'{"id":1} x', "something follows behind the JSON object"),
    (None, "the record is a tombstone"),
    (b"", "the value is empty"),
    (b"[1]", "expected a JSON object, found an array"),
    (b'{"id":1', "the record ends inside an object"),
    (b'{"id":1,"s":"\xc3"}', "a string is not valid UTF-8"),
    (b'{"id":1,"s":"\\ud800"}', "found half of a surrogate pair"),
    (b'{"id":1,"deep":' + b"[" * 300 + b"]" * 300 + b"}", "nested deeper than 64 levels"),
    (b'{"id":12345678901234567890}', "found 12345678901234567890"),
    (b'{"id":NaN}', "found NaN, which JSON does not have"),
    (b'{"id":1.5}', "found 1.5"),
    (b'{"id":"5"}', "field `id`: expected an integer, found a string"),
    (b'{"id":true}', "field `id`: expected an integer, found a boolean"),
    (b'{"id":null}', "field `id`: expected an integer, found null"),
    (b'{"s":"x"}', "field `id`: missing"),
    (b"\xef\xbb\xbf{}", "found a byte order mark"),
]


class Plain(turbine.Record):
    id: int
    s: str | None = None


async def test_each_bad_record_is_a_dead_letter_and_its_neighbours_arrive(line: Line) -> None:
    values: list[Any] = []
    for n, (value, _) in enumerate(BAD):
        values += [{"id": n, "s": "neighbour"}, value]
    got = await line.run(values, model=Plain, good=len(BAD))
    assert [g.json for g in got] == [{"id": n, "s": "neighbour"} for n in range(len(BAD))]
    dead = line.dead(len(BAD))
    assert [d.value for d in dead] == [value for value, _ in BAD]
    for letter, (_, message) in zip(dead, BAD, strict=True):
        assert any(message in text for text in letter.header.values()), letter.header


async def test_rules_of_the_model_hold_for_columns_too(line: Line) -> None:
    wrong: list[dict[str, Any]] = [
        {"kind": "rent"},
        {"userName": ""},
        {"amount": "1.005"},
        {"amount": "12345678901.00"},
        {"at": "yesterday"},
        {"points": [{"x": "one"}]},
        {"side": "c"},
        {"day": "2023-02-29"},
        {"counts": {"a": 1.5}},
        {"user": "the alias is userName", "userName": None},
    ]
    good = await line.run([GOOD | change for change in wrong] + [GOOD], model=Order, good=1)
    assert good[0].json["id"] == 1
    for change in wrong:
        with pytest.raises(pydantic.ValidationError):
            Order.model_validate_json(json.dumps(GOOD | change))


async def test_a_stream_without_a_model_gets_one_schema_that_only_widens(line: Line) -> None:
    values = [{"a": 1, "b": "x"}, {"a": 2, "c": [1]}, {"a": 2.5}, {"a": "text"}, {"c": [0.5, None]}]
    got = await line.run(values, good=4)
    assert [g.json for g in got][-1]["c"] == [0.5, None]
    table = pa.concat_tables(
        [pa.Table.from_batches([b]) for b in line.seen], promote_options="permissive"
    )
    assert table.num_rows == 4
    assert b'"text"' in (line.dead(1)[0].value or b"")


async def test_a_null_row_stands_for_a_tombstone_if_asked(line: Line) -> None:
    got = await line.run([{"id": 1}, None], model=Plain, tombstones="null")
    assert [g.json for g in got] == [{"id": 1, "s": None}, {"id": None, "s": None}]


async def test_metadata_comes_as_columns_and_never_goes_out(line: Line) -> None:
    names = ["key", "partition", "offset", "timestamp", "headers", "topic"]
    got = await line.run([{"id": 1}, {"id": 2}], model=Plain, with_metadata=names)
    rows = [row for batch in line.seen for row in batch.to_pylist()]
    assert [row["_offset"] for row in rows] == [0, 1]
    assert rows[0]["_topic"] == line.source
    assert (rows[0]["_key"], rows[0]["_partition"], rows[0]["_headers"]) == (None, 0, [])
    assert rows[0]["_timestamp"].tzinfo is not None
    assert [g.json for g in got] == [{"id": 1, "s": None}, {"id": 2, "s": None}]


def second_half(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows that do not start at the beginning of their memory."""
    twice = pa.Table.from_batches([batch, batch]).combine_chunks()
    return twice.to_batches()[0].slice(batch.num_rows)


RETURNS: list[tuple[str, Callable[[pa.RecordBatch], Any]]] = [
    ("polars", lambda batch: pl.DataFrame(batch).with_columns(pl.col("s").cast(pl.Categorical))),
    ("arro3", arro3.core.RecordBatch.from_arrow),
    ("table", lambda batch: pa.Table.from_batches([batch])),
    ("dictionary", lambda batch: batch.set_column(1, "s", batch["s"].dictionary_encode())),
    ("large", lambda batch: batch.set_column(1, "s", batch["s"].cast(pa.large_utf8()))),
    ("view", lambda batch: batch.set_column(1, "s", batch["s"].cast(pa.string_view()))),
    ("slice", second_half),
]


@pytest.mark.cases_alike
@pytest.mark.parametrize(("name", "handler"), RETURNS, ids=[name for name, _ in RETURNS])
async def test_whatever_arrow_comes_back_is_written_alike(
    line: Line, name: str, handler: Callable[[pa.RecordBatch], Any]
) -> None:
    values = [{"id": 1, "s": 'a"b'}, {"id": 2, "s": None}, {"id": 3, "s": "ü"}]
    got = await line.run(values, handler, model=Plain, message_key="s")
    assert [g.json for g in got] == values
    assert [g.key for g in got] == [b'a"b', None, "ü".encode()]


async def test_nan_goes_out_as_null(line: Line) -> None:
    def nan(batch: pa.RecordBatch) -> pa.RecordBatch:
        floats = pa.array([float("nan")] * batch.num_rows)
        return batch.append_column("f", floats)

    (got,) = await line.run([{"id": 1}], nan, model=Plain)
    assert got.value == b'{"id":1,"s":null,"f":null}'


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


class Loose(turbine.Record):
    n: int | None = None
    f: float | None = None
    s: str | None = None
    l: list[float | None] | None = None  # noqa: E741 - short, as in events
    any: Any = None


ROWS = st.fixed_dictionaries(
    {
        "n": st.none() | st.integers(-(2**63), 2**63 - 1),
        "f": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "s": st.none() | st.text(max_size=12),
        "l": st.none() | st.lists(st.none() | st.floats(-1e9, 1e9), max_size=3),
        "any": JSON,
    }
)


async def test_what_goes_in_comes_out(line: Line) -> None:
    rows: list[dict[str, Any]] = []

    @settings(max_examples=300, database=None, deadline=None)
    @given(ROWS)
    def collect(row: dict[str, Any]) -> None:
        rows.append(row)

    collect()
    got = await line.run(rows, model=Loose)
    assert [g.json for g in got] == rows


class Guarded(turbine.Record):
    row: int
    n: int | None = None
    f: float | None = None
    s: str | None = None
    b: bool | None = None
    l: list[int] | None = None  # noqa: E741 - short, as in events
    m: dict[str, float] | None = None
    k: Kind | None = None
    d: Annotated[Decimal, Field(max_digits=12, decimal_places=2)] | None = None
    t: dt.datetime | None = None
    day: dt.date | None = None
    c: dt.time | None = None


TIMES = st.datetimes(timezones=st.just(dt.UTC))
ODD = (
    JSON
    | TIMES.map(dt.datetime.isoformat)
    | st.dates().map(dt.date.isoformat)
    | st.times().map(dt.time.isoformat)
    | st.decimals(-1_000_000, 1_000_000, places=2).map(str)
    | st.sampled_from(["buy", "5", "5.0", "true", "12:00", "2024-01-01T00:00", "", "1e3", 5.0, 1.0])
    | st.integers(-(10**12), 10**12)
)
NAMES = [name for name in Guarded.model_fields if name != "row"]
STRICT = {"n", "f", "s", "b", "l", "m", "k"}


def _in_utc(text: str) -> Guarded:
    """Read *text*; a column has one zone, so a time without an offset stands for UTC."""
    row = Guarded.model_validate_json(text)
    t = row.t and (row.t if row.t.tzinfo else row.t.replace(tzinfo=dt.UTC))
    return row.model_copy(update={"t": t, "c": row.c and row.c.replace(tzinfo=None)})


async def test_columns_take_nothing_that_pydantic_refuses_and_read_it_alike(line: Line) -> None:
    rows: list[dict[str, Any]] = []

    @settings(max_examples=800, database=None, deadline=None)
    @given(st.sampled_from(NAMES), ODD)
    def collect(name: str, value: Any) -> None:
        rows.append({"row": len(rows), name: value})

    collect()
    got = {g.json["row"]: g.json for g in await line.settle(rows, model=Guarded)}
    assert got.keys() == {row for batch in line.seen for row in batch["row"].to_pylist()}
    for row in rows:
        text = json.dumps(row)
        if row["row"] in got:
            assert _in_utc(json.dumps(got[row["row"]])) == _in_utc(text), text
        elif row.keys() & STRICT:
            with pytest.raises(pydantic.ValidationError):
                Guarded.model_validate_json(text, strict=True)
