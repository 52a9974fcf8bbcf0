"""
The fluent form: a plan over the rows of a topic that never visits Python.

```python
from turbine.flows import col, count, sum, tumbling

(
    app.stream("clicks", model=Click, event_time="ts")
    .filter(col("ms") > 0)
    .group_by("user")
    .window(tumbling("10s"))
    .agg(n=count(), total=sum("amount"))
    .to("stats")
)
```

`App.stream` gives a stream, and the first expression makes a `Flow` of it: immutable, each method
gives a new one, and `Flow.to` declares it. It runs as a subscription, in the core: the same
decoding, windows, commits and state. What can be known is checked while it is written,
against the model.

The words of this module are those of `turbine.functions`, `turbine.windows` and
`turbine.aggregates`, in one place.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from turbine import _declare
from turbine._flow_chain import check_windows, cut, handled
from turbine._flow_columns import Origins, rooted
from turbine._flow_group import Group, aliased, check_bounded, said_of
from turbine._flow_join import FlowJoin, JoinMethods
from turbine._flow_plan import (
    FlowPlan,
    Node,
    columns_of,
    named,
    schema_behind,
    schema_of_window,
)
from turbine._flow_sink import declare, next_flow
from turbine._lookup import Lookup, LookupMethods, with_step
from turbine.aggregates import (
    Aggregate,
)
from turbine.aggregates import (
    Count as count,  # noqa: N813 - the word of a plan
)
from turbine.aggregates import (
    Max as max,  # noqa: A004, N813 - as above
)
from turbine.aggregates import (
    Mean as mean,  # noqa: N813 - as above
)
from turbine.aggregates import (
    Min as min,  # noqa: A004, N813 - as above
)
from turbine.aggregates import (
    Sum as sum,  # noqa: A004, N813 - as above
)
from turbine.exceptions import DeclarationError
from turbine.functions import Expr, col, lit, when
from turbine.windows import Window, early, everything, hopping, session, sliding, tumbling

if TYPE_CHECKING:
    from turbine.app import App
    from turbine.subscriptions import Subscription
    from turbine.topics import Topic

__all__ = [
    "Flow",
    "col",
    "count",
    "early",
    "hopping",
    "lit",
    "max",
    "mean",
    "min",
    "session",
    "sliding",
    "sum",
    "tumbling",
    "when",
]

_OF_RESULTS = frozenset({"window_start_ms", "window_end_ms", "window_result"})


@dataclass(frozen=True)
class Flow(JoinMethods, LookupMethods):
    """
    A plan that is being written. Made by the methods of a stream; see `App.stream`.

    Attributes:
        app: The app.
        source: Topic that it reads.
        schema: Arrow schema of its rows at this point.
        keyed_by: Column of the source that is the key of its records, if that is known.
        is_table: Whether of each key the newest row alone counts.
        upstream: The part in front, whose rows are grouped here, until the plan is declared.
        is_fed: Whether *source* is the internal topic that such a part writes.
    """

    app: "App"
    source: "Topic"
    schema: Any
    source_schema: Any
    keyed_by: str | None = None
    is_table: bool = False
    upstream: "Flow | None" = None
    is_fed: bool = False
    _before: tuple[Mapping[str, Any], ...] = ()
    _after: tuple[Mapping[str, Any], ...] = ()
    _origins: Origins = field(default_factory=dict)
    _group: Group | None = None
    _window: Window | None = None
    _is_aggregated: bool = False
    _join: FlowJoin | None = None
    _lookups: tuple[Lookup, ...] = ()
    _nodes: tuple[Node, ...] = ()

    def __repr__(self) -> str:
        return f"<Flow of {self.source.name}: {', '.join(self.schema.names)}>"

    # -- rows --------------------------------------------------------------------------------

    def filter(self, predicate: Expr) -> "Flow":
        """
        Keep the rows for which *predicate* is true; null is false.

        Raises:
            DeclarationError: It is no condition, or does not fit the columns.
        """
        if not isinstance(predicate, Expr):
            raise DeclarationError(
                f"filter({predicate!r}) is no condition over columns: write filter(col('a') > 0); "
                "a function of a value belongs to an agent"
            )
        return self._step({"filter": predicate.tree}, Node("filter", repr(predicate)))

    def select(self, *exprs: Any, **more: Any) -> "Flow":
        """
        Make rows of the values of expressions; other columns are left out.

        Args:
            *exprs: Names of columns, and expressions with a name.
            **more: Expressions or constants by the name of their column.

        Raises:
            DeclarationError: An expression has no name or does not fit the columns.
        """
        columns = named(exprs, more, "select")
        step = {"select": [[name, expr.tree] for name, expr in columns.items()]}
        origins = {name: rooted(expr.tree, self._origins) for name, expr in columns.items()}
        return self._step(step, Node("select", _listed(columns)), origins)

    def with_columns(self, *exprs: Any, **more: Any) -> "Flow":
        """Add the values of expressions, or replace columns of their names; as `select`."""
        columns = named(exprs, more, "with_columns")
        step = {"with_columns": [[name, expr.tree] for name, expr in columns.items()]}
        new = {name: rooted(expr.tree, self._origins) for name, expr in columns.items()}
        node = Node("with_columns", _listed(columns))
        return self._step(step, node, {**self._origins, **new})

    def drop(self, *names: str) -> "Flow":
        """
        Leave columns out.

        Raises:
            DeclarationError: There is no such column.
        """
        unknown = [name for name in names if name not in self.schema.names]
        if unknown or not names:
            raise DeclarationError(
                f"drop({', '.join(map(repr, unknown))}): name columns that are there: "
                f"{', '.join(self.schema.names)}"
            )
        origins = {name: tree for name, tree in self._origins.items() if name not in names}
        return self._step({"drop": list(names)}, Node("drop", ", ".join(names)), origins)

    def explode(self, column: str, *, keep_empty: bool = False) -> "Flow":
        """
        Make a row of each element of a list column; the other columns are repeated.

        Args:
            column: Name of a list column.
            keep_empty: Whether an empty or null list gives one row with a null, instead of none.

        Raises:
            DeclarationError: There is no such column, or it holds no lists.
        """
        step = {"explode": column, "keep_empty": keep_empty}
        return self._step(step, Node("explode", str(column)), {**self._origins, column: None})

    def sql(self, query: str, **others: Any) -> Any:
        """
        Write the steps as a query: ``SELECT user, count(*) AS n FROM clicks GROUP BY user``.

        Args:
            query: One SELECT of DuckDB's dialect from this stream, with WHERE, GROUP BY and HAVING;
                ``tumble('10s')``, ``hop('10s', '2s')`` and ``session('10s')`` in GROUP BY are its
                windows.
            **others: Flows and streams that it joins, by the names that it has for them, or reads
                in the other parts of ``UNION ALL``.

        Returns:
            A flow; of ``UNION ALL`` what has `to`, `through` and `explain`.

        Raises:
            DeclarationError: Something of it is not there; or sqlglot is not installed.
        """
        from turbine._sql import plan_of

        return plan_of(self, query, others)

    # -- groups ------------------------------------------------------------------------------

    def group_by(
        self, *keys: Any, repartition: bool = True, partitions: int | None = None
    ) -> "Flow":
        """
        Say which rows belong together in what follows; without *keys* all do.

        Rows of a group have to be in one partition. Where the records have another key, the topic
        is written once more by this one (`docs/guides/partitioning.md`); rows of a join or lookup
        are always.

        Args:
            *keys: Names of columns, and expressions with a name.
            repartition: False: the rows of a group are in one partition already.
            partitions: Of the internal topic; as many as the source has if None.

        Raises:
            DeclarationError: There is no such column, or the rows are grouped already.
        """
        if self._group is not None:
            raise DeclarationError(
                "group_by() is there already, and a plan groups once: write .through('topic') "
                "behind agg(), and group what is read from there"
            )
        columns = named(keys, {}, "group_by") if keys else {}
        computed = {name: e for name, e in columns.items() if dict(e.tree) != {"col": name}}
        flow = self.with_columns(**computed) if computed else self
        missing = [name for name in columns if name not in flow.schema.names]
        if missing:
            raise DeclarationError(
                f"group_by({missing[0]!r}): there is no such column, there are "
                f"{', '.join(flow.schema.names)}"
            )
        taken = [name for name in columns if name in _OF_RESULTS]
        if taken:
            raise DeclarationError(
                f"group_by({taken[0]!r}): the results have a column of that name already: rename "
                "it by .select() in front"
            )
        if partitions is not None:
            _declare.whole_number("partitions", partitions, least=1)
        group = Group(tuple(columns), not repartition, partitions, flow.origins)
        if flow.is_joined or flow.lookups:
            flow = cut(flow, group)
            group = flow.group or group
        node = Node("group by", ", ".join(columns) or "nothing: all rows are one group")
        return flow.with_node(node, _group=group)

    def window(self, window: Window) -> "Flow":
        """
        Say over which time `agg` is computed: a window of `turbine.windows` without key and value.

        Raises:
            DeclarationError: It has them, rows are not grouped, or it stands behind agg().
        """
        if not isinstance(window, Window):
            raise DeclarationError(f"window({window!r}): write window(tumbling('10s'))")
        if self._group is None or self._window is not None or self._is_aggregated:
            raise DeclarationError(
                "window() stands once, between group_by() and agg(): write "
                ".group_by('user').window(tumbling('10s')).agg(n=count())"
            )
        if window.key or window.value is not None:
            raise DeclarationError(
                "the window of a plan has neither key= nor value=: group_by() says the first and "
                "agg() the second"
            )
        check_windows(self)
        return dataclasses.replace(self, _window=window)

    def agg(self, *aggregates: Aggregate, **more: Aggregate) -> "Flow":
        """
        Compute aggregates of each group, and of each window if there is one.

        Without a window the result is a table: a row with the new values for each row read, kept
        in the state for as long as the plan lives, one entry a group.

        Args:
            *aggregates: Of `turbine.aggregates`, named by `Aggregate.alias` or by themselves.
            **more: The same by the names of their columns.

        Raises:
            DeclarationError: Rows are not grouped, an aggregate does not fit the columns, or one
                without a window would keep every value for ever.
        """
        if self._group is None or self._is_aggregated:
            raise DeclarationError(
                "agg() stands once, behind group_by(): write .group_by('user').agg(n=count())"
            )
        values = [*aggregates, *(aliased(one, name) for name, one in more.items())]
        key = self._group.keys
        if self._window is None:
            check_bounded(values)
            table = everything(key=key, value=values, persistent=True)
            return self._aggregated(
                table, Node("agg", f"{said_of(values)}; a table, kept for ever")
            )
        window = dataclasses.replace(self._window, key=key, value=values)
        where = "in the store" if window.persistent else "in memory"
        kind = ", ".join(f"{k} {v}" for k, v in window.kind.items() if k != "type" and v)
        told = Node("window", f"{window.kind['type']} {kind}, {where}".replace(" ,", ","))
        return self._aggregated(window, told, Node("agg", said_of(values)))

    def _aggregated(self, window: Window, *nodes: Node) -> "Flow":
        is_table = window.kind["type"] == "global"
        is_marked = window.emit.kind != "final" or window.max_open is not None
        time = self.source.event_time
        is_marked = is_marked or (time is not None and time.idle_close_ms is not None)
        schema = schema_of_window(window, self.schema, is_marked=is_marked)
        flow = dataclasses.replace(
            self,
            schema=schema,
            _window=window,
            _is_aggregated=True,
            _origins=dict.fromkeys(schema.names),
            _nodes=(*self._nodes, *nodes),
        )
        if not is_table:
            return flow
        hidden = {"drop": ["window_start_ms", "window_end_ms", "window_result"]}
        return dataclasses.replace(
            flow, _after=(hidden,), schema=schema_behind([hidden], flow.schema)
        )

    # -- ends --------------------------------------------------------------------------------

    def to(self, topic: Any, *, key: str | None = None, **options: Any) -> "Subscription":
        """
        Declare the plan: its rows go to *topic*.

        Args:
            topic: Topic that is written; or a function or class as of `App.subscribe`, which has
                the rows through an internal topic, and whose options **options** are then.
            key: Column whose value becomes the key of the records; with one group column that one.
            **options: **name**, which names its consumer group (``{source}-to-{topic}`` if not
                given), **on_compute_error** (``"null"`` or ``"fail"``), and of `App.subscribe`
                ``on_error``, ``dlq``, ``processing_guarantee``, ``batch_size``, ``on_late``,
                ``late_data``, ``tombstones``, ``dedup``, ``changelog``.

        Returns:
            What runs it, as in `App.subscriptions`; its ``explain()`` prints the plan.

        Raises:
            DeclarationError: The plan cannot work; the message says what to write.
        """
        if callable(topic):
            return handled(self, topic, options if key is None else {**options, "message_key": key})
        return declare(self, topic, key, options)

    def through(self, topic: "str | Topic", *, key: str | None = None, **options: Any) -> "Flow":
        """
        Write the rows to *topic* as `to` does, and go on with what is read from there.

        Args:
            topic: Topic in between.
            key: As in `to`.
            **options: As in `to`, and ``event_time`` with its companions for what reads it.
        """
        return next_flow(self, topic, key, options)

    def explain(self) -> str:
        """Say what the plan does, a line for each step, before it is declared."""
        source = Node("source", f"{self.source.name}: {columns_of(self.source_schema)}")
        nodes = [source, *self._nodes, Node("columns", columns_of(self.schema))]
        return "\n".join(f"{node.kind:<13} {node.text}" for node in nodes)

    def rows(self, batch: Any) -> Any:
        """
        Run the steps on a batch of the source, to try a plan out.

        Args:
            batch: `pyarrow.RecordBatch`, ``(n,)`` rows of the source's schema.

        Raises:
            DeclarationError: The plan has aggregates, whose rows come from many batches.
        """
        return self.compiled()(batch)

    def compiled(self, *, is_strict: bool = False) -> FlowPlan:
        """Give the form that the core runs."""
        return FlowPlan(
            self.source_schema,
            self.schema,
            self._before,
            self._window,
            self._after,
            self._nodes,
            is_strict,
            self._join,
            self._lookups,
            is_fed=self.is_fed,
        )

    # -- inside ------------------------------------------------------------------------------

    @property
    def group(self) -> Group | None:
        """What `group_by` was told."""
        return self._group

    @property
    def is_aggregated(self) -> bool:
        """Whether `agg` was there."""
        return self._is_aggregated

    @property
    def joined_as(self) -> FlowJoin | None:
        """What `join` was told."""
        return self._join

    @property
    def is_joined(self) -> bool:
        """Whether `join` was there."""
        return self._join is not None

    @property
    def lookups(self) -> tuple[Lookup, ...]:
        """What `lookup` was told, each time."""
        return self._lookups

    @property
    def steps(self) -> tuple[Mapping[str, Any], ...]:
        """What is done to rows in front of a window or join, as the core reads it."""
        return self._before

    @property
    def nodes(self) -> tuple[Node, ...]:
        """What `explain` says of it."""
        return self._nodes

    @property
    def origins(self) -> Origins:
        """Where each column comes from."""
        return self._origins

    def with_node(self, node: Node, **changes: Any) -> "Flow":
        """Give the same with a line more for `explain`."""
        return dataclasses.replace(self, _nodes=(*self._nodes, node), **changes)

    def _step(self, step: Mapping[str, Any], node: Node, origins: Origins | None = None) -> "Flow":
        if self._group is not None and not self._is_aggregated:
            raise DeclarationError(
                f"{node.kind}() stands between group_by() and agg(): write it in front of "
                "group_by(), or behind agg()"
            )
        try:
            schema = schema_behind([step], self.schema)
        except DeclarationError as exc:
            raise DeclarationError(f"{node.kind}(): {exc}") from None
        new = self._origins if origins is None else origins
        if self.is_table:
            raise DeclarationError(
                f"{node.kind}() stands behind as_table(): write it in front, as_table() is the last"
            )
        if self._lookups:
            changes: dict[str, Any] = {"_lookups": with_step(self._lookups, step)}
        else:
            steps = "_after" if self._is_aggregated or self._join else "_before"
            changes = {steps: (*getattr(self, steps), step)}
        return self.with_node(node, schema=schema, _origins=new, **changes)


def _listed(columns: Mapping[str, Expr]) -> str:
    return ", ".join(
        name if dict(expr.tree) == {"col": name} else f"{name} = {expr!r}"
        for name, expr in columns.items()
    )
