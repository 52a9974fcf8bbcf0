"""What every aggregate is: columns it reads, parameters, a name; and its form for the core."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Protocol, Self, TypeAlias, runtime_checkable

from turbine.exceptions import DeclarationError


@runtime_checkable
class Expression(Protocol):
    """What `turbine.functions` makes: a computation over the columns of a batch."""

    def to_json(self) -> Any:
        """Return the tree of the expression."""


Column: TypeAlias = str | Expression


@dataclass(frozen=True)
class Aggregate:
    """
    Base of all aggregates: what is computed of the rows of a window, for each key.

    Aggregates are values: `alias` makes a new one, nothing changes one.
    """

    function: ClassVar[str]
    """Name in the core."""
    reads: ClassVar[tuple[str, ...]] = ("column",)
    """Parameters that are columns or expressions."""

    output: str | None = field(default=None, init=False, repr=False)
    """Name of the output column, as `alias` has given it."""

    def __post_init__(self) -> None:
        for name in self.columns():
            _check_column(self, name)
        self.check()

    def check(self) -> None:
        """Refuse parameters that make no sense."""

    def columns(self) -> tuple[Column, ...]:
        """Return what it reads, in the order of its parameters."""
        read = (getattr(self, name) for name in self.reads)
        return tuple(column for column in read if column is not None)

    def options(self) -> dict[str, Any]:
        """Return its further parameters, as the core knows them."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        return {
            name: value
            for name, value in given.items()
            if name not in self.reads and value is not None
        }

    def alias(self, name: str) -> Self:
        """
        Name the output column.

        Args:
            name: The name.

        Returns:
            The same aggregate under that name.

        Raises:
            DeclarationError: It is no name.
        """
        if not _is_name(name):
            raise DeclarationError(f"{self!r}: alias={name!r} is no name of a column; give it one")
        named = replace(self)
        object.__setattr__(named, "output", name)
        return named

    def specs(self, default_name: str | None = None) -> list[dict[str, Any]]:
        """
        Write the aggregate for the core.

        Args:
            default_name: Name of the output column if `alias` gave none; none: made of the function
                and its columns, as ``sum_amount``.

        Returns:
            One mapping each output column.

        Raises:
            DeclarationError: There is no name.
        """
        return [
            {
                "output": self._name(default_name),
                "function": self.function,
                "inputs": [_input(column) for column in self.columns()],
                "options": self.options(),
            }
        ]

    def _name(self, default_name: str | None) -> str:
        if self.output is not None:
            return self.output
        return default_name if default_name is not None else self._made_name()

    def _made_name(self) -> str:
        read = self.columns()
        if any(not isinstance(column, str) for column in read):
            message = (
                f"{self!r} reads an expression, so its column needs a name: "
                "write .alias('name') behind it, or give a mapping of names to aggregates"
            )
            raise DeclarationError(message)
        return "_".join([self.function, *map(str, read)])

    def refuse(self, what: str) -> DeclarationError:
        """
        Make the error for a parameter.

        Args:
            what: What is wrong, and what to write instead.

        Returns:
            The error, to raise.
        """
        return DeclarationError(f"{self!r}: {what}")


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name != ""


def _check_column(of: Aggregate, name: object) -> None:
    if not isinstance(name, Expression) and not _is_name(name):
        raise of.refuse(f"{name!r} is no column: give its name, or an expression as col('a') * 2")


def _input(read: Column) -> dict[str, Any]:
    if isinstance(read, str):
        return {"column": read}
    tree = read.to_json()
    return {"expression": json.loads(tree) if isinstance(tree, str | bytes) else tree}


def is_number(value: object) -> bool:
    """Say whether *value* is a finite number."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]


def is_count(value: object) -> bool:
    """Say whether *value* is a whole number of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


class Multi:
    """
    Several aggregates at once, each under the name of its keyword.

    Raises:
        DeclarationError: None was given, or something else than an aggregate.

    Example:
        >>> from turbine import aggregates as agg
        >>> both = agg.Multi(n=agg.Count(), total=agg.Sum("amount"))
        >>> [spec["output"] for spec in both.specs()]
        ['n', 'total']
    """

    def __init__(self, **named: Aggregate) -> None:
        self.named: Mapping[str, Aggregate] = dict(named)
        self.specs()

    def __repr__(self) -> str:
        return f"Multi({', '.join(f'{name}={value!r}' for name, value in self.named.items())})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Multi) and self.named == other.named

    def __hash__(self) -> int:
        return hash(tuple(self.named.items()))

    def specs(self) -> list[dict[str, Any]]:
        """
        Write the aggregates for the core.

        Returns:
            One mapping each output column.

        Raises:
            DeclarationError: There is none, or something else than an aggregate.
        """
        return as_specs(self.named)


def as_specs(value: Any) -> list[dict[str, Any]]:
    """
    Write what a window computes for the core.

    Args:
        value: An aggregate, several, a mapping of output names to aggregates, or `Multi`.

    Returns:
        One mapping each output column.

    Raises:
        DeclarationError: It is none of these, empty, or two columns have one name.
    """
    specs = [spec for name, one in _named(value) for spec in one.specs(name)]
    if not specs:
        raise DeclarationError("no aggregate is given: write for example value=aggregates.Count()")
    names = [spec["output"] for spec in specs]
    for name in names:
        if names.count(name) > 1:
            hint = "name them, as {'a': ..., 'b': ...}"
            raise DeclarationError(f"two aggregates have the output column {name!r}: {hint}")
    return specs


def _named(value: Any) -> Iterator[tuple[str | None, Aggregate]]:
    if isinstance(value, Multi):
        value = value.named
    if isinstance(value, Mapping):
        pairs: list[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        pairs = [(None, one) for one in value]
    else:
        pairs = [(None, value)]
    for name, one in pairs:
        if name is not None and not _is_name(name):
            raise DeclarationError(f"{name!r} is no name of an output column: write text")
        if not isinstance(one, Aggregate):
            called = one.__name__ if isinstance(one, type) else repr(one)
            hint = f"write {called}(...)" if isinstance(one, type) else "write aggregates.Sum('a')"
            raise DeclarationError(f"{called} is no aggregate: {hint}")
        if name is not None and one.output not in (None, name):
            message = f"{one!r} is called {name!r} and .alias({one.output!r}): choose one name"
            raise DeclarationError(message)
        yield name, one
