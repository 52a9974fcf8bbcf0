"""An app as a value: made anywhere, configured in four ways, imported quickly."""

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import turbine
from support.wait import eventually_async
from turbine import App, BrokerUnavailable, ConfigError, HandlerError, NotRunning, Turbine
from turbine._worker_config import worker_config
from turbine.events import Event
from turbine.signals import Signal
from turbine.types import TP


async def handler(stream: Any) -> None: ...


def python(source: str, cwd: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    """Run a program in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source), *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# -- construction ------------------------------------------------------------------------------


def test_one_class_has_two_names_and_two_spellings() -> None:
    assert Turbine is App
    first = App("orders", broker="kafka://localhost:9092")
    second = Turbine(brokers="localhost:9092", app_id="orders", state_dir="/tmp/state")
    assert (first.conf.id, first.conf.bootstrap) == (second.conf.id, second.conf.bootstrap)
    assert str(second.conf.data_path) == "/tmp/state"


def test_id_and_app_id_must_agree() -> None:
    with pytest.raises(ConfigError, match="keep one"):
        App("orders", app_id="other")


def test_an_app_needs_no_loop_and_no_broker() -> None:
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    app = App("orders")
    app.agent("in")(handler)
    app.subscribe("in2", name="s")(lambda batch: batch)
    app.timer(1.0, name="t")(app.task(named))
    app.channel()
    assert repr(app) == "<App 'orders': 1 agents, 1 subscriptions>"


async def named() -> None: ...


def test_settings_can_be_assigned_after_construction() -> None:
    app = App("orders")
    app.conf.store = "memory://"
    app.conf.broker = "other:1"
    assert app.conf.bootstrap == "other:1"


def test_every_exported_name_exists() -> None:
    for name in turbine.__all__:
        assert getattr(turbine, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Ap'"):
        turbine.Ap  # noqa: B018
    assert set(turbine.__all__) <= set(dir(turbine))


def test_the_names_are_where_the_lazy_table_says() -> None:
    assert turbine.__dir__() == sorted(turbine.__all__)


def test_importing_the_package_imports_nothing_heavy(tmp_path: Path) -> None:
    done = python(
        """
        import sys, turbine
        app = turbine.App("orders")
        heavy = {"pydantic", "pyarrow", "rich", "click", "turbine._native"} & set(sys.modules)
        sys.exit(f"imported {heavy}" if heavy else 0)
        """,
        tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_worker_of_agents_loads_no_columns_and_keeps_its_memory_small(tmp_path: Path) -> None:
    done = python(
        """
        import ctypes, sys
        import turbine.worker
        from turbine import faust
        from turbine._memory import keep_memory_small

        app = faust.App("orders")
        table = app.Table("counts", default=int)

        @app.agent(app.topic("orders"))
        async def agent(stream):
            async for taken in stream.take(10, within=1):
                table[taken[0]] += 1

        agent.decoders()
        columns = {"pyarrow", "numpy"} & set(sys.modules)
        assert not columns, columns
        assert app.conf.fetch_buffer_bytes == 12 << 20
        keep_memory_small()
        is_small = ctypes.CDLL(None).prctl(42, 0, 0, 0, 0)
        assert is_small or not sys.platform.startswith("linux")
        """,
        tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_worker_gives_back_the_pages_of_code_that_only_its_start_needs(tmp_path: Path) -> None:
    done = python(
        """
        import sys
        import turbine._native
        from turbine._memory import give_start_back

        def resident():
            lines = open("/proc/self/status").read().splitlines()
            return next(int(one.split()[1]) for one in lines if one.startswith("RssFile"))

        if sys.platform.startswith("linux"):
            before = resident()
            give_start_back()
            after = resident()
            assert after < before / 2, (before, after)
        assert turbine._native.encode_json({"a": [1]}) == b'{"a":[1]}'
        """,
        tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")


# -- modules -----------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with an app and agents in modules of their own."""
    package = tmp_path / "shop"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "settings.py").write_text("BROKER = 'from-module:1'\nhelper = object()\n")
    (package / "app.py").write_text(
        "import turbine\n"
        "app = turbine.App('shop', autodiscover=True)\n"
        "app.config_from_object('shop.settings')\n"
    )
    (package / "agents.py").write_text(
        "from shop.app import app\n@app.agent('in')\nasync def handle(stream): ...\n"
    )
    (package / "inner" / "__init__.py").write_text("")
    (package / "inner" / "more.py").write_text(
        "from shop.app import app\n@app.agent('in')\nasync def handle(stream): ...\n"
    )
    (package / "__main__.py").write_text("raise SystemExit('must not be imported')\n")
    return tmp_path


def test_autodiscover_finds_the_modules_of_the_package_of_the_app(project: Path) -> None:
    done = python(
        """
        from shop.app import app
        app.discover(); app.discover()
        print(*app.agents, app.conf.bootstrap)
        """,
        project,
    )
    assert done.stdout.split() == ["shop.agents.handle", "shop.inner.more.handle", "from-module:1"]


@pytest.mark.parametrize("setting", ["['shop.agents']", "lambda: ['shop.agents']", "'shop.agents'"])
def test_autodiscover_may_list_modules(project: Path, setting: str) -> None:
    done = python(
        f"""
        from shop.app import app
        app.conf.autodiscover = {setting}
        app.discover()
        print(*app.agents)
        """,
        project,
    )
    assert (done.stdout.split(), done.stderr) == (["shop.agents.handle"], "")


def test_a_package_in_the_list_stands_for_its_modules(project: Path) -> None:
    done = python(
        """
        from shop.app import app
        app.conf.autodiscover = ['shop.inner']
        app.discover()
        print(*app.agents)
        """,
        project,
    )
    assert (done.stdout.split(), done.stderr) == (["shop.inner.more.handle"], "")


def test_autodiscover_without_a_package_says_what_to_write() -> None:
    app = App("orders", autodiscover=True)
    app._module = "orders"
    with pytest.raises(ConfigError, match="set origin='proj'"):
        app.discover()
    with pytest.raises(ConfigError, match="neither True nor a list"):
        App("orders", autodiscover=3).discover()


def test_settings_come_from_a_dict_an_object_or_an_attribute_of_a_module(project: Path) -> None:
    done = python(
        """
        import turbine
        app = turbine.App("x")
        app.config_from_object({"broker": "a:1"}); print(app.conf.bootstrap)
        app.config_from_object("shop.settings"); print(app.conf.bootstrap)
        for name in ("nowhere", "shop.settings.nothing"):
            try:
                app.config_from_object(name)
            except turbine.ConfigError as exc:
                print(exc)
        """,
        project,
    )
    assert done.stdout.splitlines() == [
        "a:1",
        "from-module:1",
        "config_from_object('nowhere'): there is no module 'nowhere'",
        "config_from_object('shop.settings.nothing'): 'shop.settings' has no 'nothing'",
    ]


# -- for the core ------------------------------------------------------------------------------


def test_the_core_is_told_what_is_declared() -> None:
    app = App("orders", broker=["a:1", "b:2"], from_latest=True, broker_commit_interval="250ms")
    app.agent("in", name="reader", concurrency=2, on_error="dlq", dlq="dead")(handler)
    app.agent(app.channel(), name="inside")(handler)
    app.subscribe("rows", publish_to="out", tombstones="null", with_metadata=["key"])(named_same)
    config = worker_config(app, http=False)
    assert config["brokers"] == "a:1,b:2"
    assert (config["start_at"], config["commit_interval_ms"]) == ("latest", 250)
    assert config["http"] is None
    assert config["agents"] == [
        {
            "name": "reader",
            "group": "orders",
            "topics": ["in"],
            "concurrency": 2,
            "on_error": "dlq",
            "dlq": "dead",
            "acks_by_hand": False,
            "guarantee": "at_least_once",
        }
    ]
    (one,) = config["subscriptions"]
    assert one["tombstones_as_nulls"] is True
    assert (one["group"], one["with_metadata"]) == ("orders-named_same", ["key"])


def named_same(batch: Any) -> Any:
    return batch


def test_the_core_is_not_told_wrong_settings() -> None:
    with pytest.raises(ConfigError, match="api_token"):
        worker_config(App("orders", api_host="0.0.0.0"), http=True)


# -- not running -------------------------------------------------------------------------------


async def test_sending_outside_a_running_app_says_what_to_write() -> None:
    app = App("orders")
    topic = app.topic("in")
    for attempt in (topic.send(value=1), app.send("in", 1), app.agent("in")(handler).cast(1)):
        with pytest.raises(NotRunning, match=r"async with app\.running\(\)"):
            await attempt
    with pytest.raises(NotRunning, match=r"async with app\.client\(\)"):
        topic.send_soon(value=1)


# -- signals and events ------------------------------------------------------------------------


async def test_a_signal_calls_sync_and_async_handlers_in_order() -> None:
    app = App("orders")
    seen: list[Any] = []

    @app.on_partitions_assigned.connect
    async def first(sender: App, partitions: set[TP]) -> None:
        seen.append((sender, partitions))

    @app.on_partitions_assigned.connect
    def second(sender: App, partitions: set[TP]) -> None:
        seen.append("second")

    await app.on_partitions_assigned.send(app, {TP("in", 0)})
    assert seen == [(app, {("in", 0)}), "second"]
    app.on_partitions_assigned.disconnect(first)
    app.on_partitions_assigned.disconnect(first)
    await app.on_partitions_assigned.send(app, set())
    assert seen[2:] == ["second"]
    assert not Signal("none")
    with pytest.raises(TypeError, match="takes a function"):
        app.on_partitions_revoked.connect(3)  # type: ignore[call-overload]


def test_an_event_carries_its_place_and_headers() -> None:
    event = Event(None, "k", {"a": 1}, [("h", b"1"), ("h", b"2")], "in", 3, 17, 1.5)
    assert (event.tp, event.message.offset, event.headers) == (("in", 3), 17, {"h": b"2"})
    assert repr(event) == "<Event in[3]@17 key='k' value={'a': 1}>"
    assert not hasattr(event, "__dict__")


# -- running -----------------------------------------------------------------------------------


async def test_a_running_app_reads_sends_and_tells_of_its_partitions(
    app_factory: Callable[..., App], topic: str
) -> None:
    app = app_factory()
    got: asyncio.Queue[Any] = asyncio.Queue()
    assigned: asyncio.Queue[Any] = asyncio.Queue()
    inside = app.channel(name="inside")
    app.on_partitions_assigned.connect(lambda _, partitions: assigned.put_nowait(partitions))

    @app.agent(topic, value_type=int, sink=[inside])
    async def double(numbers: Any) -> AsyncIterator[int]:
        async for number in numbers:
            yield number * 2

    @app.agent(inside, name="collect")
    async def collect(numbers: Any) -> None:
        async for number in numbers:
            got.put_nowait(number)

    @app.task
    async def seed(app: App) -> None:
        await app.send(topic, 1, key="a")

    async with app.running() as same, asyncio.timeout(30):
        assert same is app
        assert set(await assigned.get()) == {TP(topic, partition) for partition in range(4)}
        await double.send(2, key="b")
        app.send_soon(topic, 3, key="c")
        assert sorted([await got.get() for _ in range(3)]) == [2, 4, 6]
    with pytest.raises(NotRunning):
        await app.send(topic, 4)


async def test_an_app_runs_inside_the_lifespan_of_fastapi(
    app_factory: Callable[..., App], topic: str
) -> None:
    from fastapi import FastAPI
    from httpx import ASGITransport, AsyncClient

    app = app_factory()
    orders = app.topic(topic, value_type=int)
    seen: list[int] = []

    @app.agent(orders)
    async def collect(numbers: Any) -> None:
        async for number in numbers:
            seen.append(number)  # noqa: PERF401 - read while it grows

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with app.running():
            yield

    api = FastAPI(lifespan=lifespan)

    @api.post("/orders/{number}")
    async def add(number: int) -> int:
        return (await (await orders.send(value=number, key="k"))).offset

    transport = ASGITransport(app=api)
    async with (
        api.router.lifespan_context(api),
        AsyncClient(transport=transport, base_url="http://api") as client,
    ):
        offsets = [(await client.post(f"/orders/{number}")).json() for number in (5, 6)]
        assert offsets == [0, 1]
        await eventually_async(lambda: seen == [5, 6], why="both orders are read")


async def test_leaving_a_running_app_raises_why_it_failed(
    app_factory: Callable[..., App], topic: str
) -> None:
    app = app_factory()

    @app.agent(topic, value_type=int)
    async def broken(numbers: Any) -> None:
        async for number in numbers:
            raise ValueError(f"cannot do {number}")

    async def run() -> None:
        async with app.running():
            await broken.send(7)
            runtime: Any = app._runtime
            await eventually_async(lambda: runtime.failures, why="the failure is known")

    with pytest.raises(HandlerError, match="cannot do 7"):
        await run()


async def test_a_running_app_cannot_be_started_again(
    app_factory: Callable[..., App], topic: str
) -> None:
    app = app_factory()
    app.agent(topic)(drop)
    async with app.running():
        with pytest.raises(NotRunning, match="running already"):
            async with app.running():
                pass
    async with app.running():
        pass


async def test_an_app_whose_broker_is_away_does_not_start() -> None:
    app = App("away", broker="localhost:1")
    app.agent("in")(drop)
    with pytest.raises(BrokerUnavailable):
        async with app.running():
            pass
    assert app._runtime is None


async def drop(stream: Any) -> None:
    async for _ in stream:
        pass
