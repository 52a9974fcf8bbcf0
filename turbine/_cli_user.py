"""Commands that the app declares, beside those of the command line."""

from typing import TYPE_CHECKING

import click

from turbine._cli_support import Invocation
from turbine.exceptions import TurbineError

if TYPE_CHECKING:
    from turbine.app import App

__all__ = ["command_of_app", "commands_of_app"]


def command_of_app(ctx: click.Context, name: str) -> click.Command | None:
    """
    Find the command *name* of the app that is named in front of it.

    Raises:
        click.ClickException: The app cannot be imported.
    """
    try:
        app = _app(ctx)
    except (TurbineError, OSError) as exc:
        from turbine._cli_support import explain

        raise click.ClickException(explain(exc)) from exc
    found = None if app is None else app.commands.get(name.replace("_", "-"))
    return None if found is None else found.as_click()


def commands_of_app(ctx: click.Context) -> list[str]:
    """Names of the app's commands; none if it cannot be imported: help is shown all the same."""
    try:
        app = _app(ctx)
    except (TurbineError, OSError):
        return []
    return [] if app is None else list(app.commands)


def _app(ctx: click.Context) -> "App | None":
    given = ctx.ensure_object(Invocation)
    given.app_name = ctx.params.get("app_name") or given.app_name
    if given.app is None and not given.app_name:
        return None
    given.enter(ctx.params.get("workdir"))
    if given.app is None:
        given.app = given.load()
    else:
        given.load()
    return given.app
