"""Aggregates that keep values, or sketches of sets of them; public in `turbine.aggregates`."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from turbine._aggregate import Aggregate, Column, is_count, is_number

PRECISIONS = range(4, 22)


@dataclass(frozen=True)
class CountDistinct(Aggregate):
    """
    Number of different values, exactly; all NaN are one value, and -0.0 is 0.0.

    The memory grows with the number of values: for many of them see `ApproxCountDistinct`.

    Args:
        column: Values of any type.

    Example:
        >>> aggregate(orders, key="user", value=CountDistinct("item")).to_pylist()
        [{'user': 'ada', 'count_distinct_item': 2}, {'user': 'bob', 'count_distinct_item': 1}]
    """

    function: ClassVar[str] = "count_distinct"
    column: Column


@dataclass(frozen=True)
class ApproxCountDistinct(Aggregate):
    """
    Number of different values, estimated by HyperLogLog in at most ``2 ** precision`` bytes.

    The estimate depends on the set of values alone. Its relative standard error is about
    ``1.04 / 2 ** (precision / 2)``: 1.6 % with 12, 0.4 % with 16.

    Args:
        column: Values of any type.
        precision: From 4 to 21.

    Example:
        >>> aggregate(orders, value=ApproxCountDistinct("user").alias("users")).to_pylist()
        [{'users': 2}]
    """

    function: ClassVar[str] = "approx_count_distinct"
    column: Column
    precision: int = 12

    def check(self) -> None:
        """Refuse a precision that no sketch has."""
        if isinstance(self.precision, bool) or self.precision not in PRECISIONS:
            raise self.refuse("precision must be a whole number from 4 to 21")


@dataclass(frozen=True)
class Mode(Aggregate):
    """
    Most frequent value; of equally frequent ones the least.

    Args:
        column: Values of any type with an order.

    Example:
        >>> aggregate(orders, key="user", value=Mode("item")).to_pylist()
        [{'user': 'ada', 'mode_item': 'pen'}, {'user': 'bob', 'mode_item': 'pen'}]
    """

    function: ClassVar[str] = "mode"
    column: Column


@dataclass(frozen=True)
class TopK(Aggregate):
    """
    Most frequent values with their numbers, exactly: a list of structs ``value``, ``count``.

    Ordered by number, then by value. The memory grows with the number of different values. For the
    greatest values see `Largest`.

    Args:
        column: Values of any type with an order.
        k: How many.

    Example:
        >>> aggregate(orders, value=TopK("item", 1).alias("top")).to_pylist()
        [{'top': [{'value': 'pen', 'count': 3}]}]
    """

    function: ClassVar[str] = "top_k"
    column: Column
    k: int = 10

    def check(self) -> None:
        """Refuse a ``k`` below 1."""
        _check_count(self, "k", self.k)


@dataclass(frozen=True)
class Largest(Aggregate):
    """
    The greatest values in descending order, repeated ones as often as they came; NaN is skipped.

    Args:
        column: Values with an order.
        k: How many.

    Example:
        >>> aggregate(orders, value=Largest("amount", 2).alias("best")).to_pylist()
        [{'best': [30, 20]}]
    """

    function: ClassVar[str] = "largest"
    column: Column
    k: int = 10

    def check(self) -> None:
        """Refuse a ``k`` below 1."""
        _check_count(self, "k", self.k)


@dataclass(frozen=True)
class Smallest(Aggregate):
    """
    The least values in ascending order, repeated ones as often as they came; NaN is skipped.

    Args:
        column: Values with an order.
        k: How many.

    Example:
        >>> aggregate(orders, value=Smallest("amount", 2).alias("least")).to_pylist()
        [{'least': [5, 10]}]
    """

    function: ClassVar[str] = "smallest"
    column: Column
    k: int = 10

    def check(self) -> None:
        """Refuse a ``k`` below 1."""
        _check_count(self, "k", self.k)


@dataclass(frozen=True)
class CollectList(Aggregate):
    """
    The values in the order of their rows.

    Args:
        column: Values of any type.
        limit: Keep only the first so many; none: more than 10,000 are an error that says so.

    Example:
        >>> aggregate(orders, key="user", value=CollectList("item")).to_pylist()
        [{'user': 'ada', 'collect_list_item': ['pen', 'ink', 'pen']}, {'user': 'bob', 'collect_list_item': ['pen']}]
    """  # noqa: E501

    function: ClassVar[str] = "collect_list"
    column: Column
    limit: int | None = None

    def check(self) -> None:
        """Refuse a limit below 1."""
        _check_count(self, "limit", self.limit if self.limit is not None else 1)


@dataclass(frozen=True)
class CollectSet(Aggregate):
    """
    The different values in ascending order.

    Args:
        column: Values of any type with an order.
        limit: Keep only the least so many; none: more than 10,000 are an error that says so.

    Example:
        >>> aggregate(orders, value=CollectSet("item").alias("items")).to_pylist()
        [{'items': ['ink', 'pen']}]
    """

    function: ClassVar[str] = "collect_set"
    column: Column
    limit: int | None = None

    def check(self) -> None:
        """Refuse a limit below 1."""
        _check_count(self, "limit", self.limit if self.limit is not None else 1)


@dataclass(frozen=True)
class Histogram(Aggregate):
    """
    How many values are between given edges: a list with one number more than there are edges.

    The first counts the values below the first edge, the last those from the last edge on; each of
    the others includes its lower edge. NaN is skipped, so nothing else is lost. Without values all
    are 0.

    Args:
        column: Numbers, as `float64`.
        edges: Finite numbers in ascending order.

    Example:
        >>> aggregate(orders, value=Histogram("amount", [10, 20]).alias("spread")).to_pylist()
        [{'spread': [1, 1, 2]}]
    """

    function: ClassVar[str] = "histogram"
    column: Column
    edges: Sequence[float] = ()

    def check(self) -> None:
        """Refuse edges that are not ascending."""
        edges = () if isinstance(self.edges, str | bytes) else tuple(self.edges)
        rising = all(low < high for low, high in pairwise(edges))
        if not edges or not all(is_number(edge) for edge in edges) or not rising:
            raise self.refuse("edges must be finite numbers in ascending order, at least one")
        object.__setattr__(self, "edges", edges)


def _check_count(of: Aggregate, name: str, value: object) -> None:
    if not is_count(value):
        raise of.refuse(f"{name} must be a whole number of at least 1")
