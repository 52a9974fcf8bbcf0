"""Records that nobody can read, among thousands that anybody can."""

import asyncio
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated

import pyarrow as pa
from pydantic import Field

import turbine
from support.fixtures import Consume, MakeApp, MakeTopic, Produce

RECORDS = 3_000
EVERY = 100


class Event(turbine.Record):
    id: int
    user: Annotated[str, Field(max_length=64)]
    amount: float
    kind: str


def kinds() -> dict[str, Callable[[bytes], bytes | None]]:
    """Give the kinds of poison that the benchmark has."""
    path = Path(__file__).parents[2] / "bench" / "poison_kinds.py"
    spec = importlib.util.spec_from_file_location("poison_kinds", path)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, Callable[[bytes], bytes | None]] = module.KINDS
    return found


async def test_every_kind_of_poison_is_a_dead_letter_once_and_nothing_else_is(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    source, target = make_topic("in", partitions=1), make_topic("out", partitions=1)
    dead, poison = make_topic("dead", partitions=1), kinds()
    assert len(poison) == 12

    @app.subscribe(source, publish_to=target, model=Event, on_error="dlq", dlq=dead)
    def same(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    makers, values, bad = list(poison.values()), [], []
    for number in range(RECORDS):
        event = {"id": number, "user": f"u{number % 7}", "amount": 0.5, "kind": "buy"}
        value: bytes | None = json.dumps(event, separators=(",", ":")).encode()
        assert value is not None
        if number % EVERY == 7:
            bad.append(number)
            value = makers[number // EVERY % len(makers)](value)
        values.append(value)
    produce(source, values)
    async with app.running():
        got = await asyncio.to_thread(consume, target, RECORDS - len(bad))
        letters = await asyncio.to_thread(consume, dead, len(bad))
    assert [int(one.header["turbine.source.offset"]) for one in letters] == bad
    assert [one.value for one in letters] == [values[number] for number in bad]
    assert all(one.header["turbine.phase"] == "decode" for one in letters)
    assert [one.json["id"] for one in got] == [n for n in range(RECORDS) if n not in set(bad)]
