"""What `stream_processing_timeout` says, and when."""

import asyncio
from typing import Any

import pytest

from support.fixtures import MakeApp, MakeTopic, Produce
from support.wait import eventually_async as until
from turbine._slow import Watch


def test_a_partition_is_named_once_while_it_stands_and_again_when_it_stands_elsewhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    row = {"name": "a", "topic": "t", "partition": 0, "state": "running"}
    row |= {"in_flight": 2, "committed": 5, "position": 9}
    watch = Watch(lambda: [row], 10.0, now=lambda: now[0])

    def said(seconds: float, **changes: Any) -> int:
        caplog.clear()
        now[0] += seconds
        row.update(changes)
        watch.look()
        return len(caplog.records)

    assert said(0) == 0
    assert said(9) == 0
    assert said(1) == 1
    assert "a t[0]: 2 records are with the handler since 10 s" in caplog.text
    assert said(100) == 0
    assert said(1, committed=6) == 0
    assert said(10) == 1
    assert said(10, in_flight=0) == 0
    assert said(100, in_flight=0) == 0


async def test_the_log_names_a_handler_that_does_not_end_and_nothing_is_ended(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app, topic, seen = app_factory(stream_processing_timeout=0.1), make_topic(partitions=1), []
    go_on = asyncio.Event()

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for value in stream:
            seen.append(value)
            await go_on.wait()

    produce(topic, [1, 2])
    async with app.running():
        await until(lambda: f"{topic}[0]: " in caplog.text and "with the handler" in caplog.text)
        go_on.set()
        await until(lambda: seen == [1, 2])
