"""State of handlers: written is read, fails with its batch, and is there after a restart."""

import asyncio
from typing import Any

import pyarrow as pa
import pytest

import turbine
from support.failing import runtime_of
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from support.wait import eventually_async as until

ROWS = [{"user": f"u{n % 7}", "n": n} for n in range(200)]


class Row(turbine.Record):
    user: str
    n: int


@pytest.fixture
def topics(make_topic: MakeTopic) -> tuple[str, str]:
    """An input and an output with one partition each."""
    return make_topic("in", partitions=1), make_topic("out", partitions=1)


async def read(consume: Consume, topic: str, at_least: int) -> list[Any]:
    return [one.json for one in await asyncio.to_thread(consume, topic, at_least)]


def running(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each row with how many of its user there were up to it."""
    seen: dict[Any, int] = {}
    out = []
    for row in rows:
        seen[row["user"]] = seen.get(row["user"], 0) + 1
        out.append({**row, "count": seen[row["user"]]})
    return out


def one_by_one(batch: pa.RecordBatch, state: turbine.State) -> pa.RecordBatch:
    counts = []
    for user in map(str, batch["user"].to_pylist()):
        counts.append(state.get(user, 0) + 1)
        state.put(user, counts[-1])
    return batch.append_column("count", pa.array(counts, pa.int64()))


def in_columns(batch: pa.RecordBatch, state: turbine.State) -> pa.RecordBatch:
    return batch.append_column("count", state.add_many(batch["user"]))


async def on_the_loop(batch: pa.RecordBatch, state: turbine.State) -> pa.RecordBatch:
    await asyncio.sleep(0)
    return one_by_one(batch, state)


class AsClass:
    def process(self, batch: pa.RecordBatch, state: turbine.State) -> pa.RecordBatch:
        return in_columns(batch, state)


class ByKey:
    def process_key(self, key: str, rows: pa.RecordBatch, state: turbine.State) -> pa.RecordBatch:
        assert set(rows["user"].to_pylist()) == {key}
        assert state.scope_key == key
        before = state.get("count", 0)
        state.put("count", before + rows.num_rows)
        counts = pa.array(range(before + 1, before + rows.num_rows + 1), pa.int64())
        return rows.append_column("count", counts)


def by_key(key: str, rows: pa.RecordBatch, state: turbine.State) -> pa.RecordBatch:
    return ByKey().process_key(key, rows, state)


@pytest.mark.cases_alike
@pytest.mark.parametrize("handler", [one_by_one, in_columns, on_the_loop, AsClass, ByKey, by_key])
@pytest.mark.parametrize("batch_size", [1, 64])
async def test_counts_go_on_over_batches_and_a_restart(  # noqa: PLR0917 - fixtures
    app_factory: MakeApp,
    topics: tuple[str, str],
    produce: Produce,
    consume: Consume,
    handler: Any,
    batch_size: int,
) -> None:
    rows = ROWS[: 20 * batch_size][:200]
    middle = len(rows) // 2
    for part, total in ((rows[:middle], middle), (rows[middle:], len(rows))):
        app = app_factory("counts")
        app.subscribe(
            topics[0],
            publish_to=topics[1],
            model=Row,
            partition_key="user",
            batch_size=batch_size,
            name="count",
        )(handler)
        produce(topics[0], part)
        async with app.running():
            got = await read(consume, topics[1], total)
    by_offset = sorted(got, key=lambda row: row["n"])
    assert by_offset == running(rows)


async def test_a_kill_loses_nothing_and_counts_nothing_twice(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce
) -> None:
    seen: dict[int, int] = {}

    def make() -> turbine.App:
        app = app_factory("killed", checkpoint_interval=0.05)

        @app.subscribe(topics[0], model=Row, batch_size=10)
        def count(batch: pa.RecordBatch, state: turbine.State) -> None:
            total = state.get("total", 0)
            for n in batch["n"].to_pylist():
                # Whatever is read again meets the state that there was in front of it.
                assert n == total
                total += 1
                seen[n] = seen.get(n, 0) + 1
            state.put("total", total)

        return app

    for start in range(0, 200, 50):
        produce(topics[0], ROWS[start : start + 50])
        app = make()
        async with _killed(app):
            await until(lambda end=start + 50: len(seen) == end)  # type: ignore[misc]
    assert sorted(seen) == list(range(200))


class _killed:  # noqa: N801 - reads as a word
    """A worker that is let go of at once."""

    def __init__(self, app: turbine.App) -> None:
        self._running = app.running()
        self._app = app

    async def __aenter__(self) -> None:
        await self._running.__aenter__()

    async def __aexit__(self, *error: object) -> None:
        runtime_of(self._app).kill()
        await self._running.__aexit__(None, None, None)
