"""An app that runs inside a program: its start, its restart, and handlers that block."""

import asyncio
import ctypes
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from support.fixtures import MakeApp, Produce
from support.kafka import Cluster
from support.wait import eventually_async as until

HASTY = {"session.timeout.ms": 1_500, "heartbeat.interval.ms": 300, "max.poll.interval.ms": 2_000}
"""A group that gives up on a silent member soon."""
BLOCK_S = 3.0


def with_the_interpreter(seconds: float) -> None:
    """Block as an extension does that keeps the interpreter for itself."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


@pytest.mark.parametrize(
    ("reader", "block"),
    [
        ("agent", time.sleep),
        ("agent", with_the_interpreter),
        ("function", with_the_interpreter),
        ("coroutine", time.sleep),
    ],
)
async def test_a_handler_that_blocks_keeps_its_partitions(
    app_factory: MakeApp,
    topic: str,
    produce: Produce,
    cluster: Cluster,
    *,
    block: Callable[[float], None],
    reader: str,
) -> None:
    seen: list[int] = []
    moves: list[str] = []
    app = app_factory(kafka=HASTY)

    def handle(numbers: list[Any]) -> None:
        if 0 in numbers:
            block(BLOCK_S)
        seen.extend(numbers)

    async def agent(stream: Any) -> None:
        async for value in stream:
            handle([value["n"]])

    def function(batch: pa.RecordBatch) -> None:
        handle(batch["n"].to_pylist())

    async def coroutine(batch: pa.RecordBatch) -> None:
        handle(batch["n"].to_pylist())

    if reader == "agent":
        app.agent(topic)(agent)
        group = app.conf.id
    else:
        app.subscribe(topic, name="rows")(function if reader == "function" else coroutine)
        group = f"{app.conf.id}-rows"
    app.on_partitions_revoked.connect(lambda *_: moves.append("revoked"))

    produce(topic, [{"n": n} for n in range(10)], partition=0)
    async with app.running():
        await until(lambda: len(seen) == 10, 30)
        await until(lambda: cluster.committed(group, topic).get(0) == 10)
        assert not moves
    assert seen == list(range(10))


async def test_an_app_can_be_started_again(
    app_factory: MakeApp, topic: str, produce: Produce
) -> None:
    app, seen = app_factory(), []

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for value in stream:
            seen.append(value)  # noqa: PERF401 - a comprehension over a stream would never have a value

    for times in range(1, 4):
        produce(topic, [times])
        async with app.running():
            await until(lambda n=times: seen == list(range(1, n + 1)))  # type: ignore[misc]


async def test_a_new_group_starts_at_the_oldest_record_unless_told_otherwise(
    app_factory: MakeApp, topic: str, produce: Produce
) -> None:
    old = [{"n": n} for n in range(3)]
    produce(topic, old, partition=0)
    oldest, newest = app_factory(), app_factory(consumer_auto_offset_reset="latest")
    seen: dict[str, list[Any]] = {"oldest": [], "newest": []}

    for name, app in {"oldest": oldest, "newest": newest}.items():

        async def agent(stream: Any, name: str = name) -> None:
            async for value in stream:
                seen[name].append(value["n"])

        app.agent(topic, name="agent")(agent)

    async with oldest.running(), newest.running():
        await until(lambda: len(seen["oldest"]) == 3)
        # The end of the topic is looked up some time after the start.
        number = 100
        while not seen["newest"]:
            produce(topic, [{"n": number}], partition=0)
            number += 1
            await asyncio.sleep(0.02)
    assert seen["oldest"][:3] == [0, 1, 2]
    assert min(seen["newest"]) >= 100
