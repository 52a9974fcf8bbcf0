"""A reset of what reads several topics as one: joins, and agents that share a table."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition

import turbine
from support.fixtures import MakeApp, MakeTopic
from support.joining import duck, end_of, rows_of
from support.kafka import Cluster
from support.wait import eventually_async
from turbine._cli_reset import plan

GUARANTEES = ["at_least_once", "exactly_once"]
WANTED = (
    "SELECT a.order, amount, a.ts, method, b.ts AS ts_right FROM a JOIN b ON a.order = b.order "
    "AND abs(a.ts - b.ts) <= 50"
)


class Order(turbine.Record):
    order: str
    amount: int
    ts: int


class Payment(turbine.Record):
    order: str
    method: str
    ts: int


def counted(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(repr(sorted(row.items())) for row in rows)


def reset(app: turbine.App) -> list[str]:
    """Reset *app* with its changelogs; what was done."""
    with plan(app, None, with_changelog=True) as steps:
        for step in steps:
            step.run()
        return [step.what for step in steps]


def forget(cluster: Cluster, topic: str, before: int) -> None:
    """Have the oldest records of *topic* deleted, as retention would."""
    gone = TopicPartition(topic, 0, before)
    cluster.admin.delete_records([gone])[gone].result(20)


@pytest.mark.parametrize(
    ("guarantee", "repartition"),
    [("at_least_once", False), ("exactly_once", False), ("exactly_once", True)],
    ids=["at-least-once", "exact", "exact-repartitioned"],
)
async def test_a_join_begins_anew_on_every_machine(  # noqa: PLR0917 - fixtures
    app_factory: MakeApp,
    make_topic: MakeTopic,
    cluster: Cluster,
    tmp_path: Path,
    guarantee: str,
    repartition: bool,  # noqa: FBT001 - a case
) -> None:
    """Where topics are written once more by their key, these copies are what is read again."""
    orders, payments, out = (make_topic(name, 1) for name in ("orders", "payments", "paid"))
    a = rows_of(1, 60, amount=lambda n: n)
    b = rows_of(2, 40, method=lambda n: f"m{n}")

    def make(directory: Path) -> turbine.App:
        app = app_factory(
            f"app-{orders}",
            datadir=directory,
            processing_guarantee=guarantee,
            checkpoint_interval=0.05,
            broker_commit_interval=0.02,
        )
        left = app.stream(orders, model=Order, event_time="ts", out_of_orderness=0.05)
        right = app.stream(payments, model=Payment, event_time="ts", out_of_orderness=0.05)
        left.join(right, on="order", within="50ms", repartition=repartition).to(out, name="paid")
        return app

    def is_there(wanted: Counter[str]) -> bool:
        found = counted([one.json for one in cluster.consume(out, 0)])
        assert found == wanted, f"missing: {wanted - found}, besides: {found - wanted}"
        return True

    async def run(directory: Path, wanted: Counter[str]) -> None:
        app = make(directory)
        async with app.running():
            await eventually_async(lambda: is_there(wanted), why="every joined row is there")

    one, two = tmp_path / "one", tmp_path / "two"
    cluster.produce(orders, [*a, end_of("orders", amount=0)])
    cluster.produce(payments, [*b, end_of("payments", method="")])
    wanted = counted(duck(WANTED, a=a, b=b))
    await run(one, wanted)
    shutil.copytree(one, two)
    forget(cluster, orders, 7)
    done = reset(make(one))
    assert done.count("state") == 1, "the state of both topics is one"
    assert {"offsets", "changelog"} <= set(done)
    assert reset(make(one)) == [], "it is done already"
    wanted += counted(duck(WANTED, a=a if repartition else a[7:], b=b))
    await run(two, wanted)
    # What the other machine has is of this reset too, now that it gets the partition.
    new, end = {"order": "new", "ts": 200_000}, {"order": "end", "ts": 300_000}
    cluster.produce(orders, [{**new, "amount": 1}, {**end, "amount": 0}])
    last = {**end, "ts": 400_000, "method": ""}
    cluster.produce(payments, [{**new, "ts": 200_001, "method": "m"}, last])
    wanted += counted(
        [{"order": "new", "amount": 1, "ts": 200_000, "method": "m", "ts_right": 200_001}]
    )
    await run(one, wanted)


@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_tables_of_several_topics_begin_anew_and_keep_what_one_of_them_brings(
    app_factory: MakeApp, make_topic: MakeTopic, cluster: Cluster, tmp_path: Path, guarantee: str
) -> None:
    topics = [make_topic("in", partitions=1) for _ in range(3)]

    def make(directory: Path) -> tuple[turbine.App, Any]:
        app = app_factory(f"app-{topics[0]}", datadir=directory, broker_commit_interval=0.02)
        table: Any = app.Table("sums", key_type=str, value_type=int, default=int)

        def declare(topic: str) -> None:
            @app.agent(topic, name=f"of-{topic}", value_type=int, processing_guarantee=guarantee)
            async def add(stream: Any) -> None:
                async for n in stream:
                    table["all"] += n

        for topic in topics:
            declare(topic)
        return app, table

    async def run(directory: Path, total: int) -> None:
        app, table = make(directory)
        async with app.running():
            await eventually_async(lambda: table["all"] == total, why=f"the sum is {total}")
            ends = [cluster.ends(topic) for topic in topics]
            await eventually_async(
                lambda: [cluster.committed(app.conf.id, topic) for topic in topics] == ends,
                why="everything is committed",
            )

    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    for n, topic in enumerate(topics):
        cluster.produce(topic, [10**n] * 5)
    await run(one, 555)
    shutil.copytree(one, two)
    forget(cluster, topics[1], 2)
    assert reset(make(one)[0]).count("offsets") == 1
    await run(two, 535)
    # Of one topic alone, and then on a machine that has nothing: the changelog has it.
    cluster.produce(topics[2], [1_000])
    await run(two, 1_535)
    cluster.produce(topics[2], [1_000])
    await run(three, 2_535)
