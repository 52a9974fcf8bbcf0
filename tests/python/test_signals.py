"""What a program learns of its partitions while it runs."""

from collections.abc import AsyncIterator

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
