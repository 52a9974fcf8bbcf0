"""``turbine explain``: the topology of an app."""

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from turbine._cli_support import Invocation

__all__ = ["explain"]


@click.command()
@click.argument("app", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "mermaid"]),
    default=None,
    help="How it is printed; text, or with --json in front JSON.",
)
@click.pass_obj
def explain(given: "Invocation", /, *, app: str | None, form: str | None) -> None:
    """
    Show what reads which topic, what it does, keeps and writes. Needs no broker.

    \b
    Example:
      turbine explain proj.app
      turbine -A proj.app explain --format mermaid
    """  # noqa: D301 - click's mark for "keep these lines"
    from turbine._topology import topology
    from turbine._topology_text import as_mermaid, as_text

    if app is not None:
        given.app_name = app
    graph = topology(given.load())
    form = form or ("json" if given.as_json else "text")
    if form == "json":
        click.echo(json.dumps(graph.to_json(), indent=2))
    else:
        click.echo(as_text(graph) if form == "text" else as_mermaid(graph))
