"""Snapshots in Azure's blob storage: a real client, and a server that checks its signatures."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.azure import CREDENTIALS, NEEDED, Azurite
from support.fixtures import MakeTopic, MakeWorker, Produce
from support.snapshots import COUNTS, committed, listed, take
from support.wait import eventually
from turbine._native import Snapshots
from turbine.exceptions import StateError

pytestmark = [NEEDED, pytest.mark.embedded]


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    server = Azurite(tmp_path_factory.mktemp("azurite")).wait()
    server.make_container("state")
    yield server
    server.stop()


@pytest.fixture
def url(azurite: Azurite, app_id: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return f"az://state/{app_id}?endpoint={azurite.endpoint}"


def test_a_snapshot_in_azure_is_taken_listed_and_brought_back(
    worker_process: MakeWorker, make_topic: MakeTopic, produce: Produce, url: str, tmp_path: Path
) -> None:
    topic = make_topic("words", partitions=1)
    produce(topic, [b"a", b"b", b"a", b"c"])
    env = {"IN": topic, "TURBINE_CHECKPOINT_URL": url, **CREDENTIALS}
    worker = worker_process(COUNTS, env=env).start().wait_ready()
    eventually(lambda: committed(worker) == [4], why="all is counted")
    first = take(worker)
    assert (first["error"], first["next"], first["rows"]) == (None, 4, 3)
    produce(topic, [b"d"])
    eventually(lambda: committed(worker) == [5], why="that too")
    second = take(worker)
    assert (second["error"], second["next"], second["rows"]) == (None, 5, 4)
    worker.kill()

    archive, unit = listed(url)
    assert [one["next"] for one in json.loads(archive.list(*unit))] == [5, 4]
    done = json.loads(archive.restore(*unit, state_dir=str(tmp_path / "state")))
    assert (done["next"], done["rows"], done["passed_over"]) == (5, 4, [])
    assert CREDENTIALS["AZURE_STORAGE_ACCOUNT_KEY"] not in worker.output()


def test_a_wrong_key_is_refused_in_a_sentence_without_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "c29tZWJvZHkgZWxzZSdzIGtleQ=="
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", wrong)
    with pytest.raises(StateError, match="403") as refused:
        Snapshots(url).units()
    assert wrong not in str(refused.value)
