"""Tasks and timers for the leader, services, and the signals in an app's life."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from support.fixtures import MakeApp
from support.wait import eventually_async as eventually
from turbine import App, faust
from turbine.exceptions import ConfigError, DeclarationError
from turbine.faust import mode

MakeFaust = Callable[..., faust.App]

# -- the leader ------------------------------------------------------------------------------


def led(app: App, topic: str, ran: list[App]) -> App:
    @app.agent(topic, name="reader")
    async def read(stream: Any) -> None:
        async for _ in stream:
            pass

    @app.timer(0.02, on_leader=True, name="lead")
    async def lead() -> None:
        ran.append(app)

    @app.timer(0.02, name="all")
    async def every() -> None: ...

    return app


async def test_one_worker_runs_what_the_leader_is_to_run_and_another_takes_over(
    app_factory: MakeApp, topic: str, app_id: str
) -> None:
    ran: list[App] = []
    first, second = (led(app_factory(app_id), topic, ran) for _ in range(2))
    once: list[App] = []

    @second.task(on_leader=True)
    async def when_it_leads(app: App) -> None:
        once.append(app)

    async with AsyncExitStack() as of_second:
        async with first.running():
            await eventually(first.is_leader)
            await of_second.enter_async_context(second.running())
            await eventually(lambda: first in ran and first.is_leader() != second.is_leader())
        await eventually(second.is_leader)
        del ran[:]
        await eventually(lambda: bool(ran) and bool(once))
        assert set(ran) == {second}
        assert once == [second]


async def test_the_leader_topic_can_be_named(app_factory: MakeApp, topic: str) -> None:
    ran: list[App] = []
    app = led(app_factory(leader_topic=topic), topic, ran)
    async with app.running():
        await eventually(lambda: ran)


async def test_a_worker_that_reads_no_topic_leads_itself_with_a_warning(
    app_factory: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_factory()
    ran: list[int] = []

    @app.agent(app.channel(), name="inner")
    async def inner(stream: Any) -> None:
        async for _ in stream:
            pass

    @app.task(on_leader=True, name="lead")
    async def lead() -> None:
        ran.append(1)

    async with app.running():
        await eventually(lambda: ran)
    assert "task lead has on_leader=True, and the app reads no topic" in caplog.text


async def test_a_leader_topic_that_is_not_read_stops_the_start(app_factory: MakeApp) -> None:
    app = app_factory()
    app.conf.leader_topic = "nowhere"
    with pytest.raises(ConfigError, match="leader_topic='nowhere'"):
        async with app.running():
            pass


# -- signals ---------------------------------------------------------------------------------


async def test_signals_come_in_their_order_to_plain_and_async_functions(
    faust_app: MakeFaust, topic: str
) -> None:
    app = faust_app()
    seen: list[str] = []

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for _ in stream:
            pass

    @app.on_before_configured.connect
    def before(sender: Any, **kwargs: Any) -> None:
        seen.append("before")

    @app.on_configured.connect
    def configured(sender: Any, conf: Any, **kwargs: Any) -> None:
        conf.topic_partitions = 3
        seen.append("configured")

    @app.on_after_configured.connect
    def after(sender: Any, **kwargs: Any) -> None:
        assert sender is app
        seen.append(f"after {app.conf.topic_partitions}")

    @app.on_worker_init.connect
    def init(sender: Any, **kwargs: Any) -> None:
        seen.append("init")

    @app.on_partitions_assigned.connect
    async def assigned(sender: Any, partitions: Any, **kwargs: Any) -> None:
        seen.append(f"assigned {len(partitions)}")

    @app.on_rebalance_complete.connect
    async def complete(sender: Any, **kwargs: Any) -> None:
        assert not app.rebalancing
        seen.append("complete")

    @app.on_before_shutdown.connect
    async def shutdown(sender: Any, **kwargs: Any) -> None:
        seen.append("shutdown")

    app.finalize()
    async with app.running():
        await eventually(lambda: "complete" in seen)
    assert seen == [
        "before",
        "configured",
        "after 3",
        "init",
        "assigned 4",
        "complete",
        "shutdown",
    ]


def test_an_async_function_for_a_signal_before_the_loop_is_refused() -> None:
    app = App("orders")

    @app.on_configured.connect
    async def configured(sender: Any, conf: Any) -> None: ...

    with pytest.raises(DeclarationError, match="'def', not 'async def', for configured"):
        app.finalize()


async def test_a_signal_s_exception_is_logged_and_ends_nothing(
    app_factory: MakeApp, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = led(app_factory(), topic, [])

    @app.on_before_shutdown.connect
    async def shutdown(sender: Any) -> None:
        raise RuntimeError("not today")

    async with app.running():
        pass
    assert "on_before_shutdown failed" in caplog.text
    assert "not today" in caplog.text


# -- services --------------------------------------------------------------------------------


class Child(faust.Service):
    async def on_start(self) -> None:
        SEEN.append("child")

    async def on_stop(self) -> None:
        SEEN.append("child stops")


SEEN: list[str] = []


async def test_a_service_starts_with_the_worker_and_stops_before_it(
    faust_app: MakeFaust, caplog: pytest.LogCaptureFixture
) -> None:
    app = faust_app()
    SEEN.clear()
    made: list[faust.Service] = []

    @app.service
    class Poller(faust.Service):
        def __post_init__(self) -> None:
            made.append(self)
            self.ticks = 0

        async def on_start(self) -> None:
            SEEN.append("start")
            self.add_dependency(Child())

        async def on_stop(self) -> None:
            SEEN.append("stop")

        async def on_shutdown(self) -> None:
            SEEN.append("shutdown")

        @faust.Service.timer(0.01)
        async def tick(self) -> None:
            self.ticks += 1
            raise RuntimeError("counted")

        @faust.Service.task
        async def once(self) -> None:
            SEEN.append("task")
            while not self.should_stop:
                await self.sleep(60)
            SEEN.append("never: stopping cancels")

    async with app.running():
        await eventually(lambda: made and made[0].errors > 1 and "task" in SEEN)
        assert made[0].started
        running = not made[0].should_stop
    assert running
    assert made[0].should_stop
    assert [word for word in SEEN if not word.startswith("never")] == [
        "start",
        "child",
        "task",
        "stop",
        "child stops",
        "shutdown",
    ]
    assert "counted" in caplog.text


async def test_a_service_waits_for_work_or_for_its_end() -> None:
    async with faust.Service() as service:
        assert await service.wait(asyncio.sleep(0, "done")) == ("done", False)
        with pytest.raises(TimeoutError):
            await service.wait(asyncio.sleep(60), timeout=0.01)
        waiting = asyncio.create_task(service.wait(asyncio.sleep(60)))
        await asyncio.sleep(0)
    assert await waiting == (None, True)


async def test_a_future_of_a_service_that_fails_is_logged_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        raise RuntimeError("it broke")

    with caplog.at_level(logging.ERROR):
        async with faust.Service() as service:
            service.add_future(fail())
            await eventually(lambda: service.errors == 1)
    assert "it broke" in caplog.text


def test_a_worker_runs_an_app_with_services_and_ends_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = faust.App("orders")
    ran: list[str] = []
    monkeypatch.setattr(app, "run", lambda: ran.append("ran"))
    worker = faust.Worker(app, Child, loglevel=logging.WARNING, debug=True)
    before = list(logging.getLogger().handlers), logging.getLogger().level
    try:
        with pytest.raises(SystemExit) as ended:
            worker.execute_from_commandline()
    finally:
        logging.getLogger().handlers[:], level = before
        logging.getLogger().setLevel(level)
    assert (ended.value.code, ran, [job.name for job in app.jobs]) == (0, ["ran"], ["Child"])


# -- small things ----------------------------------------------------------------------------


def test_timers_and_crontabs_take_what_faust_s_take() -> None:
    app = faust.App("orders")

    @app.timer(1.0, max_drift_correction=0.1)
    async def tick(app: Any) -> None: ...

    @app.crontab("0 4 * * *", tz="Europe/Berlin")
    async def nightly() -> None: ...

    @app.task
    async def once() -> None: ...

    assert [job.kind for job in app.jobs] == ["timer", "crontab", "task"]


def test_the_lines_of_the_documented_test_fixture_are_legal() -> None:
    app = faust.App("orders")
    app.finalize()
    app.conf.store = "memory://"
    app.flow_control.resume()
    assert app.conf.store == "memory"
    assert app.flow_control.is_active()


async def test_the_names_of_mode_that_programs_use() -> None:
    async def letters() -> Any:
        for letter in "ab":
            yield letter

    assert [pair async for pair in mode.aenumerate(letters(), 1)] == [(1, "a"), (2, "b")]
    assert [pair async for pair in mode.aenumerate("ab")] == [(0, "a"), (1, "b")]
    assert mode.qualname(mode.aenumerate) == "turbine.faust.mode.aenumerate"
    assert mode.want_seconds("250ms") == pytest.approx(0.25)


async def test_an_app_can_be_started_and_stopped_by_hand(faust_app: MakeFaust, topic: str) -> None:
    app = faust_app()

    @app.agent(topic)
    async def read(stream: Any) -> None:
        async for _ in stream:
            pass

    stopped = app.should_stop
    assert stopped
    await app.start()
    running = app.started and not app.should_stop
    assert running
    await app.sleep(0.001)
    await app.stop()
    assert not app.started
    app.producer_only = True
    await app.maybe_start()
    await app.maybe_start()
    await app.send(topic, b"1")
    await app.stop()
