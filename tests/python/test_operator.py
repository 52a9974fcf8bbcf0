"""`turbine doctor` and `turbine reset`: what they say, what they do, what they refuse."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from support.fixtures import MakeWorker, Produce
from support.kafka import Cluster
from support.wait import eventually
from turbine._cli_doctor import _WORDS, words
from turbine._native import Admin, receipt
from turbine.cli import cli

APP = """
import os
import turbine

app = turbine.App(
    os.environ["APP_ID"],
    broker=os.environ["KAFKA"],
    datadir=os.environ["STATE"],
    processing_guarantee="{guarantee}",
    kafka={{"group.protocol": "{protocol}"}},
)
counts = app.Table("counts", key_type=str, value_type=int, default=int)

@app.agent("{topic}", key_type=str, value_type=str, name="counting")
async def counting(stream):
    async for value in stream:
        counts[value] += 1
"""

Run = Callable[..., Result]


def source(topic: str, guarantee: str = "at_least_once", protocol: str = "classic") -> str:
    """Text of the app."""
    return APP.format(topic=topic, guarantee=guarantee, protocol=protocol)


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    path, directory, modules = list(sys.path), Path.cwd(), set(sys.modules)
    yield
    os.chdir(directory)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if "pytest-" in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


@pytest.fixture
def admin(broker: str) -> Admin:
    return Admin(broker, {})


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker: str, app_id: str) -> str:
    """Directory for state, which the app finds as commands and as a worker."""
    directory = str(tmp_path / "data")
    for name, value in (("APP_ID", app_id), ("KAFKA", broker), ("STATE", directory)):
        monkeypatch.setenv(name, value)
    return directory


@pytest.fixture
def counted(  # noqa: PLR0917 - fixtures
    worker_process: MakeWorker,
    topic: str,
    produce: Produce,
    state: str,
    app_id: str,
    request: pytest.FixtureRequest,
) -> Run:
    """An app that has counted 40 records and was stopped; runs commands on it."""
    admin = Admin(os.environ["KAFKA"], {})
    produce(topic, [b"a"] * 40, keys=[str(number) for number in range(40)])
    options = getattr(request, "param", {})
    worker = worker_process(source(topic, **options), env={"STATE": state})
    worker.start().wait_ready()
    eventually(lambda: sum(admin.committed(app_id, topic).values()) == 40)
    worker.terminate()
    eventually(lambda: not admin.members(app_id))

    def run(*args: str, as_json: bool = False) -> Result:
        options = ["--json"] if as_json else []
        return CliRunner().invoke(cli, ["-A", str(worker.app_file), *options, *args])

    return run


def diagnosis(run: Run) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(run("doctor", as_json=True).stdout)
    return rows


def spoil(admin: Admin, group: str, topic: str) -> int:
    """Set the offset of a partition with records as another tool would; the partition."""
    partition = next(number for number, at in admin.committed(group, topic).items() if at > 1)
    admin.set_group_offsets(group, topic, {partition: (1, "by hand")})
    return partition


def test_a_stopped_app_that_is_well_goes_on_where_its_state_is(counted: Run) -> None:
    rows = diagnosis(counted)
    with_state = [row for row in rows if row["local"] is not None]
    assert sum(row["local"] for row in with_state) == 40
    assert {row["state"] for row in with_state} == {f"goes on at {r['local']}" for r in with_state}
    result = counted("doctor")
    assert result.exit_code == 0, result.output
    assert "Every partition is well." in result.output


def test_a_halt_comes_with_an_explanation_and_three_commands(
    counted: Run, admin: Admin, app_id: str, topic: str
) -> None:
    partition = spoil(admin, app_id, topic)
    result = counted("doctor")
    assert result.exit_code == 1
    assert f"agents on {topic}[{partition}]: foreign_offsets: " in result.output
    assert "somebody set it with another tool" in result.output.replace("\n", " ")
    for way in ("--adopt-local", "--rewind", "--changelog"):
        assert way in result.output


def test_adopting_commits_what_the_state_has_seen(
    counted: Run, admin: Admin, app_id: str, topic: str
) -> None:
    before = admin.committed(app_id, topic)
    partition = spoil(admin, app_id, topic)
    way = ("reset", "agents", "--adopt-local", "--partition", f"{topic}:{partition}")
    dry = counted(*way)
    assert dry.exit_code == 0, dry.output
    assert "Nothing was changed." in dry.output
    assert admin.committed(app_id, topic)[partition] == 1
    done = counted(*way, "--yes")
    assert done.exit_code == 0, done.output
    assert admin.committed(app_id, topic) == before
    assert counted("doctor").exit_code == 0


def test_a_topic_that_was_created_again_is_explained_and_can_be_adopted(
    counted: Run, admin: Admin, topic: str, cluster: Cluster
) -> None:
    """The same records are in it again."""
    cluster.remake_topic(topic)
    cluster.produce(topic, [b"a"] * 40, keys=[str(number) for number in range(40)])
    result = counted("doctor")
    assert result.exit_code == 1
    assert "another_topic: the topic was deleted and created again" in result.output
    assert "Where the same records were written again" in result.output.replace("\n", " ")
    done = counted("reset", "agents", "--adopt-local", "--yes")
    assert done.exit_code == 0, done.output
    assert counted("doctor").exit_code == 0
    assert sum(row["local"] or 0 for row in diagnosis(counted)) == 40


def test_rewinding_forgets_the_state_and_keeps_the_offset(
    counted: Run, admin: Admin, app_id: str, topic: str
) -> None:
    partition = spoil(admin, app_id, topic)
    done = counted("reset", "--rewind", "--partition", f"{topic}:{partition}", "--yes")
    assert done.exit_code == 0, done.output
    offset, text = admin.group_offsets(app_id, topic)[partition]
    assert (offset, text) == (1, receipt(1))
    row = next(row for row in diagnosis(counted) if row["partition"] == partition)
    assert (row["local"], row["committed"], row["code"]) == (None, 1, None)


def test_a_reset_begins_anew_and_says_so_first(
    counted: Run, admin: Admin, app_id: str, topic: str
) -> None:
    changelog = f"{app_id}-counts-changelog"
    refused = counted("reset")
    assert refused.exit_code == 1
    assert "would bring the old state back: add --changelog" in refused.output
    dry = counted("reset", "--changelog", as_json=True)
    plan = json.loads(dry.stdout)
    assert [step["what"] for step in plan["steps"]] == ["state", "offsets", "changelog"]
    assert plan["done"] is False
    assert changelog in admin.list_topics()
    done = counted("reset", "--changelog", "--yes")
    assert done.exit_code == 0, done.output
    eventually(lambda: changelog not in admin.list_topics())
    assert admin.committed(app_id, topic) == dict.fromkeys(range(4), 0)
    assert all(row["local"] is None for row in diagnosis(counted))
    assert "nothing to do" in counted("reset", "--changelog").output


def test_a_text_beside_an_offset_that_nobody_can_read_is_no_reset(
    counted: Run, admin: Admin, app_id: str, topic: str
) -> None:
    assert counted("reset", "--changelog", "--yes").exit_code == 0
    admin.set_group_offsets(app_id, topic, {0: (0, "turbine:1:{half")})
    dry = counted("reset", "--changelog", as_json=True)
    assert dry.exit_code == 0, dry.output
    assert [step["what"] for step in json.loads(dry.stdout)["steps"]] == ["offsets"]


def test_a_reset_to_the_oldest_records_commits_them(
    counted: Run, admin: Admin, app_id: str, topic: str
) -> None:
    done = counted("reset", "--changelog", "--to-earliest", "--yes")
    assert done.exit_code == 0, done.output
    assert admin.committed(app_id, topic) == dict.fromkeys(range(4), 0)


@pytest.mark.parametrize(
    "counted",
    [
        {"guarantee": "exactly_once"},
        {"protocol": "consumer"},
        {"guarantee": "exactly_once", "protocol": "consumer"},
    ],
    ids=["exactly_once", "consumer", "both"],
    indirect=True,
)
def test_a_partition_that_halts_is_explained_adopted_and_goes_on_in_every_mode(
    counted: Run, admin: Admin, app_id: str, topic: str
) -> None:
    before = admin.committed(app_id, topic)
    assert counted("doctor").exit_code == 0
    partition = spoil(admin, app_id, topic)
    said = counted("doctor")
    assert said.exit_code == 1
    assert f"agents on {topic}[{partition}]: foreign_offsets: " in said.output
    place = f"{topic}:{partition}"
    done = counted("reset", "agents", "--adopt-local", "--partition", place, "--yes")
    assert done.exit_code == 0, done.output
    assert admin.committed(app_id, topic) == before
    assert counted("doctor").exit_code == 0
    done = counted("reset", "--changelog", "--yes")
    assert done.exit_code == 0, done.output
    assert set(admin.committed(app_id, topic).values()) == {0}


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_nothing_is_reset_under_a_running_worker(
    worker_process: MakeWorker, topic: str, state: str, app_id: str, protocol: str
) -> None:
    worker = worker_process(source(topic, protocol=protocol), env={"STATE": state})
    with worker:
        worker.wait_ready()
        app = ["-A", str(worker.app_file)]
        refused = CliRunner().invoke(cli, [*app, "reset", "--yes"])
        assert refused.exit_code == 1
        assert f"workers are running in group {app_id}" in refused.output
        url = f"http://127.0.0.1:{worker.port}"
        eventually(lambda: [row["state"] for row in worker.assignments()] == ["running"] * 4)
        well = CliRunner().invoke(cli, [*app, "doctor", "--url", url])
        assert well.exit_code == 0, well.output
        assert "running" in well.output


@pytest.mark.cases_alike
@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("reset", "--adopt-local", "--rewind"), "exclude each other"),
        (("reset", "--rewind", "--changelog"), "go with a whole reset"),
        (("reset", "nobody"), "it has agents"),
        (("reset", "--rewind", "--partition", "x"), "write TOPIC:NUMBER"),
        (("reset", "--partition", "orders:1"), "--partition goes with"),
        (("doctor", "--url", "ftp://x"), "is no URL of a worker"),
        (("doctor", "--url", "http://127.0.0.1:1"), "no worker answers"),
    ],
)
@pytest.mark.usefixtures("state")
def test_what_cannot_be_meant_is_a_sentence(
    args: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(source("orders"))
    result = CliRunner().invoke(cli, ["-A", str(tmp_path / "app.py"), *args])
    assert result.exit_code in (1, 2)
    assert said in " ".join(result.output.split()), result.output
    assert "Traceback" not in result.output


def test_every_reason_of_the_core_has_an_explanation() -> None:
    source = Path(__file__).parents[2] / "src" / "engine" / "halt.rs"
    codes = [line.split('"')[1] for line in source.read_text().splitlines() if '=> "' in line]
    one_word = {code for code in codes if " " not in code}
    assert one_word == set(_WORDS)
    assert all(words(code).endswith(".") for code in one_word)
