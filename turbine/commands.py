"""
Commands of a program's own, beside ``worker`` and the others.

::

    @app.command(option("--amount", type=int, default=10))
    async def fill(shell, amount):
        '''Send some orders.'''
        for n in range(amount):
            await orders.send(value={"n": n})
        shell.say("done")

``turbine -A proj.app fill --amount 3`` then runs it. A command may send; it reads nothing.
"""

import asyncio
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from turbine import _declare
from turbine.exceptions import DeclarationError

if TYPE_CHECKING:
    from turbine.app import App

__all__ = ["Command", "Shell"]

Parameter: TypeAlias = Callable[[Any], Any]
"""What `click.option` and `click.argument` return."""


class Shell:
    """
    What a command gets as its first parameter.

    Attributes:
        app: The app.
        as_json: Whether output is for programs.
        quiet: Whether only results and problems are shown.
    """

    def __init__(self, app: "App", *, as_json: bool = False, quiet: bool = False) -> None:
        self.app = app
        self.as_json = as_json
        self.quiet = quiet

    def say(self, message: object, *, err: bool = False, **_: object) -> None:
        """Write a line."""
        click.echo(str(message), err=err)

    def carp(self, message: object, **_: object) -> None:
        """Write a line that only programs for debugging want, to standard error."""
        if self.app.conf.debug:
            click.echo(f"#-- {message}", err=True)

    def dumps(self, value: Any) -> str:
        """*value* as JSON."""
        from turbine.web.answers import as_json

        return as_json(value).decode()

    def table(self, rows: Sequence[Sequence[object]], headers: Sequence[str] = ()) -> str:
        """Rows in columns, or as JSON where that was asked for."""
        if self.as_json:
            named = [
                dict(zip(headers, row, strict=False)) if headers else list(row) for row in rows
            ]
            return self.dumps(named)
        lines = [[str(cell) for cell in row] for row in ([headers, *rows] if headers else rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    tabulate = table


class Command:
    """
    A declared command. Made by `App.command`.

    Attributes:
        name: As it is typed, with ``-`` for ``_``.
        fn: The function, plain or async.

    Raises:
        DeclarationError: The function does not take what its options give.
    """

    def __init__(self, app: "App", fn: Any, parameters: Sequence[Parameter]) -> None:
        if not callable(fn) or isinstance(fn, type):
            raise DeclarationError(
                f"a command is a function, not {fn!r}: write @app.command() above 'async def'"
            )
        self.app = app
        self.fn = fn
        self.name = fn.__name__.replace("_", "-")
        self._click = self._make(parameters)
        names = {parameter.name for parameter in self._click.params}
        wanted = [parameter.name for parameter in _declare.parameters(fn)]
        self._takes_shell = bool(wanted) and wanted[0] not in names
        missing = set(wanted[1:] if self._takes_shell else wanted) - names
        if missing:
            raise DeclarationError(
                f"the command {self.name} takes {', '.join(sorted(missing))}, and no option or "
                f"argument of that name is declared: write @app.command(option('--name'))"
            )

    def _make(self, parameters: Sequence[Parameter]) -> click.Command:
        body: Any = click.pass_obj(self._run)
        for parameter in reversed(parameters):
            body = parameter(body)
        return click.command(self.name, help=inspect.getdoc(self.fn))(body)

    def as_click(self) -> click.Command:
        """The command as click runs it."""
        return self._click

    def _run(self, given: Any, /, **values: Any) -> None:
        given.start_logging(given.loglevel or ("info" if given.debug else "warning"))
        shell = Shell(self.app, as_json=given.as_json, quiet=given.quiet)
        asyncio.run(self.call(shell, **values))

    async def call(self, shell: Shell, **values: Any) -> Any:
        """Run it, inside a client that sends; what it sent is acknowledged when this returns."""
        async with self.app.client():
            result = self.fn(shell, **values) if self._takes_shell else self.fn(**values)
            return await result if inspect.isawaitable(result) else result

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, as a unit test does."""
        return self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Command {self.name}>"
