"""``turbine migrate check``: what is found in a program, and what is said about it."""

import ast
import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from turbine import faust
from turbine.cli import cli
from turbine.exceptions import AppNotFound
from turbine.faust.migration.judging import judge
from turbine.faust.migration.reading import read_program, sources_of
from turbine.faust.migration.verdicts import NOTES
from turbine.settings import ROWS

PROGRAM = """
import faust
from faust.cli import option
from faust import SASLCredentials, nothing_like_it

shop = faust.App("shop", broker="kafka://b", topic_partition=3, stream_wait_empty=False)
shop.conf.web_port = 7
topic = shop.topic("orders", value_type=int, acks=False)
table = shop.Table("t", default=int, on_recover=print)

@shop.agent(topic, concurrency=2)
async def read(stream):
    async for order in stream.events():
        table["a"] += 1
    print(", ".join(["a"]))

@shop.timer(3)
async def tick():
    await read.send(1)
    shop.no_such_method()

class Order(faust.Record, isodates=True): ...
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "shop.py"
    file.write_text(PROGRAM)
    return file


def check(*args: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, [*args[:-1], "migrate", "check", args[-1]])
    return done.exit_code, done.output


def test_every_use_is_found_with_its_line(program: Path) -> None:
    found = {(use.kind, use.name): use.line for use in read_program([program])}
    assert found == {
        ("faust", "App"): 6,
        ("faust", "Record"): 22,
        ("faust", "SASLCredentials"): 4,
        ("faust", "nothing_like_it"): 4,
        ("module", "faust.cli.option"): 3,
        ("setting", "broker"): 6,
        ("setting", "topic_partition"): 6,
        ("setting", "stream_wait_empty"): 6,
        ("setting", "web_port"): 7,
        ("app", "conf"): 7,
        ("app", "topic"): 8,
        ("app", "Table"): 9,
        ("app", "agent"): 11,
        ("app", "timer"): 17,
        ("app", "no_such_method"): 20,
        ("topic option", "value_type"): 8,
        ("topic option", "acks"): 8,
        ("table option", "default"): 9,
        ("table option", "on_recover"): 9,
        ("agent option", "concurrency"): 11,
        ("stream", "events"): 13,
        ("agent", "send"): 19,
        ("record option", "isodates"): 22,
    }


def test_the_report_says_what_stops_the_program_first(program: Path) -> None:
    code, output = check("--json", str(program))
    rows = json.loads(output)["uses"]
    said = {(row["kind"], row["name"]): (row["verdict"], row["note"]) for row in rows}
    assert code == 1
    assert [row["verdict"] for row in rows][:2] == ["missing"] * 2
    assert said["faust", "nothing_like_it"][0] == "missing"
    assert said["app", "no_such_method"] == ("missing", "An app has no no_such_method yet.")
    assert said["setting", "topic_partition"][1].endswith("did you mean topic_partitions?")
    assert said["setting", "stream_wait_empty"][0] == "no effect"
    assert said["setting", "web_port"] == ("same", "")
    assert said["module", "faust.cli.option"][0] == "same"
    assert said["agent option", "concurrency"][0] == "better"
    assert said["record option", "isodates"][0] == "same"
    code, output = check(str(program))
    assert f"{program}:20" in output
    assert "1 file:" in output
    assert "web_port" not in output


def test_a_package_is_read_as_a_whole_and_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "proj"
    (package / "inner").mkdir(parents=True)
    for name in ("__init__.py", "inner/__init__.py"):
        (package / name).write_text("")
    (package / "app.py").write_text("from turbine import faust\nmine = faust.App('a')\n")
    (package / "inner" / "agents.py").write_text(
        textwrap.dedent(
            """
            from proj.app import mine

            @mine.agent()
            async def read(stream): ...
            """
        )
    )
    monkeypatch.chdir(tmp_path)
    for name in ("proj", "proj.app", "proj.app:mine", "proj/inner/agents.py", str(package)):
        uses = {(use.kind, use.name) for use in read_program(sources_of(name))}
        assert ("app", "agent") in uses, name
    assert check("proj.app")[0] == 0


def test_nothing_of_the_program_is_run(tmp_path: Path) -> None:
    file = tmp_path / "danger.py"
    file.write_text("import faust\nraise SystemExit('it ran')\n")
    assert check(str(file)) == (0, "1 file: nothing of Faust is used\n")


@pytest.mark.parametrize(
    ("text", "words"), [("def (", "cannot be read as Python"), (None, "there is no program")]
)
def test_what_cannot_be_read_is_said_in_a_sentence(
    text: str | None, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "broken.py"
    if text is not None:
        file.write_text(text)
    code, output = check(str(file))
    assert code == 1
    assert words in output
    assert "Traceback" not in output


KINDS = st.sampled_from(
    ["faust", "app", "stream", "table", "agent", "topic", "setting", "module", "agent option"]
)


@given(KINDS, st.from_regex(r"[a-z_]{1,12}(\.[a-z]{1,5})?", fullmatch=True))
def test_any_name_has_a_verdict(kind: str, name: str) -> None:
    verdict = judge(kind, name)
    assert verdict.status in {"same", "better", "differs", "no effect", "missing"}
    assert verdict.status != "missing" or verdict.note


def test_no_row_promises_what_is_not_there() -> None:
    for kind, rows in NOTES.items():
        for name, row in rows.items():
            if row.status in {"better", "differs", "same"} and judge(kind, name) != row:
                assert judge(kind, name).status == "missing", (kind, name)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_the_verdict_of_a_setting_is_that_of_its_row(name: str) -> None:
    assert judge("setting", name).status == ("same" if ROWS[name].has_effect else "no effect")


def test_every_export_of_the_package_is_there() -> None:
    assert {judge("faust", name).status for name in faust.__all__} <= {"same", "better", "differs"}


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.py"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        uses: list[Any] = read_program([file])
    except AppNotFound:
        return
    ast.parse(file.read_text(encoding="utf-8"))
    assert isinstance(uses, list)
