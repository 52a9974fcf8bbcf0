"""What a join of two topics keeps: seen from outside, bounded by time, and not held by silence."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import turbine
from support.apps import source
from support.fixtures import Consume, MakeApp, MakeTopic, MakeWorker, Produce
from support.kafka import Cluster
from support.wait import eventually
from support.wait import eventually_async as until
from turbine import ConfigError, HandlerError
from turbine.cli import cli
from turbine.flows import col

APP = source("join_topics")


class Order(turbine.Record):
    order: str
    ts: int


class Payment(turbine.Record):
    order: str
    ts: int
    method: str = ""


def in_json(*command: str) -> list[Any]:
    """What a command writes, line by line."""
    lines = CliRunner().invoke(cli, ["--json", *command]).output.splitlines()
    return [json.loads(line) for line in lines]


def test_rows_that_wait_are_looked_at_like_a_table(
    worker_process: MakeWorker, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    orders, payments, out = (make_topic(name, 1) for name in ("orders", "payments", "out"))
    env = {"ORDERS": orders, "PAYMENTS": payments, "OUT": out, "GUARANTEE": "exactly_once"}
    worker = worker_process(APP, env=env).start().wait_ready()
    produce(orders, [{"order": f"o{n}", "amount": n, "ts": 1_000} for n in range(5)])
    group = f"{worker.env['APP_ID']}-paid"
    eventually(lambda: cluster.committed(group, orders) == {0: 5}, why="all is committed")
    tables = {one["name"]: one["partitions"] for one in worker.get("/tables")[1]["tables"]}
    assert [(one["position"], one["lag"]) for one in tables["paid"]] == [(5, 0)]
    assert "turbine.inputs" not in "".join(tables)
    page = worker.get("/tables/paid")[1]
    worker.terminate()
    (directory,) = worker.directory.glob("*-data/**/state")
    scan = ["state", "scan", "paid", "--dir", str(directory)]
    shown = CliRunner().invoke(cli, scan).output.splitlines()
    assert shown[0].startswith("watermarks\t")
    first = {"columns": {"amount": 0, "ts": 1_000}, "is_matched": False}
    assert shown[1] == f"o0\t{json.dumps(first | {'side': 'left', 'time_ms': 1_000})}"
    rows = in_json(*scan)
    assert [(row["key"], row["value"]["columns"]["amount"]) for row in rows[1:]] == [
        (f"o{n}", n) for n in range(5)
    ]
    assert in_json(*scan, "--scope", "o3") == [rows[4]] == [page["rows"][4]]
    told = CliRunner().invoke(cli, ["state", "stats", "--dir", str(directory)])
    assert [line.split("\t")[3:5] for line in told.output.splitlines()[1:2]] == [["5", "7"]]


def test_rows_that_wait_come_back_from_a_snapshot(
    worker_process: MakeWorker,
    make_topic: MakeTopic,
    produce: Produce,
    cluster: Cluster,
    tmp_path: Path,
) -> None:
    orders, payments, out = (make_topic(name, 1) for name in ("orders", "payments", "out"))
    env = {"ORDERS": orders, "PAYMENTS": payments, "OUT": out, "GUARANTEE": "exactly_once"}
    # Without a changelog nothing but the snapshot has the rows.
    env |= {"TURBINE_CHECKPOINT_URL": f"file://{tmp_path / 'archive'}", "NO_CHANGELOG": "1"}
    worker = worker_process(APP, env=env).start().wait_ready()
    produce(orders, [{"order": f"o{n}", "amount": n, "ts": 1_000} for n in range(5)])
    group = f"{worker.env['APP_ID']}-paid"
    eventually(lambda: cluster.committed(group, orders) == {0: 5}, why="all is committed")
    assert worker.terminate() == 0
    (state,) = worker.directory.glob("*-data/**/state")
    shutil.rmtree(state)
    worker.start().wait_ready()
    produce(payments, [{"order": f"o{n}", "method": "m", "ts": 1_010} for n in range(5)])
    found = [one.json for one in cluster.consume(out, 5)]
    assert sorted((row["order"], row["amount"]) for row in found) == [
        (f"o{n}", n) for n in range(5)
    ]
    assert "restored from a snapshot of offset 5" in worker.output()


class Sale(turbine.Record):
    shop: int
    day: str
    amount: float


class Shop(turbine.Record):
    shop: int
    day: str
    name: str | None = None


async def test_rows_of_tables_are_shown_by_their_keys_and_not_read_with_other_columns(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    sales, shops, out = (make_topic(name, 1) for name in ("sales", "shops", "out"))

    def app(*, named: bool) -> turbine.App:
        made = app_factory("tables-" + sales)
        left = made.stream(sales, model=Sale).flow()
        right = made.stream(shops, model=Shop).flow()
        right = right if named else right.select("shop", "day", name=col("shop"))
        on = ["shop", "day"]
        table = right.as_table()
        left.as_table().join(table, on=on, how="full", repartition=False).to(out, name="both")
        return made

    produce(sales, [{"shop": 1, "day": "mon", "amount": 2.5}])
    produce(shops, [{"shop": 1, "day": "mon", "name": "Ada"}, {"shop": 2, "day": "x"}])
    async with app(named=True).running() as one:
        await asyncio.to_thread(consume, out, 3)
    directory = str(one.conf.data_path / "state")
    rows = await asyncio.to_thread(in_json, "state", "scan", "both", "--dir", directory)
    mon, x = {"shop": 1, "day": "mon"}, {"shop": 2, "day": "x"}
    assert [(row["key"], row["value"]["side"], row["value"]["columns"]) for row in rows] == [
        (mon, "left", {"amount": 2.5}),
        (mon, "right", {"name": "Ada"}),
        (x, "right", {"name": None}),
    ]
    produce(sales, [{"shop": 1, "day": "mon", "amount": 3.0}])
    with pytest.raises(HandlerError, match="rows were kept with other columns"):
        async with app(named=False).running() as other:
            await until(lambda: other._runtime.failures)  # type: ignore[union-attr] # as above


async def test_a_silent_side_holds_nothing_up(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    orders, payments, out = (make_topic(name, 1) for name in ("orders", "payments", "out"))
    left = app.stream(orders, model=Order, event_time="ts", idle_close=0.2)
    right = app.stream(payments, model=Payment, event_time="ts", idle_close=0.2)
    left.join(right, on="order", how="left", within="100ms", repartition=False).to(out)
    async with app.running():
        # Nothing else ever comes, of either side.
        produce(orders, [{"order": "a", "ts": 1_000}])
        (one,) = await asyncio.to_thread(consume, out, 1)
    assert one.json == {"order": "a", "ts": 1_000, "ts_right": None, "method": None}


async def test_topics_that_differ_in_partitions_are_refused_at_the_start(
    app_factory: MakeApp, make_topic: MakeTopic
) -> None:
    app = app_factory()
    orders, payments = make_topic("orders", 2), make_topic("payments", 3)
    left = app.stream(orders, model=Order, event_time="ts")
    right = app.stream(payments, model=Payment, event_time="ts")
    left.join(right, on="order", within=1, repartition=False).to("out")
    with pytest.raises(ConfigError, match=r"has 2 partitions and .* has 3.*the same number"):
        async with app.running():
            pass


async def test_a_bad_record_of_the_right_is_told_by_its_own_topic(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    names = ("orders", "payments", "out", "dead")
    orders, payments, out, dead = (make_topic(name, 1) for name in names)
    left = app.stream(orders, model=Order, event_time="ts")
    right = app.stream(payments, model=Payment, event_time="ts")
    joined = left.join(right, on="order", within=1, repartition=False)
    joined.to(out, on_error="dlq", dlq=dead)
    produce(payments, [{"order": "a", "ts": 1_000}, "not json", {"order": "b", "ts": 1_000}])
    produce(orders, [{"order": "a", "ts": 1_000}, {"order": "b", "ts": 1_000}])
    async with app.running():
        found = await asyncio.to_thread(consume, out, 2)
        (letter,) = await asyncio.to_thread(consume, dead, 1)
    assert {one.json["order"] for one in found} == {"a", "b"}
    headers = dict(letter.headers)
    assert headers["turbine.source.topic"] == payments.encode()
    assert headers["turbine.source.offset"] == b"1"
