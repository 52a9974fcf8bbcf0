"""Handler classes: windows of their own, context, side outputs."""

import asyncio
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from support.failing import failure_of, runtime_of
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from support.wait import eventually_async as until
from turbine import App, DeclarationError, HandlerError, windowing, windows
from turbine import aggregates as agg
from turbine.context import Context

pytestmark = pytest.mark.any_broker


def order(n: int, tier: str = "plain") -> dict[str, Any]:
    return {"user": f"u{n % 3}", "amount": n, "tier": tier, "ts": n * 100}


ORDERS = [order(n, "vip" if n % 10 == 0 else "plain") for n in range(200)]


@pytest.fixture
def topics(make_topic: MakeTopic) -> tuple[str, str]:
    """An input and an output with one partition each."""
    return make_topic("in", partitions=1), make_topic("out", partitions=1)


def totals(orders: list[dict[str, Any]], until_ms: int) -> dict[tuple[str, int], int]:
    """Amounts of each user and window of 5 s that ends by *until_ms*."""
    found: dict[tuple[str, int], int] = {}
    for one in orders:
        key = one["user"], one["ts"] // 5_000 * 5_000
        if key[1] + 5_000 <= until_ms:
            found[key] = found.get(key, 0) + one["amount"]
    return found


async def read_up_to(app: App, offset: int) -> None:
    """Wait until the worker of *app* has read its only partition up to *offset*."""
    native = runtime_of(app).native
    await until(lambda: [row["position"] for row in native.assignments()] == [offset])


class PerUser:
    """Totals of each user, and the orders of important customers."""

    def __init__(self) -> None:
        self.window = windowing.InMemoryTumbling(
            self,
            name="totals",
            size_ms=5_000,
            key=["user"],
            value=agg.Sum("amount").alias("total"),
            on_close=lambda state, panes: panes.drop_columns(["window_end_ms"]),
        )

    def process(self, batch: pa.RecordBatch, state: Any, ctx: Context) -> None:
        self.window.update(batch, state)
        ctx.emit("vip", batch.filter(pc.equal(batch["tier"], pa.scalar("vip"))))


@pytest.mark.parametrize("batch_size", [1, 10_000])
async def test_a_class_feeds_its_window_and_writes_side_outputs(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    consume: Consume,
    batch_size: int,
) -> None:
    app = app_factory()
    topics = [make_topic(name, partitions=1) for name in ("in", "out", "vip")]
    vip = topics[2]
    app.subscribe(
        topics[0],
        publish_to=topics[1],
        message_key="user",
        event_time="ts",
        partition_key="user",
        side_outputs={"vip": vip},
        batch_size=batch_size,
    )(PerUser)
    produce(topics[0], ORDERS)
    expected = totals(ORDERS, 15_000)
    async with app.running():
        got = [one.json for one in await asyncio.to_thread(consume, topics[1], len(expected))]
        side = await asyncio.to_thread(consume, vip, 20)
    assert {(row["user"], row["window_start_ms"]): row["total"] for row in got} == expected
    assert [one.json for one in side] == [one for one in ORDERS if one["tier"] == "vip"]
    assert {one.key for one in side} == {b"u0", b"u1", b"u2"}


async def test_rows_that_are_left_out_are_not_counted_and_no_other_is_counted_twice(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    class Careful(PerUser):
        async def process(  # type: ignore[override]
            self, batch: pa.RecordBatch, state: Any
        ) -> None:
            self.window.update(batch, state)
            if 66 in batch["amount"].to_pylist():
                raise ValueError("not this one")

    app = app_factory()
    app.subscribe(
        topics[0], publish_to=topics[1], event_time="ts", on_error="skip", name="careful"
    )(Careful)
    produce(topics[0], ORDERS)
    expected = totals([one for one in ORDERS if one["amount"] != 66], 15_000)
    async with app.running():
        got = [one.json for one in await asyncio.to_thread(consume, topics[1], len(expected))]
    assert {(row["user"], row["window_start_ms"]): row["total"] for row in got} == expected


async def test_each_result_goes_to_its_callback(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce
) -> None:
    closed: list[tuple[int, int, dict[str, Any], Any]] = []

    class Each:
        def __init__(self) -> None:
            self.w = windowing.InMemoryTumbling(
                self,
                name="each",
                size_ms=5_000,
                key=["user"],
                value=agg.Count(),
                on_close_each=lambda state, window, value: closed.append((*window, value)),
            )

        def process(self, batch: pa.RecordBatch) -> None:
            self.w.update(batch)

    app = app_factory()
    app.subscribe(topics[0], event_time="ts")(Each)
    produce(topics[0], ORDERS[:51])
    async with app.running():
        await until(lambda: len(closed) == 3)
    assert closed == [(0, 5_000, {"user": f"u{n}"}, count) for n, count in enumerate([17, 17, 16])]


async def test_a_callback_that_raises_stops_the_partition(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce
) -> None:
    class Broken(PerUser):
        def __init__(self) -> None:
            self.window = windowing.InMemoryTumbling(
                self,
                name="broken",
                size_ms=5_000,
                key=["user"],
                value=agg.Count(),
                on_close=lambda state, panes: panes["missing"],
            )

    app = app_factory()
    app.subscribe(topics[0], event_time="ts", side_outputs={"vip": f"{topics[1]}-vip"})(Broken)
    produce(topics[0], ORDERS)
    assert "the callback of the window 'broken' raised KeyError" in await failure_of(app)


async def test_the_partition_key_must_be_a_key_of_every_window(app_factory: MakeApp) -> None:
    app = app_factory()
    with pytest.raises(DeclarationError, match="add 'country' to its key"):
        app.subscribe(
            "in",
            name="sharded",
            event_time="ts",
            partition_key="country",
            window=windows.tumbling("1s", key="user", value=agg.Count()),
        )(lambda panes: panes)

    app.subscribe("in", event_time="ts", partition_key="country", side_outputs={"vip": "v"})(
        PerUser
    )
    with pytest.raises(DeclarationError, match="the window 'totals' is keyed by"):
        async with app.running():
            pass


async def test_a_window_without_event_time_is_refused(app_factory: MakeApp) -> None:
    app = app_factory()
    window = windows.tumbling("1s", value=agg.Count())
    with pytest.raises(DeclarationError, match="add event_time='column'"):

        @app.subscribe("in", window=window)
        def counts(panes: Any) -> None: ...

    with pytest.raises(DeclarationError, match="is not a window: write windows"):
        app.subscribe("in", window=3, name="x")(lambda panes: panes)
    with pytest.raises(DeclarationError, match="PerUser is a class: create the window in"):
        app.subscribe("in", window=window, event_time="ts")(PerUser)


async def test_a_class_that_cannot_be_made_is_reported_at_the_start(app_factory: MakeApp) -> None:
    class Unlucky:
        def __init__(self) -> None:
            raise OSError("no database")

        def process(self, batch: Any) -> None: ...

    app = app_factory()
    app.subscribe("in")(Unlucky)
    with pytest.raises(HandlerError, match="Unlucky could not be made: OSError: no database"):
        async with app.running():
            pass


async def test_an_unknown_side_output_names_those_that_there_are(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce
) -> None:
    app = app_factory()

    @app.subscribe(topics[0], side_outputs={"vip": topics[1]})
    def wrong(batch: pa.RecordBatch, ctx: Context) -> None:
        ctx.emit("vips", batch)

    produce(topics[0], ORDERS[:1])
    reason = await failure_of(app)
    assert "there is no side output 'vips'; declared are 'vip'" in reason


async def test_every_run_makes_the_class_anew(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce
) -> None:
    made: list[Any] = []

    class Once:
        def __init__(self) -> None:
            made.append(self)
            self.rows = 0

        def process(self, batch: pa.RecordBatch) -> None:
            self.rows += batch.num_rows

    app = app_factory()
    app.subscribe(topics[0])(Once)
    produce(topics[0], ORDERS)
    async with app.running():
        await until(lambda: made[0].rows == 200)
    async with app.running():
        assert runtime_of(app).native is not None
    assert [one.rows for one in made] == [200, 0]


async def test_windows_of_a_class_that_are_persistent_go_on_after_a_stop(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    class Kept(PerUser):
        def __init__(self) -> None:
            self.window = windowing.PersistentTumbling(
                self,
                name="kept",
                size_ms=5_000,
                key=["user"],
                value=agg.Count(),
                on_close=lambda state, panes: panes,
            )

        def process(self, batch: pa.RecordBatch) -> None:  # type: ignore[override]
            self.window.update(batch)

    app = app_factory()
    app.subscribe(topics[0], publish_to=topics[1], event_time="ts")(Kept)
    for start in (0, 20, 40):
        produce(topics[0], ORDERS[start : start + 20])
        async with app.running():
            await read_up_to(app, start + 20)
    got = [one.json for one in await asyncio.to_thread(consume, topics[1], 3)]
    assert {row["user"]: row["count"] for row in got} == {"u0": 17, "u1": 17, "u2": 16}


async def test_a_window_that_is_given_no_rows_stops_the_partition(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce
) -> None:
    class Wrong(PerUser):
        def process(self, batch: pa.RecordBatch) -> None:  # type: ignore[override]
            self.window.update(42)

    app = app_factory()
    app.subscribe(topics[0], event_time="ts")(Wrong)
    produce(topics[0], ORDERS[:1])
    assert "a window was updated with int: give a RecordBatch" in await failure_of(app)


class Remembering(PerUser):
    """Windows in memory, and beside them how many rows there ever were."""

    def process(self, batch: pa.RecordBatch, state: Any, ctx: Context) -> None:
        self.window.update(batch, state)
        state.put("rows", state.get("rows", 0) + batch.num_rows)
        state.put("newest", batch["ts"][-1].as_py())


async def test_state_beside_windows_in_memory_counts_each_row_once_over_a_restart(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    kept: list[tuple[int, int]] = []

    class Looking(Remembering):
        def process(self, batch: pa.RecordBatch, state: Any, ctx: Context) -> None:
            super().process(batch, state, ctx)
            kept.append((state.get("rows"), state.get("newest")))

    def make() -> App:
        app = app_factory("remembering-" + topics[0])
        app.subscribe(topics[0], publish_to=topics[1], event_time="ts", name="totals")(Looking)
        return app

    for half in (ORDERS[:120], ORDERS[120:]):
        produce(topics[0], half)
        app = make()
        async with app.running():
            wanted = half[-1]["ts"]
            await until(lambda: kept and kept[-1][1] == wanted)  # noqa: B023 - called at once
    assert kept[-1] == (200, 19_900)
    expected = totals(ORDERS, 15_000)
    got = [one.json for one in await asyncio.to_thread(consume, topics[1], len(expected))]
    seen = {(row["user"], row["window_start_ms"]): row["total"] for row in got}
    assert seen == expected
    assert len(got) == len(expected)
