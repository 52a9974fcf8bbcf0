"""What programs take from Faust's command line for their own commands: thin over click."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from turbine.commands import Shell as AppCommand

__all__ = ["AppCommand", "argument", "option"]

F = TypeVar("F", bound=Callable[..., Any])


def option(*names: str, show_default: bool = True, **options: Any) -> Callable[[F], F]:
    """As `click.option`; the default is part of the help."""
    return click.option(*names, show_default=show_default, **options)


def argument(*names: str, **options: Any) -> Callable[[F], F]:
    """As `click.argument`."""
    return click.argument(*names, **options)
