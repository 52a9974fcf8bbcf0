"""The command line of Faust programs: their own commands, and the lists."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from support.fixtures import Consume
from turbine import App, DeclarationError, faust
from turbine.cli import cli
from turbine.faust.cli import argument, option

PROGRAM = """
from turbine import faust
from turbine.faust.cli import argument, option

app = faust.App("shop", broker="{broker}", version=2)

class Order(faust.Record):
    '''What was bought.'''
    user: str
    amount: int = 1

orders = app.topic("{topic}", value_type=Order)
totals = app.Table("totals", default=int, key_type=str, value_type=int, help="By user.")

@app.agent(orders)
async def count(stream):
    async for order in stream:
        totals[order.user] += order.amount

@app.agent(app.channel(), name="inner")
async def inner(stream): ...

@app.command(
    argument("user"),
    option("--amount", type=int, default=7, help="How many."),
)
async def buy_now(self, user: str, amount: int):
    '''Send an order.'''
    await orders.send(value=Order(user, amount))
    self.say(f"{{user}} bought {{amount}} of {{self.app.conf.id}}")

@app.command()
async def bare():
    print("bare")

@app.command()
def broken(self):
    raise SystemExit(3)
"""


@pytest.fixture
def program(tmp_path: Path, broker: str, topic: str) -> Iterator[Path]:
    before, modules, directory = list(sys.path), set(sys.modules), Path.cwd()
    file = tmp_path / "shop_program.py"
    file.write_text(PROGRAM.format(broker=broker, topic=topic))
    yield file
    os.chdir(directory)
    sys.path[:] = before
    for name in set(sys.modules) - modules:
        if name.startswith("shop_program"):
            del sys.modules[name]


def run(program: Path, *args: str) -> Result:
    where = ["-W", str(program.parent), "-A", "shop_program"]
    return CliRunner().invoke(cli, [*where, *args], obj=None)


def test_a_command_of_the_program_sends_and_says(
    program: Path, topic: str, consume: Consume
) -> None:
    done = run(program, "buy-now", "ada", "--amount", "3")
    assert (done.exit_code, done.output) == (0, "ada bought 3 of shop\n"), done.output
    value = consume(topic, 1)[0].value
    assert value is not None
    sent = json.loads(value)
    assert (sent["user"], sent["amount"]) == ("ada", 3)


def test_commands_are_found_with_underscores_and_named_in_the_help(program: Path) -> None:
    done = run(program, "buy_now", "--help")
    assert done.exit_code == 0, done.output
    assert "Send an order." in done.output
    assert "[default: 7]" in done.output
    listed = run(program, "--help").output
    assert "buy-now" in listed
    assert "worker" in listed


@pytest.mark.parametrize(("command", "code"), [("bare", 0), ("broken", 3), ("buy-now", 2)])
def test_the_exit_code_is_that_of_the_command(program: Path, command: str, code: int) -> None:
    assert run(program, command).exit_code == code


def test_an_app_that_cannot_be_imported_is_said_in_a_sentence(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["-W", str(tmp_path), "-A", "not_there", "buy"])
    assert done.exit_code == 1
    assert "there is no module 'not_there'" in done.output
    assert "Traceback" not in done.output


def test_lists_are_tables_or_json(program: Path) -> None:
    tables = json.loads(run(program, "--json", "tables").output)
    assert [(row["name"], row["value"], row["changelog"]) for row in tables] == [
        ("totals", "int", "shop-v2-totals-changelog")
    ]
    models = json.loads(run(program, "--json", "models").output)
    assert {"name": "shop_program.Order", "help": "What was bought."} in models
    fields = json.loads(run(program, "--json", "model", "shop_program.Order").output)
    assert [row["field"] for row in fields] == ["user", "amount"]
    assert "totals\tstr\tint" in run(program, "tables").output
    agents = json.loads(run(program, "--json", "agents").output)
    assert {row["name"] for row in agents} == {"shop_program.count", "inner"}
    without = json.loads(run(program, "--json", "agents", "--no-local").output)
    assert {row["name"] for row in without} == {"shop_program.count"}


def test_a_model_that_is_not_there_names_those_that_are(program: Path) -> None:
    done = run(program, "model", "Invoice")
    assert done.exit_code == 1
    assert "shop_program.Order" in done.output


def test_state_of_earlier_versions_is_deleted_when_asked_twice(program: Path) -> None:
    old, own = (program.parent / name for name in ("shop-data", "shop-v2-data"))
    old.mkdir()
    own.mkdir()
    assert "would delete shop-data" in run(program, "clean-versions").output
    assert old.is_dir()
    assert "deleted shop-data" in run(program, "clean-versions", "--yes").output
    assert not old.exists()
    assert own.is_dir()
    assert "no state of versions before 2" in run(program, "clean-versions").output
    refused = run(program, "-D", str(program.parent), "clean-versions")
    assert refused.exit_code != 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_written_for_a_shell(shell: str) -> None:
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0
    assert "_TURBINE_COMPLETE" in done.output


def test_options_of_faust_are_taken(program: Path, topic: str, consume: Consume) -> None:
    done = run(
        program,
        *("-L", "uvloop", "--console-port", "1", "--no-quiet", "--no-debug", "-l", "WARN"),
        *("send", "--value-serializer", "json", "--key-serializer", "raw", "-k", "k", "-r", "2"),
        *("--max-latency", "0.001", topic, '{"user": "bob"}'),
    )
    assert done.exit_code == 0, done.output
    assert [got.key for got in consume(topic, 2)] == [b"k"] * 2


async def test_a_command_can_be_called_by_a_test() -> None:
    app = App("shop")
    said: list[Any] = []

    @app.command(argument("n", type=int), option("--debug-me", is_flag=True))
    async def twice(n: int, debug_me: bool) -> None:  # noqa: FBT001 - an option
        said.append((n * 2, debug_me))

    await twice(21, debug_me=True)
    assert said == [(42, True)]


def test_a_parameter_without_an_option_is_refused() -> None:
    app = faust.App("shop")
    with pytest.raises(DeclarationError, match=r"takes m, and no option"):

        @app.command(argument("n"))
        async def twice(self: Any, n: int, m: int) -> None: ...


def test_a_shell_shows_rows_in_columns_or_as_json() -> None:
    from turbine.commands import Shell

    app = App("shop")
    rows = [("ada", 1), ("bob", 23)]
    assert Shell(app).table(rows, ["user", "n"]) == "user  n\nada   1\nbob   23"
    named = json.loads(Shell(app, as_json=True).table(rows, ["user", "n"]))
    assert named == [{"user": "ada", "n": 1}, {"user": "bob", "n": 23}]
