"""
Fixtures for pytest: a broker, topics, apps, workers and a clock.

pytest loads this through the entry point ``turbine``; nothing of Turbine is imported until a test
asks for a fixture. What each fixture does, with complete tests: docs/guides/testing.md.
"""

import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from turbine.testing._broker import Broker, EmbeddedBroker, KafkaBroker
    from turbine.testing._clock import Clock
    from turbine.testing._fixtures import MakeApp, MakeProcess, MakeTopic, StartWorker
    from turbine.testing._harness import Harness

__all__: list[str] = []

_KAFKA_VARIABLE = "TURBINE_TEST_KAFKA"
_KINDS = ("embedded", "kafka")
_HARNESS: "pytest.StashKey[Harness]" = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("turbine", "Turbine")
    group.addoption(
        "--turbine-kafka",
        metavar="HOST:PORT",
        default=None,
        help=f"a Kafka for tests that want a real one (or ${_KAFKA_VARIABLE})",
    )
    group.addoption(
        "--turbine-on",
        choices=[*_KINDS, "both"],
        default="embedded",
        help="where tests without the marker turbine_on run (default: embedded)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    for line in (
        "turbine_on(*kinds): run the test once on each of 'embedded' and 'kafka'",
        "turbine_clock(start): when the virtual clock begins: an aware datetime, or seconds",
        "turbine_own_broker(**options): an embedded broker for this test alone, as with nodes=3",
    ):
        config.addinivalue_line("markers", line)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on each broker that it names."""
    if "turbine_broker" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("turbine_on")
    if marker is None:
        chosen = metafunc.config.getoption("--turbine-on")
        kinds = list(_KINDS) if chosen == "both" else [chosen]
    else:
        kinds = list(marker.args) or list(_KINDS)
    strange = [kind for kind in kinds if kind not in _KINDS]
    if strange:
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid}: turbine_on({strange[0]!r}): write 'embedded' or 'kafka'"
        )
    if kinds != ["embedded"]:
        metafunc.parametrize("turbine_broker", kinds, indirect=True)


# -- brokers ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def turbine_session_broker() -> "Iterator[EmbeddedBroker]":
    """The embedded broker that the tests of this process share, for fixtures of the session."""
    from turbine.testing._broker import EmbeddedBroker

    broker = EmbeddedBroker()
    _ = broker.admin, broker.producer  # with threads that are no test's
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def kafka_broker(request: pytest.FixtureRequest) -> "Iterator[KafkaBroker]":
    """A real Kafka; the test is skipped if none is named."""
    address = request.config.getoption("--turbine-kafka") or os.environ.get(_KAFKA_VARIABLE)
    if not address:
        pytest.skip(
            "no Kafka is named: start one (docker run -p 9092:9092 apache/kafka) and say "
            f"pytest --turbine-kafka=localhost:9092, or set {_KAFKA_VARIABLE}"
        )
    from turbine.testing._broker import KafkaBroker

    broker = KafkaBroker(address)
    _ = broker.admin, broker.producer  # with threads that are no test's
    yield broker
    broker.stop()


@pytest.fixture
def turbine_broker(request: pytest.FixtureRequest) -> "Iterator[Broker]":
    """The broker of the test: shared by the session, faults end with the test."""
    from turbine.testing._broker import EmbeddedBroker

    kind = getattr(request, "param", "embedded")
    has_clock = "turbine_clock" in request.fixturenames
    marker = request.node.get_closest_marker("turbine_own_broker")
    if kind == "kafka":
        if has_clock:
            pytest.skip("a real Kafka has the time of its machine: turbine_clock needs embedded")
        kafka: Broker = request.getfixturevalue("kafka_broker")
        yield kafka
    elif has_clock or marker is not None:
        clock = request.getfixturevalue("turbine_clock") if has_clock else None
        own = EmbeddedBroker(clock, **(marker.kwargs if marker else {}))
        yield own
        own.stop()
    else:
        shared: Broker = request.getfixturevalue("turbine_session_broker")
        yield shared
        shared.clear_faults()


@pytest.fixture
def turbine_clock(request: pytest.FixtureRequest) -> "Clock":
    """A clock that stands still; the broker and the apps of the test read it."""
    from turbine.testing._clock import Clock

    marker = request.node.get_closest_marker("turbine_clock")
    return Clock(*marker.args, **marker.kwargs) if marker else Clock()


# -- what runs on them -----------------------------------------------------------------------


@pytest.fixture
def _turbine_harness(
    request: pytest.FixtureRequest,
    turbine_broker: "Broker",
    tmp_path_factory: pytest.TempPathFactory,
) -> "Iterator[Harness]":
    from turbine.testing._harness import Harness

    has_clock = "turbine_clock" in request.fixturenames
    clock = request.getfixturevalue("turbine_clock") if has_clock else None
    harness = request.node.stash[_HARNESS] = Harness(
        turbine_broker, lambda: tmp_path_factory.mktemp("turbine"), clock
    )
    yield harness
    harness.finish()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Stop the workers of a test while it can still fail for what they say."""
    try:
        result = yield
    finally:
        harness = item.stash.get(_HARNESS, None)
        wrong = harness.finish() if harness is not None else []
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)
    return result


@pytest.fixture
def turbine_topics(_turbine_harness: "Harness") -> "MakeTopic":
    """Topics with names that nobody else uses; see `turbine.testing.MakeTopic`."""
    return _turbine_harness.topic


@pytest.fixture
def turbine_app(_turbine_harness: "Harness") -> "MakeApp":
    """Apps on the broker of the test, new or borrowed; see `turbine.testing.MakeApp`."""
    return _turbine_harness.app


@pytest.fixture
def turbine_worker(_turbine_harness: "Harness") -> "StartWorker":
    """Workers that are ready once awaited; see `turbine.testing.StartWorker`."""
    return _turbine_harness.worker


@pytest.fixture
def turbine_process(
    _turbine_harness: "Harness", tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[MakeProcess]":
    """Workers in processes of their own; see `turbine.testing.MakeProcess`."""
    from turbine.testing._process import Processes

    processes = Processes(_turbine_harness, tmp_path_factory.mktemp("turbine"))
    yield processes.start
    processes.finish()


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say where tests run, if that was chosen."""
    chosen: Any = config.getoption("--turbine-on")
    return None if chosen == "embedded" else f"turbine: on {chosen}"
