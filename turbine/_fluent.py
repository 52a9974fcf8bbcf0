"""
The methods by which a stream of `App.stream` becomes a `turbine.flows.Flow`.

A stream is what it is used as: who iterates over it reads events in Python, who writes expressions
on it declares a plan for the core. The first expression decides, and the topic is then read by the
plan alone.
"""

from typing import TYPE_CHECKING, Any

from turbine.exceptions import DeclarationError

if TYPE_CHECKING:
    from turbine.flows import Flow
    from turbine.windows import Window

__all__ = ["Fluent"]


class Fluent:
    """Expressions over the rows of a stream; each gives a `turbine.flows.Flow`."""

    def flow(self) -> "Flow":
        """
        Give the plan without any step.

        Raises:
            DeclarationError: It is not a stream of `App.stream` with a model, or is used otherwise.
        """
        raise DeclarationError(
            "expressions over columns are for streams of a topic that no agent has: write "
            "app.stream('orders', model=Order).filter(...); in an agent write a function of a value"
        )

    def select(self, *exprs: Any, **more: Any) -> "Flow":
        """As `Flow.select`."""
        return self.flow().select(*exprs, **more)

    def with_columns(self, *exprs: Any, **more: Any) -> "Flow":
        """As `Flow.with_columns`."""
        return self.flow().with_columns(*exprs, **more)

    def drop(self, *names: str) -> "Flow":
        """As `Flow.drop`."""
        return self.flow().drop(*names)

    def explode(self, column: str, *, keep_empty: bool = False) -> "Flow":
        """As `Flow.explode`."""
        return self.flow().explode(column, keep_empty=keep_empty)

    def sql(self, query: str, **others: Any) -> Any:
        """As `Flow.sql`."""
        return self.flow().sql(query, **others)

    def window(self, window: "Window") -> "Flow":
        """As `Flow.window`."""
        return self.flow().window(window)

    def agg(self, *aggregates: Any, **more: Any) -> "Flow":
        """As `Flow.agg`."""
        return self.flow().agg(*aggregates, **more)

    def as_table(self) -> "Flow":
        """As `Flow.as_table`."""
        return self.flow().as_table()

    def lookup(self, fn: Any, **options: Any) -> "Flow":
        """As `Flow.lookup`."""
        return self.flow().lookup(fn, **options)

    def join(self, other: Any, **options: Any) -> "Flow":
        """As `Flow.join`."""
        return self.flow().join(other, **options)

    def join_asof(self, other: Any, **options: Any) -> "Flow":
        """As `Flow.join_asof`."""
        return self.flow().join_asof(other, **options)

    def to(self, topic: Any, *, key: str | None = None, **options: Any) -> Any:
        """As `Flow.to`."""
        return self.flow().to(topic, key=key, **options)

    def explain(self) -> str:
        """As `Flow.explain`."""
        return self.flow().explain()
