"""
Fixtures of the behaviour tests.

The tests run twice: ``pytest`` on the embedded broker, ``pytest --broker=kafka`` on a real Apache
Kafka that this file starts. The second run takes only the tests that ask for a broker, of those
whose cases are the same to a broker (marker ``cases_alike``) one case, and of files that are about
something else (marker ``any_broker``) one test, since nothing else can differ.
"""

import asyncio
import inspect
import os
import uuid
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import hypothesis
import pytest

from support.brokers import Broker, Kafka, make_broker
from support.fixtures import Consume, MakeApp, MakeTopic, MakeWorker, Produce
from support.kafka import Cluster
from support.leftovers import Threads, tasks_left
from support.wait import eventually as _eventually
from support.workers import WorkerProcess
from turbine.testing import KafkaBroker

# Settings of whoever runs the tests must not reach the apps under test.
for _name in [
    name for name in os.environ if name.startswith("TURBINE_") and name != "TURBINE_CACHE"
]:
    del os.environ[_name]

# How long an example takes says more about what else runs on the machine than about the code.
# Under CI the same examples in each run, as proptest's there (.ci/run).
hypothesis.settings.register_profile("tests", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("tests")

SHARED = pytest.StashKey[Kafka]()
"""The Apache Kafka of a run in several processes."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--broker",
        default="memory",
        metavar="memory|kafka|HOST:PORT",
        help="the embedded broker, an Apache Kafka started for the tests, or one that runs",
    )
    parser.addoption(
        "--kills",
        type=int,
        default=10,
        help="how often the broker is killed by the test of transactions that survive it",
    )
    parser.addoption(
        "--damages",
        type=int,
        default=2,
        help="how often the files of a worker are damaged by the test that no output is wrong then",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Tests that use the test kit run on the same broker as all others; processes share a Kafka."""
    told = getattr(config, "workerinput", {})
    config.option.broker = told.get("broker", config.option.broker)
    if config.option.broker != "memory":
        config.option.turbine_on = "kafka"
    if config.option.broker == "kafka" and config.getoption("numprocesses", None):
        config.stash[SHARED] = Kafka(keeps_all=True)
        config.stash[SHARED].start()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process of the run the address of the Kafka."""
    if SHARED in node.config.stash:
        node.workerinput["broker"] = node.config.stash[SHARED].address


def pytest_unconfigure(config: pytest.Config) -> None:
    if SHARED in config.stash:
        config.stash[SHARED].stop()


WORKERS = pytest.StashKey[list[WorkerProcess]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of its workers with a test that fails."""
    report = yield
    if report.failed and report.when == "call":
        for worker in item.stash.get(WORKERS, []):
            report.sections.append((f"log of {worker.directory.name}", worker.output()))
    return report


def pytest_report_header(config: pytest.Config) -> str:
    return f"broker: {config.getoption('--broker')}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    on_memory = config.getoption("--broker") == "memory"

    def belongs(item: pytest.Item) -> bool:
        if on_memory:
            return item.get_closest_marker("kafka") is None
        if item.get_closest_marker("embedded") is not None:
            return False
        fixtures = getattr(item, "fixturenames", ())
        kind = item.callspec.params.get("turbine_broker") if hasattr(item, "callspec") else None
        wants_broker = "cluster" in fixtures or (
            kind == "kafka" and "turbine_clock" not in fixtures
        )
        return wants_broker or item.get_closest_marker("kafka") is not None

    chosen = [item for item in items if belongs(item)]
    if not on_memory:
        kept = set(_one_of_alike(chosen))
        chosen = [item for item in chosen if item in kept]
    left_out = set(items) - set(chosen)
    items[:] = chosen
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
    if hasattr(config, "workerinput"):
        # Several processes end together if what takes long is not begun last.
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
            # In front, so that it looks after every other fixture of the test is gone.
            item.fixturenames.insert(0, "_no_tasks_left")


def _one_of_alike(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """
    Leave out what says nothing new of a broker.

    That is what a test with the marker ``cases_alike`` has besides its first case, and what a file
    with the marker ``any_broker`` has besides its first test.
    """
    seen: set[object] = set()
    # As they are written, whatever order they run in.
    for item in sorted(items, key=_place):
        function = getattr(item, "function", item)
        alike = item.get_closest_marker("cases_alike") is not None and function in seen
        of_file = item.get_closest_marker("any_broker") is not None and item.path in seen
        if not alike and not of_file:
            yield item
        seen |= {function, item.path}


def _place(item: pytest.Item) -> tuple[str, int]:
    return str(item.path), item.location[1] or 0


# -- the broker ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def broker_process(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """The broker of this run, for tests that stop or question it; most want `broker`."""
    process = make_broker(request.config.getoption("--broker"))
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def kafka_broker(broker_process: Broker) -> Iterator[KafkaBroker]:
    """The broker of this run, for tests that use the test kit on a real Kafka."""
    broker = KafkaBroker(broker_process.address)
    _ = broker.admin, broker.producer  # with threads that are no test's
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def cluster(broker_process: Broker) -> Cluster:
    """Topics, records and offsets of the broker, through confluent-kafka."""
    return Cluster(broker_process.address)


@pytest.fixture(scope="session")
def broker(cluster: Cluster) -> str:
    """Address of the broker, ``host:port``."""
    return cluster.address


@pytest.fixture
def make_topic(cluster: Cluster) -> MakeTopic:
    return cluster.make_topic


@pytest.fixture
def topic(cluster: Cluster) -> str:
    """A new topic with four partitions."""
    return cluster.make_topic()


@pytest.fixture
def produce(cluster: Cluster) -> Produce:
    return cluster.produce


@pytest.fixture
def consume(cluster: Cluster) -> Consume:
    return cluster.consume


@pytest.fixture
def eventually() -> Callable[..., Any]:
    return _eventually


# -- apps and workers ------------------------------------------------------------------------


@pytest.fixture
def app_id() -> str:
    """An id that no other test uses."""
    return f"app-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def app_factory(broker: str, tmp_path: Path) -> MakeApp:
    """Make apps with an id of their own on the broker of the test, without HTTP."""
    import turbine

    def make(id: str | None = None, **settings: Any) -> turbine.App:  # noqa: A002 - the app's own word
        name = id or f"app-{uuid.uuid4().hex[:8]}"
        given: dict[str, Any] = {
            "broker": f"kafka://{broker}",
            "datadir": tmp_path / name,
            "web_enabled": False,
        }
        return turbine.App(name, **(given | settings))

    return make


@pytest.fixture
def worker_process(
    broker: str, app_id: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[MakeWorker]:
    made: list[WorkerProcess] = request.node.stash.setdefault(WORKERS, [])

    def make(
        source: str,
        *,
        app_id: str | None = app_id,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        web: bool | Literal["default"] = True,
    ) -> WorkerProcess:
        place = tmp_path / f"worker-{len(made)}"
        assert app_id is not None
        made.append(
            WorkerProcess(place, source, broker=broker, app_id=app_id, args=args, env=env, web=web)
        )
        return made[-1]

    yield make
    for worker in made:
        if worker.is_alive():
            worker.kill()


# -- nothing stays behind --------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_threads_left(request: pytest.FixtureRequest) -> Iterator[None]:
    if "cluster" in request.fixturenames:
        request.getfixturevalue("cluster")  # its threads are not the test's
    if "turbine_broker" in request.fixturenames:
        on_kafka = request.config.getoption("--turbine-on") == "kafka"
        request.getfixturevalue("kafka_broker" if on_kafka else "turbine_session_broker")
    threads = Threads()
    yield
    left = threads.left()
    assert not left, f"the test left threads behind: {left}"


@pytest.fixture
async def _no_tasks_left() -> AsyncIterator[None]:
    yield
    # One turn of the loop: callbacks of what has just ended.
    await asyncio.sleep(0)
    left = await tasks_left()
    assert not left, f"the test left tasks behind: {left}"
