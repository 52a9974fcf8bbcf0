"""The command line: finding apps, tables, errors without tracebacks."""

import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pydantic import BaseModel

from support.wait import eventually
from turbine import App, ConfigError, EmbeddedBroker, _cli_send, _native, banner, logs
from turbine._cli_support import explain
from turbine.cli import cli
from turbine.exceptions import BrokerUnavailable
from turbine.naming import check_name

APP = """
import turbine

app = turbine.App("shop", broker="{broker}")

@app.agent("orders", sink=["big"], concurrency=2)
async def handle(stream):
    '''Keep the big ones.'''
    async for order in stream:
        yield order

@app.subscribe("orders", publish_to="sums")
def totals(batch):
    return batch

@app.timer(5)
async def tick(): ...
"""


class Order(BaseModel):
    id: int


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with an app in ``shop_app.py``."""
    (tmp_path / "shop_app.py").write_text(APP.format(broker="kafka://localhost:1"))
    return tmp_path


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Undo what a command does to the process."""
    path, directory, modules = list(sys.path), Path.cwd(), set(sys.modules)
    yield
    os.chdir(directory)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        origin = getattr(sys.modules[name], "__file__", None) or ""
        if "pytest-" in origin:
            del sys.modules[name]


def run(*args: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args], input=stdin)


def program(*args: str | Path, cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "turbine", *map(str, args)],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# -- help --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [(), ("worker",), ("send",), ("agents",), ("topics",), ("broker",)]
)
def test_every_help_has_an_example(command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "  turbine " in result.output
    assert "\b" not in result.output


def test_a_misspelt_command_is_offered_the_closest() -> None:
    result = run("wroker")
    assert result.exit_code == 2
    assert "Did you mean 'worker'?" in result.output
    assert "Did you mean" not in run("qqq").output


# -- finding the app ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["shop_app", "shop_app:app", "shop_app.py", "./shop_app.py:app"])
def test_an_app_is_found_by_module_or_file(project: Path, name: str) -> None:
    result = run("-W", project, "-A", name, "--json", "agents")
    assert result.exit_code == 0, result.output
    (agent,) = json.loads(result.output)
    assert agent == {
        "name": "shop_app.handle",
        "reads": "orders",
        "sinks": ["big"],
        "concurrency": 2,
        "on_error": "fail",
        "help": "Keep the big ones.",
    }


def test_the_name_of_the_app_may_come_from_the_environment(project: Path) -> None:
    done = program("agents", cwd=project, TURBINE_APP="shop_app")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split("\t")[:2] == ["shop_app.handle", "orders"]


def test_a_program_is_its_own_command_line_with_the_same_names(project: Path) -> None:
    file = project / "shop_app.py"
    file.write_text(file.read_text() + "\nif __name__ == '__main__':\n    app.main()\n")
    done = subprocess.run(
        [sys.executable, str(file), "--json", "agents"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["name"] == "shop_app.handle"


def test_the_only_app_of_a_module_is_found_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "import turbine\nservice = turbine.App('one')\nalias = service\n"
    )
    assert run("-W", tmp_path, "-A", "one", "agents").exit_code == 0


def test_a_package_may_hold_its_app_in_a_module_called_app(tmp_path: Path) -> None:
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "models.py").write_text("NAME = 'pack'\n")
    (package / "app.py").write_text(
        "import turbine\nfrom .models import NAME\napp = turbine.App(NAME)\n"
    )
    assert run("-W", tmp_path, "-A", "pack", "agents").exit_code == 0
    assert program("-A", package / "app.py", "agents", cwd=tmp_path.parent).returncode == 0


def test_a_file_wins_over_an_installed_module_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("import turbine\napp = turbine.App('mine')\n")
    done = program("-A", "json.py", "agents", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("source", "name", "messages"),
    [
        (None, "nowhere", ["no module 'nowhere'", "-A path/to/file.py"]),
        (None, "nowhere.py", ["there is no file"]),
        (None, "no-module", ["neither a module nor a file"]),
        ("x = 1", "mod", ["has no attribute 'app'", "write app = turbine.App('name')"]),
        ("x = 1", "mod:x", ["mod:x is not an app"]),
        ("x = 1", "mod:y", ["mod:y does not exist"]),
        (
            "import turbine\na = turbine.App('a')\nb = turbine.App('b')",
            "mod",
            ["-A mod:a or -A mod:b"],
        ),
        ("import nothing_like_it", "mod", ["mod.py:1", "No module named 'nothing_like_it'"]),
        (
            "\n\n1 / 0",
            "mod",
            ["mod.py:3, in <module>", "1 / 0", "ZeroDivisionError: division by zero"],
        ),
        ("\ndef f(:\n  pass", "mod.py", ["mod.py:2", "SyntaxError"]),
        (
            "def f():\n    raise KeyError('k')\nf()",
            "mod.py",
            ["mod.py:3, in <module>", "mod.py:2, in f"],
        ),
        (
            "import turbine\napp = turbine.App('x')\n@app.agent('in')\ndef f(stream): ...",
            "mod",
            ["mod.py:3", "DeclarationError: the agent f is not async"],
        ),
        ("import turbine\nturbine.App('not an id')", "mod", ["mod.py:2", "ConfigError"]),
    ],
)
def test_an_app_that_cannot_be_had_is_explained_without_a_traceback(
    tmp_path: Path, source: str | None, name: str, messages: list[str]
) -> None:
    if source is not None:
        (tmp_path / "mod.py").write_text(source)
    result = run("-W", tmp_path, "-A", name, "agents")
    assert result.exit_code == 1
    for message in ["Error: ", *messages]:
        assert message in result.output
    assert "Traceback" not in result.output
    assert "turbine/cli.py" not in result.output


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    (tmp_path / "mod.py").write_text("1 / 0")
    done = program("--debug", "-A", "mod", "agents", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_a_command_without_an_app_says_how_to_name_one() -> None:
    result = run("agents")
    assert result.exit_code == 1
    assert "turbine -A" in result.output


def test_a_broken_module_of_a_project_is_explained(project: Path) -> None:
    (project / "broken.py").write_text("\nundefined\n")
    file = project / "shop_app.py"
    file.write_text(file.read_text() + "\napp.conf.autodiscover = ['broken']\n")
    result = run("-W", project, "-A", "shop_app", "agents")
    assert result.exit_code == 1
    assert "broken.py:2" in result.output
    assert "NameError" in result.output


# -- tables and banner -------------------------------------------------------------------------


def make_app() -> App:
    app = App("shop", version=2, broker="a:1;b:2")

    @app.agent(
        "orders", name="handle", sink=["big", print], on_error="dlq", dlq="dead", concurrency=2
    )
    async def handle(stream: Any) -> Any:
        async for order in stream:
            yield order

    @app.subscribe("orders", publish_to="sums", model=Order)
    def totals(batch: Any) -> Any:
        return batch

    app.topic("declared")
    return app


def test_the_topics_of_an_app_are_read_written_or_declared() -> None:
    rows = {row["name"]: row for row in banner.topic_rows(make_app(), {"orders": 3})}
    assert set(rows) == {"orders", "big", "dead", "sums", "declared"}
    assert rows["orders"]["read_by"] == ["handle", "totals"]
    assert rows["dead"]["written_by"] == rows["big"]["written_by"] == ["handle"]
    assert rows["sums"]["written_by"] == ["totals"]
    assert (rows["orders"]["partitions"], rows["big"]["partitions"]) == (3, None)
    assert (rows["orders"]["exists"], rows["big"]["exists"]) == (True, False)


def banner_of(app: App, **options: Any) -> str:
    out = io.StringIO()
    banner.show_banner(app, stream=out, **options)
    return out.getvalue()


def test_a_plain_banner_has_a_line_a_fact() -> None:
    text = banner_of(make_app(), http_address="127.0.0.1:8400", partitions={"orders": 1})
    lines = [line.split(maxsplit=1) for line in text.splitlines()]
    assert ["app", "shop (version 2)"] in lines
    assert ["broker", "a:1,b:2"] in lines
    assert ["http", "http://127.0.0.1:8400"] in lines
    assert ["topic", "orders, 1 partition"] in lines
    assert ["topic", "big, missing"] in lines
    assert ["agent", "handle x 2: orders -> big, print"] in lines
    assert ["subscription", "totals: orders -> sums"] in lines
    assert "\x1b" not in text


def test_a_banner_for_programs_is_one_json_line() -> None:
    text = banner_of(make_app(), as_json=True)
    assert text.count("\n") == 1
    known = json.loads(text)
    assert (known["app"], known["pid"], known["http"]) == ("shop", os.getpid(), None)
    assert [one["model"] for one in known["subscriptions"]] == ["Order"]


def test_a_banner_on_a_terminal_is_a_panel() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    banner.show_banner(make_app(), stream=out)
    assert "╭" in out.getvalue()
    assert "shop (version 2)" in out.getvalue()


# -- logging -----------------------------------------------------------------------------------


@pytest.fixture
def log() -> Iterator[Callable[..., io.StringIO]]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)

    def start(**options: Any) -> io.StringIO:
        out = io.StringIO()
        logs.setup(options.pop("level", "info"), stream=out, **options)
        return out

    yield start
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)


def test_log_lines_are_plain_away_from_a_terminal(log: Callable[..., io.StringIO]) -> None:
    log()
    out = log(level="warning")
    logging.getLogger("shop").info("left out")
    logging.getLogger("shop").warning("low on %s", "stock")
    (line,) = out.getvalue().splitlines()
    assert line.endswith("WARNING shop low on stock")


def test_the_core_says_as_much_as_the_level_asks_for(log: Callable[..., io.StringIO]) -> None:
    broker = EmbeddedBroker(port=0)
    host, port = broker.address.split(":")

    def is_told() -> bool:
        # The core says of each connection that ends that it has, at level debug.
        socket.create_connection((host, int(port))).close()
        return any("client has gone" in text for _, _, text in _native.take_logs())

    log(level="debug")
    eventually(is_told, 10, "a line of level debug")
    log(level="warning")
    _native.take_logs()
    assert not any(is_told() for _ in range(20))
    broker.stop()


def test_log_lines_for_programs_are_json(log: Callable[..., io.StringIO]) -> None:
    out = log(as_json=True)
    try:
        raise ValueError("no")  # noqa: TRY301 - something to log
    except ValueError:
        logging.getLogger("shop").exception("failed")
    line = json.loads(out.getvalue())
    assert (line["level"], line["logger"], line["message"]) == ("error", "shop", "failed")
    assert "ValueError: no" in line["exception"]


def test_log_lines_can_go_to_a_file(log: Callable[..., io.StringIO], tmp_path: Path) -> None:
    log(logfile=tmp_path / "log")
    logging.getLogger("shop").info("here")
    assert "INFO shop here" in (tmp_path / "log").read_text()
    with pytest.raises(ConfigError, match="cannot write the log file"):
        log(logfile=tmp_path / "no" / "log")


# -- send, without a broker --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "type_name", "declared", "expected"),
    [
        (None, None, Order, None),
        ("plain", None, None, b"plain"),
        ("7", "int", None, b"7"),
        ('{"id": 1}', "json", None, b'{"id": 1}'),
        ('{"id": 1}', None, Order, b'{"id": 1}'),
        ("anything", "str", Order, b"anything"),
    ],
)
def test_what_is_typed_is_sent_as_it_is(
    text: str | None, type_name: str | None, declared: Any, expected: bytes | None
) -> None:
    assert _cli_send.encode(text, type_name, declared) == expected


@pytest.mark.parametrize(
    ("text", "type_name", "declared", "message"),
    [
        ("x", "int", None, "'x' is not a valid int"),
        ("{", "json", None, "is not a valid json"),
        ('{"id": "x"}', None, Order, "is not a valid Order at 'id'"),
        ("{}", None, Order, "is not a valid Order at 'id'"),
        ("1", "nowhere.Model", None, "there is no type 'nowhere.Model'"),
        ("1", "thing", None, "there is no type 'thing'"),
    ],
)
def test_what_does_not_fit_its_type_is_not_sent(
    text: str, type_name: str | None, declared: Any, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        _cli_send.encode(text, type_name, declared)
    assert message in str(caught.value)


def test_sending_to_what_cannot_be_sent_to_is_explained(project: Path) -> None:
    file = project / "shop_app.py"
    file.write_text(
        file.read_text() + "\n@app.agent(app.channel(), name='inside')\nasync def inside(s): ...\n"
    )
    result = run("-W", project, "-A", "shop_app", "send", "@nobody", "1")
    assert "@nobody is no agent of this app; its agents: @shop_app.handle, @inside" in result.output
    result = run("-W", project, "-A", "shop_app", "send", "@inside", "1")
    assert "reads a channel" in result.output
    result = run("send", "not a topic", "1")
    assert (result.exit_code, "not a topic name" in result.output) == (1, True)


# -- problems ----------------------------------------------------------------------------------


def test_a_taken_port_is_explained_with_the_next_step() -> None:
    assert "or 0 for any free one" in explain(OSError(98, "Address already in use"))
    assert "or 0 for any free one" in explain(
        ConfigError("bind 127.0.0.1:1: Address already in use")
    )


def test_a_missing_broker_is_explained_with_the_next_step() -> None:
    assert "'turbine broker' starts one" in explain(BrokerUnavailable("no answer"))
    assert explain(ValueError()) == "ValueError"
    assert check_name("agent", "a.b") == "a.b"


# -- with the core -----------------------------------------------------------------------------


def test_the_version_names_package_build_and_python() -> None:
    from turbine import __version__

    result = run("--version")
    assert result.output.startswith(f"turbine {__version__} (")
    assert f"Python {sys.version_info[0]}.{sys.version_info[1]}" in result.output


def test_records_can_be_sent_to_topics_and_agents(
    project: Path, broker: str, app_id: str, consume: Any
) -> None:
    name = f"{app_id}-orders"
    (project / "shop_app.py").write_text(
        APP.format(broker=broker)
        .replace('"orders"', f'"{name}"')
        .replace('"sums"', f'"{name}-sums"')
    )
    sent = run(
        "-W", project, "-A", "shop_app", "--json", "send", "@handle", '{"id":1}', "-k", "berlin"
    )
    assert sent.exit_code == 0, sent.output
    assert json.loads(sent.output)["topic"] == name
    assert run("send", "-b", broker, name, "--repeat", "2", "--partition", "0").exit_code == 0
    lines = run("send", "-b", broker, name, "-", stdin="a\n\nb\n")
    assert len(lines.output.splitlines()) == 2
    got = consume(name, 5)
    assert sorted(one.value or b"" for one in got) == [b"", b"", b"a", b"b", b'{"id":1}']
    assert {one.key for one in got if one.value == b'{"id":1}'} == {b"berlin"}
    assert all(one.partition == 0 for one in got if one.value is None)


def test_topics_are_listed_with_their_partitions(project: Path, broker: str, topic: str) -> None:
    (project / "shop_app.py").write_text(
        APP.format(broker=broker).replace('"orders"', f'"{topic}"')
    )
    result = run("-W", project, "-A", "shop_app", "--json", "topics")
    assert result.exit_code == 0, result.output
    rows = {row["name"]: row for row in json.loads(result.output)}
    assert rows[topic]["partitions"] == 4
    assert rows[topic]["read_by"] == ["shop_app.handle", "totals"]


def test_topics_are_listed_even_when_no_broker_answers(project: Path) -> None:
    done = program("-A", "shop_app", "--json", "topics", cwd=project)
    assert done.returncode == 0, done.stderr
    assert {row["name"] for row in json.loads(done.stdout)} == {"orders", "big", "sums"}
    assert "'turbine broker' starts one" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kept", [False, True])
def test_a_broker_runs_until_a_signal(tmp_path: Path, number: int, kept: bool) -> None:  # noqa: FBT001 - pytest's call
    place = ["--data-dir", str(tmp_path / "data")] if kept else ["--memory"]
    command = [sys.executable, "-m", "turbine", "--json", "broker", "--port", "0", *place]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        try:
            assert process.stdout is not None
            address = json.loads(process.stdout.readline())["address"]
            sent = program("send", "-b", address, "t", "x", cwd=tmp_path)
            assert (sent.returncode, sent.stderr) == (0, "")
            taken = program("broker", "--port", address.rpartition(":")[2], cwd=tmp_path)
            assert taken.returncode == 1
            assert "Another process has this port" in taken.stderr
            process.send_signal(number)
            _, problems = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, problems) == (0, "")


def test_memory_and_a_directory_exclude_each_other() -> None:
    result = run("broker", "--memory", "--data-dir", "x")
    assert result.exit_code == 2
    assert "keep one" in result.output


@pytest.mark.slow
def test_a_worker_without_a_broker_ends_with_the_next_step(project: Path) -> None:
    done = program("-A", "shop_app", "worker", "--without-web", cwd=project)
    assert done.returncode == 1
    assert "Error: no broker answers at localhost:1 (" in done.stderr
    assert "'turbine broker' starts one" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_on_an_open_address_without_a_token_does_not_start(project: Path) -> None:
    done = program("-A", "shop_app", "worker", "--api-host", "0.0.0.0", cwd=project)
    assert done.returncode == 1
    assert "api_token" in done.stderr
    assert "Traceback" not in done.stderr
