"""The command ``turbine migrate``."""

import json
import sys
from collections import Counter

import click

from turbine._cli_support import Invocation

__all__ = ["migrate"]


@click.group()
def migrate() -> None:
    """Take a program written for Faust over."""


@migrate.command()
@click.argument("program", metavar="PROJ.APP|FILE|DIRECTORY")
@click.option("--all", "every", is_flag=True, help="Also what is the same as in Faust.")
@click.pass_obj
def check(given: Invocation, /, *, program: str, every: bool) -> None:
    """
    List what a Faust program uses, and how it is treated here. Nothing of it is run.

    The exit code is 1 if the program uses something that is missing.

    \b
    Examples:
      turbine migrate check proj.app
      turbine --json migrate check path/to/file.py
    """  # noqa: D301 - click's mark for "keep these lines"
    from turbine import banner
    from turbine.faust.migration.judging import rows_of
    from turbine.faust.migration.reading import read_program, sources_of

    files = sources_of(program)
    rows = rows_of(read_program(files))
    count = Counter(row["verdict"] for row in rows)
    if given.as_json:
        click.echo(json.dumps({"files": [str(one) for one in files], "uses": rows}, indent=2))
    else:
        shown = [row for row in rows if every or row["verdict"] != "same"]
        if shown:
            banner.show_table(shown, ["verdict", "kind", "name", "where", "note"])
        words = ", ".join(f"{number} {verdict}" for verdict, number in count.items())
        files_word = "file" if len(files) == 1 else "files"
        click.echo(f"{len(files)} {files_word}: {words or 'nothing of Faust is used'}")
    sys.exit(1 if count["missing"] else 0)
