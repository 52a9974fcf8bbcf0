"""Public projects that were written for Faust: courses, experiments, a project with modules."""

import json
import random
import urllib.error
import urllib.request
from collections import Counter

from checkouts import checkout, packages
from scenarios import want
from session import ROOT, NotSo, Session

from support.brokers import free_port
from support.registry import Registry

TAXI = "DataTalksClub/data-engineering-zoomcamp"
TAXI_PATH = "07-streaming/extras/python/streams-example/faust"
RIDES = "datatalkclub.yellow_taxi_ride.json"
RIDE_COUNT = 200
PAGES = "panevo/faust-retry-experiment"
PROJECT = "marcosschroh/faust-docker-compose-example"
TABLE = "ipeluffo/faust-table-test"
PACKAGES = (
    "simple-settings",
    "python-schema-registry-client==1.3.1",
    "dataclasses-avroschema==0.20.2",
)
EVENTS = 100_000
GROWTH_BYTES = 300 << 20


def taxi(session: Session) -> None:
    """V9: five files of a course: printed, counted by key, in windows, and sent on by price."""
    session.copy(checkout(TAXI, TAXI_PATH))
    session.cluster.make_topic_named(RIDES, 4)
    _rides(session, 0)
    with session.worker("stream.py", "worker", name="stream") as worker:
        worker.until_printed("<TaxiRide: ", RIDE_COUNT)
    vendors = Counter[str]()
    for number, program in enumerate(("stream_count_vendor_trips.py", "windowing.py"), 1):
        # Its group is that of the program before: it goes on where that has ended.
        vendors = _rides(session, number)
        table = ("vendor_rides", "vendor_rides_windowed")[number - 1]
        changelog = f"datatalksclub.stream.v2-{table}-changelog"
        with session.worker(program, "worker", name=table) as worker:
            worker.until(lambda c=changelog: _total(session, c) >= RIDE_COUNT, "all counted")  # type: ignore[misc]
        counted = Counter[str]()
        for key, n in session.last(changelog).items():
            told = json.loads(key or b"")
            counted[told[0] if isinstance(told, list) else told] += n
        want(program, dict(counted), dict(vendors))
    _branches(session)


def _branches(session: Session) -> None:
    """What is sent on has the same bytes and keys, and is where its price says."""
    with session.worker("branch_price.py", "worker", name="branch") as worker:
        names = [f"datatalks.yellow_taxi_rides.{name}_amount" for name in ("high", "low")]

        def read() -> list[list[tuple[bytes | None, bytes | None]]]:
            known = session.cluster.topics()
            topics = [session.cluster.consume(n, 0) if n in known else [] for n in names]
            return [sorted((one.key, one.value) for one in topic) for topic in topics]  # type: ignore[type-var]

        worker.until(lambda: sum(map(len, read())) >= 3 * RIDE_COUNT, "all sent on")
    high, low = read()
    rides = [(one.key, one.value) for one in session.cluster.consume(RIDES, 3 * RIDE_COUNT)]
    dear = [json.loads(value or b"")["total_amount"] >= 40.0 for _, value in rides]
    for name, got, is_dear in (("high", high, True), ("low", low, False)):
        wanted = [one for one, is_it in zip(rides, dear, strict=True) if is_it == is_dear]
        want(name, got, sorted(wanted))  # type: ignore[type-var]


def _rides(session: Session, seed: int) -> Counter[str]:
    """Write rides; give how many each vendor has."""
    draw = random.Random(seed)
    rides = [
        {
            "vendorId": str(draw.randrange(1, 4)),
            "passenger_count": draw.randrange(5),
            "trip_distance": draw.random() * 20,
            "payment_type": draw.randrange(3),
            "total_amount": draw.choice([12.5, 39.99, 40.0, 70.25]),
        }
        for _ in range(RIDE_COUNT)
    ]
    keys = [json.dumps({"vendorId": ride["vendorId"]}) for ride in rides]
    session.cluster.produce(RIDES, rides, keys=keys)
    return Counter(str(ride["vendorId"]) for ride in rides)


def _total(session: Session, changelog: str) -> int:
    if changelog not in session.cluster.topics():
        return 0
    return sum(session.last(changelog).values())


def project(session: Session) -> None:
    """V10: a project with modules that are found, its own tests, a leader's timer, Avro."""
    source = checkout(PROJECT, "faust-project")
    site = packages(*PACKAGES)
    session.copy(source)
    # As its setup.py would be installed.
    info = session.folder / "faust_example-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faust-example\nVersion: 1\n")
    (info / "entry_points.txt").write_text(CODECS)
    # The client of the registry imports Faust itself, and is not ours to change.
    alias = ROOT / "tests" / "faust_suite"
    places = [session.folder, ROOT, alias, alias / "site", site]
    registry = Registry()
    session.env |= {
        "PYTHONPATH": ":".join(map(str, places)),
        "SIMPLE_SETTINGS": "settings",
        "KAFKA_BOOTSTRAP_SERVER": session.env["BROKER_URL"],
        "SCHEMA_REGISTRY_URL": registry.url,
    }
    session.write("loop_fixture.py", LOOP)
    told = session.command(
        *("-m", "pytest", "tests", "-q", "-p", "loop_fixture", "-p", "no:cacheprovider"),
        *("-o", "asyncio_mode=auto", "--rootdir", str(session.folder), "-c", "/dev/null"),
    )
    want("its tests", "1 passed" in told, True)
    with session.worker("-m", "turbine", "-A", "example.app", "worker", "-l", "info") as worker:
        worker.until_printed("PUBLISHING ON LEADER!")
        session.cluster.produce("page_views", [{"id": i % 3, "user": "u"} for i in range(9)])
        worker.until_printed("Event received. Page view Id", 9)
        worker.until_printed("First Name: foo, last name bar")


CODECS = """[faust.codecs]
avro_users = example.codecs.avro:avro_user_codec
avro_advance_users = example.codecs.avro:avro_advance_user_codec
"""
LOOP = '''"""The fixture that pytest-asyncio had when these tests were written."""

import asyncio

import pytest


@pytest.fixture
def event_loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()
'''


def retries(session: Session) -> None:
    """V11: what nobody acknowledges comes again after a restart, and nothing else does."""
    session.copy(checkout(PAGES, "test_acks"))
    site = packages(*PACKAGES)
    session.env["PYTHONPATH"] += f":{session.folder}:{site}"
    session.env |= {"SIMPLE_SETTINGS": "settings"}
    session.env |= {"KAFKA_BOOTSTRAP_SERVER": session.env["BROKER_URL"]}
    session.cluster.make_topic_named("page_views", 1)
    session.cluster.make_topic_named("hello_world", 1)
    pages = [{"id": str(n), "user": "u", "retry": 0} for n in (2, 4, 7, 6)]
    session.cluster.produce("page_views", pages)
    command = ("-m", "turbine", "-A", "app", "worker", "-l", "info")
    with session.worker(*command) as worker:
        worker.until_printed("id=7, retry=1")
        worker.until(lambda: session.cluster.committed("1", "page_views").get(0) == 2, "2 done")
    with session.worker(*command, name="again") as worker:
        worker.until_printed("id=7, retry=0")
    want("acknowledged", ["id=2," in worker.text, "id=4," in worker.text], [False, False])


def table(session: Session) -> None:
    """V12: a table on disk with many keys: each has its last value, memory has a bound."""
    session.copy(checkout(TABLE))
    port = free_port()
    command = ("-m", "turbine", "-A", "app", "worker", "--web-port", str(port), "-l", "warning")
    with session.worker(*command) as worker:
        worker.until(lambda: _page(port, "/") is not None, "pages are served")
        before = worker.memory_bytes
        session.command("-m", "turbine", "-A", "commands", "send_events", f"--max-events={EVENTS}")

        def is_done() -> bool:
            done = session.cluster.committed("faust-table-test", "events_topic")
            return sum(done.values()) >= EVENTS

        worker.until(is_done, "all in the table")
        grown = worker.memory_bytes - before
        if grown > GROWTH_BYTES:
            raise NotSo(f"{grown >> 20} MiB more memory")
        sent = {one.key: one.json for one in session.cluster.consume("events_topic", EVENTS)}
        for key in list(sent)[:20]:
            name = (key or b"").decode()
            got = _page(port, f"/value/{name}")
            want("page", got, {"key": name, "value": sent[key]})
    kept = session.last("faust-table-test-events_table-changelog")
    want("keys", len(kept), len(sent))
    want("table", {json.loads(k or b""): v for k, v in kept.items()}, _named(sent))


def _named(sent: dict[bytes | None, int]) -> dict[str, int]:
    return {(key or b"").decode(): value for key, value in sent.items()}


def _page(port: int, path: str) -> object:
    """Give the JSON of a page; None if nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            found: object = json.loads(answer.read())
            return found
    except (urllib.error.URLError, OSError):
        return None


PROJECTS = {"V9": taxi, "V10": project, "V11": retries, "V12": table}
