"""The commands `turbine snapshot ...`: options, and what they print."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from turbine import _snapshots
from turbine._cli_support import Invocation
from turbine._snapshots import Place, Unit
from turbine.exceptions import StateError

__all__ = ["snapshot"]

_URL = click.option(
    "--url",
    metavar="URL",
    help="Where snapshots are: file:///DIRECTORY, s3://BUCKET/PREFIX, gs://..., az://...  "
    "[default: the setting checkpoint_url]",
)
_APP_ID = click.option("--app-id", help="Id of the app.  [default: that of -A, else every app]")
_NAME = click.option("--name", help="Only this subscription, or the group of the agents.")
_TOPIC = click.option("--topic", help="Only this topic.")
_PARTITION = click.option("--partition", type=click.IntRange(min=0), help="Only this partition.")


@click.group()
def snapshot() -> None:
    """
    List, take and restore snapshots of state.

    \b
    A snapshot is a copy of one partition's state in an object store:
      turbine -A proj.app snapshot list
      turbine -A proj.app snapshot create
      turbine -A proj.app snapshot restore --yes

    Credentials come from the environment (AWS_ACCESS_KEY_ID, GOOGLE_SERVICE_ACCOUNT,
    AZURE_STORAGE_ACCOUNT_KEY ...); docs/guides/snapshots.md has all of them.
    """  # noqa: D301 - click's mark for "keep these lines"


def _place(given: Invocation, url: str | None, app_id: str | None) -> Place:
    conf = given.settings()
    wanted = url or conf.checkpoint_url
    if not wanted:
        raise click.UsageError(
            "no place of snapshots is known: name it with --url, or set checkpoint_url "
            "(TURBINE_CHECKPOINT_URL)"
        )
    named = given.app is not None or given.app_name is not None
    return Place(wanted, app_id or (conf.id if named else None))


@snapshot.command("list")
@_URL
@_APP_ID
@_NAME
@_TOPIC
@_PARTITION
@click.pass_obj
def list_(given: Invocation, /, url: str | None, app_id: str | None, **only: Any) -> None:
    """
    List snapshots, the freshest of each partition first. No worker has to run.

    \b
    Examples:
      turbine snapshot list --url s3://state/prod
      turbine -A proj.app snapshot list --name count --partition 3
      turbine -A proj.app --json snapshot list
    """  # noqa: D301 - click's mark for "keep these lines"
    from turbine import banner

    place = _place(given, url, app_id)
    rows = []
    for unit in _progress("reading", place.units(**only), quiet=given.quiet or given.as_json):
        rows += [_row(unit, found) for found in place.list(unit)]
    columns = ["app", "name", "topic", "partition", "snapshot", "offset", "rows", "size", "taken"]
    banner.show_table(rows, [*columns, "problem"], as_json=given.as_json)


def _row(unit: Unit, found: dict[str, Any]) -> dict[str, Any]:
    taken = datetime.fromtimestamp(found["at_ms"] / 1_000, UTC)
    return {
        **unit._asdict(),
        **found,
        "snapshot": "-".join(map(str, found["id"])),
        "offset": found.get("next"),
        "rows": found.get("rows"),
        "size": _size(found.get("stored_bytes")),
        "taken": taken.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "problem": found.get("error"),
    }


def _size(stored_bytes: int | None) -> str | None:
    if stored_bytes is None:
        return None
    size = float(stored_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1_000:  # noqa: PLR2004 - a thousand of each
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1_000
    return f"{size:.1f} GB"


@snapshot.command()
@click.option(
    "--worker",
    metavar="URL",
    help="The worker's address, as http://host:8400.  [default: api_host and api_port]",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=120.0,
    show_default=True,
    help="Longest wait for all of them, in seconds.",
)
@click.pass_obj
def create(given: Invocation, /, worker: str | None, timeout: float) -> None:
    """
    Have a running worker take a snapshot of each of its partitions, and wait for them.

    \b
    Examples:
      turbine -A proj.app snapshot create
      turbine snapshot create --worker http://10.0.0.7:8400

    The token is that of the setting api_token (TURBINE_API_TOKEN).
    """  # noqa: D301 - click's mark for "keep these lines"
    from turbine import banner

    conf = given.settings()
    api = _snapshots.Api(worker or f"http://{conf.api_host}:{conf.api_port}", conf.api_token)
    rows = []
    for row in _progress("taking", api.create(timeout), quiet=given.quiet or given.as_json):
        row["size"] = _size(row["uploaded_bytes"] + row["skipped_bytes"])
        row["uploaded"] = _size(row["uploaded_bytes"])
        rows.append(row)
    columns = [
        "name",
        "topic",
        "partition",
        "snapshot",
        "next",
        "rows",
        "size",
        "uploaded",
        "error",
    ]
    banner.show_table(rows, columns, as_json=given.as_json)
    failed = sum(1 for row in rows if row["error"])
    if failed:
        raise StateError(f"{failed} of {len(rows)} partitions have no new snapshot; see 'error'")


@snapshot.command()
@_URL
@_APP_ID
@_NAME
@_TOPIC
@_PARTITION
@click.option(
    "--snapshot",
    "wanted",
    metavar="EPOCH-NUMBER-OFFSET",
    help="This one, as 'list' shows it, of one partition.  [default: the freshest that is whole]",
)
@click.option(
    "-D",
    "--datadir",
    type=click.Path(file_okay=False, path_type=Path),
    help="The worker's directory for local state.  [default: the app's]",
)
@click.option(
    "--yes", is_flag=True, help="Do it; without it everything is only fetched and checked."
)
@click.pass_obj
def restore(
    given: Invocation,
    /,
    *,
    url: str | None,
    app_id: str | None,
    wanted: str | None,
    datadir: Path | None,
    yes: bool,
    **only: Any,
) -> None:
    """
    Put snapshots into the directory of a worker that does not run.

    \b
    Examples:
      turbine -A proj.app snapshot restore
      turbine -A proj.app snapshot restore --yes
      turbine -A proj.app snapshot restore --partition 3 --snapshot 7-12-1042 --yes

    Whatever the directory has of these partitions is replaced. The first form is a rehearsal: every
    part is fetched and its checksum compared, nothing is changed.
    """  # noqa: D301 - click's mark for "keep these lines"
    from turbine import banner

    place = _place(given, url, app_id)
    if place.app_id is None:
        raise click.UsageError("whose state is restored? name the app with -A or --app-id")
    units = place.units(**only)
    number = None if wanted is None else _snapshots.parse_id(wanted)
    if number is not None and len(units) != 1:
        raise click.UsageError(
            f"--snapshot names a snapshot of one partition, and {len(units)} are meant: add "
            "--name, --topic and --partition"
        )
    if not units:
        raise StateError(f"{place.url} has no snapshot of app {place.app_id} that is meant here")
    conf = given.settings()
    if datadir is not None:
        conf.datadir = datadir
    state_dir = conf.data_path / "state" if yes else None
    rows = []
    verb = "restoring" if yes else "checking"
    for unit in _progress(verb, units, quiet=given.quiet or given.as_json):
        found = place.restore(unit, number, state_dir)
        done = {"snapshot": found["id"], "offset": found["next"], "size": _size(found["bytes"])}
        rows.append(unit._asdict() | found | done)
    columns = ["name", "topic", "partition", "snapshot", "offset", "rows", "size"]
    banner.show_table(rows, columns, as_json=given.as_json)
    if not given.quiet and not given.as_json:
        told = f"restored into {state_dir}" if yes else "nothing was changed; add --yes to restore"
        click.echo(told, err=True)


def _progress(verb: str, rows: Sequence[Any] | Iterator[Any], *, quiet: bool) -> Iterable[Any]:
    """Go through *rows* with a bar, where somebody sees it."""
    if quiet or not sys.stderr.isatty():
        return rows
    from rich.console import Console
    from rich.progress import track

    total = len(rows) if isinstance(rows, Sequence) else None
    console = Console(file=sys.stderr)
    return track(rows, description=verb, total=total, console=console, transient=True)
