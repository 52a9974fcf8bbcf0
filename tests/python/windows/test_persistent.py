"""What is open survives the process, at whatever moment it ends: in the store, or read again."""

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support.failing import failure_of, runtime_of
from support.fixtures import Consume, MakeApp, MakeTopic, MakeWorker, Produce
from support.kafka import Cluster
from support.wait import eventually
from support.wait import eventually_async as until
from turbine import App, windows
from turbine import aggregates as agg

SOURCE = """
import os
import turbine
from turbine import aggregates as agg, windows

app = turbine.App(
    os.environ["APP_ID"],
    broker=os.environ["KAFKA"],
    datadir="data",
    # A worker that was killed is a member of its group for so long.
    kafka={"session.timeout.ms": 1_500, "heartbeat.interval.ms": 300},
    checkpoint_interval=0.05,
    broker_commit_interval=0.02,
)

@app.subscribe(
    os.environ["SOURCE"],
    publish_to=os.environ["TARGET"],
    name="totals",
    batch_size=50,
    event_time="ts",
    out_of_orderness="2s",
    window=windows.tumbling(
        "10s",
        key="user",
        value={"n": agg.Count(), "total": agg.Sum("amount")},
        persistent=os.environ["PERSISTENT"] == "yes",
    ),
)
def totals(panes):
    return panes
"""


@pytest.fixture
def topics(make_topic: MakeTopic) -> tuple[str, str]:
    """An input and an output with one partition each."""
    return make_topic("in", partitions=1), make_topic("out", partitions=1)


both_kinds = pytest.mark.parametrize("persistent", [True, False], ids=["on disk", "in memory"])


def declare(app: App, source: str, target: str, *, persistent: bool = True, **options: Any) -> None:
    @app.subscribe(
        source,
        publish_to=target,
        name="totals",
        event_time="ts",
        window=windows.tumbling(
            "10s", value=agg.Sum("amount").alias("total"), persistent=persistent
        ),
        **options,
    )
    def totals(panes: pa.RecordBatch) -> pa.RecordBatch:
        return panes


@both_kinds
async def test_open_windows_go_on_after_a_stop(
    app_factory: MakeApp,
    topics: tuple[str, str],
    produce: Produce,
    cluster: Cluster,
    persistent: bool,  # noqa: FBT001
) -> None:
    source, target = topics
    app = app_factory()
    declare(app, source, target, persistent=persistent)
    group = f"{app.conf.id}-totals"
    for n in range(3):
        produce(source, [{"amount": 1, "ts": 1_000 * n + i} for i in range(10)])
        async with app.running():
            await read_up_to(app, 10 * (n + 1))
        assert cluster.committed(group, source) == {0: 0}, "where the open window begins"
    produce(source, [{"amount": 1, "ts": 10_000}])
    async with app.running():
        (row,) = await asyncio.to_thread(cluster.consume, target, 1)
    assert row.json == {"window_start_ms": 0, "window_end_ms": 10_000, "total": 30}
    # The batch with the first row of the open window is the one that closed the window before.
    assert cluster.committed(group, source) == {0: 30}


@both_kinds
async def test_what_was_given_out_does_not_come_again(
    app_factory: MakeApp,
    topics: tuple[str, str],
    produce: Produce,
    cluster: Cluster,
    persistent: bool,  # noqa: FBT001
) -> None:
    source, target = topics
    app = app_factory()
    declare(app, source, target, persistent=persistent, out_of_orderness="12s")
    times = [1_000, 15_000, 3_000, 26_000, 21_000, 39_000, 31_000]
    for number, ts in enumerate(times):
        produce(source, [{"amount": 10**number, "ts": ts}])
        async with app.running():
            await read_up_to(app, number + 1)
    # At the last watermark, 27 s, two windows are closed and two are open.
    got = [one.json for one in await asyncio.to_thread(cluster.consume, target, 2)]
    assert [(row["window_start_ms"], row["total"]) for row in got] == [(0, 101), (10_000, 10)]
    produce(source, [{"amount": 0, "ts": 90_000}])
    async with app.running():
        got = [one.json for one in await asyncio.to_thread(cluster.consume, target, 4)]
    ends = [(row["window_start_ms"], row["total"]) for row in got[2:]]
    assert ends == [(20_000, 11_000), (30_000, 1_100_000)]
    assert len(cluster.consume(target, 4)) == 4


@both_kinds
async def test_a_late_row_is_late_after_a_restart_too(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    consume: Consume,
    persistent: bool,  # noqa: FBT001
) -> None:
    source, target, late = (make_topic(name, partitions=1) for name in ("in", "out", "late"))
    app = app_factory()
    declare(app, source, target, persistent=persistent, on_late="route", late_data=late)
    produce(source, [{"amount": 1, "ts": 25_000}])
    async with app.running():
        await read_up_to(app, 1)
    produce(source, [{"amount": 2, "ts": 1_000}])
    async with app.running():
        (row,) = await asyncio.to_thread(consume, late, 1)
    assert row.json["_late_watermark_ms"] == 25_000


def declare_running(app: App, source: str, target: str, *, changelog: bool = True) -> None:
    """Running totals, that no end of a window lets go of."""
    window = windows.everything(value=agg.Sum("amount").alias("total"), persistent=True)

    @app.subscribe(
        source,
        publish_to=target,
        name="totals",
        event_time="ts",
        window=window,
        changelog=changelog,
    )
    def totals(results: pa.RecordBatch) -> pa.RecordBatch:
        return results


async def test_the_offset_of_the_store_counts_and_not_that_of_the_group(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    consume: Consume,
    cluster: Cluster,
) -> None:
    source, target = make_topic("in", partitions=1), make_topic("out", partitions=1)
    app = app_factory()
    declare(app, source, target)
    produce(source, [{"amount": 1, "ts": n} for n in range(10)])
    async with app.running():
        await read_up_to(app, 10)
    produce(source, [{"amount": 1, "ts": 100 + n} for n in range(10)])
    move_group(cluster, f"{app.conf.id}-totals", source, 15)
    produce(source, [{"amount": 1, "ts": 10_000}])
    async with app.running():
        (row,) = await asyncio.to_thread(consume, target, 1)
    assert row.json["total"] == 20


async def read_up_to(app: App, offset: int) -> None:
    """Wait until the worker of *app* has read its only partition up to *offset*."""
    native = runtime_of(app).native
    await until(lambda: [row["position"] for row in native.assignments()] == [offset])


def move_group(cluster: Cluster, group: str, topic: str, offset: int) -> None:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": cluster.address, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    consumer.close()
    assert cluster.committed(group, topic) == {0: offset}


async def test_windows_whose_state_is_elsewhere_are_read_again(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    source, target = make_topic("in", partitions=1), make_topic("out", partitions=1)
    produce(source, [{"amount": 1, "ts": n} for n in range(10)])
    first = app_factory("moving-" + source)
    declare(first, source, target, changelog=False)
    # A restart from the store in between leaves the place to read from as it was.
    for end in (10, 11):
        async with first.running():
            await read_up_to(first, end)
        produce(source, [{"amount": 1, "ts": end}])
    second = app_factory(first.conf.id, datadir=first.conf.data_path / "elsewhere")
    declare(second, source, target, changelog=False)
    produce(source, [{"amount": 1, "ts": 10_000}])
    async with second.running():
        (row,) = await asyncio.to_thread(consume, target, 1)
        missing = 'turbine_state_missing_total{worker="totals-p0"} 0'
        assert missing in runtime_of(second).native.metrics()
    assert row.json["total"] == 12


async def test_state_that_is_elsewhere_is_said_aloud(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    cluster: Cluster,
    caplog: Any,
) -> None:
    source, target = make_topic("in", partitions=1), make_topic("out", partitions=1)
    produce(source, [{"amount": 1, "ts": n} for n in range(10)])
    first = app_factory("moving-" + source)
    declare_running(first, source, target, changelog=False)
    async with first.running():
        await read_up_to(first, 10)
    second = app_factory(first.conf.id, datadir=first.conf.data_path / "elsewhere")
    declare_running(second, source, target, changelog=False)
    async with second.running():
        runtime = runtime_of(second)
        missing = 'turbine_state_missing_total{worker="totals-p0"} 1'
        await until(lambda: missing in runtime.native.metrics())
    assert "no state on this machine although offset 10 is committed" in caplog.text
    assert cluster.committed(f"{first.conf.id}-totals", source) == {0: 10}


async def test_a_directory_belongs_to_one_worker_at_a_time(
    app_factory: MakeApp, make_topic: MakeTopic, tmp_path: Path
) -> None:
    source, target = make_topic("in", partitions=1), make_topic("out", partitions=1)
    first, second = (app_factory(datadir=tmp_path / "shared") for _ in range(2))
    declare(first, source, target)
    declare(second, source, target)
    async with first.running():
        runtime = runtime_of(first)
        await until(runtime.native.assignments)
        reason = await failure_of(second)
    assert "in use by another worker of this process" in reason
    assert "give each worker on a machine a state_dir of its own" in reason


async def test_a_partition_takes_its_windows_along_to_another_worker(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    source, target = make_topic("in", partitions=4), make_topic("out", partitions=1)
    first = app_factory("moved-" + source)
    second = app_factory(first.conf.id, datadir=first.conf.data_path / "elsewhere")
    declare(first, source, target)
    declare(second, source, target)

    def owned(app: App) -> int:
        return sum(row["state"] == "running" for row in runtime_of(app).native.assignments())

    def write(ts: int) -> None:
        for partition in range(4):
            produce(source, [{"amount": 1, "ts": ts}] * 5, partition=partition)

    write(1)
    async with first.running():
        await until(lambda: owned(first) == 4)
        async with second.running():
            await until(lambda: (owned(first), owned(second)) == (2, 2), why="two have moved")
            write(2)
            await until(lambda: not first_failures(first, second))
        await until(lambda: owned(first) == 4, why="they have come back")
        write(3)
        write(10_000)
        got = [one.json for one in await asyncio.to_thread(consume, target, 4)]
    assert [row["total"] for row in got] == [15] * 4


def first_failures(*apps: App) -> list[str]:
    return [reason for app in apps for reason in runtime_of(app).failures]


def expected_totals(orders: list[dict[str, Any]]) -> dict[tuple[str, int], tuple[int, int]]:
    found: dict[tuple[str, int], tuple[int, int]] = {}
    watermark = -(10**12)
    for order in orders:
        key = order["user"], order["ts"] // 10_000 * 10_000
        if key[1] + 10_000 > watermark:
            n, total = found.get(key, (0, 0))
            found[key] = n + 1, total + order["amount"]
        watermark = max(watermark, order["ts"] - 2_000)
    return found


@both_kinds
def test_every_window_is_right_however_often_the_worker_is_killed(
    worker_process: MakeWorker,
    make_topic: MakeTopic,
    cluster: Cluster,
    produce: Produce,
    persistent: bool,  # noqa: FBT001
) -> None:
    source, target = make_topic("in", partitions=1), make_topic("out", partitions=1)
    kind = "yes" if persistent else "no"
    env = {"SOURCE": source, "TARGET": target, "PERSISTENT": kind}
    worker = worker_process(SOURCE, env=env, web=False)
    dice = random.Random(3)
    orders: list[dict[str, Any]] = []
    for round_ in range(4):
        worker.start()
        for _ in range(6):
            part = [
                {
                    "user": f"u{dice.randrange(4)}",
                    "amount": dice.randrange(100),
                    "ts": max(0, (len(orders) + n) * 20 - dice.randrange(3_000)),
                }
                for n in range(200)
            ]
            orders += part
            produce(source, part)
            if round_ < 3 and dice.random() < 0.5:
                time.sleep(dice.random() * 0.4)  # a random moment is the point
                worker.kill()
                worker.start()
        if round_ < 3:
            worker.kill()
    produce(source, [{"user": "end", "amount": 0, "ts": 10_000_000}])
    expected = expected_totals(orders)

    def results() -> dict[tuple[str, int], set[tuple[int, int]]]:
        found: dict[tuple[str, int], set[tuple[int, int]]] = {}
        for one in cluster.consume(target, 0):
            row = one.json
            key = row["user"], row["window_start_ms"]
            found.setdefault(key, set()).add((row["n"], row["total"]))
        return found

    eventually(lambda: results().keys() >= expected.keys(), 60, "every window has a result")
    # At least once: a result may come twice, and never with another value.
    assert results() == {key: {value} for key, value in expected.items()}
    assert worker.terminate() == 0
