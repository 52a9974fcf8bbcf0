"""The expression itself: a tree, and the operators that build it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeAlias

from turbine.exceptions import DeclarationError

__all__ = ["Expr", "IntoExpr", "call", "col", "lit", "type_name"]

IntoExpr: TypeAlias = Any
"""An `Expr`, or a constant: a number, text, boolean, bytes, None, date, datetime or timedelta."""

_SYMBOLS = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "divide": "/",
    "mod": "%",
    "floor_divide": "//",
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "and": "&",
    "or": "|",
}
_CHAINS = frozenset({"add", "mul", "and", "or"})
_PYTHON_TYPES = {int: "int64", float: "double", str: "string", bool: "bool", bytes: "binary"}
_INT64 = 1 << 63


class Expr:
    """
    A value for each row of a batch, computed in Rust from its columns.

    Made by `col`, `lit` and the functions of this module; immutable. The operators
    ``+ - * / // %``, comparisons and ``& | ~`` make new expressions and take constants, too.
    """

    __slots__ = ("__dict__", "_tree")
    # `==` makes an expression, so expressions can be no keys.
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self._tree = tree

    # -- as data -----------------------------------------------------------------------------

    def to_json(self) -> str:
        """Give the expression as JSON, for a configuration or another process."""
        return json.dumps(self._tree)

    @classmethod
    def from_json(cls, text: str) -> "Expr":
        """
        Make the expression that `to_json` wrote.

        Raises:
            DeclarationError: *text* is no expression.
        """
        try:
            tree = json.loads(text)
        except ValueError as exc:
            raise DeclarationError(f"the text is not the JSON of an expression: {exc}") from None
        expression = cls(tree)
        _ = expression._native
        return expression

    @property
    def tree(self) -> Mapping[str, Any]:
        """What `to_json` writes, as objects."""
        return self._tree

    @property
    def name(self) -> str | None:
        """Name given by `alias`, or that of a bare column."""
        return self._tree.get("alias") or self._tree.get("col")

    @property
    def columns(self) -> list[str]:
        """Columns that it reads, each once; ``a.b`` may be the field *b* of a column *a*."""
        found: list[str] = self._native.columns
        return found

    def __repr__(self) -> str:
        return _text(self._tree)

    @cached_property
    def _native(self) -> Any:
        from turbine._native import Expression

        return Expression(self.to_json())

    # -- on batches --------------------------------------------------------------------------

    def check(self, schema: Any) -> Any:
        """
        Give the `pyarrow.DataType` of its values on batches of *schema*.

        Raises:
            DeclarationError: It cannot work on those columns.
        """
        return self._native.check(schema)

    def evaluate(self, batch: Any, *, on_compute_error: str = "null") -> Any:
        """
        Compute its value for each row.

        Args:
            batch: `pyarrow.RecordBatch`, or anything with its Arrow interface, ``(n,)`` rows.
            on_compute_error: ``"null"``: a value that cannot be computed (an overflow, a division
                by zero, text that is no number) is null; ``"fail"``: it raises.

        Returns:
            A `pyarrow.Array`, ``(n,)``.

        Raises:
            DeclarationError: It cannot work on the columns of *batch*.
            ComputeError: A value cannot be computed, with ``"fail"``.
        """
        return self._native.evaluate(batch, _strict(on_compute_error))[0]

    # -- operators ---------------------------------------------------------------------------

    def __add__(self, other: IntoExpr) -> "Expr":
        return call("add", self, other)

    def __radd__(self, other: IntoExpr) -> "Expr":
        return call("add", other, self)

    def __sub__(self, other: IntoExpr) -> "Expr":
        return call("sub", self, other)

    def __rsub__(self, other: IntoExpr) -> "Expr":
        return call("sub", other, self)

    def __mul__(self, other: IntoExpr) -> "Expr":
        return call("mul", self, other)

    def __rmul__(self, other: IntoExpr) -> "Expr":
        return call("mul", other, self)

    def __truediv__(self, other: IntoExpr) -> "Expr":
        return call("divide", self, other)

    def __rtruediv__(self, other: IntoExpr) -> "Expr":
        return call("divide", other, self)

    def __floordiv__(self, other: IntoExpr) -> "Expr":
        return call("floor_divide", self, other)

    def __rfloordiv__(self, other: IntoExpr) -> "Expr":
        return call("floor_divide", other, self)

    def __mod__(self, other: IntoExpr) -> "Expr":
        return call("mod", self, other)

    def __rmod__(self, other: IntoExpr) -> "Expr":
        return call("mod", other, self)

    def __neg__(self) -> "Expr":
        return call("negate", self)

    def __abs__(self) -> "Expr":
        return call("abs", self)

    def __eq__(self, other: IntoExpr) -> "Expr":  # type: ignore[override]
        return call("eq", self, other)

    def __ne__(self, other: IntoExpr) -> "Expr":  # type: ignore[override]
        return call("ne", self, other)

    def __lt__(self, other: IntoExpr) -> "Expr":
        return call("lt", self, other)

    def __le__(self, other: IntoExpr) -> "Expr":
        return call("le", self, other)

    def __gt__(self, other: IntoExpr) -> "Expr":
        return call("gt", self, other)

    def __ge__(self, other: IntoExpr) -> "Expr":
        return call("ge", self, other)

    def __and__(self, other: IntoExpr) -> "Expr":
        return call("and", self, other)

    def __rand__(self, other: IntoExpr) -> "Expr":
        return call("and", other, self)

    def __or__(self, other: IntoExpr) -> "Expr":
        return call("or", self, other)

    def __ror__(self, other: IntoExpr) -> "Expr":
        return call("or", other, self)

    def __invert__(self) -> "Expr":
        return call("not", self)

    def __bool__(self) -> bool:
        raise DeclarationError(
            f"{self!r} has a value for each row, and none by itself: join conditions by & | ~ in "
            "parentheses instead of and, or, not; a < x < b is (a < x) & (x < b)"
        )

    # -- methods -----------------------------------------------------------------------------

    def alias(self, name: Any) -> "Expr":
        """Give the same value under a *name*."""
        if not isinstance(name, str) or not name:
            raise DeclarationError(f"alias({name!r}) is no name of a column: write text")
        return Expr({"alias": name, "of": self._tree})

    def cast(self, to: Any) -> "Expr":
        """Give the value as another type, as the function `cast` does."""
        return call("cast", self, to=type_name(to))

    def is_in(self, values: Iterable[Any]) -> "Expr":
        """
        Say whether the value is one of some constants; null is for null.

        Raises:
            DeclarationError: *values* is empty, text, or holds None (`is_null` asks for that).
        """
        if isinstance(values, str | bytes):
            raise DeclarationError(f"is_in({values!r}) is no list of values: write is_in([...])")
        choices = list(values)
        if not choices or any(value is None for value in choices):
            raise DeclarationError(
                f"is_in({choices!r}): name at least one value, and ask for null by is_null()"
            )
        return call("is_in", self, *choices)

    def is_null(self) -> "Expr":
        """Say whether the value is null."""
        return call("is_null", self)

    def is_not_null(self) -> "Expr":
        """Say whether the value is not null."""
        return call("is_not_null", self)


def col(name: Any) -> Expr:
    """
    Read a column.

    Args:
        name: Its name. ``"a.b"`` is the column of that name; if there is none, the field *b* of the
            struct column *a*, null where the struct is.
    """
    if not isinstance(name, str) or not name:
        raise DeclarationError(f"col({name!r}) is no name of a column: write text")
    return Expr({"col": name})


def lit(value: Any, dtype: Any = None) -> Expr:
    """
    Make a constant.

    Args:
        value: A number, text, a boolean, bytes, None, a date, datetime, timedelta or Decimal.
        dtype: Its type, as `cast` takes it; without one, that of *value*. A number without one
            takes the type of the column beside it, if it fits.

    Raises:
        DeclarationError: There is no such constant.
    """
    tree = _constant(value)
    if dtype is not None:
        tree = {**tree, "type": type_name(dtype)}
    return Expr(tree)


def call(function: str, *args: IntoExpr, **options: Any) -> Expr:
    """Apply a function of the core."""
    trees = [arg.tree if isinstance(arg, Expr) else _constant(arg) for arg in args]
    first = trees[0] if trees else {}
    if function in _CHAINS and first.get("call") == function:
        # a + b + c in one level: they are computed from left to right either way.
        trees = [*first["args"], *trees[1:]]
    tree: dict[str, Any] = {"call": function, "args": trees}
    given = {name: value for name, value in options.items() if value is not None}
    return Expr({**tree, "options": given} if given else tree)


def type_name(dtype: Any) -> str:
    """
    Name a type as the core does.

    Args:
        dtype: A `pyarrow.DataType`, ``int``, ``float``, ``str``, ``bool``, ``bytes``, or a name as
            ``"int64"`` or ``"timestamp[ms]"``.
    """
    if isinstance(dtype, str):
        return dtype
    known = _PYTHON_TYPES.get(dtype) if isinstance(dtype, type) else None
    if known is not None:
        return known
    if type(dtype).__module__.startswith("pyarrow"):
        return str(dtype).removesuffix("[day]")
    raise DeclarationError(
        f"{dtype!r} is not a type of a column: write a name as 'int64', int, float, str, bool, "
        "bytes, or a pyarrow type"
    )


def _strict(on_compute_error: str) -> bool:
    if on_compute_error not in {"null", "fail"}:
        raise DeclarationError(
            f"on_compute_error={on_compute_error!r} is not a policy: write 'null' or 'fail'"
        )
    return on_compute_error == "fail"


def _constant(value: Any) -> dict[str, Any]:
    if isinstance(value, date | timedelta | Decimal):
        return _typed_constant(value)
    if value is None or isinstance(value, bool | str):
        return {"lit": value}
    if isinstance(value, int) and -_INT64 <= value < 2 * _INT64:
        return {"lit": value}
    if isinstance(value, float):
        finite = value - value == 0
        return {"lit": value} if finite else {"lit": str(value), "type": "double"}
    if isinstance(value, bytes):
        return {"lit": value.hex(), "type": "binary"}
    raise _no_constant(value)


def _typed_constant(value: date | timedelta | Decimal) -> dict[str, Any]:
    match value:
        case datetime() if value.tzinfo is not None:
            text = value.astimezone(UTC).replace(tzinfo=None).isoformat()
            return {"lit": text + "Z", "type": "timestamp[us, tz=UTC]"}
        case datetime():
            return {"lit": value.isoformat(), "type": "timestamp[us]"}
        case date():
            return {"lit": value.isoformat(), "type": "date32"}
        case timedelta():
            return {"lit": value // timedelta(microseconds=1), "type": "duration[us]"}
        case _ if value.is_finite():
            digits, scale = _decimal(value)
            return {"lit": f"{value:f}", "type": f"decimal128({digits}, {scale})"}
        case _:
            raise _no_constant(value)


def _no_constant(value: Any) -> DeclarationError:
    return DeclarationError(
        f"{value!r} is not a constant of a column: write a number of at most 64 bits, text, a "
        "boolean, bytes, None, a date, datetime, timedelta or Decimal"
    )


def _decimal(value: Decimal) -> tuple[int, int]:
    _, digits, exponent = value.as_tuple()
    scale = max(-int(exponent), 0)
    precision = max(len(digits) + max(int(exponent), 0), scale, 1)
    if precision > 38:  # noqa: PLR2004 - what a 128-bit decimal holds
        raise DeclarationError(f"{value} has more than 38 digits: write it as a float or as text")
    return precision, scale


def _text(tree: Mapping[str, Any]) -> str:
    if "col" in tree:
        return f"col({tree['col']!r})"
    if "lit" in tree:
        return f"lit({tree['lit']!r}, {tree['type']!r})" if "type" in tree else repr(tree["lit"])
    if "alias" in tree:
        return f"{_text(tree['of'])}.alias({tree['alias']!r})"
    if "when" in tree:
        whens = ".".join(f"when({_text(c)}).then({_text(v)})" for c, v in tree["when"])
        rest = tree.get("otherwise")
        return f"{whens}.otherwise({_text(rest)})" if rest else whens
    return _call_text(tree["call"], [_text(arg) for arg in tree["args"]], tree.get("options", {}))


def _call_text(function: str, args: Sequence[str], options: Mapping[str, Any]) -> str:
    if function in _SYMBOLS:
        return f"({f' {_SYMBOLS[function]} '.join(args)})"
    if function == "not":
        return f"~{args[0]}"
    if function == "negate":
        return f"-{args[0]}"
    if function == "is_in":
        return f"{args[0]}.is_in([{', '.join(args[1:])}])"
    named = [f"{name}={value!r}" for name, value in options.items()]
    return f"{function}({', '.join([*args, *named])})"
