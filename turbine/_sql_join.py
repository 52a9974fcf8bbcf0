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
    if join.kind or join.side not in {"", "LEFT"} or join.method not in {"", "ASOF"}:
        refuse(join, "write JOIN, LEFT JOIN, ASOF JOIN, or .join(..., how='full')")
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
    how: Any = "left" if join.side else "inner"
    keys: dict[str, Any] = {"on": list(sides.keys), "right_on": list(sides.keys.values())}
    if join.method:
        made = sides.left.join_asof(sides.right, **keys, how=how, suffix=_SUFFIX)
    else:
        made = sides.left.join(sides.right, **keys, how=how, suffix=_SUFFIX, **options)
    _rename(query, sides, is_padded=how == "left")
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


def _rename(query: Any, sides: _Sides, *, is_padded: bool) -> None:
    """Write for each column its name in joined rows; what is selected keeps its name."""
    right_keys = {right: left for left, right in sides.keys.items()}

    def renamed(node: Any) -> Any:
        if not isinstance(node, exp.Column):
            return node
        if not node.table and node.name in aliases:
            return node
        is_right = sides.side(node) == 1
        if not is_right:
            return exp.column(node.name)
        if node.name in right_keys:
            if is_padded:
                refuse(
                    node, f"take {sides.names[0]}.{right_keys[node.name]}, which is always there"
                )
            return exp.column(right_keys[node.name])
        is_taken = node.name in sides.left.schema.names
        return exp.column(node.name + _SUFFIX if is_taken else node.name)

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
    if (where := query.args.get("where")) is not None:
        query.set("where", exp.Where(this=where.this.copy().transform(renamed)))
