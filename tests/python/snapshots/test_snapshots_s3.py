"""Snapshots in S3: a real client, a server that speaks S3, and what happens when it does not."""

import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from support.fixtures import MakeTopic, MakeWorker, Produce
from support.s3 import CREDENTIALS, S3, Proxy, proxy_to
from support.snapshots import COUNTS, Unit, ask, committed, listed, row, take
from support.wait import eventually
from support.workers import WorkerProcess
from turbine._native import Snapshots
from turbine.exceptions import ConfigError, StateError

pytestmark = pytest.mark.any_broker


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    server = S3().wait()
    server.make_bucket("state")
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def proxy(s3: S3) -> Iterator[Proxy]:
    with proxy_to(s3) as proxy:
        yield proxy


@pytest.fixture
def started(
    worker_process: MakeWorker, make_topic: MakeTopic, produce: Produce, app_id: str
) -> Callable[[str], WorkerProcess]:
    """Start a worker with some state whose snapshots go to the server at an address."""

    def start(address: str) -> WorkerProcess:
        topic = make_topic("words", partitions=1)
        produce(topic, [b"a", b"b", b"a", b"c"])
        env = {
            "IN": topic,
            "TURBINE_CHECKPOINT_URL": f"{place(app_id)}?endpoint={address}",
            **CREDENTIALS,
        }
        worker = worker_process(COUNTS, env=env).start().wait_ready()
        eventually(lambda: committed(worker) == [4], why="all is counted")
        return worker

    return start


def place(app_id: str) -> str:
    return f"s3://state/{app_id}"


def test_a_snapshot_in_s3_is_listed_checked_and_incremental(
    s3: S3, started: Callable[[str], WorkerProcess], app_id: str, tmp_path: Path
) -> None:
    worker = started(s3.address)
    first = take(worker)
    assert (first["error"], first["next"], first["rows"]) == (None, 4, 3)
    assert first["uploaded_bytes"] > 0
    worker.terminate()

    archive, unit = listed(f"{place(app_id)}?endpoint={s3.address}")
    found = json.loads(archive.list(*unit))
    assert [one["rows"] for one in found] == [3] * len(found)
    assert json.loads(archive.restore(*unit))["next"] == 4
    done = json.loads(archive.restore(*unit, state_dir=str(tmp_path / "state")))
    assert (done["rows"], done["passed_over"]) == (3, [])
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in worker.output()


def test_a_server_that_refuses_or_is_gone_degrades_health_and_nothing_else(
    started: Callable[[str], WorkerProcess], proxy: Proxy, produce: Produce
) -> None:
    worker = started(proxy.address)
    assert take(worker)["error"] is None
    proxy.status = 403
    produce(row(worker)["topic"], [b"d"], partition=0)
    eventually(lambda: committed(worker) == [5], why="work goes on")
    failed = take(worker)
    assert failed["state"] == "failing"
    assert failed["failures"] >= 1
    status, health = worker.get("/health")
    assert (status, health["status"]) == (httpx.codes.OK, "degraded")
    assert "no snapshot" in health["reasons"][0]
    proxy.status = None
    mended = take(worker)
    assert (mended["error"], mended["next"]) == (None, 5)
    assert worker.get("/health")[1]["status"] == "ok"


def test_a_server_that_has_too_much_to_do_is_asked_again(
    started: Callable[[str], WorkerProcess], proxy: Proxy, produce: Produce
) -> None:
    worker = started(proxy.address)
    proxy.status, proxy.refusals_left = 503, 3
    taken = take(worker)
    assert (taken["error"], taken["next"], proxy.refusals_left) == (None, 4, 0)
    # It never has time again: that is said, and keeps no record waiting.
    proxy.refusals_left = math.inf
    number = ask(worker)
    produce(row(worker)["topic"], [b"d"], partition=0)
    eventually(lambda: committed(worker) == [5], why="work goes on")
    eventually(lambda: row(worker)["answered"] >= number, 60, "the snapshot is given up")
    failed = row(worker)
    assert failed["state"] == "failing"
    assert "503" in failed["error"]
    assert "degraded" in worker.get("/health")[1]["status"]
    assert worker.terminate() == 0


@pytest.mark.embedded
def test_the_client_of_google_takes_and_restores_a_snapshot(  # noqa: PLR0917 - fixtures
    worker_process: MakeWorker,
    make_topic: MakeTopic,
    produce: Produce,
    proxy: Proxy,
    app_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Its requests for objects and lists are those of S3, so that the same server answers.
    account = json.dumps(
        {
            "gcs_base_url": proxy.address,
            "disable_oauth": True,
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
        }
    )
    url, topic = f"gs://state/google/{app_id}", make_topic("words", partitions=1)
    produce(topic, [b"a", b"b"])
    env = {"IN": topic, "TURBINE_CHECKPOINT_URL": url, "GOOGLE_SERVICE_ACCOUNT_KEY": account}
    worker = worker_process(COUNTS, env=env).start().wait_ready()
    eventually(lambda: committed(worker) == [2], why="all is counted")
    assert take(worker)["error"] is None
    worker.kill()
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", account)
    archive, unit = listed(url)
    assert json.loads(archive.restore(*unit))["next"] == 2


def test_a_server_of_azure_that_is_gone_is_named_without_its_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = "c2VjcmV0LW9mLWF6dXJl"
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", key)
    url = "az://container/some/prefix"
    with pytest.raises(
        ConfigError, match=r"checkpoint_url az://container/some/prefix: .*[Aa]ccount"
    ):
        Snapshots(url)
    archive = Snapshots(f"{url}?account=shop&endpoint=http://127.0.0.1:9/shop")
    with pytest.raises(StateError, match=f"snapshots in {url}: listing") as caught:
        archive.units("app")
    assert key not in str(caught.value)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "no base64!")
    with pytest.raises(ConfigError, match=f"checkpoint_url {url}: ") as refused:
        Snapshots(f"{url}?account=shop")
    assert "no base64!" not in str(refused.value)


def test_a_key_of_google_that_cannot_be_read_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", "{not json")
    with pytest.raises(ConfigError, match="checkpoint_url gs://bucket/p: "):
        Snapshots("gs://bucket/p")


def test_a_slow_server_slows_no_record_down(
    started: Callable[[str], WorkerProcess], proxy: Proxy, produce: Produce
) -> None:
    worker = started(proxy.address)
    topic = row(worker)["topic"]
    proxy.delay_s = 0.5
    number = ask(worker)
    eventually(lambda: row(worker)["state"] == "running", why="it is being taken")
    produce(topic, [b"d"], partition=0)
    eventually(lambda: committed(worker) == [5], why="work goes on")
    assert row(worker)["answered"] < number, "the snapshot was there before the record"
    proxy.delay_s = 0.0
    eventually(lambda: row(worker)["answered"] >= number, 60, "it is there in the end")
    assert row(worker)["error"] is None


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(lambda content: content[:-1], id="cut"),
        pytest.param(lambda content: content[:-1] + bytes([content[-1] ^ 1]), id="flipped"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda content: bytes(len(content)), id="zeros"),
    ],
)
def test_a_server_that_lies_is_not_believed(
    lie: Callable[[bytes], bytes], proxy: Proxy, app_id: str, tmp_path: Path, taken: Unit
) -> None:
    unit = taken
    through = Snapshots(f"{place(app_id)}?endpoint={proxy.address}")
    assert json.loads(through.restore(*unit))["next"] == 4
    for folder in ("parts/", "manifests/"):
        proxy.lies_about, proxy.lie = folder, lie
        with pytest.raises(StateError, match="can be used"):
            through.restore(*unit, state_dir=str(tmp_path / "state"))
    assert not (tmp_path / "state" / "rocksdb").exists(), "a store was touched"


@pytest.fixture
def taken(started: Callable[[str], WorkerProcess], s3: S3, app_id: str) -> Unit:
    """Whose snapshot there is, a good one, taken past the proxy."""
    worker = started(s3.address)
    assert take(worker)["error"] is None
    worker.kill()
    return listed(f"{place(app_id)}?endpoint={s3.address}")[1]


def test_a_server_that_is_gone_is_named_when_snapshots_are_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(StateError, match="snapshots in s3://state/gone: listing") as caught:
        Snapshots("s3://state/gone?endpoint=http://127.0.0.1:9").units("app")
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)
