"""
Expressions over the columns of a batch, computed in Rust.

`col` reads a column and `lit` is a constant; operators ``+ - * / // %``, comparisons and ``& | ~``
join them, and so do the functions here. An expression has the methods ``alias``, ``cast``,
``is_in``, ``is_null``, ``evaluate(batch)`` and ``check(schema)``, and survives as JSON:
``to_json``, ``Expr.from_json``. `select`, `with_columns`, `filter` and `explode` take them on
batches; branches of subscriptions and aggregates of windows take them, too.

* Null in, null out, unless a function says otherwise. ``False & null`` is False and ``True | null``
  is True.

* Integers of two types meet in the wider one, signed beside unsigned in int64; an integer beside a
  float is a float64. A constant takes the type of the column beside it, if it fits.

* ``/`` gives float64 and ``//`` and ``%`` round down, as Python's do; decimals stay exact.

* A result that leaves its integer type, a division by zero and a failing cast cannot be computed:
  the value is null, or `ComputeError` is raised, as ``on_compute_error`` says. Other rows never
  change by that.

* Floats compare as IEEE 754 says: NaN equals nothing, ``-0.0 == 0.0``.

* Both sides of ``&`` and ``|`` are computed for every row; `when` guards what is behind it.

* A time is a timestamp, a date (its midnight) or an integer, ms since the Unix epoch; one without a
  zone is UTC. Rules of time zones are known up to the year 2100.
"""

from turbine.functions._batches import explode, filter, select, with_columns  # noqa: A004 - the names that everybody looks for
from turbine.functions._expr import Expr, col, lit
from turbine.functions._text import (
    concat,
    contains,
    ends_with,
    length,
    lower,
    regex_extract,
    regex_match,
    regex_replace,
    replace,
    split,
    starts_with,
    substr,
    trim,
    upper,
)
from turbine.functions._times import (
    date_add,
    date_diff,
    date_trunc,
    day,
    day_of_year,
    epoch_ms,
    format_ts,
    hour,
    minute,
    month,
    parse_ts,
    parse_ts_or_null,
    quarter,
    second,
    week,
    weekday,
    year,
)
from turbine.functions._values import (
    abs,  # noqa: A004 - the names that everybody looks for
    cast,
    cast_or_default,
    cast_or_null,
    ceil,
    clip,
    coalesce,
    divide,
    divide_or_null,
    divide_or_zero,
    exp,
    floor,
    hash64,
    if_null,
    is_finite,
    is_nan,
    is_not_null,
    is_null,
    ln,
    log10,
    max2,
    md5,
    min2,
    murmur2,
    round,  # noqa: A004 - the names that everybody looks for
    sha256,
    sign,
    sqrt,
    when,
)

__all__ = [
    "Expr",
    "abs",
    "cast",
    "cast_or_default",
    "cast_or_null",
    "ceil",
    "clip",
    "coalesce",
    "col",
    "concat",
    "contains",
    "date_add",
    "date_diff",
    "date_trunc",
    "day",
    "day_of_year",
    "divide",
    "divide_or_null",
    "divide_or_zero",
    "ends_with",
    "epoch_ms",
    "exp",
    "explode",
    "filter",
    "floor",
    "format_ts",
    "hash64",
    "hour",
    "if_null",
    "is_finite",
    "is_nan",
    "is_not_null",
    "is_null",
    "length",
    "lit",
    "ln",
    "log10",
    "lower",
    "max2",
    "md5",
    "min2",
    "minute",
    "month",
    "murmur2",
    "parse_ts",
    "parse_ts_or_null",
    "quarter",
    "regex_extract",
    "regex_match",
    "regex_replace",
    "replace",
    "round",
    "second",
    "select",
    "sha256",
    "sign",
    "split",
    "sqrt",
    "starts_with",
    "substr",
    "trim",
    "upper",
    "week",
    "weekday",
    "when",
    "with_columns",
    "year",
]
