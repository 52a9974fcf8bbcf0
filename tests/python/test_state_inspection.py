"""Tables from outside: over HTTP while a worker runs, from its directory when it does not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from support.fixtures import MakeTopic, MakeWorker, Produce
from support.wait import eventually
from support.workers import WorkerProcess
from turbine import ConfigError, StateError
from turbine._state_source import DirectorySource, WorkerSource
from turbine.cli import cli

COUNTING = """
import os
import turbine

app = turbine.App(os.environ["APP_ID"], broker="kafka://" + os.environ["KAFKA"], datadir="data")
counts = app.Table("counts", key_type=str, value_type=int, default=int)

@app.agent(os.environ["IN"], key_type=str, value_type=str)
async def counting(stream):
    async for word in stream:
        counts[word] += 1
"""

WORDS = [f"word-{n:02}" for n in range(30)]


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, ["state", *args])


def shown(*args: str) -> list[Any]:
    result = CliRunner().invoke(cli, ["--json", "state", *args])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def counted(ask: Callable[[], list[dict[str, Any]]]) -> bool:
    try:
        rows = ask()
    except ConfigError:
        return False  # not opened yet
    return len(rows) == len(WORDS) and all(row["value"] == 2 for row in rows)


@pytest.fixture
def worker(worker_process: MakeWorker, make_topic: MakeTopic, produce: Produce) -> WorkerProcess:
    """A worker that is about to count every word twice."""
    topic = make_topic("in")
    worker = worker_process(COUNTING, env={"IN": topic}).start().wait_ready()
    produce(topic, [word.encode() for word in WORDS * 2], keys=WORDS * 2)
    return worker


def test_a_table_is_looked_at_while_its_worker_runs_and_afterwards(worker: WorkerProcess) -> None:
    url = f"http://127.0.0.1:{worker.port}"
    source = WorkerSource(url, None)
    eventually(
        lambda: counted(lambda: source.page("counts", {"limit": 100})[0]), why="all is counted"
    )

    status, tables = worker.get("/tables")
    assert (status, [table["name"] for table in tables["tables"]]) == (200, ["counts"])
    partitions = tables["tables"][0]["partitions"]
    assert [(one["partition"], one["state"], one["lag"]) for one in partitions] == [
        (partition, "running", 0) for partition in range(4)
    ]
    assert worker.get("/tables/counts/word-07")[1]["rows"][0]["value"] == 2
    assert worker.get("/tables/counts/none")[0] == 404
    assert run("get", "counts", "word-07", "--url", url).output == "2\n"
    missing = run("get", "counts", "none", "--url", url)
    assert (missing.exit_code, "no key 'none'" in missing.output) == (1, True)
    paged = [row["key"] for row in shown("scan", "counts", "-n", "1000", "--url", url)]
    assert sorted(paged) == WORDS

    directory = str(worker.directory / "data" / "state")
    refused = run("stats", "--dir", directory)
    assert refused.exit_code == 1
    for part in ("in use by process", "on host", "since", "--url http://"):
        assert part in refused.output
    worker.terminate()

    rows = shown("scan", "counts", "--dir", directory)
    assert counted(lambda: rows)
    assert {row["key"]: row["partition"] for row in rows}.keys() == set(WORDS)
    assert run("scan", "counts", "--prefix", "word-07", "--dir", directory).output == "word-07\t2\n"
    assert run("get", "counts", "word-07", "--dir", directory).output == "2\n"
    counted_all = CliRunner().invoke(cli, ["--json", "state", "stats", "--dir", directory])
    stats = json.loads(counted_all.output)
    assert sum(row["keys"] for row in stats) == len(WORDS)
    assert {row["table"] for row in stats} == {"counts"}
    wrong = run("scan", "nothing", "--dir", directory)
    assert "there is no table nothing here; there are: counts" in wrong.output


TOTALS = """
import os
import turbine

app = turbine.App(
    os.environ["APP_ID"],
    broker="kafka://" + os.environ["KAFKA"],
    datadir="data",
    checkpoint_interval=0.05,
)

@app.subscribe(os.environ["IN"], publish_to=os.environ["OUT"], name="totals")
def totals(batch, state):
    for user in batch["user"].to_pylist():
        state.put(user, {"n": (state.get(user) or {"n": 0})["n"] + 1})
    return batch
"""


def test_state_of_a_handler_is_shown_as_it_was_put(
    worker_process: MakeWorker, make_topic: MakeTopic, produce: Produce
) -> None:
    topics = {"IN": make_topic("in"), "OUT": make_topic("out")}
    worker = worker_process(TOTALS, env=topics).start().wait_ready()
    users = ["ada", "bob", "ada"]
    produce(topics["IN"], [{"user": user} for user in users], keys=users)

    def shows(user: str, count: int) -> bool:
        status, answer = worker.get(f"/tables/totals/{user}")
        return status == 200 and answer["rows"][0]["value"] == {"n": count}

    eventually(lambda: shows("ada", 2) and shows("bob", 1), why="every row is counted")
    worker.terminate()
    directory = str(worker.directory / "data" / "state")
    assert run("get", "totals", "ada", "--dir", directory).output == '{"n": 2}\n'
    found = {row["key"]: row["value"] for row in shown("scan", "totals", "--dir", directory)}
    assert found == {"ada": {"n": 2}, "bob": {"n": 1}}


def test_what_is_not_there_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no state in"):
        DirectorySource(tmp_path)
    with pytest.raises(ConfigError, match="give http://HOST:PORT"):
        WorkerSource("localhost:8400", None)
    with pytest.raises(ConfigError, match="no worker answers at http"):
        WorkerSource("http://127.0.0.1:1", None).stats(None)
    data = tmp_path / "rocksdb"
    data.mkdir()
    (data / "CURRENT").write_text("nonsense")
    with pytest.raises((ConfigError, StateError), match="damaged"):
        DirectorySource(tmp_path)
