"""State and handlers that fail: what a failed run wrote is as if it had never been."""

import asyncio
from typing import Any

import pyarrow as pa
import pytest

import turbine
from support.failing import failure_of
from turbine import DeclarationError, State, aggregates, windows

from .conftest import Bench

ROWS: list[dict[str, Any]] = [{"n": n, "k": f"k{n % 3}"} for n in range(100)]


def poisoned(batch: pa.RecordBatch, state: State) -> None:
    state.put("rows", state.get("rows", 0) + batch.num_rows)
    state.add_many(batch["k"])
    if 32 in [n % 33 for n in batch.to_pydict()["n"]]:
        raise ValueError("not this one")


async def poisoned_async(batch: pa.RecordBatch, state: State) -> None:
    await asyncio.sleep(0)
    poisoned(batch, state)


@pytest.mark.parametrize("handler", [poisoned, poisoned_async])
async def test_rows_that_are_left_out_are_not_counted_and_no_other_is_counted_twice(
    bench: Bench, handler: Any
) -> None:
    await bench.run(handler, *ROWS, on_error="skip")
    good = [row for row in ROWS if row["n"] % 33 != 32]

    def look(state: State) -> None:
        assert state.get("rows") == len(good) == 97
        counts = {k: sum(row["k"] == k for row in good) for k in ("k0", "k1", "k2")}
        assert dict(state.scan("k")) == counts

    await bench.once(look)


async def test_a_batch_that_fails_leaves_no_state(bench: Bench) -> None:
    app = bench.app(poisoned, batch_size=1)
    bench.send(*ROWS[:40])
    assert "not this one" in await failure_of(app)
    seen: list[Any] = []

    def mended(batch: pa.RecordBatch, state: State) -> None:
        seen.append((batch["n"][0].as_py(), state.get("rows")))
        state.put("rows", state.get("rows", 0) + batch.num_rows)

    app = bench.app(mended, batch_size=1)
    async with app.running():
        await bench.through(app)
    assert seen == [(n, n) for n in range(32, 40)]


async def test_state_is_of_its_batch(bench: Bench) -> None:
    kept: list[State] = []

    def handler(batch: pa.RecordBatch, state: State) -> None:
        if kept:
            with pytest.raises(RuntimeError, match="used after its batch had ended"):
                kept[0].get("a")
            with pytest.raises(RuntimeError, match="await what uses it"):
                kept[0].scope("u").put("a", 1)
        kept.append(state)

    await bench.run(handler, *ROWS[:2], batch_size=1)
    assert len(kept) == 2


async def test_handlers_of_several_shards_use_the_state_of_their_keys(bench: Bench) -> None:
    class Shared:
        def process(self, batch: pa.RecordBatch, state: State) -> None:
            keys = batch.to_pydict()["k"]
            for key in set(keys):
                scoped = state.scope(key)
                scoped.put("n", scoped.get("n", 0) + keys.count(key))
            with pytest.raises(DeclarationError, match=r"use state\.scope\(key\)"):
                state.get("n")
            with pytest.raises(ValueError, match="a scope has no scopes"):
                state.scope("a").scope("b")

    await bench.run(Shared, *ROWS, parallelism=3, partition_key="k")

    class Keyed:
        def process_key(self, key: str, rows: pa.RecordBatch, state: State) -> None:
            state.put("n", state.get("n", 0) + rows.num_rows)

    await bench.run(Keyed, *ROWS, parallelism=3, partition_key="k")

    def look(state: State) -> list[int]:
        return [state.scope(f"k{n}").get("n") for n in range(3)]

    assert await bench.once(look) == [68, 66, 66]


class Both:
    def process(self, batch: Any) -> None: ...
    def process_key(self, key: str, rows: Any) -> None: ...


class Unasked:
    def process(self, batch: Any) -> None: ...
    def on_timer(self, timer_id: str, state: Any) -> None: ...


class Mixed:
    def process(self, batch: Any, state: Any) -> None: ...
    async def on_timer(self, timer_id: str, state: Any) -> None: ...


def plain(batch: Any) -> None: ...
def stateful(batch: Any, state: Any) -> None: ...
def keyed(key: str, rows: Any, state: Any) -> None: ...
def on_timer(timer_id: str) -> None: ...


IN_MEMORY = {
    "processing_guarantee": "exactly_once",
    "event_time": "ts",
    "window": windows.tumbling("1m", value=aggregates.Count()),
}


@pytest.mark.parametrize("more", [{}, {"changelog": False, "on_crash_recovery": "accept"}])
async def test_windows_in_memory_go_with_a_changelog_or_with_gaps(bench: Bench, more: Any) -> None:
    bench.app(stateful, **IN_MEMORY, **more)


@pytest.mark.parametrize("option", ["changelog", "on_crash_recovery", "halt_if_gap_exceeds"])
def test_agents_have_no_gap_to_close(option: str) -> None:
    options: dict[str, Any] = {option: False}
    with pytest.raises(DeclarationError, match=f"app.agent has no option {option}=: the tables"):
        turbine.App("agents").agent("topic", **options)


@pytest.mark.cases_alike
@pytest.mark.parametrize(
    ("handler", "options", "message"),
    [
        (Both, {}, "has process and process_key: keep one of them"),
        (keyed, {}, "add partition_key='column'"),
        (Unasked, {}, "the method on_timer is about state"),
        (Mixed, {}, "make both async, or neither"),
        (plain, {"state_ttl": {"a": 1}}, "state_ttl= is about state"),
        (stateful, {"state_ttl": {"a": 1}}, "add event_time='column'"),
        (stateful, {"state_ttl": {"": 1}, "event_time": "ts"}, "the text that keys begin with"),
        (stateful, {"state_ttl": {"a": 0}, "event_time": "ts"}, "a whole number from 1"),
        (stateful, {"state_ttl": {"_turbine_": 1}, "event_time": "ts"}, "the library's own"),
        (stateful, {"state_ttl": ["a"], "event_time": "ts"}, "is not a mapping"),
        (stateful, {"state_format": "yaml"}, "write one of 'json', 'msgpack'"),
        (stateful, {"on_timer": on_timer}, "write 'def on_timer(timer_id, state)'"),
        (stateful, {"on_timer": 5}, "is not a function"),
        (stateful, {**IN_MEMORY, "changelog": False}, "Add persistent=True to the windows"),
    ],
)
async def test_a_wrong_declaration_says_what_to_write(
    bench: Bench, handler: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeclarationError) as caught:
        bench.app(handler, **options)
    assert message in str(caught.value)
