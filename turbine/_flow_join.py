"""
The join of a `turbine.flows.Flow`: two topics, whose partitions of one number are read together.

Rows of both sides go through steps of their own, meet in the core (`turbine.joins` says how), and
go on through the steps behind the join.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from turbine import _declare, joins
from turbine._event_time import EventTime
from turbine._flow_plan import Node, Step, columns_of
from turbine._repartition import Repartition, placed
from turbine.exceptions import DeclarationError
from turbine.functions import Expr

if TYPE_CHECKING:
    from turbine.app import App
    from turbine.flows import Flow
    from turbine.topics import Topic

__all__ = ["FlowJoin", "JoinMethods", "RightSide", "flow_of", "place"]

_NAME = "join"
"""Name of the join in the state and in metrics: a plan has one."""
_UNBOUNDED = (
    "join() of two streams keeps every row for ever: add within='1h', how far the times of two "
    "rows may be apart; or write .as_table() behind the one of which only the newest row of a key "
    "counts"
)


@dataclass(frozen=True)
class RightSide:
    """
    The right of a join.

    Attributes:
        source: Topic that it reads.
        source_schema: Arrow schema of the rows read.
        event_time: Where their time is.
        before: Steps in front of the join.
        nodes: The same, for `explain`.
        is_table: Whether the newest row of each key is what counts.
        reads: Topic that its rows come from: an internal one if it is read by another column.
    """

    source: "Topic"
    source_schema: Any
    event_time: EventTime
    before: tuple[Step, ...]
    nodes: tuple[Node, ...]
    is_table: bool
    reads: str

    def config(self) -> dict[str, Any]:
        """Describe it to the core."""
        return {
            "topic": self.reads,
            "value_format": self.source.value_format.config(),
            "event_time": self.event_time.config(),
            "is_repartitioned": self.reads != self.source.name,
            "is_table": self.is_table,
            "before": list(self.before),
        }


@dataclass(frozen=True)
class FlowJoin:
    """
    A join as it is declared.

    Attributes:
        spec: What meets what, as the core reads it.
        right: The other topic.
        event_time: Event time of the left.
        is_left_table: Whether the left is a table.
        placed_by: Column of the left and of the right that rows are placed by, and the expression
            that gives it, as `Expr.to_json` writes it, if the rows read do not have it.
        is_together: Whether rows of a key are in the same partition of both topics already.
        partitions: Of the internal topics; None: as many as the topic that has more.
        repartitions: The first stages, once the plan has a name, if rows are not together.
    """

    spec: Mapping[str, Any]
    right: RightSide
    event_time: EventTime
    is_left_table: bool
    placed_by: tuple[tuple[str, str | None], tuple[str, str | None]]
    is_together: bool
    partitions: int | None
    repartitions: tuple[Repartition, Repartition] | None = None

    @property
    def keys(self) -> list[str]:
        """Key columns of joined rows."""
        return list(self.spec["left_on"])

    def config(self) -> dict[str, Any]:
        """Describe it to the core."""
        return {
            "spec": dict(self.spec),
            "is_left_table": self.is_left_table,
            "right": self.right.config(),
        }


class JoinMethods:
    """The methods of a flow that join it with another one."""

    def as_table(self) -> Self:
        """
        Take the rows for a table: of each key the row that arrived last is what counts.

        A row whose column ``_deleted`` is true removes its key. Write it last, in front of `join`.
        """
        flow = cast("Flow", self)
        _check_rows(flow, "as_table()")
        node = Node("table", "the newest row of each key")
        return cast("Self", flow.with_node(node, is_table=True))

    def join(
        self,
        other: Any,
        *,
        on: str | Sequence[str],
        right_on: str | Sequence[str] | None = None,
        how: joins.How = "inner",
        within: joins.Length | None = None,
        before: joins.Length | None = None,
        after: joins.Length | None = None,
        grace: joins.Length | None = None,
        suffix: str = "_right",
        repartition: bool = True,
        partitions: int | None = None,
    ) -> "Flow":
        """
        Join the rows with those of *other*, the right, that have the same key.

        Two streams are joined where their times are near each other; a stream with a table as that
        is when the row arrives; two tables at each change of one of them. Rows have the key
        columns, the other columns of this side, those of the right. Topics that are not known to
        be keyed by *on* are both written once more by it.

        Args:
            other: A flow, or a stream of `App.stream` with a model; a table with ``.as_table()``.
            on: Key column, or columns; a null in them never matches.
            right_on: Those of the right, where they have other names.
            how: Which rows without a match are given too: when nothing can match them any more.
            within: How far the times of two rows may be apart, in both directions.
            before: How far the right may be in front, if not *within*.
            after: How far it may be behind, if not *within*.
            grace: How far rows may be behind the watermark and still find all of their matches.
            suffix: Behind the name of a column that both have.
            repartition: False: rows of a key are in partitions of the same number already.
            partitions: Of the internal topics; as many as the topic that has more if None.

        Raises:
            DeclarationError: It cannot work, or nothing bounds what it would keep.
        """
        left, right = cast("Flow", self), flow_of(other, "join(")
        times = {"within": within, "before": before, "after": after, "grace": grace}
        given = {name: value for name, value in times.items() if value is not None}
        both: dict[str, Any] = {"on": on, "right_on": right_on, "how": how, "suffix": suffix}
        placing = (repartition, partitions)
        if not left.is_table and not right.is_table:
            if not given.keys() - {"grace"}:
                raise DeclarationError(_UNBOUNDED)
            return _joined(left, right, joins.interval, both | given, placing)
        if given:
            raise DeclarationError(
                f"join({next(iter(given))}=...) is about the times of two streams, and a table has "
                "the newest row of a key whatever its time: leave it out, or leave out as_table()"
            )
        if left.is_table and not right.is_table:
            raise DeclarationError(
                "a table is not joined with a stream: write stream.join(table.as_table(), on=...), "
                "whose rows are answered"
            )
        kind = joins.tables if left.is_table else joins.with_table
        return _joined(left, right, kind, both, placing)

    def join_asof(
        self,
        other: Any,
        *,
        on: str | Sequence[str],
        right_on: str | Sequence[str] | None = None,
        how: Literal["inner", "left"] = "inner",
        tolerance: joins.Length | None = None,
        grace: joins.Length = 0,
        suffix: str = "_right",
        repartition: bool = True,
        partitions: int | None = None,
    ) -> "Flow":
        """
        Join each row with the newest row of *other* at or before its time.

        Args:
            other: Versions, as rates or prices: a flow, or a stream with a model.
            on: Key column, or columns, as the others of `join`.
            right_on: Those of the right.
            how: ``"left"`` gives rows without a version too.
            tolerance: How old a version may be; of any age if None.
            grace: How far rows may be behind the watermark.
            suffix: As in `join`, and so are the others.
            repartition: As in `join`.
            partitions: As in `join`.

        Raises:
            DeclarationError: It cannot work.
        """
        left, right = cast("Flow", self), flow_of(other, "join(")
        for flow in (left, right):
            if flow.is_table:
                raise DeclarationError(
                    "join_asof() looks at the times of rows, which a table has not: leave out "
                    "as_table(), or write join(), which takes the table as it is"
                )
        options: dict[str, Any] = {"on": on, "right_on": right_on, "how": how, "suffix": suffix}
        options |= {"tolerance": tolerance, "grace": grace}
        return _joined(left, right, joins.asof, options, (repartition, partitions))


def _joined(
    left: "Flow",
    right: "Flow",
    make: Any,
    options: dict[str, Any],
    placing: tuple[bool, int | None],
) -> "Flow":
    _check(left, right)
    made: joins.Join = make(name=_NAME, left=left.schema, right=right.schema, **options)
    spec = made.spec
    on = (spec["left_on"][0], spec["right_on"][0])
    repartition, partitions = placing
    is_together = not repartition or (_is_keyed(left, on[0]) and _is_keyed(right, on[1]))
    timed = spec["kind"]["type"] in ("interval", "as_of")
    side = RightSide(
        source=right.source,
        source_schema=right.source_schema,
        event_time=_time(right, timed=timed),
        before=right.steps,
        nodes=right.nodes,
        is_table=right.is_table,
        reads=right.source.name,
    )
    join = FlowJoin(
        spec=spec,
        right=side,
        event_time=_time(left, timed=timed),
        is_left_table=left.is_table,
        placed_by=(_placed_by(left, on[0]), _placed_by(right, on[1])),
        is_together=is_together,
        partitions=partitions,
    )
    if partitions is not None:
        _declare.whole_number("partitions", partitions, least=1)
    schema = made.schema.remove(made.schema.get_field_index("_event_time"))
    source = Node("right", f"{right.source.name}: {columns_of(right.source_schema)}")
    steps = [Node(f"right {node.kind}", node.text) for node in right.nodes]
    nodes = (*left.nodes, source, *steps, Node("join", _said(spec, right.source.name)))
    return dataclasses.replace(
        left,
        schema=schema,
        is_table=False,
        _join=join,
        _origins=dict.fromkeys(schema.names),
        _nodes=nodes,
    )


def flow_of(other: Any, said: str) -> "Flow":
    """
    Return the flow that *other* is, or that its stream begins.

    Args:
        other: What was handed over.
        said: What stood in front of it, for the message.

    Raises:
        DeclarationError: It is neither.
    """
    from turbine._fluent import Fluent
    from turbine.flows import Flow

    if isinstance(other, Flow):
        return other
    if isinstance(other, Fluent):
        return other.flow()
    raise DeclarationError(
        f"{said}{other!r}): write a stream with a model, as app.stream('payments', model=Payment), "
        "or what came of one by filter() and the like"
    )


def _check(left: "Flow", right: "Flow") -> None:
    _check_rows(left, "join()")
    _check_rows(right, "join()")
    if left.app is not right.app:
        raise DeclarationError("join(): both streams have to be of one app")
    for flow in (left, right):
        if len(flow.source.names) != 1:
            raise DeclarationError(
                f"join() reads one topic on each side, and {flow.source} is several: join what "
                ".through('topic') has made of them"
            )
    if left.source.name == right.source.name:
        raise DeclarationError(
            f"join() reads two topics, and {left.source.name} is on both sides: write "
            ".through('topic', key=...) on one of them, and join with what is read from there"
        )


def _check_rows(flow: "Flow", word: str) -> None:
    if flow.lookups:
        raise DeclarationError(
            f"{word} stands behind lookup(), whose rows are written by Python: write "
            ".through('topic', key=..., event_time='column') in front of it, or look up behind "
            "the join"
        )
    if flow.group is not None or flow.is_joined:
        raise DeclarationError(
            f"{word} takes rows of a topic, and these are grouped or joined already: write "
            ".through('topic', key=...) in front of it"
        )


def _is_keyed(flow: "Flow", column: str) -> bool:
    return flow.keyed_by is not None and flow.origins.get(column) == {"col": flow.keyed_by}


def _placed_by(flow: "Flow", column: str) -> tuple[str, str | None]:
    """The column, and the expression that gives it, if it is none of the source's."""
    tree = flow.origins.get(column)
    if tree is None:
        raise DeclarationError(
            f"join(on={column!r}): no record alone has that value, as it comes from explode(): "
            "write .through('topic', key=...) in front of join()"
        )
    is_there = tree == {"col": column} and column in flow.source_schema.names
    return column, None if is_there else Expr(tree).alias(column).to_json()


def place(app: "App", join: FlowJoin, name: str, source: "Topic") -> FlowJoin:
    """
    Name the first stages of a join, if its rows are not together.

    Args:
        app: The app.
        join: The join.
        name: Name of the plan, after which the internal topics are called: they are its own, as
            both have to have the same number of partitions.
        source: Topic of the left.
    """
    if join.is_together:
        return join
    left, right = (
        placed(app, topic, one, name, join.partitions)
        for topic, one in zip((source.name, join.right.source.name), join.placed_by, strict=True)
    )
    side = dataclasses.replace(join.right, reads=right.topics[0])
    return dataclasses.replace(join, right=side, repartitions=(left, right))


def _time(flow: "Flow", *, timed: bool) -> EventTime:
    declared = flow.source.event_time
    if declared is None and timed:
        raise DeclarationError(
            f"join() of streams needs the time of rows, and {flow.source.name} has none: write "
            f"app.stream({flow.source.name!r}, ..., event_time='column'), or "
            "event_time='timestamp' for that of the records"
        )
    return declared or EventTime(None)


def _said(spec: Mapping[str, Any], right: str) -> str:
    kind = spec["kind"]
    on = ", ".join(
        left if left == other else f"{left} = {other}"
        for left, other in zip(spec["left_on"], spec["right_on"], strict=True)
    )
    spans = ", ".join(
        f"{name.removesuffix('_ms')} {value} ms"
        for name, value in kind.items()
        if name != "type" and value is not None
    )
    word = {"table": "as a table", "tables": "table with table"}.get(kind["type"], kind["type"])
    return f"{spec['how']} with {right} on {on}, {word}" + (f": {spans}" if spans else "")
