"""
``FROM a JOIN b ON ...`` of a query: to `turbine.flows.Flow.join` and `Flow.join_asof`.

A join of two streams says how far their event times may be apart, ``b.ts BETWEEN a.ts - 1000 AND
a.ts + 2000`` in ms; ``ASOF JOIN`` says ``a.ts >= b.ts``; a join with a table says neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from turbine._flow_join import flow_of
from turbine._sql_expr import refuse
from turbine.exceptions import DeclarationError

if TYPE_CHECKING:
    from turbine.flows import Flow

__all__ = ["joined"]

_ABOUT_TIME = (
    "say in ON which keys are equal, and of two streams how far their event times are apart, as "
    "b.ts BETWEEN a.ts - 1000 AND a.ts + 1000, or a.ts >= b.ts of an ASOF JOIN"
)
_SUFFIX = "_right"
_LACKING = {"inner": (), "left": (1,), "right": (0,), "full": (0, 1)}
"""Sides that a joined row may be without: 0 is the left."""


@dataclass
class _Sides:
    """Both sides of a join, by the names that the query has for them."""

    left: "Flow"
    right: "Flow"
    names: tuple[str, str]
    keys: dict[str, str] = field(default_factory=dict)

    def side(self, column: Any) -> int:
        """0 if *column* is one of the left, 1 if of the right."""
        if column.table:
            if column.table not in self.names:
                refuse(column, f"the sides are called {self.names[0]} and {self.names[1]}")
            found = self.names.index(column.table)
        else:
            is_in = [column.name in flow.schema.names for flow in (self.left, self.right)]
            if all(is_in) and column.name not in self.keys:
                refuse(column, f"both sides have it: write {self.names[0]}.{column.name}")
            found = 1 if is_in == [False, True] else 0
        if column.name not in (self.left, self.right)[found].schema.names:
            refuse(column, f"{self.names[found]} has no such column")
        return found

    def is_time(self, column: Any, side: int) -> bool:
        """Whether *column* is the event time, in ms, of that side."""
        if not isinstance(column, exp.Column) or self.side(column) != side:
            return False
        time = (self.left, self.right)[side].source.event_time
        return time is not None and time.column == column.name and time.unit == "ms"


def joined(flow: "Flow", query: Any, others: Mapping[str, Any]) -> "Flow":
    """
    Join *flow* as *query* says, and put the names of joined columns into the query.

    Args:
        flow: What stands behind FROM.
        query: The query; changed.
        others: Flows and streams by the names that the query has for them.

    Raises:
        DeclarationError: The join is not possible.
    """
    joins = query.args.get("joins") or []
    if not joins:
        return flow
    join = joins[0]
    if len(joins) > 1:
        refuse(joins[1], "a query has one JOIN: write the next one behind .through('topic')")
    known = {"ASOF": {"", "LEFT"}, "": {"", "LEFT", "RIGHT", "FULL"}}
    if join.kind not in {"", "INNER", "OUTER"} or join.side not in known.get(join.method, ()):
        refuse(join, "write JOIN, LEFT, RIGHT or FULL JOIN, ASOF JOIN or ASOF LEFT JOIN")
    other = others.get(join.this.name)
    if other is None:
        raise DeclarationError(
            f"sql(): {join.this.name} is not known: hand it over, as "
            f".sql(..., {join.this.name}=app.stream('topic', model=Model))"
        )
    names = (query.find(exp.From).this.alias_or_name, join.this.alias_or_name)
    sides = _Sides(flow, flow_of(other, f"sql({join.this.name}="), names)
    options = _options(join, sides)
    is_timed = not sides.left.is_table and not sides.right.is_table
    if is_timed and not join.method and not options:
        refuse(join, _ABOUT_TIME)
    how: Any = join.side.lower() or "inner"
    keys: dict[str, Any] = {"on": list(sides.keys), "right_on": list(sides.keys.values())}
    if join.method:
        made = sides.left.join_asof(sides.right, **keys, how=how, suffix=_SUFFIX)
    else:
        made = sides.left.join(sides.right, **keys, how=how, suffix=_SUFFIX, **options)
    _rename(query, sides, _LACKING[how])
    return made


def _options(join: Any, sides: _Sides) -> dict[str, Any]:
    """Note the keys; how far times may be apart."""
    for one in join.args.get("using") or []:
        sides.keys[one.name] = one.name
    on = join.args.get("on")
    parts = [] if on is None else list(on.flatten()) if isinstance(on, exp.And) else [on]
    options: dict[str, Any] = {}
    has_order = False
    for part in parts:
        if _is_key(part, sides):
            continue
        if join.method and not has_order and _is_order(part, sides):
            has_order = True
        elif not join.method and not options and (bounds := _bounds(part, sides)):
            options = bounds
        else:
            refuse(part, _ABOUT_TIME)
    if not sides.keys or (join.method and not has_order):
        refuse(join, _ABOUT_TIME)
    return options


def _is_key(part: Any, sides: _Sides) -> bool:
    one, other = part.this, part.args.get("expression")
    if not isinstance(part, exp.EQ) or not all(isinstance(c, exp.Column) for c in (one, other)):
        return False
    if sides.side(one) == sides.side(other):
        return False
    left, right = (one, other) if sides.side(one) == 0 else (other, one)
    sides.keys[left.name] = right.name
    return True


def _is_order(part: Any, sides: _Sides) -> bool:
    """``left.time >= right.time``, or the other way round."""
    if isinstance(part, exp.LTE):
        later, earlier = part.expression, part.this
    elif isinstance(part, exp.GTE):
        later, earlier = part.this, part.expression
    else:
        return False
    return sides.is_time(later, 0) and sides.is_time(earlier, 1)


def _bounds(part: Any, sides: _Sides) -> dict[str, Any] | None:
    """``time BETWEEN other - a AND other + b``, of the right or of the left, in seconds."""
    if not isinstance(part, exp.Between) or not isinstance(part.this, exp.Column):
        return None
    of = sides.side(part.this)
    low = _offset_ms(part.args["low"], sides, 1 - of)
    high = _offset_ms(part.args["high"], sides, 1 - of)
    if not sides.is_time(part.this, of) or low is None or high is None or low > 0 or high < 0:
        return None
    before, after = (-low, high) if of == 1 else (high, -low)
    return {"before": before / 1_000, "after": after / 1_000}


def _offset_ms(node: Any, sides: _Sides, side: int) -> int | None:
    """What is added to the time of that side."""
    if sides.is_time(node, side):
        return 0
    sign = {exp.Add: 1, exp.Sub: -1}.get(type(node))
    if sign is None or not sides.is_time(node.this, side):
        return None
    text = node.expression.this if isinstance(node.expression, exp.Literal) else ""
    return sign * int(text) if str(text).isdigit() else None


def _rename(query: Any, sides: _Sides, lacking: tuple[int, ...]) -> None:
    """
    Write for each column its name in joined rows; what is selected keeps its name.

    Args:
        query: Changed.
        sides: Of the join.
        lacking: Sides that a row may be without; a key of theirs would be null then, and the key of
            joined rows is not.
    """
    names = _Names(sides, lacking)

    def renamed(node: Any) -> Any:
        is_alias = isinstance(node, exp.Column) and not node.table and node.name in aliases
        return node if is_alias else names.of(node)

    aliases = {one.alias for one in query.selects if one.alias} - {
        *sides.left.schema.names,
        *sides.right.schema.names,
    }
    selects = []
    for one in query.selects:
        if isinstance(one, exp.Star) or (isinstance(one, exp.Column) and one.is_star):
            refuse(one, "name the columns of a join")
        name, made = one.alias_or_name, one.unalias().copy().transform(renamed)
        selects.append(exp.alias_(made, name, quoted=True) if name else made)
    query.set("expressions", selects)
    for clause in ("where", "group", "having"):
        if (found := query.args.get(clause)) is not None:
            query.set(clause, found.copy().transform(renamed))


@dataclass
class _Names:
    """What columns of both sides are called in joined rows."""

    sides: _Sides
    lacking: tuple[int, ...]

    def of(self, node: Any) -> Any:
        """Give the joined column for one of a side, or for the keys of both; others stay."""
        if (key := self._one_key(node)) is not None:
            return exp.column(key)
        if not isinstance(node, exp.Column):
            return node
        side = self.sides.side(node)
        if (key := self._key(node, side)) is not None:
            if side in self.lacking and node.table:
                self._refuse(node, side)
            return exp.column(key)
        is_taken = side == 1 and node.name in self.sides.left.schema.names
        return exp.column(node.name + _SUFFIX if is_taken else node.name)

    def _key(self, node: Any, side: int) -> str | None:
        if side == 0:
            return node.name if node.name in self.sides.keys else None
        return {right: left for left, right in self.sides.keys.items()}.get(node.name)

    def _one_key(self, node: Any) -> str | None:
        """The key that ``coalesce(a.k, b.k)`` is."""
        parts = [node.this, *node.expressions] if isinstance(node, exp.Coalesce) else []
        if not parts or not all(isinstance(one, exp.Column) for one in parts):
            return None
        keys = {(side := self.sides.side(one), self._key(one, side)) for one in parts}
        names = {name for _, name in keys}
        return names.pop() if {side for side, _ in keys} == {0, 1} and len(names) == 1 else None

    def _refuse(self, node: Any, side: int) -> None:
        if len(self.lacking) > 1:
            refuse(node, "take coalesce() of the keys of both sides, which is always there")
        mine, other = self.sides.names[side], self.sides.names[1 - side]
        refuse(node, f"it is null where {mine} has no row: take that of {other}")
