"""Workers that die, freeze and come back, and brokers that misbehave."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import turbine
from turbine.testing import Broker, Fault, MakeApp, MakeTopic, StartWorker


def slow_doubling(app: turbine.App, source: str, sink: str) -> turbine.Agent:
    """Declare an agent that takes a millisecond a number."""

    @app.agent(source, sink=[sink])
    async def double(stream: Any) -> Any:
        async for number in stream:
            await asyncio.sleep(0.001)
            yield number * 2

    return double


async def test_a_killed_worker_loses_nothing(
    turbine_app: MakeApp, turbine_topics: MakeTopic, turbine_worker: StartWorker
) -> None:
    numbers, doubles = turbine_topics("numbers"), turbine_topics("doubles")
    worker = await turbine_worker(slow_doubling(turbine_app(), numbers, doubles))
    await numbers.put(*range(200))
    other = await worker.replace()
    assert worker.state == "killed"
    assert len(doubles.records()) < 200, "it was killed in the middle"
    await doubles.expect([2 * n for n in range(200)], order="any", repeats=True)
    assert other.partitions == {(numbers.name, n) for n in range(4)}


async def test_nothing_of_a_killed_worker_reaches_the_broker(
    turbine_app: MakeApp,
    turbine_topics: MakeTopic,
    turbine_worker: StartWorker,
    turbine_broker: Broker,
) -> None:
    numbers, doubles = turbine_topics("numbers", partitions=1), turbine_topics("doubles")
    app = turbine_app()
    holds, go_on = threading.Event(), threading.Event()

    @app.agent(numbers, sink=[doubles])
    async def double(stream: Any) -> Any:
        async for number in stream:
            holds.set()
            go_on.wait(20)  # as code that does not notice that its process is dying
            yield number * 2

    worker = await turbine_worker(app)
    await numbers.put(1)
    await asyncio.to_thread(holds.wait, 20)
    worker.kill()
    go_on.set()
    with pytest.raises(RuntimeError, match="is killed"):
        worker.kill()
    second = await turbine_worker(app)
    await doubles.expect([2])
    await second.idle()
    assert turbine_broker.committed(app.conf.group, numbers) == {0: 1}
    assert len(doubles.records()) == 1


@pytest.mark.turbine_on("embedded")
async def test_a_paused_worker_is_a_zombie_until_it_finds_out(
    turbine_app: MakeApp, turbine_topics: MakeTopic, turbine_worker: StartWorker
) -> None:
    numbers, doubles = turbine_topics("numbers"), turbine_topics("doubles")
    app = turbine_app()
    slow_doubling(app, numbers, doubles)
    zombie = await turbine_worker(app)
    await numbers.put(*range(10))
    await doubles.expect([2 * n for n in range(10)], order="any")
    await zombie.idle()
    zombie.pause()
    await numbers.put(*range(10, 20))
    zombie.expire()
    heir = await turbine_worker(app)
    await doubles.expect([2 * n for n in range(10, 20)], order="any")
    assert zombie.partitions == heir.partitions
    zombie.resume()
    await zombie.ready()
    await heir.ready()
    assert not zombie.partitions & heir.partitions
    await numbers.put(*range(20, 30))
    await doubles.expect([2 * n for n in range(20, 30)], order="any", repeats=True)


async def test_a_pause_that_is_short_changes_nothing(
    turbine_app: MakeApp, turbine_topics: MakeTopic, turbine_worker: StartWorker
) -> None:
    numbers, doubles = turbine_topics("numbers"), turbine_topics("doubles")
    worker = await turbine_worker(slow_doubling(turbine_app(), numbers, doubles))
    worker.pause()
    await numbers.put(1, 2, 3)
    assert doubles.records() == []
    worker.resume()
    await doubles.expect([2, 4, 6], order="any")


async def test_a_paused_worker_can_be_killed(
    turbine_app: MakeApp, turbine_topics: MakeTopic, turbine_worker: StartWorker
) -> None:
    numbers, doubles = turbine_topics("numbers"), turbine_topics("doubles")
    worker = await turbine_worker(slow_doubling(turbine_app(), numbers, doubles))
    worker.pause()
    with pytest.raises(RuntimeError, match="resume it first"):
        await worker.stop()
    await numbers.put(1)
    await worker.replace()
    await doubles.expect([2])


TROUBLE: dict[str, Callable[[Broker], Fault]] = {
    "drop_response": lambda broker: broker.drop_response("Produce", 2),
    "disconnect": lambda broker: broker.disconnect("Fetch", 2),
    "delay": lambda broker: broker.delay("Produce", 100, 2),
    "produce": lambda broker: broker.fail("Produce", "NOT_LEADER_OR_FOLLOWER", 2),
    "commit": lambda broker: broker.fail("OffsetCommit", "COORDINATOR_LOAD_IN_PROGRESS"),
}


@pytest.mark.parametrize("trouble", TROUBLE)
async def test_a_worker_gets_over_what_goes_wrong(
    turbine_app: MakeApp,
    turbine_topics: MakeTopic,
    turbine_worker: StartWorker,
    turbine_broker: Broker,
    *,
    trouble: str,
) -> None:
    numbers, doubles = turbine_topics("numbers"), turbine_topics("doubles")
    worker = await turbine_worker(slow_doubling(turbine_app(), numbers, doubles))
    fault = TROUBLE[trouble](turbine_broker)
    await numbers.put(*range(20))
    await doubles.expect([2 * n for n in range(20)], order="any")
    await worker.idle()
    assert fault.hits > 0


async def test_a_fault_can_be_for_one_worker(
    turbine_app: MakeApp,
    turbine_topics: MakeTopic,
    turbine_worker: StartWorker,
    turbine_broker: Broker,
) -> None:
    numbers, doubles = turbine_topics("numbers"), turbine_topics("doubles")
    worker = await turbine_worker(slow_doubling(turbine_app(), numbers, doubles))
    mine = turbine_broker.drop_response("Produce", client=worker.name)
    others = turbine_broker.drop_response("Produce", client="nobody")
    await numbers.put(1)
    await doubles.expect([2])
    assert (mine.hits, others.hits) == (1, 0)


@pytest.mark.turbine_on("embedded")
async def test_a_rebalance_moves_nothing_that_stays(
    turbine_app: MakeApp,
    turbine_topics: MakeTopic,
    turbine_worker: StartWorker,
    turbine_broker: Broker,
) -> None:
    numbers, doubles = turbine_topics("numbers"), turbine_topics("doubles")
    worker = await turbine_worker(slow_doubling(turbine_app(), numbers, doubles))
    await numbers.put(*range(50))
    turbine_broker.rebalance()
    await doubles.expect([2 * n for n in range(50)], order="any", repeats=True)
    await worker.ready()


@pytest.mark.turbine_on("embedded")
async def test_a_broker_goes_down_and_comes_back(
    turbine_app: MakeApp,
    turbine_topics: MakeTopic,
    turbine_worker: StartWorker,
    turbine_broker: Broker,
) -> None:
    numbers, doubles = turbine_topics("numbers"), turbine_topics("doubles")
    worker = await turbine_worker(slow_doubling(turbine_app(), numbers, doubles))
    await numbers.put(*range(20))
    turbine_broker.down()
    turbine_broker.up()
    await doubles.expect([2 * n for n in range(20)], order="any", repeats=True, timeout=20)
    await worker.idle()


@pytest.mark.turbine_on("embedded")
@pytest.mark.turbine_own_broker(nodes=3)
async def test_of_three_nodes_one_may_be_down(
    turbine_app: MakeApp,
    turbine_topics: MakeTopic,
    turbine_worker: StartWorker,
    turbine_broker: Broker,
) -> None:
    numbers, doubles = turbine_topics("numbers"), turbine_topics("doubles")
    await turbine_worker(slow_doubling(turbine_app(), numbers, doubles))
    turbine_broker.down(2)
    await numbers.put(*range(20))
    await doubles.expect([2 * n for n in range(20)], order="any", repeats=True, timeout=20)
