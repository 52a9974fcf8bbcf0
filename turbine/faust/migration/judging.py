"""Give each use of Faust its verdict."""

import difflib
import importlib
from collections.abc import Iterable
from typing import Any

from turbine.faust.migration.reading import Use
from turbine.faust.migration.verdicts import NOTES, Verdict

__all__ = ["judge", "rows_of"]


def judge(kind: str, name: str) -> Verdict:
    """How *name* of that *kind* is treated."""
    if kind == "setting":
        return _setting(name)
    noted = NOTES.get(kind, {}).get(name)
    if noted is not None and noted.status in {"missing", "no effect"} and not _exists(kind, name):
        return noted
    if not _exists(kind, name):
        return Verdict("missing", _instead(kind, name))
    return noted if noted is not None and noted.status != "missing" else Verdict("same")


def rows_of(uses: Iterable[Use]) -> list[dict[str, Any]]:
    """One row a name, with its verdict and its places, what stops the program first."""
    places: dict[tuple[str, str], list[str]] = {}
    for use in uses:
        places.setdefault((use.kind, use.name), []).append(f"{use.file}:{use.line}")
    rows = []
    for (kind, name), where in places.items():
        verdict = judge(kind, name)
        rows.append(
            {
                "verdict": verdict.status,
                "kind": kind,
                "name": name,
                "where": where[0] if len(where) == 1 else f"{where[0]} and {len(where) - 1} more",
                "note": verdict.note,
                "places": where,
            }
        )
    order = ["missing", "differs", "no effect", "better", "same"]
    return sorted(rows, key=lambda row: (order.index(row["verdict"]), row["kind"], row["name"]))


def _setting(name: str) -> Verdict:
    from turbine.settings import BY_NAME

    row = BY_NAME.get(name.lower())
    if row is None:
        close = difflib.get_close_matches(name.lower(), list(BY_NAME), n=1, cutoff=0.6)
        hint = f"did you mean {close[0]}?" if close else "A warning says so; it has no effect."
        return Verdict("no effect", f"Faust does not know it either: {hint}")
    if not row.has_effect:
        return Verdict("no effect", row.help)
    return Verdict("same", "" if row.name == name else f"Its name is {row.name} now.")


def _exists(kind: str, name: str) -> bool:
    if kind == "module":
        return _module_has(name)
    if kind in {"agent option", "topic option", "table option", "record option"}:
        return name in _options(kind)
    owner = _owner(kind)
    if hasattr(owner, name):
        return True
    # What an instance has from its start on.
    start: Any = getattr(owner, "__init__", None)
    return isinstance(owner, type) and name in start.__code__.co_names


def _owner(kind: str) -> Any:
    from turbine import faust

    if kind == "faust":
        return faust
    if kind == "app":
        return faust.App("check")
    home = {
        "stream": "turbine.streams:Stream",
        "agent": "turbine.agents:Agent",
        "topic": "turbine.faust.topics:Topic",
        "table": "turbine.tables:Table",
    }[kind]
    module, _, attribute = home.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _options(kind: str) -> frozenset[str]:
    """Options that are taken, as the declarations themselves say."""
    from turbine import app, tables
    from turbine.faust.topics import CODEC_OPTIONS

    if kind == "agent option":
        return app._AGENT_OPTIONS.union(CODEC_OPTIONS)  # noqa: SLF001 - the list there is
    if kind == "topic option":
        return app.TOPIC_OPTIONS.union(CODEC_OPTIONS, ("key_type", "value_type"))
    if kind == "table option":
        return frozenset(tables._OPTIONS)  # noqa: SLF001 - the list there is
    from turbine.faust.models.options import ModelOptions

    return frozenset(dir(ModelOptions)) | frozenset(getattr(ModelOptions, "__annotations__", ()))


def _module_has(name: str) -> bool:
    """Whether ``faust.x.Name`` or ``mode.x.Name`` can be imported here."""
    place = f"turbine.{name}" if name.startswith("faust") else f"turbine.faust.{name}"
    module, _, attribute = place.rpartition(".")
    for candidate, rest in ((place, ""), (module, attribute)):
        try:
            found = importlib.import_module(candidate)
        except ImportError:
            continue
        return not rest or hasattr(found, rest)
    return False


def _instead(kind: str, name: str) -> str:
    if kind == "module":
        return "This module of Faust is not part of turbine.faust."
    if kind.endswith("option"):
        return f"The {kind} {name} is not taken."
    owners = {"faust": "turbine.faust has", "app": "An app has"}
    return f"{owners.get(kind, f'{kind.capitalize()}s have')} no {name} yet."
