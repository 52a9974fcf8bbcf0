"""Aggregates of a batch in memory; public in `turbine.aggregates`."""

import json
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import pyarrow as pa

from turbine import _native
from turbine._aggregate import as_specs
from turbine.exceptions import DeclarationError


class ArrowStream(Protocol):
    """Rows of another library, as a polars DataFrame."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Hand the rows out."""


Rows: TypeAlias = pa.RecordBatch | pa.Table | ArrowStream


def aggregate(
    rows: Rows,
    *,
    value: Any,
    key: str | Sequence[str] = (),
    time: str | None = None,
) -> pa.RecordBatch:
    """
    Compute aggregates of rows in memory, as a window would.

    Args:
        rows: A batch, a table, or anything else with an Arrow interface.
        value: An aggregate, several, a mapping of output names to aggregates, or `Multi`.
        key: Columns whose values tell groups apart; none: all rows are one group. Null is a group.
        time: Column with the event time, for `First` and `Last`; none: the order of the rows.

    Returns:
        One row each group, in the order in which the groups came: the keys, then the aggregates.

    Raises:
        DeclarationError: An aggregate cannot work with the columns there are.

    Example:
        >>> aggregate(orders, key="user", value={"n": Count(), "total": Sum("amount")}).to_pylist()
        [{'user': 'ada', 'n': 3, 'total': 60}, {'user': 'bob', 'n': 1, 'total': 5}]
    """
    keys = [key] if isinstance(key, str) else list(key)
    specs = as_specs(value)
    for spec in specs:
        if spec["output"] in keys:
            name = spec["output"]
            message = f"the aggregate {name!r} has the name of a key column: give it another one"
            raise DeclarationError(message)
    done: pa.RecordBatch = _native.aggregate(rows, keys, json.dumps(specs), time)
    return done
