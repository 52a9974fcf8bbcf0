"""Where the columns of a plan come from, so that the stage in front can make a key of them."""

from collections.abc import Mapping
from typing import Any

__all__ = ["TIME", "Origins", "rooted"]

TIME = "_time_ms"
"""Column of internal topics with the event time of rows of a plan; the core names it too."""

Origins = Mapping[str, Mapping[str, Any] | None]
"""Each column as a tree over the columns of the source; None: no record alone gives it."""


def rooted(tree: Mapping[str, Any], origins: Origins) -> dict[str, Any] | None:
    """
    Write the tree of an expression over the columns of the source.

    Args:
        tree: What `Expr.tree` has.
        origins: The columns that it reads.

    Returns:
        The tree; None if one of the columns has no origin.
    """
    if "col" in tree:
        return _column(tree["col"], origins)
    if "of" in tree:
        return rooted(tree["of"], origins)
    if "when" in tree:
        return _choice(tree, origins)
    if "call" in tree:
        args = [rooted(arg, origins) for arg in tree.get("args", ())]
        return None if None in args else {**tree, "args": args}
    return dict(tree)


def _column(name: str, origins: Origins) -> dict[str, Any] | None:
    found = origins.get(name)
    if found is not None:
        return dict(found)
    first, dot, rest = name.partition(".")
    outer = origins.get(first) if dot and name not in origins else None
    return {"col": f"{outer['col']}.{rest}"} if outer is not None and "col" in outer else None


def _choice(tree: Mapping[str, Any], origins: Origins) -> dict[str, Any] | None:
    pairs = [
        [rooted(condition, origins), rooted(value, origins)] for condition, value in tree["when"]
    ]
    rest = tree.get("otherwise")
    otherwise = None if rest is None else rooted(rest, origins)
    if any(None in pair for pair in pairs) or (rest is not None and otherwise is None):
        return None
    return {"when": pairs, "otherwise": otherwise}
