"""`turbine rebalance`: the members of a group share their partitions anew, and nobody stops."""

import asyncio
from typing import Any

import pytest

from support.wait import eventually_async as until
from turbine._cli_rebalance import rebalance_groups
from turbine.exceptions import ConfigError
from turbine.testing import Broker, MakeApp, MakeTopic, StartWorker


async def test_every_member_joins_again_and_no_partition_moves(
    turbine_app: MakeApp,
    turbine_topics: MakeTopic,
    turbine_worker: StartWorker,
    turbine_broker: Broker,
) -> None:
    app, numbers = turbine_app(), turbine_topics("numbers")
    other = turbine_topics("other", partitions=1)
    seen: list[Any] = []
    revoked: list[Any] = []
    app.on_partitions_revoked.connect(lambda _, partitions: revoked.append(partitions))

    @app.agent(numbers)
    async def agent(stream: Any) -> None:
        async for value in stream:
            seen.append(value)  # noqa: PERF401 - a comprehension over a stream would never end

    worker = await turbine_worker(app)
    joins = turbine_broker.delay("JoinGroup", 0)
    rows = await asyncio.to_thread(rebalance_groups, app, "agents")
    assert rows == [{"group": app.conf.group, "members": 1, "partitions": 4}]
    # The worker, which was told that somebody came, and that they went.
    await until(lambda: joins.hits >= 2)
    await numbers.put(7)
    await until(lambda: seen == [7])
    assert revoked == []
    assert len(worker.partitions) == 4
    await worker.idle()
    assert turbine_broker.committed(app.conf.group, other) == {}


async def test_without_a_worker_there_is_nobody_to_share(
    turbine_app: MakeApp, turbine_topics: MakeTopic
) -> None:
    app = turbine_app()

    @app.agent(turbine_topics("numbers"))
    async def agent(stream: Any) -> None:
        async for _ in stream:
            pass

    with pytest.raises(ConfigError, match="has no members: start a worker first"):
        await asyncio.to_thread(rebalance_groups, app, None)
