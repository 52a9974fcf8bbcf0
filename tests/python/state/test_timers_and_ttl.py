"""Timers and lifetimes of state: in the order of time, over restarts, by the app's clock."""

import asyncio
from typing import Any

import pyarrow as pa
import pytest

import turbine
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from support.wait import eventually_async as until
from turbine import State, _native
from turbine.timers import SystemClock

from .conftest import Bench

pytestmark = pytest.mark.any_broker

TIMED: dict[str, Any] = {"event_time": "ts", "out_of_orderness": 0}


class TurnedClock(SystemClock):
    """Time for the core that stands still until it is advanced."""

    def __init__(self) -> None:
        self.native = _native.Clock(1_000.0)


def row(ts: int, k: str = "a") -> dict[str, Any]:
    return {"ts": ts, "k": k}


class Session:
    """Says how many rows of a key there were, once there is none for 100 ms of event time."""

    fired: list[tuple[str, str | bytes | None, int]]

    def process_key(self, key: str, rows: pa.RecordBatch, state: State) -> None:
        state.put("rows", state.get("rows", 0) + rows.num_rows)
        state.set_event_timer("end", rows["ts"][-1].as_py() + 100)

    def on_timer(self, timer_id: str, state: State) -> pa.RecordBatch:
        rows = state.get("rows")
        state.delete("rows")
        return pa.RecordBatch.from_pylist([{"id": timer_id, "key": state.scope_key, "rows": rows}])


async def test_event_timers_fire_in_their_order_over_a_restart(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    source, target = make_topic("in", partitions=1), make_topic("out", partitions=1)

    def make() -> turbine.App:
        app = app_factory("sessions-" + source)
        app.subscribe(
            source, publish_to=target, partition_key="k", name="s", batch_size=2, **TIMED
        )(Session)
        return app

    produce(source, [row(0, "a"), row(10, "b"), row(20, "a"), row(50, "c")])
    app = make()
    async with app.running():
        await until(lambda: committed(app) == [4])
    # They were armed for 120, 110 and 150 by a worker that is gone.
    produce(source, [row(130, "d"), row(1_000, "e")])
    app = make()
    async with app.running():
        got = [one.json for one in await asyncio.to_thread(consume, target, 4)]
    assert [(one["key"], one["rows"]) for one in got] == [("b", 1), ("a", 2), ("c", 1), ("d", 1)]
    assert {one["id"] for one in got} == {"end"}


def committed(app: turbine.App) -> list[Any]:
    from support.failing import runtime_of

    return [one["committed"] for one in runtime_of(app).native.assignments()]


async def test_timers_of_the_clock_fire_when_nothing_comes(bench: Bench) -> None:
    clock = TurnedClock()
    fired: list[tuple[str, str | bytes | None, Any]] = []

    def handler(batch: pa.RecordBatch, state: State) -> None:
        state.scope("u").put("v", 1)
        state.scope("u").set_timer("late", 60_000)
        state.scope("u").register_timer("soon", 10_000)
        state.set_timer("root", 30_000)
        state.set_timer("moved", 1)
        state.set_timer("moved", 50_000)
        state.set_timer("never", 20_000)
        assert state.cancel_timer("never")
        assert not state.cancel_timer("never")

    def on_timer(timer_id: str, state: State) -> None:
        fired.append((timer_id, state.scope_key, state.get("v")))
        if timer_id == "root":
            state.set_timer("again", 5_000)

    app = bench.app(handler, on_timer=on_timer)
    app.clock = clock
    bench.send({"n": 0})
    async with app.running():
        await bench.through(app)
        assert fired == []
        clock.native.advance(10)
        await until(lambda: fired == [("soon", "u", 1)])
        clock.native.advance(20)
        await until(lambda: len(fired) == 2)
    expected = [("soon", "u", 1), ("root", None, None), ("again", None, None)]
    assert fired == expected[:2]
    # What is left fires in another worker, in the order of time.
    app = bench.app(handler, on_timer=on_timer)
    app.clock = clock
    async with app.running():
        clock.native.advance(5)
        await until(lambda: fired == expected)
        clock.native.advance(100)
        await until(lambda: len(fired) == 5)
    assert fired[3:] == [("moved", None, None), ("late", "u", 1)]


async def test_a_timer_that_fails_stops_the_partition_or_is_left_out(bench: Bench) -> None:
    fired: list[str] = []

    def handler(batch: pa.RecordBatch, state: State) -> None:
        state.set_event_timer("bad", 1)
        state.set_event_timer("good", 2)

    def on_timer(timer_id: str, state: State) -> None:
        state.put("last", timer_id)
        if timer_id == "bad":
            raise ValueError("no")
        fired.append(timer_id)

    from support.failing import failure_of

    app = bench.app(handler, on_timer=on_timer, **TIMED)
    bench.send(row(100))
    reason = await failure_of(app)
    assert "on_timer raised ValueError for the timer 'bad': no" in reason
    assert "Nothing is lost" in reason
    await bench.run(handler, row(200), on_timer=on_timer, on_error="skip", **TIMED)
    assert fired == ["good"]
    assert await bench.once(lambda state: state.get("last")) == "good"


async def test_an_async_timer_has_ctx(bench: Bench) -> None:
    fired: list[Any] = []

    async def handler(batch: pa.RecordBatch, state: State) -> None:
        await asyncio.sleep(0)
        state.register_event_time_timer("t", 5)

    async def on_timer(timer_id: str, state: State, ctx: Any) -> None:
        await asyncio.sleep(0)
        fired.append((timer_id, ctx.partition, state.watermark_ms))

    await bench.run(handler, row(10), on_timer=on_timer, **TIMED)
    assert fired == [("t", 0, None)]


async def test_timers_need_somebody_and_event_time(bench: Bench) -> None:
    def work(state: State) -> None:
        with pytest.raises(turbine.DeclarationError, match="nobody takes timers here"):
            state.set_timer("t", 1)
        with pytest.raises(turbine.DeclarationError, match="needs rows that have one"):
            state.set_event_timer("t", 1)
        with pytest.raises(turbine.DeclarationError, match="ttl_ms counts event time"):
            state.put("k", 1, ttl_ms=1)
        with pytest.raises(ValueError, match="ttl_ms=0 is not possible"):
            state.put("k", 1, ttl_ms=0)

    await bench.once(work)


async def test_values_end_in_event_time_over_a_restart(bench: Bench) -> None:
    seen: list[dict[str, int]] = []

    def handler(batch: pa.RecordBatch, state: State) -> None:
        seen.append(dict(state.scan()))
        ts = batch["ts"][0].as_py()
        state.put("ever", ts)
        if ts <= 10:
            state.put(f"seen:{ts}", ts)
            state.put(f"own:{ts}", ts, ttl_ms=1_000)
            state.add_many(["seen:sum"], ts)

    options: dict[str, Any] = {
        **TIMED,
        "state_ttl": {"seen:": 100, "seen:longer": 10**6},
        "batch_size": 1,
    }
    await bench.run(handler, row(0), row(10), row(99), **options)
    await bench.run(handler, row(105), row(111), row(2_000), row(2_001), **options)
    assert seen[1] == {"ever": 0, "seen:0": 0, "own:0": 0, "seen:sum": 0}
    # Behind the batch that brings the watermark to 99 everything is still there.
    kept = {"seen:0": 0, "seen:10": 10, "seen:sum": 10, "own:0": 0, "own:10": 10}
    assert seen[3] == {"ever": 99, **kept}
    assert seen[4] == {"ever": 105, **{k: v for k, v in kept.items() if k != "seen:0"}}
    assert seen[5] == {"ever": 111, "own:0": 0, "own:10": 10}
    assert seen[6] == {"ever": 2_000}


async def test_more_timers_than_fire_behind_one_batch_all_fire_in_order(bench: Bench) -> None:
    fired: list[int] = []
    many = 10_300  # 10,000 fire behind one batch, 256 are looked up together

    def handler(batch: pa.RecordBatch, state: State) -> None:
        if batch["ts"][0].as_py() == 0:
            for at in range(many):
                state.set_event_timer(str(at), at)

    def on_timer(timer_id: str, state: State) -> None:
        fired.append(int(timer_id))

    app = bench.app(handler, on_timer=on_timer, batch_size=1, **TIMED)
    async with app.running():
        bench.send(row(0))
        await bench.through(app)
        assert fired == [0]
        bench.send(row(many))
        await bench.through(app)
        bench.send(row(many + 1))
        await until(lambda: len(fired) == many, 30)
    assert fired == list(range(many))


class Counted(Session):
    """A session that is 10 ms long."""

    def process_key(self, key: str, rows: pa.RecordBatch, state: State) -> None:
        state.put("rows", state.get("rows", 0) + rows.num_rows)
        state.set_event_timer("end", rows["ts"][-1].as_py() + 10)


async def test_timers_of_all_shards_fire_once_with_the_state_of_their_key(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    source, target = make_topic("in", partitions=1), make_topic("out", partitions=1)
    keys = [f"k{n}" for n in range(40)]

    def make() -> turbine.App:
        app = app_factory("shards-" + source)
        app.subscribe(
            source, publish_to=target, partition_key="k", name="s", parallelism=4, **TIMED
        )(Counted)
        return app

    produce(source, [row(n // 10, keys[n % 40]) for n in range(80)])
    app = make()
    async with app.running():
        await until(lambda: committed(app) == [80])
    # Every shard has timers of the worker before.
    produce(source, [row(100, "last")])
    app = make()
    async with app.running():
        await until(lambda: committed(app) == [81])
        got = [one.json for one in await asyncio.to_thread(consume, target, 40)]
    assert sorted((one["key"], one["rows"]) for one in got) == sorted((key, 2) for key in keys)
