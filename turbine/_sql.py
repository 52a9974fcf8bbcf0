"""
``.sql("SELECT ...")``: one query over a stream, to the same plan that the methods of a flow make.

The dialect is DuckDB's. A window is a member of GROUP BY: ``tumble('10s')``, ``hop('10s', '2s')``
or ``session('10s')``; its bounds are the columns ``window_start_ms`` and ``window_end_ms``.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from turbine import aggregates, windows
from turbine.exceptions import DeclarationError

try:
    import sqlglot
    from sqlglot import exp
except ImportError:
    raise DeclarationError(
        "sql() needs sqlglot: install it with pip install 'turbine-stream[sql]'"
    ) from None

from turbine._flow_join import flow_of
from turbine._flow_union import union
from turbine._sql_expr import expression, refuse
from turbine._sql_join import joined
from turbine.functions import col

if TYPE_CHECKING:
    from turbine.flows import Flow

__all__ = ["plan_of"]

_ABSENT = {
    "distinct": "leave rows out with dedup= of to()",
    "order": "a stream has the order of its partitions",
    "limit": "a stream has no end",
    "offset": "a stream has no end",
    "qualify": "aggregate with GROUP BY, and filter with HAVING",
    "with_": "write the inner query with .sql(...).through('topic'), and the outer one behind it",
    "with": "write the inner query with .sql(...).through('topic'), and the outer one behind it",
}


def _sample(make: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda of: make(of, ddof=1)


_WINDOWS: dict[str, Callable[..., Any]] = {
    "TUMBLE": windows.tumbling,
    "HOP": windows.hopping,
    "SESSION": windows.session,
}
_AGGREGATES: dict[type, Any] = {
    exp.Sum: aggregates.Sum,
    exp.Avg: aggregates.Mean,
    exp.Min: aggregates.Min,
    exp.Max: aggregates.Max,
    exp.Stddev: _sample(aggregates.StdDev),
    exp.StddevSamp: _sample(aggregates.StdDev),
    exp.StddevPop: aggregates.StdDev,
    exp.Variance: _sample(aggregates.Variance),
    exp.VariancePop: aggregates.Variance,
    exp.LogicalAnd: aggregates.AllTrue,
    exp.LogicalOr: aggregates.AnyTrue,
}
_KNOWN = (
    "count, sum, avg, min, max, arg_max, arg_min, stddev and variance (of samples, and _pop), "
    "bool_and and bool_or"
)


def plan_of(flow: "Flow", text: str, others: Mapping[str, Any]) -> Any:
    """
    Put the steps of a query behind *flow*.

    Args:
        flow: The rows that it reads.
        text: ``SELECT ... FROM topic [JOIN ...] [WHERE ...] [GROUP BY ... [HAVING ...]]``, and more
            of them behind ``UNION ALL``.
        others: What it may join, or read behind ``UNION ALL``, by the names that it has for them.

    Returns:
        A `turbine.flows.Flow`; of several queries what has their `to`, `through` and `explain`.

    Raises:
        DeclarationError: It is no such query, or something of it is not there.
    """
    parts = _parts(_parsed(text))
    if len(parts) == 1:
        return _plan(flow, parts[0], others)
    first = _plan(_source(flow, parts[0], others), parts[0], others)
    for one in parts[1:]:
        _name(one, first.schema.names)
    return union([first, *[_plan(_source(flow, one, others), one, others) for one in parts[1:]]])


def _name(query: Any, names: list[str]) -> None:
    """Call what has no name in a later part as the first part does."""
    pairs = zip(query.selects, names, strict=False)
    selects = [
        one if one.alias_or_name else exp.alias_(one.copy(), name, quoted=True)
        for one, name in pairs
    ]
    if len(selects) == len(query.selects):
        query.set("expressions", selects)


def _parts(query: Any) -> list[Any]:
    """The queries of a ``UNION ALL``, in order."""
    if not isinstance(query, exp.SetOperation):
        if not isinstance(query, exp.Select):
            refuse(query, "write SELECT ... FROM topic")
        return [query]
    if not isinstance(query, exp.Union) or query.args.get("distinct"):
        refuse(query, "rows of streams are not compared: write UNION ALL")
    for clause, instead in _ABSENT.items():
        if query.args.get(clause):
            refuse(query.args[clause], instead)
    return [*_parts(query.this), *_parts(query.expression)]


def _source(flow: "Flow", query: Any, others: Mapping[str, Any]) -> "Flow":
    """The stream that a part of a ``UNION ALL`` reads."""
    table = query.find(exp.From)
    name = table.this.name if table is not None and isinstance(table.this, exp.Table) else ""
    if name not in others:
        return flow
    found = flow_of(others[name], f"sql({name}=")
    table.this.set("this", exp.to_identifier(found.source.name, quoted=True))
    if not table.this.alias:
        table.this.set("alias", exp.TableAlias(this=exp.to_identifier(name)))
    return found


def _plan(flow: "Flow", query: Any, others: Mapping[str, Any]) -> "Flow":
    _check(query, flow.source.name)
    flow = joined(flow, query, others)
    if (where := query.args.get("where")) is not None:
        flow = flow.filter(expression(_without_aliases(where.this, query.selects, flow)))
    if query.args.get("group") is None and not any(one.find(exp.AggFunc) for one in query.selects):
        return _selected(flow, query)
    return _aggregated(flow, query)


def _parsed(text: str) -> Any:
    try:
        query = sqlglot.parse_one(text, dialect="duckdb")
    except sqlglot.errors.SqlglotError as exc:
        said = str(exc).splitlines()[0]
        raise DeclarationError(f"sql(): the query cannot be read: {said}") from None
    return query


def _check(query: Any, source: str) -> None:
    for clause, instead in _ABSENT.items():
        found = query.args.get(clause)
        if found:
            refuse(found[0] if isinstance(found, list) else found, instead)
    table = query.find(exp.From)
    if table is None or not isinstance(table.this, exp.Table) or table.this.name != source:
        raise DeclarationError(
            f"sql(): the query reads one stream, the one that it is written on: FROM "
            f"{source!r}, in double quotes if the name is no word"
        )
    for inner in (query.find(exp.Subquery), query.find(exp.Window)):
        if inner is not None:
            refuse(inner, "aggregate with GROUP BY, and go on behind .through('topic')")


def _selected(flow: "Flow", query: Any) -> "Flow":
    columns: list[Any] = []
    for one in query.selects:
        if isinstance(one, exp.Star):
            columns += [col(name) for name in flow.schema.names]
        else:
            columns.append(_named(one, expression(one.unalias())))
    if len(query.selects) == 1 and isinstance(query.selects[0], exp.Star):
        return flow
    return flow.select(*columns)


def _without_aliases(node: Any, selects: list[Any], flow: "Flow") -> Any:
    """Put what is selected in the place of its name, where no column of the stream has it."""
    chosen = {one.alias: one.unalias() for one in selects if one.alias}

    def replaced(one: Any) -> Any:
        is_name = isinstance(one, exp.Column) and one.name not in flow.schema.names
        return exp.paren(chosen[one.name].copy()) if is_name and one.name in chosen else one

    return node.copy().transform(replaced)


def _named(node: Any, made: Any) -> Any:
    name = node.alias_or_name
    if not name:
        raise DeclarationError(f"sql(): {node.sql('duckdb')} has no name: write ... AS name")
    return made if made.name == name else made.alias(name)


def _aggregated(flow: "Flow", query: Any) -> "Flow":
    keys: dict[str, Any] = {}
    names, window = {}, None
    group = query.args.get("group")
    for one in () if group is None else group.expressions:
        found = _window(one)
        if found is None:
            read, name = _key(one, query.selects, flow.schema.names, len(keys))
            made = expression(read)
            keys[name] = made if made.name == name else made.alias(name)
            names[read.sql()] = names[one.sql()] = name
        elif window is None:
            window = found
        else:
            refuse(one, "one query has one window")
    if group is not None and not group.expressions:
        refuse(group, "name the columns")
    values: dict[str, Any] = {}
    having = query.args.get("having")
    selects = [(one, _extracted(one, values, names)) for one in query.selects]
    condition = None if having is None else _extracted(having.this, values, names)
    if not values or any(isinstance(one, exp.Star) for one in query.selects):
        raise DeclarationError(
            "sql(): a query with groups names what is selected, and computes something: write "
            "SELECT user, count(*) AS n ... GROUP BY user"
        )
    flow = flow.group_by(*keys.values())
    flow = flow if window is None else flow.window(window)
    flow = flow.agg(**values)
    if condition is not None:
        flow = flow.filter(expression(condition))
    return flow.select(*[_named(one, expression(bare.unalias())) for one, bare in selects])


def _key(node: Any, selects: list[Any], columns: list[str], number: int) -> tuple[Any, str]:
    """What a member of GROUP BY reads, and its name: its column's, or that of a selected value."""
    if isinstance(node, exp.Column):
        chosen = [one for one in selects if one.alias == node.name]
        if node.name not in columns and chosen:
            return chosen[0].unalias(), node.name
        return node, node.name
    same = [one for one in selects if one.unalias().sql() == node.sql() and one.alias]
    return node, same[0].alias if same else f"key_{number}"


def _window(node: Any) -> Any:
    name = node.name.upper() if isinstance(node, exp.Anonymous) else ""
    make = _WINDOWS.get(name)
    if make is None:
        return None
    lengths = node.expressions
    if not all(isinstance(one, exp.Literal) and one.is_string for one in lengths):
        refuse(node, "write lengths as text: tumble('10s'), hop('10s', '2s'), session('10s')")
    try:
        return make(*[one.this for one in lengths])
    except TypeError:
        return refuse(node, "write tumble('10s'), hop('10s', '2s') or session('10s')")


def _extracted(node: Any, values: dict[str, Any], keys: dict[str, str]) -> Any:
    """Put columns in the place of aggregates, which are noted, and of the keys of groups."""

    def replaced(one: Any) -> Any:
        if one.sql() in keys and not isinstance(one, exp.Alias):
            return exp.column(keys[one.sql()])
        if not isinstance(one, exp.AggFunc | exp.Filter):
            return one
        if isinstance(one.parent, exp.Alias) and one.parent.alias not in values:
            name = one.parent.alias
        else:
            name = f"value_{len(values)}"
        values[name] = _aggregate(one)
        return exp.column(name)

    return node.copy().transform(replaced)


def _filtered(node: Any) -> Any:
    """``agg(x) FILTER (WHERE c)``: the aggregate of *x* where *c* is true, of null elsewhere."""
    inner, condition = node.this.copy(), node.expression.this
    whole = inner.find(exp.Star)
    is_distinct = isinstance(inner.this, exp.Distinct)
    if isinstance(inner, exp.ArgMax | exp.ArgMin):
        refuse(node, "write the condition into the second argument with CASE")
    value = exp.Literal.number(1) if whole else inner.this.expressions[0] if is_distinct else None
    case = exp.Case().when(condition.copy(), (value or inner.this).copy())
    inner.set("this", exp.Distinct(expressions=[case]) if is_distinct else case)
    return _aggregate(inner)


def _aggregate(node: Any) -> Any:
    if isinstance(node, exp.Filter):
        return _filtered(node)
    if isinstance(node, exp.Count):
        if isinstance(node.this, exp.Star):
            return aggregates.Count()
        if isinstance(node.this, exp.Distinct):
            return aggregates.CountDistinct(_read(node.this.expressions[0]))
        return aggregates.Count(_read(node.this))
    if isinstance(node, exp.ArgMax | exp.ArgMin):
        make = aggregates.ArgMax if isinstance(node, exp.ArgMax) else aggregates.ArgMin
        return make(_read(node.this), by=_read(node.expression))
    found = _AGGREGATES.get(type(node))
    if found is None:
        refuse(node, f"there are {_KNOWN}; others by .agg()")
    return found(_read(node.this))


def _read(node: Any) -> Any:
    return node.name if isinstance(node, exp.Column) else expression(node)
