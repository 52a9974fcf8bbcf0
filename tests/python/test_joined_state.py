"""What a join of two topics keeps: seen from outside, bounded by time, and not held by silence."""

import asyncio

import pytest
from click.testing import CliRunner

import turbine
from support.apps import source
from support.fixtures import Consume, MakeApp, MakeTopic, MakeWorker, Produce
from support.kafka import Cluster
from support.wait import eventually
from turbine import ConfigError
from turbine.cli import cli

APP = source("join_topics")


class Order(turbine.Record):
    order: str
    ts: int


class Payment(turbine.Record):
    order: str
    ts: int
    method: str = ""


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
    worker.terminate()
    (directory,) = worker.directory.glob("*-data/**/state")
    scanned = CliRunner().invoke(cli, ["state", "scan", "paid", "--dir", str(directory)])
    assert [line.split("\t")[0] for line in scanned.output.splitlines()[2:]] == [
        f"o{n}" for n in range(5)
    ]
    told = CliRunner().invoke(cli, ["state", "stats", "--dir", str(directory)])
    assert [line.split("\t")[3:5] for line in told.output.splitlines()[1:2]] == [["5", "7"]]


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
