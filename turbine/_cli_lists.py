"""The commands that list what an app has, and a few small ones."""

import inspect
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from turbine._cli_support import Invocation
from turbine.exceptions import AppNotFound, ConfigError
from turbine.naming import app_group

if TYPE_CHECKING:
    from turbine.app import App

__all__ = ["clean_versions", "completion", "model", "models", "tables"]


@click.command()
@click.pass_obj
def tables(given: Invocation, /) -> None:
    """
    List the tables of an app.

    \b
    Example:
      turbine -A proj.app --json tables
    """  # noqa: D301 - click's mark for "keep these lines"
    from turbine import banner

    rows = [
        {
            "name": one.name,
            "key": _type_name(one.key_type),
            "value": _type_name(one.value_type),
            "changelog": one.changelog,
            "help": one.help,
        }
        for one in given.load().tables.values()
    ]
    banner.show_table(rows, ["name", "key", "value", "changelog", "help"], as_json=given.as_json)


@click.command()
@click.option("--builtins", is_flag=True, help="Also those of turbine itself.")
@click.pass_obj
def models(given: Invocation, /, *, builtins: bool) -> None:
    """
    List the models of an app's topics, agents and tables.

    \b
    Example:
      turbine -A proj.app models
    """  # noqa: D301 - click's mark for "keep these lines"
    from turbine import banner

    found = _models(given.load(), builtins=builtins)
    rows = [{"name": name, "help": _first_line(cls)} for name, cls in found.items()]
    banner.show_table(rows, ["name", "help"], as_json=given.as_json)


@click.command()
@click.argument("name")
@click.pass_obj
def model(given: Invocation, /, *, name: str) -> None:
    """
    Show the fields of the model NAME; the end of its name will do.

    \b
    Example:
      turbine -A proj.app model Order
    """  # noqa: D301 - click's mark for "keep these lines"
    from turbine import banner

    every = _models(given.load(), builtins=True)
    ends = [cls for full, cls in every.items() if full.endswith(f".{name}")]
    found = [every[name]] if name in every else ends
    if len(found) != 1:
        problem = "is the end of several names" if found else "is no model of this app"
        raise AppNotFound(f"{name!r} {problem}; its models: {', '.join(every) or 'none'}")
    banner.show_table(_fields(found[0]), ["field", "type", "default"], as_json=given.as_json)


@click.command("clean-versions")
@click.option("--yes", is_flag=True, help="Delete; without it, it is only shown what would be.")
@click.pass_obj
def clean_versions(given: Invocation, /, *, yes: bool) -> None:
    """
    Delete the local state of earlier versions of an app, in the directory that it is run in.

    \b
    Example:
      turbine -A proj.app clean-versions --yes
    """  # noqa: D301 - click's mark for "keep these lines"
    conf = given.load().conf
    if conf.datadir is not None:
        raise ConfigError(
            f"datadir={str(conf.datadir)!r} is set, which belongs to this version alone or to all: "
            "delete the directories of earlier versions by hand"
        )
    old = [
        directory
        for version in range(1, conf.version)
        if (directory := Path(f"{app_group(conf.id, version, conf.id_format)}-data")).is_dir()
    ]
    for directory in old:
        if yes:
            shutil.rmtree(directory)
        click.echo(f"{'deleted' if yes else 'would delete'} {directory}")
    if not old:
        click.echo(f"no state of versions before {conf.version} is here")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), default="bash")
def completion(*, shell: str) -> None:
    """
    Write the lines that make the shell complete commands and options.

    \b
    Example:
      turbine completion bash >> ~/.bashrc
    """  # noqa: D301 - click's mark for "keep these lines"
    from click.shell_completion import get_completion_class

    from turbine.cli import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise ConfigError(f"there is no completion for {shell}")
    click.echo(kind(cli, {}, "turbine", "_TURBINE_COMPLETE").source())


# -- models ----------------------------------------------------------------------------------


def _models(app: "App", *, builtins: bool) -> dict[str, Any]:
    """Models that are declared for something, and those of modules of the app, by full name."""
    declared = [
        *(topic.value_type for topic in app.topics.values()),
        *(topic.key_type for topic in app.topics.values()),
        *(table.value_type for table in app.tables.values()),
        *(one.model for one in app.subscriptions.values()),
    ]
    found = {_full_name(cls): cls for cls in [*declared, *_records()] if _is_model(cls)}
    return {
        name: cls
        for name, cls in sorted(found.items())
        if builtins or not name.startswith("turbine.")
    }


def _records() -> list[type]:
    from turbine.faust.models.base import registry
    from turbine.models import Record

    waiting, found = [Record], list(registry.values())
    while waiting:
        children = waiting.pop().__subclasses__()
        found += children
        waiting += children
    return found


def _is_model(cls: Any) -> bool:
    return isinstance(cls, type) and (hasattr(cls, "model_fields") or hasattr(cls, "_options"))


def _full_name(cls: Any) -> str:
    if not isinstance(cls, type):
        return ""
    # Records of Faust have a name in data.
    named: str = getattr(getattr(cls, "_options", None), "namespace", "")
    return named or f"{cls.__module__}.{cls.__qualname__}"


def _fields(cls: Any) -> list[dict[str, Any]]:
    fields = getattr(cls, "model_fields", None)
    if fields:
        return [
            {
                "field": name,
                "type": _type_name(info.annotation),
                "default": "" if info.is_required() else repr(info.get_default()),
            }
            for name, info in fields.items()
        ]
    return [
        {
            "field": name,
            "type": _type_name(field.type),
            "default": "*" if field.required else repr(field.default),
        }
        for name, field in cls._options.descriptors.items()
    ]


def _first_line(cls: Any) -> str:
    doc = cls.__dict__.get("__doc__") or ""
    return inspect.cleandoc(doc).split("\n")[0]


def _type_name(kind: Any) -> str:
    if kind is None:
        return "json"
    return str(getattr(kind, "__name__", kind)) if isinstance(kind, type) else str(kind)
