"""
A plan of two parts: what joins or looks up, and the groups of what comes out of that.

In between is an internal topic, placed by the key of the groups. The first part writes the time of
each row and the watermark of its task along, so that windows behind it wait for every task of the
first part, and for none that is silent.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from turbine._flow_columns import TIME
from turbine._flow_group import Group
from turbine._flow_plan import Node
from turbine.exceptions import DeclarationError
from turbine.naming import check_topic_name, function_name, repartition_topic

if TYPE_CHECKING:
    from turbine._flow_join import FlowJoin
    from turbine.flows import Flow
    from turbine.subscriptions import Subscription
    from turbine.topics import Topic

__all__ = ["Feeds", "check_windows", "connected", "cut", "handled"]

_OF_ROWS = frozenset({"tombstones", "dedup"})
"""Options about what is read: the first part has them."""
_OF_BOTH = frozenset(
    {"on_error", "dlq", "processing_guarantee", "batch_size", "on_compute_error", "changelog"}
)


@dataclass(frozen=True)
class Feeds:
    """
    How rows get to the internal topic behind a part.

    Attributes:
        column: Column that they are placed by; None: all go to one partition.
        lag_ms: How far a row may be behind the watermark of the task that makes it.
    """

    column: str | None
    lag_ms: int

    def config(self) -> dict[str, Any]:
        """Describe it to the core."""
        return {"column": self.column, "lag_ms": self.lag_ms}


def cut(flow: "Flow", group: Group) -> "Flow":
    """
    Begin the second part of a plan behind *flow*, with rows that are grouped.

    Raises:
        DeclarationError: Rows of the first part cannot be grouped.
    """
    if flow.joined_as is not None and flow.joined_as.spec["kind"]["type"] == "tables":
        raise DeclarationError(
            "group_by() stands behind a join of two tables, whose rows are changes and would be "
            "counted at every one of them: write .through('topic', key=...), and read what is "
            "there with .as_table() where the newest row of a key is wanted"
        )
    word = ", ".join(group.keys) or "nothing"
    nodes = (*flow.nodes, Node("through", f"an internal topic, by {word}"))
    behind = dataclasses.replace(group, is_together=True, origins={})
    return dataclasses.replace(
        flow,
        keyed_by=None,
        source_schema=flow.schema,
        _before=(),
        _after=(),
        _join=None,
        _lookups=(),
        _origins=dict.fromkeys(flow.schema.names),
        _group=behind,
        _nodes=nodes,
        upstream=flow,
    )


def check_windows(flow: "Flow") -> None:
    """
    Refuse windows over rows whose watermark is not known.

    Raises:
        DeclarationError: They are.
    """
    first = flow.upstream
    if first is None:
        return
    if first.lookups:
        raise DeclarationError(
            "window() stands behind lookup(), which waits for calls and tells nobody how far it "
            "is: aggregate in front of lookup() and look the results up, or write "
            ".through('topic', event_time='column', out_of_orderness='10s') in between"
        )
    if first.source.event_time is None:
        raise DeclarationError(
            f"window() needs the time of rows, and {first.source.name} has none: write "
            f"app.stream({first.source.name!r}, ..., event_time='column')"
        )


def handled(flow: "Flow", fn: Any, options: Mapping[str, Any]) -> "Subscription":
    """
    Hand the rows of *flow* to a function or handler class, as `App.subscribe` does with a topic's.

    Args:
        flow: The plan in front.
        fn: What has the batches.
        options: Of `App.subscribe`; those about what is read are for the plan in front.

    Raises:
        DeclarationError: The rows are none that a handler can have, or an option is wrong.
    """
    from turbine._flow_sink import declare
    from turbine.subscriptions import Subscription

    if flow.group is not None or flow.is_table:
        raise DeclarationError(
            "to(function) takes rows, joined rows or what a lookup has given: behind agg() write "
            ".to('topic'), and @app.subscribe('topic')"
        )
    app, name = flow.app, options.get("name") or function_name(fn, qualified=False)
    own = {key: options[key] for key in options.keys() & (_OF_ROWS | _OF_BOTH)}
    join = flow.joined_as
    column = join.keys[0] if join else flow.keyed_by if flow.keyed_by in flow.schema.names else None
    feeds = Feeds(column, _lag_ms(join))
    group = Group((column,) if column else (), True, None, {})
    topic = _internal(flow, name, group)
    declare(flow, topic, None, {**own, "name": f"{name}-stage-1"}, feeds=feeds)
    dropped = _OF_ROWS | {"on_compute_error"}
    rest = {key: value for key, value in options.items() if key not in dropped}
    schema = flow.schema.append(_time_field())
    one = Subscription(app, fn, topic, rows=schema, **{**rest, "name": name})
    app._check_free("subscription", one.name)  # noqa: SLF001 - the app's own part
    app.subscriptions[one.name] = one
    return one


def connected(flow: "Flow", name: str, options: Mapping[str, Any]) -> "tuple[Flow, dict[str, Any]]":
    """
    Declare the first part of *flow*; what is left to be declared, and its options.

    Args:
        flow: The second part.
        name: Name of the plan.
        options: Of `turbine.flows.Flow.to`.
    """
    from turbine._flow_sink import declare

    first, group = flow.upstream, flow.group
    assert first is not None  # noqa: S101 - who calls has looked
    assert group is not None  # noqa: S101 - as a cut makes it
    feeds = Feeds(next(iter(group.keys), None), _lag_ms(first.joined_as))
    topic = _internal(flow, name, group)
    own = {key: options[key] for key in options.keys() & (_OF_ROWS | _OF_BOTH)}
    declare(first, topic, None, {**own, "name": f"{name}-stage-1"}, feeds=feeds)
    schema = flow.source_schema.append(_time_field())
    rest = dataclasses.replace(
        flow,
        source=topic,
        source_schema=schema,
        upstream=None,
        is_fed=True,
        _before=({"drop": [TIME]},),
        _nodes=flow.nodes[len(first.nodes) + 1 :],
    )
    return rest, {key: value for key, value in options.items() if key not in _OF_ROWS}


def _internal(flow: "Flow", name: str, group: Group) -> "Topic":
    key = "-".join(group.keys) or "everything"
    topic = check_topic_name(repartition_topic(flow.app.conf.group, name, key))
    time = flow.source.event_time
    timed: dict[str, Any] = {}
    if time is not None and not (flow.upstream and flow.upstream.lookups):
        idle = None if time.idle_close_ms is None else time.idle_close_ms / 1_000
        timed = {"event_time": TIME, "idle_close": idle}
    return flow.app.topic(
        topic,
        partitions=group.partitions if group.keys else 1,
        # Its records have the times of what they were made from.
        config={"retention.ms": "-1"},
        internal=True,
        **timed,
    )


def _time_field() -> Any:
    import pyarrow as pa

    return pa.field(TIME, pa.int64())


def _lag_ms(join: "FlowJoin | None") -> int:
    """How far joined rows may be behind the watermark of the join."""
    kind = {} if join is None else join.spec["kind"]
    spans = [kind.get(name) or 0 for name in ("before_ms", "after_ms")]
    return int(max(spans) + (kind.get("grace_ms") or 0))
