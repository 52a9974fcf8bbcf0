"""The commands ``turbine doctor`` and ``turbine reset``: their options and what they print."""

import json
import sys

import click

from turbine import _cli_doctor, _cli_reset
from turbine._cli_support import Invocation

__all__ = ["doctor", "rebalance", "reset"]

_COLUMNS = ["name", "topic", "partition", "state", "local", "committed"]


@click.command()
@click.argument("name", required=False, metavar="[SUBSCRIPTION|agents]")
@click.option("--url", help="API of a running worker.  [default: the app's on this machine]")
@click.pass_obj
def doctor(given: Invocation, /, name: str | None, url: str | None) -> None:
    """
    Say how every partition is, and what to do about those that stand still.

    It asks a running worker; without one it compares the state on this machine with what the group
    has committed, and says what a worker would do at its start. It changes nothing. The exit code
    is 1 if a partition stands still.

    \b
    Examples:
      turbine -A proj.app doctor
      turbine -A proj.app doctor totals --url http://10.0.0.7:8400
    """  # noqa: D301 - click's mark for "keep these lines"
    from turbine import banner

    app = given.load()
    rows = _cli_doctor.diagnose(app, name, url)
    banner.show_table(rows, _COLUMNS, as_json=given.as_json)
    ill = [row for row in rows if row["code"]]
    if not given.as_json:
        prefix = f"turbine -A {given.app_name}" if given.app_name else f"python {sys.argv[0]}"
        for row in ill:
            click.echo(f"\n{row['name']} on {row['topic']}[{row['partition']}]: {row['text']}")
            click.echo(_cli_doctor.words(row["code"]))
            ways = _cli_doctor.commands(prefix, row)
            if ways:
                text = "Stop the workers, then one of these (each shows first what it would do):"
                click.echo(text)
            for command, what in ways:
                click.echo(f"  {command}\n      {what}")
        if rows and not ill:
            click.echo("Every partition is well.")
    sys.exit(1 if ill else 0)


@click.command()
@click.argument("name", required=False, metavar="[SUBSCRIPTION|agents]")
@click.option("--adopt-local", is_flag=True, help="Commit the offset that the state is at.")
@click.option("--rewind", is_flag=True, help="Forget the state; go on at the committed offset.")
@click.option(
    "--partition",
    "partitions",
    multiple=True,
    metavar="TOPIC:NUMBER",
    help="Only this one, with --adopt-local or --rewind; several times for several.",
)
@click.option("--to-earliest", is_flag=True, help="Begin at the oldest records.")
@click.option("--changelog", "with_changelog", is_flag=True, help="Delete changelog topics too.")
@click.option("--yes", is_flag=True, help="Do it; without this, only say what would be done.")
@click.pass_obj
def reset(
    given: Invocation,
    /,
    *,
    name: str | None,
    adopt_local: bool,
    rewind: bool,
    partitions: tuple[str, ...],
    to_earliest: bool,
    with_changelog: bool,
    yes: bool,
) -> None:
    """
    Make an app begin anew, or make its state and offsets agree again.

    Without more, the state on this machine and the committed offsets are deleted, and the app
    begins where start_at says. Nothing is done while a worker is running, and nothing without
    --yes. State of other machines and snapshots are not touched: reset there too, or delete them.

    \b
    Examples:
      turbine -A proj.app reset                              say what would be done
      turbine -A proj.app reset totals --changelog --yes     begin anew, with a changelog
      turbine -A proj.app reset --to-earliest --yes          ... at the oldest records
      turbine -A proj.app reset totals --adopt-local --yes   the state is right
      turbine -A proj.app reset totals --rewind --yes        the offset is right
    """  # noqa: D301 - click's mark for "keep these lines"
    if adopt_local and rewind:
        raise click.UsageError("--adopt-local and --rewind exclude each other: keep one")
    if (adopt_local or rewind) and (to_earliest or with_changelog):
        raise click.UsageError("--to-earliest and --changelog go with a whole reset")
    mode = "adopt-local" if adopt_local else "rewind" if rewind else "reset"
    steps = _cli_reset.plan(
        given.load(),
        name,
        mode=mode,
        partitions=partitions,
        to_earliest=to_earliest,
        with_changelog=with_changelog,
    )
    with steps as found:
        _carry_out(given, found, yes=yes)


@click.command()
@click.argument("name", required=False, metavar="[SUBSCRIPTION|agents]")
@click.pass_obj
def rebalance(given: Invocation, /, name: str | None) -> None:
    """
    Let the running workers share their partitions anew.

    Somebody joins each group and leaves it again. Partitions that stay where they are go on without
    a stop.

    \b
    Examples:
      turbine -A proj.app rebalance
      turbine -A proj.app rebalance agents
    """  # noqa: D301 - click's mark for "keep these lines"
    from turbine import banner
    from turbine._cli_rebalance import rebalance_groups

    rows = rebalance_groups(given.load(), name)
    banner.show_table(rows, ["group", "members", "partitions"], as_json=given.as_json)


def _carry_out(given: Invocation, steps: list[_cli_reset.Step], *, yes: bool) -> None:
    from turbine import banner

    rows = [step.row() for step in steps]
    if not rows and not given.as_json:
        click.echo("There is nothing to do: no state here, nothing committed.")
        return
    if given.as_json:
        click.echo(json.dumps({"steps": rows, "done": yes}))
    else:
        banner.show_table(rows, ["what", "of", "where", "action"])
    if yes:
        for step in steps:
            step.run()
    if not given.as_json:
        click.echo("Done." if yes else "Nothing was changed. With --yes it is done.")
