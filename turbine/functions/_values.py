"""Functions of numbers, of nulls, and choices."""

from typing import Any

from turbine.exceptions import DeclarationError
from turbine.functions._expr import Expr, IntoExpr, call, type_name

__all__ = [
    "When",
    "abs",
    "cast",
    "cast_or_default",
    "cast_or_null",
    "ceil",
    "clip",
    "coalesce",
    "divide",
    "divide_or_null",
    "divide_or_zero",
    "exp",
    "floor",
    "hash64",
    "if_null",
    "is_finite",
    "is_nan",
    "is_not_null",
    "is_null",
    "ln",
    "log10",
    "max2",
    "md5",
    "min2",
    "murmur2",
    "round",
    "sha256",
    "sign",
    "sqrt",
    "when",
]


class When(Expr):
    """A choice in the making: ``when(a).then(x)``; null without `otherwise`."""

    def when(self, condition: Expr) -> "_Condition":
        """Add another condition, for rows that no earlier one took."""
        return _Condition(list(self._tree["when"]), condition)

    def otherwise(self, value: IntoExpr) -> Expr:
        """Give the rows that no condition took a *value*."""
        return Expr({**self._tree, "otherwise": _tree(value)})


class _Condition:
    """What waits for its `then`."""

    def __init__(self, before: list[Any], condition: Any) -> None:
        if not isinstance(condition, Expr):
            raise DeclarationError(f"when({condition!r}) is no condition: write when(col('a') > 0)")
        self._before = before
        self._condition = condition

    def then(self, value: IntoExpr) -> When:
        """Give the rows for which the condition is true a *value*."""
        return When({"when": [*self._before, [self._condition.tree, _tree(value)]]})

    def __repr__(self) -> str:
        return f"when({self._condition!r})"


def _tree(value: IntoExpr) -> Any:
    from turbine.functions._expr import lit

    return (value if isinstance(value, Expr) else lit(value)).tree


def when(condition: Expr) -> _Condition:
    """
    Choose by conditions: ``when(a > 0).then(x).when(b).then(y).otherwise(z)``.

    The first condition that is true decides; null is false. A value is computed only for the rows
    that get it, so ``when(b != 0).then(a / b)`` never divides by zero.
    """
    return _Condition([], condition)


def coalesce(*values: IntoExpr) -> Expr:
    """Give the first of *values* that is not null."""
    return call("coalesce", *values)


def if_null(value: IntoExpr, other: IntoExpr) -> Expr:
    """Give *other* where *value* is null."""
    return call("coalesce", value, other)


def is_null(value: IntoExpr) -> Expr:
    """Say whether *value* is null; NaN is not."""
    return call("is_null", value)


def is_not_null(value: IntoExpr) -> Expr:
    """Say whether *value* is not null."""
    return call("is_not_null", value)


def is_nan(value: IntoExpr) -> Expr:
    """Say whether a number is NaN; null for null."""
    return call("is_nan", value)


def is_finite(value: IntoExpr) -> Expr:
    """Say whether a number is neither NaN nor infinite; null for null."""
    return call("is_finite", value)


def abs(value: IntoExpr) -> Expr:  # noqa: A001 - the name that everybody looks for
    """Drop the sign; the smallest integer of a type cannot be computed."""
    return call("abs", value)


def round(value: IntoExpr, digits: int = 0) -> Expr:  # noqa: A001 - the name that everybody looks for
    """Round to *digits* behind the point, halves to the even neighbour; integers stay integers."""
    return call("round", value, digits=digits)


def floor(value: IntoExpr) -> Expr:
    """Round down; integers stay integers, other numbers give float64."""
    return call("floor", value)


def ceil(value: IntoExpr) -> Expr:
    """Round up; integers stay integers, other numbers give float64."""
    return call("ceil", value)


def sign(value: IntoExpr) -> Expr:
    """Give -1, 0 or 1, in the type that `floor` gives; NaN for NaN."""
    return call("sign", value)


def sqrt(value: IntoExpr) -> Expr:
    """Take the square root, float64; NaN for negative numbers."""
    return call("sqrt", value)


def exp(value: IntoExpr) -> Expr:
    """Raise e to the power of *value*, float64."""
    return call("exp", value)


def ln(value: IntoExpr) -> Expr:
    """Take the natural logarithm, float64; -inf for 0, NaN below."""
    return call("ln", value)


def log10(value: IntoExpr) -> Expr:
    """Take the decimal logarithm, float64; -inf for 0, NaN below."""
    return call("log10", value)


def min2(left: IntoExpr, right: IntoExpr) -> Expr:
    """Give the smaller of two values; null or NaN only if both are."""
    return call("min2", left, right)


def max2(left: IntoExpr, right: IntoExpr) -> Expr:
    """Give the larger of two values; null or NaN only if both are."""
    return call("max2", left, right)


def clip(value: IntoExpr, low: IntoExpr, high: IntoExpr) -> Expr:
    """Give *value*, or the bound that it is beyond; null and NaN stay."""
    return call("clip", value, low, high)


def divide(left: IntoExpr, right: IntoExpr) -> Expr:
    """
    Divide, as ``left / right``: float64, but decimals stay decimals.

    A division by zero, also of floats, cannot be computed.
    """
    return call("divide", left, right)


def divide_or_null(left: IntoExpr, right: IntoExpr) -> Expr:
    """Divide into float64; null, and not counted, where *right* is zero."""
    return call("divide_or_null", left, right)


def divide_or_zero(left: IntoExpr, right: IntoExpr) -> Expr:
    """Divide into float64; 0.0 where *right* is zero."""
    return call("divide_or_zero", left, right)


def cast(value: IntoExpr, to: Any) -> Expr:
    """
    Give *value* as another type; what has no counterpart there cannot be computed.

    Args:
        value: What to cast. A float loses its fraction on the way to an integer.
        to: A name as ``"int64"`` or ``"timestamp[ms, tz=UTC]"``, a `pyarrow.DataType`, or ``int``,
            ``float``, ``str``, ``bool``, ``bytes``.
    """
    return call("cast", value, to=type_name(to))


def cast_or_null(value: IntoExpr, to: Any) -> Expr:
    """Cast; null, and not counted, where there is no counterpart."""
    return call("cast_or_null", value, to=type_name(to))


def cast_or_default(value: IntoExpr, to: Any, default: IntoExpr) -> Expr:
    """Cast; *default* where there is no counterpart, and for null."""
    return call("cast_or_default", value, default, to=type_name(to))


def hash64(value: IntoExpr) -> Expr:
    """
    Hash with xxHash64, seed 0, into uint64.

    Hashes take bytes as they are and anything else as its text in UTF-8; null stays null.
    """
    return call("hash64", value)


def murmur2(value: IntoExpr) -> Expr:
    """Hash as Kafka's partitioner does, int32, sign bit cleared: modulo partitions its choice."""
    return call("murmur2", value)


def md5(value: IntoExpr) -> Expr:
    """Hash with MD5, as hexadecimal text."""
    return call("md5", value)


def sha256(value: IntoExpr) -> Expr:
    """Hash with SHA-256, as hexadecimal text."""
    return call("sha256", value)
