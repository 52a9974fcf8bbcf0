"""What a program learns of its partitions while it runs."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

import turbine
from support.fixtures import MakeApp
from support.wait import eventually_async
from turbine.exceptions import HandlerError
from turbine.types import TP


async def test_a_failed_partition_is_told_with_its_reason(app_factory: MakeApp, topic: str) -> None:
    app = app_factory()
    told: list[tuple[turbine.App, TP, str]] = []

    @app.on_partition_failed.connect
    def failed(sender: turbine.App, partition: TP, reason: str) -> None:
        told.append((sender, partition, reason))

    class Order(turbine.Record):
        id: int

    @app.agent(topic, value_type=Order)
    async def read(orders: AsyncIterator[Order]) -> None:
        async for _ in orders:
            pass

    async def run_until_told() -> None:
        async with app.running():
            await app.send(topic, key="k", value={"id": "seven"}, partition=2)
            await eventually_async(lambda: told, 20, "the failure to be told")

    with pytest.raises(HandlerError, match="id: "):
        await run_until_told()
    [(sender, partition, reason)] = told
    assert sender is app
    assert partition == TP(topic, 2)
    assert "\n" not in reason
    assert "https://" not in reason


async def test_what_an_agent_sends_is_counted(app_factory: MakeApp, topic: str) -> None:
    app = app_factory()
    runtime: Any = None

    @app.agent(topic)
    async def pass_on(stream: AsyncIterator[Any]) -> None:
        async for value in stream:
            await app.send(f"{topic}-out", value=value)

    def acknowledged() -> bool:
        return "turbine_records_acknowledged_total 6\n" in runtime.native.metrics()

    app.topic(f"{topic}-out", partitions=1)
    async with app.running():
        runtime = app._runtime
        for n in range(3):
            await app.send(topic, value=n)
        await eventually_async(acknowledged, 20, "three sent and three passed on")
