"""The commands under ``turbine state``."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from turbine import _state_source as source
from turbine._cli_support import Invocation

__all__ = ["state"]

_WHERE = (
    click.option(
        "--url",
        metavar="http://HOST:PORT",
        help="Ask a running worker, at the address of its health and metrics.",
    ),
    click.option("--token", envvar="TURBINE_API_TOKEN", help="Its token, if it has one."),
    click.option(
        "--dir",
        "directory",
        type=click.Path(file_okay=False, path_type=Path),
        help="State directory of a stopped worker.  [default: DATADIR/state of the app]",
    ),
)
_SCOPE = click.option("-s", "--scope", help="Key of the record that state was put under.")
_PARTITION = click.option("-p", "--partition", type=click.IntRange(min=0), help="Only this one.")


def _where(command: Any) -> Any:
    for option in reversed(_WHERE):
        command = option(command)
    return command


def _source(
    given: Invocation, url: str | None, token: str | None, directory: Path | None
) -> source.Source:
    if url is None and directory is None:
        conf = given.settings()
        directory = (given.datadir or conf.data_path) / "state"
    return source.open_source(url, token, directory or Path())


@click.group()
def state() -> None:
    """
    Look at tables and at the state of handlers.

    \b
    A stopped worker's state is read from its directory, a running worker is asked:
      turbine -A proj.app state stats
      turbine state stats --dir orders-data/state
      turbine state get counts ada --url http://127.0.0.1:8400

    A table has its own name. The state of a subscription's handler has the name of the
    subscription; its windows and timers have .windows and .timers behind it.
    """  # noqa: D301 - click's mark for "keep these lines"


@state.command()
@click.argument("table")
@click.argument("key")
@_SCOPE
@_PARTITION
@_where
@click.pass_obj
def get(given: Invocation, /, table: str, key: str, **options: Any) -> None:
    """
    Show the value of one KEY.

    \b
    Examples:
      turbine -A proj.app state get counts ada
      turbine -A proj.app state get totals seen --scope ada

    The exit code is 1 if no partition here has it.
    """  # noqa: D301 - click's mark for "keep these lines"
    scope, partition = options.pop("scope"), options.pop("partition")
    found = _source(given, **options).get(table, key, scope, partition)
    if not found:
        raise click.ClickException(f"table {table} has no key {key!r} here")
    for row in found:
        click.echo(json.dumps(row if given.as_json else row["value"], ensure_ascii=False))


@state.command()
@click.argument("table")
@click.option("--prefix", default="", help="Only keys that begin with it.")
@_SCOPE
@_PARTITION
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Most rows.",
)
@_where
@click.pass_obj
def scan(given: Invocation, /, table: str, limit: int, **options: Any) -> None:
    """
    Show keys and values, by partition and key.

    \b
    Examples:
      turbine -A proj.app state scan counts --prefix user- -n 20
      turbine -A proj.app --json state scan counts -n 1000000 > counts.jsonl
    """  # noqa: D301 - click's mark for "keep these lines"
    query = {name: options.pop(name) for name in ("prefix", "scope", "partition")}
    place = _source(given, **options)
    for row in source.rows(place, table, query, limit):
        if given.as_json:
            click.echo(json.dumps(row, ensure_ascii=False))
            continue
        key = row["key"] if isinstance(row["key"], str) else json.dumps(row["key"])
        value = json.dumps(row["value"], ensure_ascii=False)
        shown = [key, value] if row.get("scope") is None else [str(row["scope"]), key, value]
        click.echo("\t".join(shown))


@state.command()
@click.argument("table", required=False)
@_where
@click.pass_obj
def stats(given: Invocation, /, table: str | None, **options: Any) -> None:
    """
    Count keys and bytes of a stopped worker, or show how fresh a running one is.

    \b
    Examples:
      turbine -A proj.app state stats
      turbine -A proj.app state stats counts --url http://127.0.0.1:8400

    POSITION is the offset of the input up to which the state has seen everything.
    """  # noqa: D301 - click's mark for "keep these lines"
    from turbine import banner

    rows = _source(given, **options).stats(table)
    columns = ["table", "topic", "partition", "position"]
    more = ["end", "lag", "state"] if options["url"] else ["keys", "key_bytes", "value_bytes"]
    if not rows and not given.as_json:
        click.echo("no state here", err=True)
        sys.exit(0)
    banner.show_table(rows, [*columns, *more], as_json=given.as_json)
