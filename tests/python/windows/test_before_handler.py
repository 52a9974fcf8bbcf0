"""Windows in front of a function: rows go through the core, and only results come to Python."""

import asyncio
import random
from collections import defaultdict
from typing import Any

import pyarrow as pa
import pytest

from support.failing import failure_of, runtime_of
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from support.kafka import Cluster
from support.wait import eventually_async as until
from turbine import _native, windows
from turbine import aggregates as agg
from turbine.context import Context
from turbine.timers import SystemClock

pytestmark = pytest.mark.any_broker

TOTALS = {"n": agg.Count(), "total": agg.Sum("amount")}
END = {"user": "end", "amount": 0, "ts": 10_000_000}


def rows(count: int, seed: int = 7) -> list[dict[str, Any]]:
    """Orders of five users over some 100 s, up to 5 s out of order."""
    dice = random.Random(seed)
    return [
        {
            "user": f"u{dice.randrange(5)}",
            "amount": dice.randrange(100),
            "ts": max(0, n * 100_000 // count - dice.randrange(5_000)),
        }
        for n in range(count)
    ]


def tumbled(orders: list[dict[str, Any]], size_ms: int, bound_ms: int) -> dict[Any, Any]:
    """Count and total of each user and window, with the late rows left out."""
    found: dict[Any, list[int]] = defaultdict(lambda: [0, 0])
    watermark = -(10**12)
    for order in orders:
        end = order["ts"] // size_ms * size_ms + size_ms
        if end > watermark:
            one = found[order["user"], end - size_ms]
            one[0] += 1
            one[1] += order["amount"]
        watermark = max(watermark, order["ts"] - bound_ms)
    return {key: tuple(one) for key, one in found.items()}


def panes_of(got: list[dict[str, Any]]) -> dict[Any, Any]:
    found = {(row["user"], row["window_start_ms"]): (row["n"], row["total"]) for row in got}
    assert len(found) == len(got), "a window has two results"
    return found


@pytest.fixture
def topics(make_topic: MakeTopic) -> tuple[str, str]:
    """An input and an output with one partition each."""
    return make_topic("in", partitions=1), make_topic("out", partitions=1)


@pytest.mark.cases_alike
@pytest.mark.parametrize("batch_size", [1, 7, 10_000])
async def test_results_do_not_depend_on_the_cut_into_batches(
    app_factory: MakeApp,
    topics: tuple[str, str],
    produce: Produce,
    consume: Consume,
    batch_size: int,
) -> None:
    app = app_factory()
    orders = rows(200)

    @app.subscribe(
        topics[0],
        publish_to=topics[1],
        batch_size=batch_size,
        event_time="ts",
        out_of_orderness=3,
        window=windows.tumbling("10s", key="user", value=TOTALS),
    )
    def totals(panes: pa.RecordBatch) -> pa.RecordBatch:
        return panes

    produce(topics[0], [*orders, END])
    expected = tumbled(orders, 10_000, 3_000)
    async with app.running():
        got = [one.json for one in await asyncio.to_thread(consume, topics[1], len(expected))]
    assert panes_of(got) == expected
    # The order is that of the ends, then that of the first rows, whatever the cut.
    firsts: dict[tuple[str, int], int] = {}
    for index, one in enumerate(orders):
        firsts.setdefault((one["user"], one["ts"] // 10_000), index)
    order = [
        (row["window_end_ms"], firsts[row["user"], row["window_start_ms"] // 10_000]) for row in got
    ]
    assert order == sorted(order)
    assert list(got[0]) == ["user", "window_start_ms", "window_end_ms", "n", "total"]


async def test_python_is_not_called_before_a_result_is_there(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, cluster: Cluster
) -> None:
    app = app_factory()
    calls: list[Any] = []

    @app.subscribe(
        topics[0], event_time="ts", window=windows.tumbling("10s", value=TOTALS), name="quiet"
    )
    def quiet(panes: pa.RecordBatch) -> None:
        calls.append(panes.to_pylist())

    produce(topics[0], [{"amount": 1, "ts": n} for n in range(50)])
    async with app.running():
        await until(lambda: cluster.committed(f"{app.conf.id}-quiet", topics[0]))
        assert calls == []
        produce(topics[0], [{"amount": 1, "ts": 10_000}])
        await until(lambda: calls)
    assert calls == [[{"window_start_ms": 0, "window_end_ms": 10_000, "n": 50, "total": 50}]]


async def test_several_windows_come_with_their_names(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce
) -> None:
    app = app_factory()
    got: list[tuple[str | None, list[Any]]] = []

    @app.subscribe(
        topics[0],
        event_time="ts",
        window={
            "short": windows.tumbling("1s", value=agg.Count()),
            "long": windows.tumbling("2s", value=agg.Sum("amount")),
        },
    )
    async def both(panes: pa.RecordBatch, ctx: Context) -> None:
        assert (ctx.topic, ctx.partition) == (topics[0], 0)
        got.append((ctx.window, panes.to_pylist()))

    produce(topics[0], [{"amount": 2, "ts": n * 500} for n in range(5)])
    async with app.running():
        await until(lambda: len(got) >= 2)
    counts = [row["count"] for name, part in got if name == "short" for row in part]
    sums = [row["sum_amount"] for name, part in got if name == "long" for row in part]
    assert (counts, sums) == ([2, 2], [8])


async def test_late_rows_go_to_their_topic_with_the_window_that_is_closed(
    app_factory: MakeApp,
    topics: tuple[str, str],
    make_topic: MakeTopic,
    produce: Produce,
    consume: Consume,
) -> None:
    app, late = app_factory(), make_topic("late", partitions=1)

    @app.subscribe(
        topics[0],
        publish_to=topics[1],
        message_key="user",
        event_time="at.ts",
        event_time_unit="s",
        with_metadata=["offset"],
        on_late="route",
        late_data=late,
        window=windows.tumbling("10s", key="user", value=agg.Count()),
    )
    def totals(panes: pa.RecordBatch) -> pa.RecordBatch:
        return panes

    produce(topics[0], [{"user": "a", "at": {"ts": ts}} for ts in (1, 12, 3, 25)])
    async with app.running():
        (row,) = await asyncio.to_thread(consume, late, 1)
        got = [one.json for one in await asyncio.to_thread(consume, topics[1], 2)]
        metrics = runtime_of(app).native.metrics()
    assert row.json == {
        "user": "a",
        "at": {"ts": 3},
        "_late_window": "totals",
        "_late_window_end_ms": 10_000,
        "_late_watermark_ms": 12_000,
    }
    assert row.key == b"a"
    assert [one["count"] for one in got] == [1, 1]
    label = 'window="totals",worker="totals-p0"'
    assert f"turbine_late_rows_routed_total{{{label}}} 1" in metrics
    assert f"turbine_active_windows{{{label}}} 1" in metrics
    assert 'turbine_event_time_watermark_ms{worker="totals-p0"} 25000' in metrics


async def test_rows_without_a_time_are_counted_and_take_no_part(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    app = app_factory()

    @app.subscribe(
        topics[0],
        publish_to=topics[1],
        event_time="ts",
        window=windows.tumbling("1s", value=agg.Count()),
    )
    def counts(panes: pa.RecordBatch) -> pa.RecordBatch:
        return panes

    produce(topics[0], [{"ts": 1}, {"ts": None}, {"other": 1}, {"ts": 5_000}])
    async with app.running():
        (row,) = await asyncio.to_thread(consume, topics[1], 1)
        assert (
            'turbine_event_time_null_total{worker="counts-p0"} 2'
            in runtime_of(app).native.metrics()
        )
    assert row.json["count"] == 1


async def test_the_time_of_a_record_is_its_event_time_if_asked_for(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    source = app.topic(topics[0], event_time="timestamp", out_of_orderness="1s")

    @app.subscribe(source, publish_to=topics[1], window=windows.tumbling("1s", value=agg.Count()))
    def counts(panes: pa.RecordBatch) -> pa.RecordBatch:
        return panes

    for ms in (1_700_000_000_100, 1_700_000_000_900, 1_700_000_001_999, 1_700_000_002_000):
        produce(topics[0], [{"n": 1}], timestamp_ms=ms)
    async with app.running():
        (row,) = await asyncio.to_thread(consume, topics[1], 1)
    assert row.json == {
        "window_start_ms": 1_700_000_000_000,
        "window_end_ms": 1_700_000_001_000,
        "count": 2,
    }


async def test_a_silent_partition_closes_its_windows_by_the_clock_if_asked_to(
    app_factory: MakeApp,
    topics: tuple[str, str],
    produce: Produce,
    consume: Consume,
    cluster: Cluster,
) -> None:
    class Standing(SystemClock):
        native = _native.Clock()

    app = app_factory()
    app.clock = Standing()

    @app.subscribe(
        topics[0],
        publish_to=topics[1],
        name="idle",
        event_time="ts",
        idle_close="5s",
        window=windows.tumbling("10s", value=agg.Count()),
    )
    def idle(panes: pa.RecordBatch) -> pa.RecordBatch:
        return panes

    produce(topics[0], [{"ts": 1_000}, {"ts": 2_000}])
    async with app.running():
        native = runtime_of(app).native
        await until(lambda: [row["committed"] for row in native.assignments()] == [2])
        Standing.native.advance(7)  # event time is at 9 s now
        await asyncio.sleep(0.6)
        assert cluster.count(topics[1]) == 0
        Standing.native.advance(5)
        (row,) = await asyncio.to_thread(consume, topics[1], 1)
        produce(topics[0], [{"ts": 20_000}, {"ts": 30_000}])
        second = (await asyncio.to_thread(consume, topics[1], 2))[1]
    assert row.json == {
        "window_start_ms": 0,
        "window_end_ms": 10_000,
        "count": 2,
        "window_result": "idle",
    }
    assert (second.json["window_start_ms"], second.json["window_result"]) == (20_000, "final")


async def test_results_that_the_function_cannot_take_stop_the_partition_or_are_left_out(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    def odd(panes: pa.RecordBatch) -> pa.RecordBatch:
        if 1_000 in panes["window_start_ms"].to_pylist():
            raise ValueError("no odd ones")
        return panes

    produce(topics[0], [{"ts": n * 1_000} for n in range(4)])
    for policy in ("fail", "skip"):
        app = app_factory()
        app.subscribe(
            topics[0],
            publish_to=topics[1],
            on_error=policy,
            event_time="ts",
            window=windows.tumbling("1s", value=agg.Count()),
        )(odd)
        if policy == "fail":
            reason = await failure_of(app)
            assert "ValueError: no odd ones" in reason
            assert "without the results that it cannot handle" in reason
            continue
        async with app.running():
            got = [one.json for one in await asyncio.to_thread(consume, topics[1], 2)]
    assert [row["window_start_ms"] for row in got] == [0, 2_000]


async def test_a_field_with_the_name_of_a_column_of_event_time_is_refused(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce
) -> None:
    app = app_factory()

    @app.subscribe(topics[0], event_time="ts")
    def clash(batch: pa.RecordBatch) -> None: ...

    produce(topics[0], [{"_watermark": 1, "ts": 1}])
    assert "`_watermark` has the name of a column that event_time adds" in await failure_of(app)


async def test_columns_of_event_time_never_go_out(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    app, seen = app_factory(), []

    @app.subscribe(topics[0], publish_to=topics[1], event_time="ts", out_of_orderness=1)
    def same(batch: pa.RecordBatch, ctx: Context) -> pa.RecordBatch:
        seen.append(ctx.watermark_ms)
        assert batch["_event_time"].to_pylist() == batch["ts"].to_pylist()
        return batch

    produce(topics[0], [{"ts": 5_000}])
    async with app.running():
        await asyncio.to_thread(consume, topics[1], 1)
        produce(topics[0], [{"ts": 6_000}])
        got = [one.json for one in await asyncio.to_thread(consume, topics[1], 2)]
    assert got == [{"ts": 5_000}, {"ts": 6_000}]
    assert seen == [None, 4_000]
