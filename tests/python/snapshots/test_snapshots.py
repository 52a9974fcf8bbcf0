"""Snapshots in a folder: by workers, and from the command line."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import turbine
from support.fixtures import MakeTopic, MakeWorker, Produce
from support.wait import eventually
from support.workers import WorkerProcess
from turbine.cli import cli

COUNTS = """
import os
import turbine

app = turbine.App(os.environ["APP_ID"], broker="kafka://" + os.environ["KAFKA"])
counts = app.Table("counts", key_type=str, value_type=int, default=int)

@app.agent(os.environ["IN"], value_type=str)
async def count(words):
    async for word in words:
        counts[word] += 1
"""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "snapshots"


@pytest.fixture
def started(
    worker_process: MakeWorker, make_topic: MakeTopic, produce: Produce, archive: Path
) -> WorkerProcess:
    """A worker that has counted four words in each of two partitions."""
    topic = make_topic("words", partitions=2)
    for partition in range(2):
        produce(topic, [b"a", b"b", b"a", b"c"], partition=partition)
    env = {"IN": topic, "TURBINE_CHECKPOINT_URL": f"file://{archive}"}
    worker = worker_process(COUNTS, env=env).start().wait_ready()
    eventually(lambda: [row["committed"] for row in worker.assignments()] == [4, 4], why="counted")
    return worker


def run(*args: str, **env: str) -> Result:
    return CliRunner().invoke(cli, list(args), env=env)


def said(*args: str) -> Any:
    """What a command that works says in JSON."""
    result = run("--json", *args)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_snapshots_are_created_listed_checked_and_restored(
    started: WorkerProcess, archive: Path, tmp_path: Path, app_id: str
) -> None:
    url, worker = f"file://{archive}", f"http://127.0.0.1:{started.port}"
    made = said("snapshot", "create", "--worker", worker)
    assert [(row["partition"], row["next"], row["rows"]) for row in made] == [(0, 4, 3), (1, 4, 3)]
    again = said("snapshot", "create", "--worker", worker)
    assert [row["snapshot"] for row in again] == [row["snapshot"] for row in made]

    listed = said("snapshot", "list", "--url", url)
    assert {row["app"] for row in listed} == {app_id}
    assert [(row["partition"], row["offset"], row["problem"]) for row in listed] == [
        (0, 4, None),
        (1, 4, None),
    ]

    data = started.directory / f"{app_id}-data"
    restore = ["snapshot", "restore", "--url", url, "--app-id", app_id, "--datadir", str(data)]
    refused = run(*restore, "--yes")
    assert refused.exit_code == 1
    assert "in use by" in refused.output
    assert started.terminate() == 0

    shutil.rmtree(data / "state")
    assert [row["rows"] for row in said(*restore)] == [3, 3]
    assert not (data / "state").exists(), "a rehearsal changed something"
    done = said(*restore, "--yes")
    assert [(row["partition"], row["offset"], row["rows"]) for row in done] == [
        (0, 4, 3),
        (1, 4, 3),
    ]
    assert (data / "state").exists()
    one = said(*restore, "--partition", "1", "--snapshot", done[1]["snapshot"], "--yes")
    assert [row["partition"] for row in one] == [1]


def test_a_worker_that_stops_in_order_leaves_a_snapshot(
    started: WorkerProcess, archive: Path
) -> None:
    assert started.terminate() == 0
    listed = said("snapshot", "list", "--url", f"file://{archive}")
    assert [(row["partition"], row["offset"], row["rows"]) for row in listed] == [
        (0, 4, 3),
        (1, 4, 3),
    ]


def test_a_damaged_snapshot_is_listed_with_its_problem(
    started: WorkerProcess, archive: Path, app_id: str
) -> None:
    assert started.terminate() == 0
    manifest = next(archive.rglob("manifests/*.json"))
    manifest.write_bytes(manifest.read_bytes().replace(b'"rows":3', b'"rows":4'))
    url = f"file://{archive}"
    problems = [row["problem"] for row in said("snapshot", "list", "--url", url)]
    assert sorted(problem is None for problem in problems) == [False, True]
    assert any("SHA-256" in str(problem) for problem in problems)
    refused = run("snapshot", "restore", "--url", url, "--app-id", app_id)
    assert refused.exit_code == 1
    assert "not one of 1 can be used" in refused.output


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["list"], "name it with --url"),
        (["list", "--url", "/var/x"], "has no scheme"),
        (["list", "--url", "s3://user:hunter2@bucket"], "credentials come from the environment"),
        (["restore", "--url", "memory://x"], "name the app with -A or --app-id"),
        (["restore", "--url", "memory://x", "--app-id", "a"], "has no snapshot of app a"),
        (["create", "--worker", "localhost:8400"], "write http://host:8400"),
        (["create", "--worker", "http://127.0.0.1:9"], "no worker answers at http://127.0.0.1:9"),
    ],
)
def test_what_cannot_work_is_said_in_a_sentence(args: list[str], words: str) -> None:
    result = run("snapshot", *args)
    assert result.exit_code in {1, 2}
    assert words in result.output
    assert "Traceback" not in result.output
    assert "hunter2" not in result.output


def test_every_command_explains_itself() -> None:
    for command in ("list", "create", "restore"):
        result = run("snapshot", command, "--help")
        assert result.exit_code == 0
        assert "Example" in result.output


def test_a_wrong_url_stops_the_worker_before_it_starts(
    worker_process: MakeWorker, topic: str
) -> None:
    env = {"IN": topic, "TURBINE_CHECKPOINT_URL": "ftp://host/x"}
    worker = worker_process(COUNTS, env=env).start()
    assert worker.wait(30) != 0
    assert "write file:///DIRECTORY, s3://BUCKET/PREFIX" in worker.output()
    assert "Traceback" not in worker.output()


def test_a_worker_without_a_place_says_how_it_gets_one(
    worker_process: MakeWorker, topic: str
) -> None:
    worker = worker_process(COUNTS, env={"IN": topic}).start().wait_ready()
    assert worker.get("/snapshots") == (200, {"url": None, "tasks": []})
    result = run("snapshot", "create", "--worker", f"http://127.0.0.1:{worker.port}")
    assert result.exit_code == 1
    assert "set checkpoint_url" in result.output


@pytest.mark.parametrize(
    ("setting", "value"),
    [("snapshot_interval", -1), ("snapshot_bytes", 0), ("snapshot_keep", 0)],
)
def test_settings_that_mean_nothing_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(turbine.ConfigError, match=setting):
        turbine.App("x", **{setting: value})
