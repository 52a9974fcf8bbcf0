"""Branches of what a handler returns, and several instances of a handler inside a partition."""

import asyncio
import threading
from typing import Any, cast

import pyarrow as pa
import pytest

from support.failing import failure_of
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from support.wait import eventually_async as until
from turbine import Branch, DeclarationError, Dedup
from turbine._shards import _in_time
from turbine.functions import col, with_columns

pytestmark = pytest.mark.any_broker

ROWS = [{"user": f"u{n % 10}", "n": n} for n in range(200)]


async def read(consume: Consume, topic: str, at_least: int) -> list[Any]:
    return [one.json for one in await asyncio.to_thread(consume, topic, at_least)]


def of(make_topic: MakeTopic, *names: str) -> list[str]:
    return [make_topic(name, partitions=1) for name in names]


# -- branches ----------------------------------------------------------------------------------


async def test_a_row_goes_to_the_first_branch_that_fits(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    source, rest, large, even = of(make_topic, "in", "rest", "large", "even")
    branches = [Branch("large", col("n") >= 150, large), Branch("even", col("n") % 2 == 0, even)]

    @app.subscribe(source, publish_to=rest, branch=branches)
    def same(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    produce(source, [*ROWS, {"user": "none", "n": None}])
    async with app.running():
        assert await read(consume, large, 50) == ROWS[150:]
        assert await read(consume, even, 75) == ROWS[:150:2]
        assert await read(consume, rest, 76) == [*ROWS[1:150:2], {"user": "none", "n": None}]


async def test_rows_of_no_branch_are_dropped_without_an_output(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    source, large, noted = of(make_topic, "in", "large", "noted")

    @app.subscribe(
        source,
        branch=Branch("large", col("double") >= 300, large),
        on_unmatched="drop",
        side_outputs={"noted": noted},
    )
    def doubled(batch: pa.RecordBatch, ctx: Any) -> pa.Table:
        ctx.emit("noted", batch.slice(0, 1))
        return pa.table(with_columns(batch, double=col("n") * 2))

    produce(source, ROWS)
    async with app.running():
        got = await read(consume, large, 50)
        assert [row["n"] for row in got] == list(range(150, 200))
        assert (await read(consume, noted, 1))[0] == ROWS[0]


async def test_outputs_of_one_batch_may_be_more_than_the_producers_buffer_holds(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory(produce_buffer_bytes=100_000)
    source, out, noted = of(make_topic, "in", "out", "noted")

    @app.subscribe(source, publish_to=out, side_outputs={"noted": noted})
    def many(batch: pa.RecordBatch, ctx: Any) -> pa.Table:
        rows = pa.Table.from_batches([batch] * 1_000)
        ctx.emit("noted", rows.combine_chunks().to_batches()[0])
        return rows

    produce(source, ROWS[:1])
    async with app.running():
        assert len(await read(consume, out, 1_000)) == 1_000
        assert len(await read(consume, noted, 1_000)) == 1_000


async def test_a_predicate_that_does_not_fit_what_is_returned_stops_in_front_of_the_batch(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    app = app_factory()
    source, out = of(make_topic, "in", "out")

    @app.subscribe(source, branch=Branch("x", col("missing") > 1, out), on_unmatched="drop")
    def same(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    produce(source, ROWS[:1])
    message = await failure_of(app)
    assert 'there is no column "missing": there are user, n' in message


def test_branches_that_cannot_work_are_refused(app_factory: MakeApp) -> None:
    app, over = app_factory(), col("n") > 1
    mistakes: list[tuple[Any, str]] = [
        ({"branch": []}, "no list of branches"),
        ({"branch": "x"}, "no list of branches"),
        ({"on_unmatched": "drop"}, "there are none"),
        ({"branch": Branch("a", over, "x")}, "nowhere to go"),
        ({"branch": Branch("a", over, "x"), "on_unmatched": "keep", "publish_to": "o"}, "keep"),
        (
            {"branch": [Branch("a", over, "x"), Branch("a", over, "y")], "publish_to": "o"},
            "two branches",
        ),
        ({"branch": Branch("a", over, "in"), "publish_to": "o"}, "also what"),
        ({"parallelism": 2}, "partition_key"),
        ({"parallelism": 0}, "parallelism"),
    ]
    for options, sentence in mistakes:
        with pytest.raises(DeclarationError, match=sentence):
            app.subscribe("in", name="x", **options)(lambda batch: batch)
    with pytest.raises(DeclarationError, match="write an expression"):
        Branch("a", lambda row: True, "x")


# -- shards ------------------------------------------------------------------------------------


async def test_every_instance_has_its_own_keys_in_their_order(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    source, out = of(make_topic, "in", "out")
    made: list[Any] = []

    @app.subscribe(source, publish_to=out, partition_key="user", parallelism=4, batch_size=64)
    class Count:
        def __init__(self) -> None:
            made.append(self)
            self.counts: dict[str, int] = {}

        def process(self, batch: pa.RecordBatch) -> pa.RecordBatch:
            numbers = []
            users: list[Any] = batch["user"].to_pylist()
            for user in users:
                self.counts[user] = self.counts.get(user, 0) + 1
                numbers.append(self.counts[user])
            return batch.append_column("count", pa.array(numbers))

    produce(source, ROWS)
    async with app.running():
        got = await read(consume, out, 200)
    assert len(made) == 4
    for user in range(10):
        mine = [row for row in got if row["user"] == f"u{user}"]
        assert [row["n"] for row in mine] == list(range(user, 200, 10))
        assert [row["count"] for row in mine] == list(range(1, 21))
    homes = [set(one.counts) for one in made]
    assert sum(map(len, homes)) == 10
    assert sum(bool(home) for home in homes) > 1


async def test_shards_of_a_batch_run_at_once_and_the_batch_ends_when_all_have(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    source, out = of(make_topic, "in", "out")
    meet = threading.Barrier(2)
    users = ["u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7"]

    @app.subscribe(source, publish_to=out, partition_key="user", parallelism=2)
    def both(batch: pa.RecordBatch) -> pa.RecordBatch:
        meet.wait(timeout=20)  # only two at once get past it
        return batch

    produce(source, [{"user": user} for user in users])
    async with app.running():
        got = await read(consume, out, len(users))
    assert sorted(row["user"] for row in got) == users


async def test_async_instances_share_the_loop(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    source, out = of(make_topic, "in", "out")

    @app.subscribe(source, publish_to=out, partition_key="user", parallelism=3)
    async def same(batch: pa.RecordBatch) -> pa.RecordBatch:
        await asyncio.sleep(0)
        return batch

    produce(source, ROWS)
    async with app.running():
        got = await read(consume, out, 200)
    assert sorted(row["n"] for row in got) == list(range(200))


async def test_a_shard_that_fails_leaves_out_its_bad_rows_alone(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    source, out, bad = of(make_topic, "in", "out", "bad")

    @app.subscribe(
        source, publish_to=out, partition_key="user", parallelism=3, on_error="dlq", dlq=bad
    )
    def picky(batch: pa.RecordBatch) -> pa.RecordBatch:
        if 77 in batch["n"].to_pylist():
            raise ValueError("not this one")
        return batch

    produce(source, ROWS)
    async with app.running():
        letters = await read(consume, bad, 1)
        got = await read(consume, out, 199)
    assert [letter["n"] for letter in letters] == [77]
    assert sorted(row["n"] for row in got) == [n for n in range(200) if n != 77]


def test_rows_of_several_shards_reach_a_window_in_the_order_of_their_watermarks() -> None:
    first = pa.RecordBatch.from_pydict({"k": ["a", "a", "a"], "_watermark": [1, 4, 4]})
    second = pa.RecordBatch.from_pydict({"k": ["b", "b"], "_watermark": [2, 4]})
    assert _in_time([first, pa.table(second)]).to_pydict() == {
        "k": ["a", "b", "a", "a", "b"],
        "_watermark": [1, 2, 4, 4, 4],
    }


async def test_the_threads_of_shards_end_with_the_worker(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    app = app_factory()
    source = make_topic("in", partitions=1)
    threads: set[str] = set()
    meet = threading.Barrier(2)

    @app.subscribe(source, name="many", partition_key="user", parallelism=2)
    def note(batch: pa.RecordBatch) -> None:
        threads.add(threading.current_thread().name)
        meet.wait(timeout=20)

    produce(source, ROWS)
    async with app.running():
        await until(lambda: len(threads) == 2)
    assert all(name.startswith("turbine-many-shard") for name in threads)
    assert not threads & {thread.name for thread in threading.enumerate()}


# -- duplicates --------------------------------------------------------------------------------


async def test_rows_whose_key_was_there_within_the_time_are_left_out(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    source, out, bad = of(make_topic, "in", "out", "bad")

    @app.subscribe(
        source,
        publish_to=out,
        event_time="at",
        dedup=Dedup(key="id", within="1s"),
        batch_size=7,
        on_error="dlq",
        dlq=bad,
    )
    def picky(batch: pa.RecordBatch) -> pa.RecordBatch:
        if 30 in batch["n"].to_pylist():
            raise ValueError("not this one")
        return batch

    rows: list[dict[str, Any]] = [{"id": f"i{n % 5}", "at": n * 100, "n": n} for n in range(60)]
    produce(source, rows)
    async with app.running():
        got = await read(consume, out, 29)
        letters = await read(consume, bad, 1)
    # A key comes every half second, so every second one is within the time.
    kept = [row for row in rows if row["n"] // 5 % 2 == 0]
    assert [row["n"] for row in got] == [row["n"] for row in kept if row["n"] != 30]
    assert letters == [rows[30]]


def test_duplicates_need_a_key_and_a_time(app_factory: MakeApp) -> None:
    app = app_factory()
    for options, sentence in [
        ({"dedup": "id"}, "write dedup="),
        ({"dedup": Dedup("id", 60)}, "needs the time of rows"),
    ]:
        with pytest.raises(DeclarationError, match=sentence):
            app.subscribe("in", name="x", **cast("Any", options))(lambda batch: batch)
    with pytest.raises(DeclarationError, match="names no column"):
        Dedup([], 1)
    with pytest.raises(DeclarationError, match="within"):
        Dedup("id", 0)
