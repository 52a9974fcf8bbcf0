"""Expressions of SQL, as sqlglot reads them, to expressions of `turbine.functions`."""

import functools
import operator
from collections.abc import Callable
from typing import Any, NoReturn

from sqlglot import exp

from turbine import functions as f
from turbine._sql_functions import FUNCTIONS
from turbine.exceptions import DeclarationError
from turbine.functions import Expr

__all__ = ["expression", "refuse"]

_UNARY: dict[type, Callable[[Any], Any]] = {
    exp.Not: lambda a: ~a,
    exp.Neg: lambda a: -a,
    exp.Abs: f.abs,
    exp.Lower: f.lower,
    exp.Upper: f.upper,
    exp.Length: f.length,
    exp.Floor: f.floor,
    exp.Ceil: f.ceil,
    exp.Sign: f.sign,
}
_TYPES = {
    exp.DataType.Type.BIGINT: "int64",
    exp.DataType.Type.INT: "int32",
    exp.DataType.Type.DOUBLE: "double",
    exp.DataType.Type.FLOAT: "float",
    exp.DataType.Type.TEXT: "string",
    exp.DataType.Type.VARCHAR: "string",
    exp.DataType.Type.BOOLEAN: "bool",
}


def refuse(node: Any, instead: str) -> NoReturn:
    """Say that *node* is not there, and what is."""
    raise DeclarationError(f"sql(): {node.sql('duckdb')} is not possible in a plan: {instead}")


def expression(node: Any) -> Expr:
    """
    Translate *node*.

    Raises:
        DeclarationError: Something of it is not there.
    """
    binary, unary = _BINARY.get(type(node)), _UNARY.get(type(node))
    if binary is not None:
        made: Expr = binary(expression(node.this), expression(node.expression))
        return made
    if unary is not None:
        if node.args.get("decimals") is not None:
            refuse(node, "it takes one number")
        one: Expr = unary(expression(node.this))
        return one
    return _special(node)


def _special(node: Any) -> Expr:
    function = FUNCTIONS.get(type(node))
    if function is not None:
        made = function(node, expression)
    else:
        made = _SPECIAL.get(type(node), _unknown)(node)
    return made if isinstance(made, Expr) else _unknown(node)


def _unknown(node: Any) -> NoReturn:
    refuse(
        node,
        "there are columns, constants, arithmetic, comparisons, AND, OR, NOT, IN, BETWEEN, "
        "IS NULL, LIKE, CASE, CAST, and the functions that the guide of SQL names; write the rest "
        "with turbine.functions",
    )


def _is(node: Any) -> Expr | None:
    return expression(node.this).is_null() if isinstance(node.expression, exp.Null) else None


def _in(node: Any) -> Expr | None:
    if not node.expressions:
        return None
    value = expression(node.this)
    equal = [value == expression(one) for one in node.expressions]
    return functools.reduce(operator.or_, equal)


def _between(node: Any) -> Expr:
    value, low, high = node.this, node.args["low"], node.args["high"]
    return (expression(value) >= expression(low)) & (expression(value) <= expression(high))


def _cast(node: Any) -> Expr | None:
    name = _TYPES.get(node.to.this)
    return None if name is None else f.cast(expression(node.this), name)


def _case(node: Any) -> Expr:
    subject = None if node.this is None else expression(node.this)
    pairs = [(expression(one.this), expression(one.args["true"])) for one in node.args["ifs"]]
    if subject is not None:
        pairs = [(subject == value, result) for value, result in pairs]
    first, *rest = pairs
    chain: Any = functools.reduce(
        lambda so_far, pair: so_far.when(pair[0]).then(pair[1]),
        rest,
        f.when(first[0]).then(first[1]),
    )
    default = node.args.get("default")
    made: Expr = chain if default is None else chain.otherwise(expression(default))
    return made


def _if(node: Any) -> Expr:
    chain = f.when(expression(node.this)).then(expression(node.args["true"]))
    default = node.args.get("false")
    made: Expr = chain if default is None else chain.otherwise(expression(default))
    return made


def _remainder(a: Expr, b: Expr) -> Expr:
    """The remainder of SQL, which has the sign of *a*; that of `Expr` has that of *b*."""
    rest = a % b
    return f.when((rest != 0) & ((a < 0) != (b < 0))).then(rest - b).otherwise(rest)


def _quotient(a: Expr, b: Expr) -> Expr:
    """The whole quotient of SQL, rounded to zero; that of `Expr` is rounded down."""
    return (a - _remainder(a, b)) // b


def _number(text: str) -> int | float:
    return int(text) if text.isdigit() else float(text)


_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    exp.Add: operator.add,
    exp.Sub: operator.sub,
    exp.Mul: operator.mul,
    exp.Div: operator.truediv,
    exp.IntDiv: _quotient,
    exp.Mod: _remainder,
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
    exp.And: operator.and_,
    exp.Or: operator.or_,
}
_SPECIAL: dict[type, Callable[[Any], Expr | None]] = {
    exp.Paren: lambda node: expression(node.this),
    exp.Column: lambda node: f.col(node.name),
    exp.Literal: lambda node: f.lit(node.this if node.is_string else _number(node.this)),
    exp.Boolean: lambda node: f.lit(node.this),
    exp.Null: lambda _: f.lit(None),
    exp.Is: _is,
    exp.In: _in,
    exp.Between: _between,
    exp.Coalesce: lambda node: f.coalesce(*map(expression, (node.this, *node.expressions))),
    exp.Case: _case,
    exp.If: _if,
    exp.Cast: _cast,
}
