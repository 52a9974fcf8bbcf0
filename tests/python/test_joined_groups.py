"""Groups and windows behind joins and lookups: what comes out is what DuckDB computes at once."""

import asyncio
import functools
import random
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

import turbine
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from support.joining import LAST_MS, duck, end_of, rows_of, sorted_rows
from turbine import DeclarationError
from turbine._topology import topology
from turbine.flows import Flow, col, count, max, sum, tumbling  # noqa: A004 - the words of a plan


class Order(turbine.Record):
    order: str
    amount: int
    ts: int


class Payment(turbine.Record):
    order: str
    method: str
    ts: int


PAIRS = (
    "SELECT coalesce(a.order, b.order) AS order, amount, a.ts AS ts, method, b.ts AS ts_right, "
    "greatest(a.ts, b.ts) AS moment FROM a {how} JOIN b ON a.order = b.order AND "
    "b.ts - a.ts BETWEEN -50 AND 100"
)


class Shop:
    """Orders and payments in three partitions each, with rows behind all others in time."""

    def __init__(self, app: turbine.App, make_topic: MakeTopic, produce: Produce) -> None:
        self.topics = {name: make_topic(name, 3) for name in ("orders", "payments")}
        self.rows: dict[str, list[dict[str, Any]]] = {
            "orders": rows_of(21, 400, amount=lambda n: n % 50),
            "payments": rows_of(22, 300, method=lambda n: f"m{n % 4}"),
        }
        late: dict[str, Any] = {"event_time": "ts", "out_of_orderness": 0.05}
        self.orders = app.stream(self.topics["orders"], model=Order, **late)
        self.payments = app.stream(self.topics["payments"], model=Payment, **late)
        ends: dict[str, dict[str, Any]] = {"orders": {"amount": 0}, "payments": {"method": ""}}
        for name, topic in self.topics.items():
            produce(topic, self.rows[name], keys=[row["order"] for row in self.rows[name]])
            for partition in range(3):
                produce(topic, [end_of(name, **ends[name])], partition=partition)

    def joined(self, how: Any, **more: Any) -> Flow:
        flow: Flow = self.orders.join(
            self.payments, on="order", how=how, before="50ms", after="100ms", **more
        )
        return flow

    def duck(self, sql: str, how: str) -> list[dict[str, Any]]:
        pairs = PAIRS.format(how=how)
        return duck(f"WITH j AS ({pairs}) {sql}", a=self.rows["orders"], b=self.rows["payments"])


async def got(
    consume: Consume, topic: str, wanted: list[dict[str, Any]], *, last: int = 2_000
) -> list[dict[str, Any]]:
    """As many rows as are wanted, without those of windows behind all others."""
    records = await asyncio.to_thread(consume, topic, len(wanted))
    rows = [one.json for one in records]
    return [row for row in rows if row.get("window_start_ms", 0) < last * 50]


@pytest.mark.parametrize(
    ("guarantee", "how", "together"),
    [
        ("at_least_once", "inner", True),
        ("exactly_once", "full", True),
        ("exactly_once", "left", False),
    ],
)
async def test_windows_behind_an_interval_join_of_several_partitions_are_those_of_duckdb(  # noqa: PLR0917
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    consume: Consume,
    guarantee: str,
    how: str,
    together: bool,  # noqa: FBT001 - of the cases above
) -> None:
    app = app_factory(processing_guarantee=guarantee)
    shop = Shop(app, make_topic, produce)
    out = make_topic("out", 1)
    (
        shop.joined(how, repartition=not together)
        .with_columns(big=col("amount") > 20)
        .group_by("method", "big")
        .window(tumbling("500ms"))
        .agg(n=count(), total=sum("amount"), last=max("ts_right"))
        .to(out)
    )
    wanted = shop.duck(
        "SELECT method, amount > 20 AS big, moment // 500 * 500 AS window_start_ms, "
        "moment // 500 * 500 + 500 AS window_end_ms, count(*) AS n, sum(amount)::BIGINT AS total, "
        "max(ts_right) AS last FROM j GROUP BY ALL",
        how,
    )
    async with app.running():
        found = await got(consume, out, wanted)
    assert sorted_rows(found) == sorted_rows(wanted)
    assert len(wanted) > 30


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_groups_without_a_window_behind_joins_are_tables(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    consume: Consume,
    guarantee: str,
) -> None:
    app = app_factory(processing_guarantee=guarantee)
    shop = Shop(app, make_topic, produce)
    by_method, everything = make_topic("by", 1), make_topic("all", 1)
    joined = shop.joined("inner")
    values = {"n": count(), "total": sum("amount")}
    joined.group_by((col("ts") % 3).alias("third"), partitions=2).agg(**values).to(by_method)
    shop.joined("left").group_by().agg(n=count()).to(everything)
    third = (
        "SELECT ts % 3 AS third, count(*) AS n, sum(amount)::BIGINT AS total FROM j GROUP BY ALL"
    )
    wanted = {row["third"]: row for row in shop.duck(third, "inner")}
    pairs = shop.duck("SELECT * FROM j", "inner")
    all_ = shop.duck("SELECT * FROM j", "left")
    async with app.running():
        rows = await got(consume, by_method, pairs)
        every = await got(consume, everything, all_)
    last = {row["third"]: row for row in rows}
    assert last == wanted
    assert every[-1]["n"] == len(all_)


async def test_windows_behind_a_stream_that_meets_a_table_are_those_of_duckdb(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory(processing_guarantee="exactly_once")
    orders, methods, out = make_topic("orders", 3), make_topic("methods", 3), make_topic("out", 1)
    table = [{"order": f"o{n}", "method": f"m{n % 3}", "ts": 0} for n in range(9)]
    produce(methods, table, keys=[row["order"] for row in table], timestamp_ms=1_000)
    rows = rows_of(31, 400, amount=lambda n: n)
    produce(orders, rows, keys=[row["order"] for row in rows], timestamp_ms=2_000)
    for partition in range(3):
        end = [end_of("orders", amount=0)]
        produce(orders, end, partition=partition, timestamp_ms=3_000)
    left = app.stream(orders, model=Order, event_time="ts", out_of_orderness=0.05, keyed_by="order")
    right = app.stream(methods, model=Payment, keyed_by="order").select("order", "method")
    joined = left.join(right.as_table(), on="order", how="left")
    joined.group_by("method").window(tumbling("1s")).agg(n=count()).to(out)
    wanted = duck(
        "SELECT method, a.ts // 1000 * 1000 AS window_start_ms, a.ts // 1000 * 1000 + 1000 AS "
        "window_end_ms, count(*) AS n FROM a LEFT JOIN b ON a.order = b.order GROUP BY ALL",
        a=rows,
        b=table,
    )
    async with app.running():
        found = await got(consume, out, wanted)
    assert sorted_rows([r for r in found if r["window_start_ms"] < LAST_MS]) == sorted_rows(wanted)


async def test_windows_behind_a_join_close_although_a_partition_has_no_rows(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    orders, payments, out = make_topic("orders", 2), make_topic("payments", 2), make_topic("o", 1)
    timed: dict[str, Any] = {"event_time": "ts", "idle_close": 0.2}
    left = app.stream(orders, model=Order, **timed)
    right = app.stream(payments, model=Payment, **timed)
    joined = left.join(right, on="order", within="50ms", repartition=False)
    joined.group_by("method").window(tumbling("1s")).agg(n=count()).to(out)
    # Partition 0 stays empty, and nothing comes behind these rows.
    produce(orders, [{"order": "a", "amount": 1, "ts": 1_100}], partition=1)
    produce(payments, [{"order": "a", "method": "m", "ts": 1_120}], partition=1)
    async with app.running():
        (one,) = await asyncio.to_thread(consume, out, 1)
    assert (one.json["method"], one.json["n"], one.json["window_start_ms"]) == ("m", 1, 1_000)


async def test_what_a_lookup_gives_is_grouped(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory(processing_guarantee="exactly_once")
    orders, out = make_topic("orders", 3), make_topic("out", 1)

    async def fetch(order: str) -> dict[str, Any] | None:
        return None if order == "o3" else {"tier": f"t{int(order[1:]) % 3}"}

    stream = app.stream(orders, model=Order).filter(col("amount") >= 0)
    looked = stream.lookup(fetch, by="order", columns={"tier": pa.string()})
    looked.group_by("tier", partitions=2).agg(n=count(), total=sum("amount")).to(out)
    dice = random.Random(4)
    rows: list[dict[str, Any]] = [
        {"order": f"o{dice.randrange(9)}", "amount": n, "ts": n} for n in range(200)
    ]
    produce(orders, rows)
    async with app.running():
        found = [one.json for one in await asyncio.to_thread(consume, out, len(rows))]
    wanted: dict[str | None, list[int]] = {}
    for row in rows:
        tier = None if row["order"] == "o3" else f"t{int(row['order'][1:]) % 3}"
        wanted.setdefault(tier, []).append(row["amount"])
    last = {row["tier"]: (row["n"], row["total"]) for row in found}
    assert last == {
        tier: (len(all_), functools.reduce(int.__add__, all_)) for tier, all_ in wanted.items()
    }


class Loudest:
    """The largest amount of each order so far, in the state of a handler class."""

    def process(self, batch: pa.RecordBatch, state: turbine.State) -> pa.RecordBatch:
        best = []
        for row in batch.select(["order", "amount"]).to_pylist():
            most = state.get(row["order"], -1)
            if row["amount"] > most:
                state.put(row["order"], row["amount"])
            best.append(state.get(row["order"]))
        return pa.RecordBatch.from_pydict(
            {"order": batch["order"], "best": best, "at": batch["_event_time"]}
        )


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_handler_has_the_rows_of_a_join_of_two_topics(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    consume: Consume,
    guarantee: str,
) -> None:
    app = app_factory(processing_guarantee=guarantee)
    shop = Shop(app, make_topic, produce)
    out, methods = make_topic("out", 1), make_topic("methods", 1)
    seen: list[list[str]] = []

    async def method_of(batch: pa.RecordBatch) -> pa.RecordBatch:
        seen.append(batch.schema.names)
        return batch.select(["order", "method"])

    shop.joined("inner").to(Loudest, publish_to=out)
    shop.joined("left").filter(col("amount") > 25).to(method_of, publish_to=methods)
    pairs = shop.duck("SELECT * FROM j", "inner")
    wanted = shop.duck('SELECT "order", method FROM j WHERE amount > 25', "left")
    async with app.running():
        rows = [one.json for one in await asyncio.to_thread(consume, out, len(pairs))]
        chosen = [one.json for one in await asyncio.to_thread(consume, methods, len(wanted))]
    last = {row["order"]: row["best"] for row in rows}
    best = shop.duck('SELECT "order", max(amount) AS best FROM j GROUP BY ALL', "inner")
    assert last == {row["order"]: row["best"] for row in best}
    assert sorted(row["at"] for row in rows) == sorted(row["moment"] for row in pairs)
    assert sorted_rows(chosen) == sorted_rows(wanted)
    names = ["order", "amount", "ts", "ts_right", "method", "_event_time", "_watermark"]
    assert sorted(seen[0]) == sorted(names)


# -- declaration -----------------------------------------------------------------------------------


async def tier(_: str) -> None:
    return None


CANNOT: list[tuple[Callable[[Any, Any], Any], str]] = [
    (
        lambda a, b: a.as_table().join(b.as_table(), on="order").group_by("order"),
        "would be counted at every one of them",
    ),
    (
        lambda a, b: (
            a.lookup(tier, by="order", columns={"t": pa.string()})
            .group_by("t")
            .window(tumbling("1s"))
        ),
        r"aggregate in front of lookup\(\)",
    ),
    (lambda a, b: a.join(b, on="order", within=1).group_by("order").to("out"), "add .agg"),
    (lambda a, b: a.group_by("order").agg(n=count()).to(Loudest), "takes rows, joined rows or"),
    (lambda a, b: a.join(b, on="order", within=1).group_by("x"), "there is no such column"),
    (
        lambda a, b: (
            a.join(b, on="order", within=1)
            .group_by("order")
            .agg(n=count())
            .join(b, on="order", within=1)
        ),
        "grouped or joined already",
    ),
]


@pytest.mark.parametrize(("write", "reason"), CANNOT, ids=range(len(CANNOT)))
def test_what_cannot_be_grouped_is_refused_with_the_next_step(
    write: Callable[[Any, Any], Any], reason: str
) -> None:
    app = turbine.App("a")
    left = app.stream("orders", model=Order, event_time="ts")
    right = app.stream("payments", model=Payment, event_time="ts")
    with pytest.raises(DeclarationError, match=reason):
        write(left, right)


def test_windows_behind_a_stream_without_a_time_are_refused() -> None:
    app = turbine.App("a")
    left, right = app.stream("orders", model=Order), app.stream("payments", model=Payment)
    joined = left.join(right.as_table(), on="order")
    with pytest.raises(DeclarationError, match=r"and orders has none: write app.stream\('orders'"):
        joined.group_by("method").window(tumbling("1s"))


def test_explain_shows_both_parts_of_the_plan() -> None:
    app = turbine.App("shop")
    left = app.stream("orders", model=Order, event_time="ts")
    right = app.stream("payments", model=Payment, event_time="ts")
    flow = left.join(right, on="order", within="1h").group_by("method").agg(n=count())
    kinds = [line.split()[0] for line in flow.explain().splitlines()]
    assert kinds == ["source", "right", "join", "through", "group", "agg", "columns"]
    one = flow.to("stats")
    internal = "shop-orders-to-stats-method-repartition"
    assert f"reads         {internal}" in one.explain()
    edges = {(edge["from"], edge["to"]) for edge in topology(app).to_json()["edges"]}
    assert ("plan:orders-to-stats-stage-1", f"topic:{internal}") in edges
    assert (f"topic:{internal}", "plan:orders-to-stats") in edges
