"""Functions of SQL to those of `turbine.functions`, where they give what they give in DuckDB."""

import functools
import re
from collections.abc import Callable
from typing import Any

from sqlglot import exp

from turbine import functions as f
from turbine.functions import Expr

__all__ = ["FUNCTIONS"]

Read = Callable[[Any], Expr]
"""Translates a node."""


def _text(node: Any) -> str | None:
    """The text of a constant."""
    return node.this if isinstance(node, exp.Literal) and node.is_string else None


def _whole(node: Any, least: int) -> int | None:
    """The value of a constant number from *least* on."""
    is_number = isinstance(node, exp.Literal) and not node.is_string and node.this.isdigit()
    return int(node.this) if is_number and int(node.this) >= least else None


def _like(node: Any, read: Read) -> Expr | None:
    pattern = _text(node.expression)
    if pattern is None:
        return None
    parts = [{"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in pattern]
    flags = "(?is)" if isinstance(node, exp.ILike) else "(?s)"
    found = f.regex_match(read(node.this), f"{flags}^{''.join(parts)}$")
    return ~found if node.args.get("negate") else found


def _joined(node: Any, read: Read) -> Expr:
    """Texts behind one another: ``||`` is null if one is, ``concat`` leaves nulls out."""
    if isinstance(node, exp.DPipe):
        return f.concat(read(node.this), read(node.expression))
    return f.concat(*[f.coalesce(read(one), f.lit("")) for one in node.expressions])


def _trimmed(node: Any, read: Read) -> Expr | None:
    if node.args.get("position") or node.args.get("expression"):
        return None
    return f.trim(read(node.this), " ")


def _part(node: Any, read: Read) -> Expr | None:
    """The so-maniest part between separators of one character; no text if there are fewer."""
    separator = _text(node.args["delimiter"])
    number = _whole(node.args["part_index"], least=1)
    if separator is None or len(separator) != 1 or number is None:
        return None
    other = f"[^{re.escape(separator)}]*"
    before = f"(?:{other}{re.escape(separator)}){{{number - 1}}}"
    return _or_empty(read(node.this), f"^{before}({other})", None)


def _or_empty(text: Expr, pattern: str, group: int | None) -> Expr:
    """What matches; no text where nothing does, but null where there is no text to search."""
    found = f.coalesce(f.regex_extract(text, pattern, group), f.lit(""))
    return f.when(text.is_not_null()).then(found)


def _extracted(node: Any, read: Read) -> Expr | None:
    pattern, group = _text(node.expression), node.args.get("group")
    number = 0 if group is None else _whole(group, least=0)
    if pattern is None or number is None or node.args.get("parameters"):
        return None
    return _or_empty(read(node.this), pattern, number)


def _substring(node: Any, read: Read) -> Expr | None:
    start, length = _whole(node.args["start"], least=1), node.args.get("length")
    size = None if length is None else _whole(length, least=0)
    if start is None or (length is not None and size is None):
        return None
    return f.substr(read(node.this), start - 1, size)


def _matched(node: Any, read: Read) -> Expr | None:
    pattern = _text(node.expression)
    if pattern is None or node.args.get("flag"):
        return None
    return f.regex_match(read(node.this), pattern)


def _extreme(choose: Callable[[Any, Any], Expr]) -> Callable[[Any, Read], Expr]:
    """The largest or least value that is there: nulls are left out."""

    def two(left: Expr, right: Expr) -> Expr:
        return f.coalesce(choose(left, right), left, right)

    def made(node: Any, read: Read) -> Expr:
        return functools.reduce(two, [read(one) for one in (node.this, *node.expressions)])

    return made


def _null_if(node: Any, read: Read) -> Expr:
    value, other = read(node.this), read(node.expression)
    return f.when(f.coalesce(value != other, f.lit(True))).then(value)


def _of_two(make: Callable[[Any, Any], Expr]) -> Callable[[Any, Read], Expr]:
    return lambda node, read: make(read(node.this), read(node.expression))


def _time(node: Any) -> Any:
    """The column of ms behind ``make_timestamp_ms(...)``."""
    is_made = isinstance(node, exp.Anonymous) and node.name.lower() == "make_timestamp_ms"
    return node.expressions[0] if is_made and len(node.expressions) == 1 else None


def _formatted(node: Any, read: Read) -> Expr | None:
    time, pattern = _time(node.this), _text(node.args["format"])
    if time is None or pattern is None:
        return None
    return f.format_ts(read(time), pattern)


def _of_time(make: Callable[[Any], Expr]) -> Callable[[Any, Read], Expr | None]:
    def made(node: Any, read: Read) -> Expr | None:
        time = _time(node.this)
        return None if time is None else make(read(time))

    return made


FUNCTIONS: dict[type, Callable[[Any, Read], Expr | None]] = {
    exp.Like: _like,
    exp.ILike: _like,
    exp.DPipe: _joined,
    exp.Concat: _joined,
    exp.Trim: _trimmed,
    exp.Replace: lambda node, read: f.replace(
        read(node.this), read(node.expression), read(node.args["replacement"])
    ),
    exp.Substring: _substring,
    exp.StartsWith: _of_two(f.starts_with),
    exp.EndsWith: _of_two(f.ends_with),
    exp.Contains: _of_two(f.contains),
    exp.SplitPart: _part,
    exp.RegexpLike: _matched,
    exp.RegexpExtract: _extracted,
    exp.Nullif: _null_if,
    exp.Greatest: _extreme(f.max2),
    exp.Least: _extreme(f.min2),
    exp.TimeToStr: _formatted,
    exp.Hour: _of_time(f.hour),
    exp.Minute: _of_time(f.minute),
    exp.Second: _of_time(f.second),
}
"""By the kind of node; None where an argument is of a kind that is not there."""
