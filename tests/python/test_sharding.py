"""Rows of one partition, divided over several instances of a handler."""

import asyncio
import threading
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

import turbine
from support.failing import failure_of
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from support.wait import eventually_async as until
from turbine import DeclarationError, aggregates, windowing, windows


class Click(turbine.Record):
    id: int
    user: str | None
    ts: int = 0


def clicks(count: int, users: int = 20) -> list[dict[str, Any]]:
    return [{"id": n, "user": f"u{n * 7 % users}", "ts": n * 10} for n in range(count)]


async def read(consume: Consume, topic: str, at_least: int) -> list[Any]:
    """JSON of the records of *topic*."""
    return [one.json for one in await asyncio.to_thread(consume, topic, at_least)]


@pytest.fixture
def topics(make_topic: MakeTopic) -> tuple[str, str]:
    """An input and an output with one partition each."""
    return make_topic("in", partitions=1), make_topic("out", partitions=1)


# -- declaration -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"parallelism": 4}, "add partition_key='column'"),
        ({"parallelism": 0, "partition_key": "user"}, "whole number from 1"),
        ({"parallelism": 1_000, "partition_key": "user"}, "add partitions to the topic"),
        (
            {
                "parallelism": 2,
                "partition_key": "user",
                "event_time": "ts",
                "window": windows.tumbling("1s", key="id", value=aggregates.Count()),
            },
            "add 'user' to its key",
        ),
        (
            {
                "parallelism": 2,
                "partition_key": "user",
                "window": windows.tumbling(
                    "1s", key="user", value=aggregates.Count(), time_column="ts"
                ),
            },
            "write event_time= instead",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_the_next_step(
    options: dict[str, Any], reason: str
) -> None:
    app = turbine.App("clicks")
    with pytest.raises(DeclarationError, match=reason):
        app.subscribe("clicks", name="s", **options)(lambda batch: None)


# -- functions ---------------------------------------------------------------------------------


async def test_a_key_always_meets_the_same_shard_and_keeps_its_order(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    app, source = app_factory(), make_topic("in", partitions=1)
    seen: dict[str, list[int]] = {}
    calls: list[tuple[int, frozenset[str]]] = []

    @app.subscribe(source, model=Click, partition_key="user", parallelism=4, batch_size=50)
    def note(batch: pa.RecordBatch) -> None:
        rows = batch.to_pylist()
        calls.append((threading.get_ident(), frozenset(row["user"] for row in rows)))
        for row in rows:
            seen.setdefault(row["user"], []).append(row["id"])

    produce(source, clicks(1_000))
    async with app.running():
        await until(lambda: sum(map(len, seen.values())) == 1_000)
    assert all(ids == sorted(ids) for ids in seen.values())
    # Users that were once in one call are never in different ones of a batch.
    homes: dict[str, set[str]] = {}
    for _, users in calls:
        for user in users:
            homes.setdefault(user, set()).update(users)
    groups = {frozenset(group) for group in homes.values()}
    assert len(groups) == 4
    assert sum(map(len, groups)) == 20


@pytest.mark.parametrize("is_async", [False, True])
async def test_outputs_of_a_batch_are_those_of_all_shards(
    app_factory: MakeApp,
    topics: tuple[str, str],
    produce: Produce,
    consume: Consume,
    is_async: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    app, (source, out) = app_factory(), topics

    def same(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    async def later(batch: pa.RecordBatch) -> pa.RecordBatch:
        await asyncio.sleep(0)
        return batch

    declare = app.subscribe(
        source, publish_to=out, model=Click, name="s", partition_key="user", parallelism=3
    )
    declare(later if is_async else same)
    rows = [*clicks(200), {"id": 200, "user": None, "ts": 0}]
    produce(source, rows)
    async with app.running():
        got = await read(consume, out, 201)
    assert sorted(row["id"] for row in got) == list(range(201))
    by_user = [row["id"] for row in got if row["user"] == "u0"]
    assert by_user == sorted(by_user)


async def test_a_row_that_a_shard_cannot_handle_is_left_out_alone(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app, source, out = (
        app_factory(),
        make_topic("in", partitions=1),
        make_topic("out", partitions=1),
    )
    dead = make_topic("dead", partitions=1)

    @app.subscribe(
        source,
        publish_to=out,
        model=Click,
        partition_key="user",
        parallelism=3,
        on_error="dlq",
        dlq=dead,
    )
    def picky(batch: pa.RecordBatch) -> pa.RecordBatch:
        if 17 in batch["id"].to_pylist():
            raise ValueError("seventeen")
        return batch

    produce(source, clicks(100))
    async with app.running():
        letters = await asyncio.to_thread(consume, dead, 1)
        got = await read(consume, out, 99)
    assert [letter.json["id"] for letter in letters] == [17]
    assert sorted(row["id"] for row in got) == [n for n in range(100) if n != 17]


async def test_a_failing_shard_stops_the_partition(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    app, source = app_factory(), make_topic("in", partitions=1)

    @app.subscribe(source, model=Click, partition_key="user", parallelism=2)
    def broken(batch: pa.RecordBatch) -> None:
        if "u3" in batch["user"].to_pylist():
            raise KeyError("u3")

    produce(source, clicks(40))
    assert "KeyError: 'u3'" in await failure_of(app)


# -- classes and windows -----------------------------------------------------------------------


async def test_a_class_has_one_instance_a_shard(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    app, source = app_factory(), make_topic("in", partitions=1)
    instances: list[Counter[str]] = []

    @app.subscribe(source, model=Click, partition_key="user", parallelism=3, batch_size=20)
    class Count:
        def __init__(self) -> None:
            self.counts: Counter[str] = Counter()
            instances.append(self.counts)

        def process(self, batch: pa.RecordBatch) -> None:
            self.counts.update(row["user"] for row in batch.to_pylist())

    produce(source, clicks(400))
    async with app.running():
        await until(lambda: sum(one.total() for one in instances) == 400)
    assert len(instances) == 3
    assert sum(map(len, instances)) == 20
    assert sum(instances, Counter()) == Counter(row["user"] for row in clicks(400))


async def totals(
    app: turbine.App, produce: Produce, consume: Consume, source: str, out: str
) -> list[tuple[str, int, int]]:
    """Final results of a window of a second, whose last rows are far ahead."""
    rows = clicks(600)
    expected = {(row["user"], row["ts"] // 1_000 * 1_000) for row in rows}
    produce(source, [*rows, {"id": -1, "user": "end", "ts": 99_999}])
    async with app.running():
        got = await read(consume, out, len(expected))
    assert len(got) == len(expected)
    return sorted((row["user"], row["window_start_ms"], row["n"]) for row in got)


@pytest.mark.cases_alike
@pytest.mark.parametrize("case", [(1, 13), (2, 13), (4, 13), (4, 10_000)])
async def test_results_of_windows_do_not_depend_on_the_number_of_shards(
    app_factory: MakeApp,
    topics: tuple[str, str],
    produce: Produce,
    consume: Consume,
    case: tuple[int, int],
) -> None:
    app, (source, out) = app_factory(), topics
    parallelism, batch_size = case

    @app.subscribe(
        source,
        publish_to=out,
        model=Click,
        event_time="ts",
        batch_size=batch_size,
        partition_key="user",
        parallelism=parallelism,
        window=windows.tumbling("1s", key="user", value={"n": aggregates.Count()}),
    )
    def counts(panes: pa.RecordBatch) -> pa.RecordBatch:
        return panes

    found = await totals(app, produce, consume, source, out)
    counted = Counter((row["user"], row["ts"] // 1_000 * 1_000) for row in clicks(600))
    assert found == sorted((user, start, n) for (user, start), n in counted.items())


@pytest.mark.cases_alike
@pytest.mark.parametrize(
    "case",
    [
        (windowing.InMemoryTumbling, 1),
        (windowing.InMemoryTumbling, 3),
        (windowing.PersistentTumbling, 3),
    ],
)
async def test_windows_of_a_class_do_not_depend_on_it_either(
    app_factory: MakeApp,
    topics: tuple[str, str],
    produce: Produce,
    consume: Consume,
    case: tuple[Any, int],
) -> None:
    app, (source, out) = app_factory(), topics
    (kind, parallelism), wrong = case, list[Any]()

    @app.subscribe(
        source,
        publish_to=out,
        model=Click,
        event_time="ts",
        batch_size=37,
        partition_key="user",
        parallelism=parallelism,
    )
    class Counts:
        def __init__(self) -> None:
            self.users: set[str] = set()
            self.window = kind(
                self,
                name="counts",
                size_ms=1_000,
                key=["user"],
                value={"n": aggregates.Count()},
                on_close=self.closed,
            )

        def process(self, batch: pa.RecordBatch) -> None:
            self.users.update(row["user"] for row in batch.to_pylist())
            self.window.update(batch)

        def closed(self, state: Any, panes: pa.Table) -> pa.Table:
            del state
            wrong.extend(set(panes["user"].to_pylist()) - self.users)
            return panes

    found = await totals(app, produce, consume, source, out)
    counted = Counter((row["user"], row["ts"] // 1_000 * 1_000) for row in clicks(600))
    assert found == sorted((user, start, n) for (user, start), n in counted.items())
    assert not wrong, "a callback got results of rows of another shard"
