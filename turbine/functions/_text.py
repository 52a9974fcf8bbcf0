"""Functions of text; null gives null everywhere, and places and lengths are in characters."""

from turbine.functions._expr import Expr, IntoExpr, call

__all__ = [
    "concat",
    "contains",
    "ends_with",
    "length",
    "lower",
    "regex_extract",
    "regex_match",
    "regex_replace",
    "replace",
    "split",
    "starts_with",
    "substr",
    "trim",
    "upper",
]


def lower(text: IntoExpr) -> Expr:
    """Turn into lower case, by Unicode's rules."""
    return call("lower", text)


def upper(text: IntoExpr) -> Expr:
    """Turn into upper case, by Unicode's rules."""
    return call("upper", text)


def length(text: IntoExpr) -> Expr:
    """Count the characters (code points), int64."""
    return call("length", text)


def trim(text: IntoExpr, characters: str | None = None) -> Expr:
    """Drop white space, or the *characters* named, from both ends."""
    return call("trim", text, characters=characters)


def concat(*texts: IntoExpr, separator: str = "") -> Expr:
    """Join texts with a *separator*; null if one of them is."""
    return call("concat", *texts, separator=separator)


def starts_with(text: IntoExpr, prefix: IntoExpr) -> Expr:
    """Say whether *text* begins with *prefix*."""
    return call("starts_with", text, prefix)


def ends_with(text: IntoExpr, suffix: IntoExpr) -> Expr:
    """Say whether *text* ends with *suffix*."""
    return call("ends_with", text, suffix)


def contains(text: IntoExpr, part: IntoExpr) -> Expr:
    """Say whether *part* is in *text*, literally; `regex_match` takes patterns."""
    return call("contains", text, part)


def replace(text: IntoExpr, old: IntoExpr, new: IntoExpr) -> Expr:
    """Replace every *old* by *new*, literally."""
    return call("replace", text, old, new)


def substr(text: IntoExpr, start: int, length: int | None = None) -> Expr:
    """
    Cut a part out.

    Args:
        text: What to cut.
        start: First character, from 0; negative: from the end.
        length: Most characters; all that follow without it.
    """
    return call("substr", text, start=start, length=length)


def split(text: IntoExpr, separator: str) -> Expr:
    """Cut at every *separator*, into a list; `explode` makes rows of it."""
    return call("split", text, separator=separator)


def regex_match(text: IntoExpr, pattern: str) -> Expr:
    """Say whether *pattern* is found anywhere; ``^`` and ``$`` bind it to the ends."""
    return call("regex_match", text, pattern=pattern)


def regex_extract(text: IntoExpr, pattern: str, group: str | int | None = None) -> Expr:
    """
    Give what a group of the first match caught.

    Args:
        text: Where to search.
        pattern: Of the syntax of Rust's regex crate: no look-around, no back references.
        group: Name or number; without it the first group, or all if there is none.

    Returns:
        Text; null without a match, or if the group took no part in it.
    """
    name = None if group is None else str(group)
    return call("regex_extract", text, pattern=pattern, group=name)


def regex_replace(text: IntoExpr, pattern: str, replacement: str) -> Expr:
    """Replace every match; ``$1`` and ``${name}`` stand for groups."""
    return call("regex_replace", text, pattern=pattern, **{"with": replacement})
