"""
What windows compute of their rows: counts, sums, moments, chosen values, collections, sketches.

An aggregate reads a column, by its name or as an expression of `turbine.functions`, and makes one
column of the result, called as `.alias(name)` says. Values keep their types: integers and decimals
are exact, keys and collected values are what they were. The same aggregates work on a batch in
memory: see `aggregate`.

Rows in which a column that an aggregate reads is null are skipped. Without any value the result is
null; counts are 0. Sums and moments are NaN if a value is; what compares or estimates skips NaN;
what collects or counts values takes all NaN as one value, and -0.0 as 0.0.
"""

from dataclasses import dataclass
from typing import ClassVar

from turbine._aggregate import (
    Aggregate,
    Column,
    Expression,
    Multi,
    as_specs,
)
from turbine._aggregate_batch import aggregate
from turbine._aggregate_collections import (
    ApproxCountDistinct,
    CollectList,
    CollectSet,
    CountDistinct,
    Histogram,
    Largest,
    Mode,
    Smallest,
    TopK,
)
from turbine._aggregate_custom import Custom
from turbine._aggregate_quantiles import Median, Quantile, Quantiles

__all__ = [
    "Aggregate",
    "AllTrue",
    "AnyTrue",
    "ApproxCountDistinct",
    "ArgMax",
    "ArgMin",
    "CollectList",
    "CollectSet",
    "Column",
    "Correlation",
    "Count",
    "CountDistinct",
    "Covariance",
    "Custom",
    "Expression",
    "First",
    "Histogram",
    "Largest",
    "Last",
    "Max",
    "Mean",
    "Median",
    "Min",
    "Mode",
    "Multi",
    "Quantile",
    "Quantiles",
    "Smallest",
    "StdDev",
    "Sum",
    "TDigestMedian",
    "TDigestQuantile",
    "TDigestQuantiles",
    "TopK",
    "Variance",
    "aggregate",
    "as_specs",
]


# -- numbers ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Count(Aggregate):
    """
    Number of rows; of a column the number of its values that are not null.

    Args:
        column: What is counted; none: rows.

    Example:
        >>> aggregate(orders, key="user", value=Count()).to_pylist()
        [{'user': 'ada', 'count': 3}, {'user': 'bob', 'count': 1}]
    """

    function: ClassVar[str] = "count"
    column: Column | None = None


@dataclass(frozen=True)
class Sum(Aggregate):
    """
    Sum of numbers, without rounding on the way.

    Integers give `int64` or `uint64`, decimals the widest decimal with their places; a sum that
    does not fit is an error that says so. Floats are added exactly and rounded once, so their order
    and the division into batches do not matter. NaN makes it NaN.

    Args:
        column: Integers, floats or decimals.

    Example:
        >>> aggregate(orders, key="user", value=Sum("amount")).to_pylist()
        [{'user': 'ada', 'sum_amount': 60}, {'user': 'bob', 'sum_amount': 5}]
    """

    function: ClassVar[str] = "sum"
    column: Column


@dataclass(frozen=True)
class Mean(Aggregate):
    """
    Arithmetic mean: the exact sum, divided once.

    A `float64`; of decimals a decimal with four more places than they have, the last rounded half
    to even.

    Args:
        column: Integers, floats or decimals.

    Example:
        >>> aggregate(orders, key="user", value=Mean("amount")).to_pylist()
        [{'user': 'ada', 'mean_amount': 20.0}, {'user': 'bob', 'mean_amount': 5.0}]
    """

    function: ClassVar[str] = "mean"
    column: Column


@dataclass(frozen=True)
class Min(Aggregate):
    """
    Least value, in the type of the column.

    Numbers, decimals, times, booleans, strings (by their UTF-8 bytes), lists and structs have an
    order. NaN counts only where there is nothing else.

    Args:
        column: Values with an order.

    Example:
        >>> aggregate(orders, key="user", value=Min("item")).to_pylist()
        [{'user': 'ada', 'min_item': 'ink'}, {'user': 'bob', 'min_item': 'pen'}]
    """

    function: ClassVar[str] = "min"
    column: Column


@dataclass(frozen=True)
class Max(Aggregate):
    """
    Greatest value, in the type of the column; as `Min`.

    Args:
        column: Values with an order.

    Example:
        >>> aggregate(orders, key="user", value=Max("amount")).to_pylist()
        [{'user': 'ada', 'max_amount': 30}, {'user': 'bob', 'max_amount': 5}]
    """

    function: ClassVar[str] = "max"
    column: Column


# -- moments ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variance(Aggregate):
    """
    Mean of the squared differences from the mean.

    Exact for integers and for decimals of up to 27 digits, and there windows that move can take
    rows out; floats follow Welford's method. Null with `ddof` rows or fewer.

    Args:
        column: Numbers.
        ddof: Subtracted from the number of rows before the division: 0 for the variance of these
            rows, 1 for the estimate of that of the population.

    Example:
        >>> aggregate(orders, key="user", value=Variance("amount", ddof=1)).to_pylist()
        [{'user': 'ada', 'variance_amount': 100.0}, {'user': 'bob', 'variance_amount': None}]
    """

    function: ClassVar[str] = "variance"
    column: Column
    ddof: int = 0

    def check(self) -> None:
        """Refuse a negative ``ddof``."""
        _check_ddof(self, self.ddof)


@dataclass(frozen=True)
class StdDev(Aggregate):
    """
    Square root of the `Variance`.

    Args:
        column: Numbers.
        ddof: As for `Variance`.

    Example:
        >>> aggregate(orders, key="user", value=StdDev("amount", ddof=1)).to_pylist()
        [{'user': 'ada', 'std_dev_amount': 10.0}, {'user': 'bob', 'std_dev_amount': None}]
    """

    function: ClassVar[str] = "std_dev"
    column: Column
    ddof: int = 0

    def check(self) -> None:
        """Refuse a negative ``ddof``."""
        _check_ddof(self, self.ddof)


@dataclass(frozen=True)
class Covariance(Aggregate):
    """
    Mean of the products of two columns' differences from their means.

    Args:
        x: Numbers.
        y: Numbers.
        ddof: As for `Variance`.

    Example:
        >>> aggregate(orders, value=Covariance("amount", "pieces")).to_pylist()
        [{'covariance_amount_pieces': 7.8125}]
    """

    function: ClassVar[str] = "covariance"
    reads: ClassVar[tuple[str, ...]] = ("x", "y")
    x: Column
    y: Column
    ddof: int = 0

    def check(self) -> None:
        """Refuse a negative ``ddof``."""
        _check_ddof(self, self.ddof)


@dataclass(frozen=True)
class Correlation(Aggregate):
    """
    Pearson's correlation of two columns, from -1 to 1; null if one of them is constant.

    Args:
        x: Numbers.
        y: Numbers.

    Example:
        >>> aggregate(orders, value=Correlation("amount", "amount")).to_pylist()
        [{'correlation_amount_amount': 1.0}]
    """

    function: ClassVar[str] = "correlation"
    reads: ClassVar[tuple[str, ...]] = ("x", "y")
    x: Column
    y: Column


def _check_ddof(of: Aggregate, ddof: object) -> None:
    if isinstance(ddof, bool) or not isinstance(ddof, int) or ddof < 0:
        raise of.refuse("ddof must be a whole number of at least 0")


# -- booleans --------------------------------------------------------------------------------


@dataclass(frozen=True)
class AnyTrue(Aggregate):
    """
    True if one of the values is.

    Args:
        column: Booleans.

    Example:
        >>> aggregate(orders, key="user", value=AnyTrue("paid")).to_pylist()
        [{'user': 'ada', 'any_true_paid': True}, {'user': 'bob', 'any_true_paid': False}]
    """

    function: ClassVar[str] = "any_true"
    column: Column


@dataclass(frozen=True)
class AllTrue(Aggregate):
    """
    True if all values are.

    Args:
        column: Booleans.

    Example:
        >>> aggregate(orders, key="user", value=AllTrue("paid")).to_pylist()
        [{'user': 'ada', 'all_true_paid': False}, {'user': 'bob', 'all_true_paid': False}]
    """

    function: ClassVar[str] = "all_true"
    column: Column


# -- chosen values ---------------------------------------------------------------------------


@dataclass(frozen=True)
class First(Aggregate):
    """
    Value of the earliest row; of rows of one time that of the first.

    Args:
        column: Values of any type.
        by: What makes a row early; none: its event time.

    Example:
        >>> aggregate(orders, key="user", value=First("item")).to_pylist()
        [{'user': 'ada', 'first_item': 'pen'}, {'user': 'bob', 'first_item': 'pen'}]
    """

    function: ClassVar[str] = "first"
    reads: ClassVar[tuple[str, ...]] = ("column", "by")
    column: Column
    by: Column | None = None


@dataclass(frozen=True)
class Last(Aggregate):
    """
    Value of the latest row; of rows of one time that of the last.

    Args:
        column: Values of any type.
        by: What makes a row late; none: its event time.

    Example:
        >>> aggregate(orders, key="user", value=Last("item")).to_pylist()
        [{'user': 'ada', 'last_item': 'pen'}, {'user': 'bob', 'last_item': 'pen'}]
    """

    function: ClassVar[str] = "last"
    reads: ClassVar[tuple[str, ...]] = ("column", "by")
    column: Column
    by: Column | None = None


@dataclass(frozen=True)
class ArgMin(Aggregate):
    """
    Value of the row in which another column is least, NaN aside; of several the first.

    Args:
        column: Values of any type.
        by: Values with an order.

    Example:
        >>> aggregate(orders, value=ArgMin("user", by="amount").alias("least")).to_pylist()
        [{'least': 'bob'}]
    """

    function: ClassVar[str] = "arg_min"
    reads: ClassVar[tuple[str, ...]] = ("column", "by")
    column: Column
    by: Column


@dataclass(frozen=True)
class ArgMax(Aggregate):
    """
    Value of the row in which another column is greatest, NaN aside; of several the first.

    Args:
        column: Values of any type.
        by: Values with an order.

    Example:
        >>> aggregate(orders, value=ArgMax("user", by="amount").alias("best")).to_pylist()
        [{'best': 'ada'}]
    """

    function: ClassVar[str] = "arg_max"
    reads: ClassVar[tuple[str, ...]] = ("column", "by")
    column: Column
    by: Column


TDigestMedian = Median
TDigestQuantile = Quantile
TDigestQuantiles = Quantiles
