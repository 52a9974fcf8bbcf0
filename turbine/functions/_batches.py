"""What expressions do to whole batches."""

from functools import partial
from typing import Any

from turbine.exceptions import DeclarationError
from turbine.functions._expr import Expr, IntoExpr, _strict, lit

__all__ = ["explode", "filter", "select", "with_columns"]


def select(batch: Any, *exprs: Expr, on_compute_error: str = "null", **named: IntoExpr) -> Any:
    """
    Make a batch of the values of expressions.

    Args:
        batch: `pyarrow.RecordBatch`, ``n`` rows.
        *exprs: Columns, and expressions with a name (`Expr.alias`).
        on_compute_error: ``"null"`` or ``"fail"``, as in `Expr.evaluate`.
        **named: Expressions or constants by the name of their column.

    Returns:
        `pyarrow.RecordBatch`, ``n`` rows.

    Raises:
        DeclarationError: An expression has no name, two have the same, or the columns do not fit.
        ComputeError: A value cannot be computed, with ``"fail"``.
    """
    import pyarrow as pa

    columns = _columns(exprs, named)
    if not columns:
        raise DeclarationError("select() makes no column: name some, as select(batch, a=col('a'))")
    arrays = [expr.evaluate(batch, on_compute_error=on_compute_error) for expr in columns.values()]
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def with_columns(
    batch: Any, *exprs: Expr, on_compute_error: str = "null", **named: IntoExpr
) -> Any:
    """
    Add the values of expressions to a batch, or replace the columns of their names.

    All expressions read the columns of *batch* as it was. Arguments and errors are those of
    `select`.
    """
    computed = {
        name: expr.evaluate(batch, on_compute_error=on_compute_error)
        for name, expr in _columns(exprs, named).items()
    }
    result = batch
    for name, array in computed.items():
        at = result.schema.get_field_index(name)
        add = result.append_column if at < 0 else partial(result.set_column, at)
        result = add(name, array)
    return result


def filter(batch: Any, predicate: Expr, *, on_compute_error: str = "null") -> Any:  # noqa: A001 - what it is
    """
    Keep the rows for which *predicate* is true; null is false.

    Raises:
        DeclarationError: *predicate* is no condition, or does not fit the columns.
        ComputeError: It cannot be computed for a row, with ``"fail"``.
    """
    if not isinstance(predicate, Expr):
        raise DeclarationError(
            f"filter({predicate!r}) is no condition: write filter(batch, col('a') > 0)"
        )
    return predicate._native.filter(batch, _strict(on_compute_error))[0]  # noqa: SLF001 - one package


def explode(batch: Any, column: str, *, keep_empty: bool = False) -> Any:
    """
    Make a row of each element of a list column, in order; the other columns are repeated.

    Args:
        batch: `pyarrow.RecordBatch`.
        column: Name of a list column.
        keep_empty: Whether an empty or null list gives one row with a null, instead of none.

    Raises:
        DeclarationError: There is no such column, or it holds no lists.
    """
    from turbine._native import explode as native

    return native(batch, column, keep_empty)


def _columns(exprs: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Expr]:
    columns: dict[str, Expr] = {}
    for expr in exprs:
        name = expr.name if isinstance(expr, Expr) else None
        if name is None:
            raise DeclarationError(
                f"{expr!r} has no name: add .alias('name'), or pass it as name=..."
            )
        if name in columns or name in named:
            raise DeclarationError(f"two columns would be called {name!r}: rename one by .alias()")
        columns[name] = expr
    for name, value in named.items():
        columns[name] = value if isinstance(value, Expr) else lit(value)
    return columns
