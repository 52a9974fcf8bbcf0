"""Joins of two topics: what comes out is what DuckDB computes from all rows at once."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import turbine
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from support.joining import LAST_MS, duck, end_of, rows_of, sorted_rows
from turbine import DeclarationError
from turbine._topology import topology
from turbine.flows import col, count


class Order(turbine.Record):
    order: str
    amount: int
    ts: int


class Payment(turbine.Record):
    order: str
    method: str
    ts: int


async def got(consume: Consume, topic: str, at_least: int) -> list[dict[str, Any]]:
    return [one.json for one in await asyncio.to_thread(consume, topic, at_least)]


async def test_a_join_of_two_topics_gives_what_duckdb_gives(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    orders, payments, out = (make_topic(name, 3) for name in ("orders", "payments", "paid"))
    left = app.stream(orders, model=Order, event_time="ts", out_of_orderness=0.05)
    right = app.stream(payments, model=Payment, event_time="ts", out_of_orderness=0.05)
    (
        left.filter(col("amount") > 10)
        .join(right.with_columns(late=col("ts") % 2 == 0), on="order", within="100ms")
        .with_columns(apart=col("ts_right") - col("ts"))
        .to(out)
    )
    a = rows_of(1, 400, amount=lambda n: n % 50)
    b = rows_of(2, 400, method=lambda n: f"m{n}")
    produce(orders, a)
    produce(payments, b)
    wanted = duck(
        "SELECT a.order, amount, a.ts, method, b.ts AS ts_right, b.ts % 2 = 0 AS late, "
        "b.ts - a.ts AS apart FROM a JOIN b ON a.order = b.order AND abs(a.ts - b.ts) <= 100 "
        "WHERE amount > 10",
        a=a,
        b=b,
    )
    async with app.running():
        found = await got(consume, out, len(wanted))
    assert sorted_rows(found) == sorted_rows(wanted)
    assert len(wanted) > 100


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_rows_without_a_match_come_once_and_never_besides_it(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    consume: Consume,
    guarantee: str,
) -> None:
    app = app_factory(processing_guarantee=guarantee)
    orders, payments = (make_topic(name, 2) for name in ("orders", "payments"))
    left = app.stream(orders, model=Order, event_time="ts", out_of_orderness=0.05)
    right = app.stream(payments, model=Payment, event_time="ts", out_of_orderness=0.05)
    hows = ("left", "right", "full")
    outs = {how: make_topic(how, 1) for how in hows}
    for how, out in outs.items():
        left.join(right, on="order", how=how, before=0, after="50ms", repartition=False).to(
            out, name=how
        )
    a, b = rows_of(3, 200, amount=lambda n: n), rows_of(4, 100, method=lambda n: f"m{n}")
    for topic, rows, more in ((orders, a, {"amount": 0}), (payments, b, {"method": ""})):
        produce(topic, rows, keys=[row["order"] for row in rows])
        for partition in range(2):
            produce(topic, [end_of(topic, **more)], partition=partition)
    async with app.running():
        for how, out in outs.items():
            wanted = duck(
                "SELECT coalesce(a.order, b.order) AS order, amount, a.ts, method, "
                f"b.ts AS ts_right FROM a {how} JOIN b ON a.order = b.order AND "
                "b.ts - a.ts BETWEEN 0 AND 50",
                a=a,
                b=b,
            )
            found = await got(consume, out, len(wanted))
            assert sorted_rows(found) == sorted_rows(wanted), how
            assert any(row["method"] is None or row["amount"] is None for row in wanted)


# -- declaration -----------------------------------------------------------------------------------

CANNOT: list[tuple[Callable[[Any, Any], Any], str]] = [
    (lambda a, b: a.join(b, on="order"), r"keeps every row for ever: add within='1h'"),
    (lambda a, b: a.join(b, on="order", grace="1s"), "keeps every row for ever"),
    (lambda a, b: a.join(b, on="nothing", within=1), "rows of the left have no column"),
    (lambda a, b: a.join(b, on="order", right_on="ts", within=1), "is Utf8.* is Int64"),
    (lambda a, b: a.join(b, on="order", within=1, before=1), "within=1 says both"),
    (lambda a, b: a.join(b, on="order", within=1, suffix=""), "two columns would be called"),
    (lambda a, b: a.join(b, on="order", within=1, how="cross"), "how='cross'"),
    (lambda a, b: a.join(a, on="order", within=1), "is on both sides"),
    (lambda a, b: a.join(b.as_table(), on="order", within=1), "whatever its time"),
    (lambda a, b: a.as_table().join(b, on="order"), "a table is not joined with a stream"),
    (lambda a, b: a.join(b.as_table(), on="order", how="full"), "answers rows of the left"),
    (lambda a, b: a.join_asof(b.as_table(), on="order"), "which a table has not"),
    (lambda a, b: a.as_table().filter(col("ts") > 0), r"in front, as_table\(\) is the last"),
    (lambda a, b: a.as_table().to("out"), "is for a join"),
    (lambda a, b: a.join("payments", on="order", within=1), "write a stream with a model"),
    (lambda a, b: a.join(b, on="order", within=1).join(b, on="order", within=1), "joined already"),
    (lambda a, b: a.join(b.group_by("order").agg(n=count()), on="order", within=1), "grouped"),
    (lambda a, b: a.join(b, on="order", within=1).to("payments"), "every record would come back"),
    (lambda a, b: a.join(b, on="order", within=1).to("out", tombstones="null"), "of one topic"),
]


@pytest.mark.parametrize(("write", "reason"), CANNOT, ids=range(len(CANNOT)))
def test_what_cannot_be_joined_is_refused_where_it_is_written(
    app_factory: MakeApp, write: Callable[[Any, Any], Any], reason: str
) -> None:
    app = app_factory()
    left = app.stream("orders", model=Order, event_time="ts").filter(col("amount") > 0)
    right = app.stream("payments", model=Payment, event_time="ts").filter(col("ts") > 0)
    with pytest.raises(DeclarationError, match=reason):
        write(left, right)


def test_streams_without_a_time_are_not_joined_by_it(app_factory: MakeApp) -> None:
    app = app_factory()
    left, right = app.stream("orders", model=Order), app.stream("payments", model=Payment)
    with pytest.raises(DeclarationError, match="event_time='timestamp'"):
        left.join(right, on="order", within="1h")
    left.flow().join(right.as_table(), on="order").to("paid")


def test_explain_draws_both_topics_of_a_join(app_factory: MakeApp) -> None:
    app = app_factory("shop")
    left = app.stream("orders", model=Order, event_time="ts")
    right = app.stream("payments", model=Payment, event_time="ts").filter(col("method") != "")
    joined = left.join(right, on="order", within="1h", how="left").select("order", "method")
    one = joined.to("paid")
    told = one.explain()
    for line in (
        "reads         orders, payments",
        "repartition   by order, through shop-orders-order-orders-to-paid-repartition",
        "right         payments: order string, method string, ts int64",
        "join          left with payments on order, interval: before 3600000 ms, after 3600000 ms",
        "state         changelog shop-orders-to-paid-changelog",
    ):
        assert line in told, told
    graph = topology(app).to_json()
    edges = {(edge["from"], edge["to"]) for edge in graph["edges"]}
    plan = "plan:orders-to-paid"
    for topic in ("orders", "payments"):
        internal = f"topic:shop-{topic}-order-orders-to-paid-repartition"
        assert (internal, plan) in edges
        assert (f"topic:{topic}", plan) not in edges


# -- tables ----------------------------------------------------------------------------------------


class Rate(turbine.Record):
    order: str
    rate: int
    ts: int


async def test_a_stream_meets_the_table_that_was_there_before_it(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    orders, rates = (make_topic(name, 2) for name in ("orders", "rates"))
    left = app.stream(orders, model=Order, keyed_by="order")
    right = app.stream(rates, model=Rate, keyed_by="order")
    outs = {how: make_topic(how, 1) for how in ("inner", "left")}
    for how, out in outs.items():
        table = right.select("order", "rate").as_table()
        # Batches of which the first of the stream has no time behind all of the table.
        left.join(table, on="order", how=how).drop("ts").to(out, name=how, batch_size=7)
    versions = rows_of(5, 60, rate=lambda n: n)[:-1]
    versions = [row for row in versions if row["order"] not in ("o1", "o2")]
    produce(rates, versions, keys=[r["order"] for r in versions], timestamp_ms=1_000)
    rows = rows_of(6, 100, amount=lambda n: n)
    produce(orders, rows, keys=[row["order"] for row in rows], timestamp_ms=2_000)
    last = {row["order"]: row["rate"] for row in versions}
    async with app.running():
        for how, out in outs.items():
            wanted = [
                {"order": r["order"], "amount": r["amount"], "rate": last.get(r["order"])}
                for r in rows
                if how == "left" or r["order"] in last
            ]
            assert sorted_rows(await got(consume, out, len(wanted))) == sorted_rows(wanted)


async def test_two_tables_give_the_joined_row_at_each_change(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory(processing_guarantee="exactly_once")
    orders, rates, out = (make_topic(name, 1) for name in ("orders", "rates", "out"))
    left = app.stream(orders, model=Order, keyed_by="order").select("order", "amount")
    right = app.stream(rates, model=Rate, keyed_by="order").select("order", "rate")
    left.as_table().join(right.as_table(), on="order", how="full").to(out)
    async with app.running():
        produce(orders, [{"order": "a", "amount": 1, "ts": 0}])
        await got(consume, out, 1)
        produce(rates, [{"order": "a", "rate": 7, "ts": 0}, {"order": "b", "rate": 8, "ts": 0}])
        await got(consume, out, 3)
        produce(orders, [{"order": "a", "amount": 2, "ts": 0}])
        found = await got(consume, out, 4)
    assert [tuple(row.values()) for row in found] == [
        ("a", 1, None, False),
        ("a", 1, 7, False),
        ("b", None, 8, False),
        ("a", 2, 7, False),
    ]


async def test_an_as_of_join_gives_the_newest_version_at_or_before_a_row(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    orders, rates, out = (make_topic(name, 2) for name in ("orders", "rates", "out"))
    left = app.stream(orders, model=Order, event_time="ts", out_of_orderness=0.05)
    right = app.stream(rates, model=Rate, event_time="ts", out_of_orderness=0.05, idle_close=0.2)
    left.join_asof(right, on="order", tolerance="200ms", how="left").to(out)
    a = rows_of(7, 150, amount=lambda n: n)
    b = list({(r["order"], r["ts"]): r for r in rows_of(8, 100, rate=lambda n: n)}.values())
    produce(rates, b)
    produce(orders, [*a, *({"order": f"e{n}", "amount": 0, "ts": LAST_MS} for n in range(9))])
    wanted = duck(
        "SELECT a.order, amount, a.ts, rate, b.ts AS ts_right FROM a ASOF LEFT JOIN b "
        "ON a.order = b.order AND a.ts >= b.ts",
        a=a,
        b=b,
    )
    for row in wanted:
        if row["ts_right"] is not None and row["ts"] - row["ts_right"] > 200:
            row["rate"] = row["ts_right"] = None
    async with app.running():
        found = await got(consume, out, len(wanted))
    found = [row for row in found if row["ts"] < LAST_MS]
    assert sorted_rows(found) == sorted_rows(wanted)
