"""A clock that the test turns, for apps and for the broker."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from turbine.testing import Clock, MakeApp, MakeTopic, StartWorker

START = datetime(2031, 5, 1, 12, tzinfo=UTC)


@pytest.mark.turbine_clock(START)
async def test_timers_run_each_at_its_own_time(
    turbine_clock: Clock, turbine_app: MakeApp, turbine_worker: StartWorker
) -> None:
    app, ticks = turbine_app(), []

    @app.timer(10)
    async def often() -> None:
        ticks.append(("often", turbine_clock.monotonic()))

    @app.timer(25)
    async def seldom() -> None:
        ticks.append(("seldom", turbine_clock.monotonic()))

    await turbine_worker(app)
    await turbine_clock.advance(9)
    assert ticks == []
    await turbine_clock.advance(timedelta(seconds=21))
    assert ticks == [("often", 10), ("often", 20), ("seldom", 25), ("often", 30)]
    assert turbine_clock.now() == START + timedelta(seconds=30)
    assert app.clock.now(UTC) == turbine_clock.now()


@pytest.mark.turbine_clock(START)
async def test_crontabs_see_a_day_pass(
    turbine_clock: Clock, turbine_app: MakeApp, turbine_worker: StartWorker
) -> None:
    app, calls = turbine_app(), []

    @app.crontab("30 */6 * * *", timezone=ZoneInfo("Europe/Berlin"))
    async def report() -> None:
        calls.append(turbine_clock.now().strftime("%d %H:%M"))

    await turbine_worker(app)
    await turbine_clock.advance(timedelta(days=1))
    assert calls == ["01 16:30", "01 22:30", "02 04:30", "02 10:30"]


async def test_a_handler_that_sleeps_wakes_by_the_clock(
    turbine_clock: Clock,
    turbine_app: MakeApp,
    turbine_topics: MakeTopic,
    turbine_worker: StartWorker,
) -> None:
    numbers, later = turbine_topics("numbers", partitions=1), turbine_topics("later")
    app = turbine_app()

    @app.agent(numbers, sink=[later])
    async def wait(stream: Any) -> Any:
        async for number in stream:
            await asyncio.sleep(3_600)
            yield number

    await turbine_worker(app)
    await numbers.put(1, 2)
    await turbine_clock.advance(3_599)
    assert later.records() == []
    await turbine_clock.advance(1)
    await later.expect([1])
    await turbine_clock.advance(3_600)
    await later.expect([2])


async def test_take_hands_over_when_its_time_is_over(
    turbine_clock: Clock,
    turbine_app: MakeApp,
    turbine_topics: MakeTopic,
    turbine_worker: StartWorker,
) -> None:
    numbers, lists = turbine_topics("numbers", partitions=1), turbine_topics("lists")
    app = turbine_app()

    @app.agent(numbers, sink=[lists])
    async def collect(stream: Any) -> Any:
        async for values in stream.take(100, within=60):
            yield values

    await turbine_worker(app)
    await numbers.put(1, 2)
    await turbine_clock.advance(30)
    await numbers.put(3)
    await turbine_clock.advance(29)
    assert lists.records() == []
    await turbine_clock.advance(1)
    await lists.expect([[1, 2, 3]])


async def test_everything_is_handled_when_an_advance_returns(
    turbine_clock: Clock,
    turbine_app: MakeApp,
    turbine_topics: MakeTopic,
    turbine_worker: StartWorker,
) -> None:
    first, second, third = (turbine_topics(name) for name in ("first", "second", "third"))
    app = turbine_app()
    for source, sink in ((first, second), (second, third)):

        @app.agent(source, sink=[sink], name=f"to-{sink}")
        async def pass_on(stream: Any) -> Any:
            async for number in stream:
                yield number + 1

    worker = await turbine_worker(app)
    await first.put(*range(500))
    await turbine_clock.idle()
    assert sorted(event.value for event in third.records()) == list(range(2, 502))
    rows = worker.assignments()
    assert all(row["committed"] == row["position"] for row in rows if row["position"])


async def test_records_have_the_time_of_the_clock(
    turbine_clock: Clock,
    turbine_app: MakeApp,
    turbine_topics: MakeTopic,
    turbine_worker: StartWorker,
) -> None:
    numbers, copies = turbine_topics("numbers"), turbine_topics("copies")
    app = turbine_app()

    @app.agent(numbers, sink=[copies])
    async def copy(stream: Any) -> Any:
        async for number in stream:
            yield number

    await turbine_worker(app)
    await turbine_clock.advance(1_000)
    await numbers.put(1)
    [event] = await copies.expect([1])
    [source] = numbers.records()
    assert source.timestamp == event.timestamp == turbine_clock.time()


async def test_members_live_while_the_clock_is_advanced(
    turbine_clock: Clock,
    turbine_app: MakeApp,
    turbine_topics: MakeTopic,
    turbine_worker: StartWorker,
) -> None:
    numbers = turbine_topics("numbers")
    app, moves = turbine_app(), []
    app.on_partitions_revoked.connect(lambda *_: moves.append("revoked"))

    @app.agent(numbers)
    async def agent(stream: Any) -> None:
        async for _ in stream:
            pass

    worker = await turbine_worker(app)
    await turbine_clock.advance(timedelta(days=30))
    await numbers.put(1)
    await worker.idle()
    assert not moves


async def test_what_is_not_idle_is_named(
    turbine_clock: Clock,
    turbine_app: MakeApp,
    turbine_topics: MakeTopic,
    turbine_worker: StartWorker,
) -> None:
    numbers, app = turbine_topics("numbers", partitions=1), turbine_app()
    go_on: list[bool] = []

    @app.agent(numbers)
    async def spin(stream: Any) -> None:
        async for _ in stream:
            while not go_on:  # noqa: ASYNC110 - keeps its loop busy on purpose
                await asyncio.sleep(0)

    await turbine_worker(app)
    await numbers.put(1)
    with pytest.raises(TimeoutError, match="its event loop, or a call of it in a thread, is busy"):
        await turbine_clock.advance(1, timeout=0.2)
    go_on.append(True)


def test_time_does_not_go_back_and_a_start_has_a_zone() -> None:
    with pytest.raises(ValueError, match="does not go back"):
        Clock().advance(-1)
    with pytest.raises(ValueError, match="time zone"):
        Clock(datetime(2030, 1, 1))  # noqa: DTZ001 - what is refused
