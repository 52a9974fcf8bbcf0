"""
What a `turbine.flows.Flow` compiles to: steps, a window, steps; a subscription without handler.

The schema of every point is found by running the steps on a batch without rows, so what is checked
at declaration is what runs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from turbine.exceptions import DeclarationError, TurbineError
from turbine.functions import Expr

if TYPE_CHECKING:
    from turbine._flow_chain import Feeds
    from turbine._flow_join import FlowJoin
    from turbine._lookup import Lookup
    from turbine.windows import Window

__all__ = ["FlowPlan", "Node", "columns_of", "named", "schema_behind", "schema_of_window"]

Step = Mapping[str, Any]
"""A step, as the core reads it."""


@dataclass(frozen=True)
class Node:
    """
    A line of `explain`.

    Attributes:
        kind: ``source``, ``repartition``, ``filter`` and so on.
        text: What it does, in words.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class FlowPlan:
    """
    The compiled form of a flow.

    Attributes:
        source_schema: Arrow schema of the rows read.
        schema: Arrow schema of the rows written.
        before: Steps in front of the window, or all of them.
        window: The window, if there is one, with its key and aggregates.
        after: Steps behind it.
        nodes: What `explain` says of it, without source and sink.
        is_strict: Whether a value that cannot be computed stops the partition.
        join: The join with a second topic, if there is one, in the place of the window.
        lookups: What functions are asked for behind the first steps; then Python runs the plan.
        feeds: How rows get to the internal topic that it writes, if it does.
        is_fed: Whether it reads such a topic.
    """

    source_schema: Any
    schema: Any
    before: tuple[Step, ...]
    window: "Window | None" = None
    after: tuple[Step, ...] = ()
    nodes: tuple[Node, ...] = field(default=())
    is_strict: bool = False
    join: "FlowJoin | None" = None
    lookups: "tuple[Lookup, ...]" = ()
    feeds: "Feeds | None" = None
    is_fed: bool = False

    def config(self) -> dict[str, Any] | None:
        """Describe it to the core, if it runs there."""
        if self.lookups:
            return None
        return {
            "before": list(self.before),
            "after": list(self.after),
            "is_strict": self.is_strict,
            "join": None if self.join is None else self.join.config(),
        }

    def __call__(self, batch: Any) -> Any:
        """
        Run the steps on one batch, as the core does with the rows of a plan without a window.

        Raises:
            DeclarationError: The plan has a window or a join, whose rows come from many batches.
        """
        if self.window is not None or self.join is not None or self.lookups:
            raise DeclarationError(
                "a plan with a window, a join or a lookup has no result for one batch: run it on a "
                "broker, as with turbine.testing"
            )
        return run_steps(self.before, batch, is_strict=self.is_strict)


def run_steps(steps: Sequence[Step], batch: Any, *, is_strict: bool = False) -> Any:
    """
    Take *batch* through *steps*.

    Raises:
        DeclarationError: One of them cannot work on the columns there are.
    """
    from turbine._native import Steps

    return Steps(json.dumps(list(steps)), is_strict).apply(batch)[0]


def schema_behind(steps: Sequence[Step], schema: Any) -> Any:
    """
    Find the schema behind *steps*.

    Raises:
        DeclarationError: One of them cannot work on *schema*.
    """
    import pyarrow as pa

    return run_steps(steps, pa.RecordBatch.from_pylist([], schema=schema)).schema


def schema_of_window(window: "Window", schema: Any, *, is_marked: bool) -> Any:
    """
    Find the schema of the results of *window* over rows of *schema*.

    Args:
        window: With its key and its aggregates.
        schema: Of the rows.
        is_marked: Whether results say what they are, in ``window_result``.

    Raises:
        DeclarationError: A key or the input of an aggregate is missing, or of a wrong type.
    """
    import pyarrow as pa

    from turbine.aggregates import aggregate

    missing = [name for name in window.key if name not in schema.names]
    if missing:
        raise DeclarationError(
            f"group_by({missing[0]!r}): there is no such column, there are "
            f"{', '.join(schema.names)}"
        )
    empty = pa.RecordBatch.from_pylist([], schema=schema)
    try:
        found = aggregate(empty, key=window.key, value=window.value).schema
    except DeclarationError:
        raise
    except TurbineError as exc:
        raise DeclarationError(f"agg(): {exc}") from None
    fields = list(found)
    bounds = [pa.field(name, pa.int64()) for name in ("window_start_ms", "window_end_ms")]
    marks = [pa.field("window_result", pa.string())] if is_marked else []
    return pa.schema([*fields[: len(window.key)], *bounds, *fields[len(window.key) :], *marks])


def columns_of(schema: Any) -> str:
    """Write a schema in a line."""
    return ", ".join(f"{one.name} {one.type}" for one in schema)


def named(exprs: Sequence[Any], more: Mapping[str, Any], word: str) -> dict[str, Expr]:
    """
    Name the expressions of a step.

    Raises:
        DeclarationError: One is no expression, has no name, or two have the same.
    """
    from turbine.functions import col, lit

    found: dict[str, Expr] = {}
    for given in exprs:
        expr = col(given) if isinstance(given, str) else given
        if not isinstance(expr, Expr):
            raise DeclarationError(
                f"{word}({given!r}): write a column by its name, or an expression as col('a') * 2"
            )
        name = expr.name
        if name is None:
            raise DeclarationError(f"{word}({expr!r}) has no name: add .alias('name')")
        if name in found or name in more:
            raise DeclarationError(f"{word}(): two columns would be called {name!r}: rename one")
        found[name] = expr
    for name, value in more.items():
        found[name] = value if isinstance(value, Expr) else lit(value)
    if not found:
        raise DeclarationError(f"{word}() names no column: write {word}('a', b=col('c') * 2)")
    return found
