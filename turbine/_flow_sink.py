"""From a flow to the subscription that runs it, and to the flow behind it."""

import dataclasses
from typing import TYPE_CHECKING, Any

from turbine import _declare
from turbine._event_time import EVENT_TIME_OPTIONS
from turbine._flow_chain import connected
from turbine._flow_join import place
from turbine.exceptions import DeclarationError
from turbine.functions import Expr, lit

if TYPE_CHECKING:
    from turbine._flow_chain import Feeds
    from turbine._flow_plan import FlowPlan
    from turbine.flows import Flow
    from turbine.subscriptions import Subscription
    from turbine.topics import Topic

__all__ = ["declare", "next_flow", "start"]

_OPTIONS = frozenset(
    {
        "name",
        "on_compute_error",
        "on_error",
        "dlq",
        "processing_guarantee",
        "batch_size",
        "on_late",
        "late_data",
        "tombstones",
        "dedup",
        "changelog",
        "write_tombstones",
    }
)
_OF_ONE_TOPIC = ("dedup", "tombstones")
_EVERYTHING = "everything"
"""Names the internal topic of a plan whose rows are all one group."""


def start(app: Any, source: "Topic", schema: Any, keyed_by: str | None) -> "Flow":
    """
    Begin a flow over the rows of *source*.

    Raises:
        DeclarationError: *keyed_by* is no column of it.
    """
    from turbine.flows import Flow

    if keyed_by is not None and keyed_by not in schema.names:
        raise DeclarationError(
            f"keyed_by={keyed_by!r} is not a column: there are {', '.join(schema.names)}"
        )
    origins = {name: {"col": name} for name in schema.names}
    return Flow(app, source, schema, schema, keyed_by, _origins=origins)


def declare(
    flow: "Flow",
    topic: "str | Topic",
    key: str | None,
    options: Any,
    *,
    feeds: "Feeds | None" = None,
) -> "Subscription":
    """
    Declare the subscription that runs *flow*; see `turbine.flows.Flow.to`.

    Args:
        flow: The plan.
        topic: Topic that is written.
        key: Column that is its key.
        options: Of `to`.
        feeds: How rows get to *topic*, if it is the internal one in front of a second part.

    Raises:
        DeclarationError: It cannot work.
    """
    from turbine.subscriptions import Subscription

    app = flow.app
    _declare.refuse_unknown("to()", options.keys() - _OPTIONS, _OPTIONS)
    if flow.group is not None and not flow.is_aggregated:
        raise DeclarationError("group_by() without agg() does nothing: add .agg(n=count())")
    target = _declare.topic_name("to", topic)
    name = options.pop("name", None) or f"{flow.source.name}-to-{target}"
    strict = _declare.one_of(
        "on_compute_error", options.pop("on_compute_error", "null"), ("null", "fail")
    )
    if flow.is_table:
        raise DeclarationError(
            "as_table() is for a join: write stream.join(table.as_table(), on=...)"
        )
    if flow.upstream is not None:
        flow, options = connected(flow, name, {**options, "on_compute_error": strict})
        options.pop("on_compute_error")
    plan = dataclasses.replace(flow.compiled(is_strict=strict == "fail"), feeds=feeds)
    if plan.join is not None:
        _check_of_one_topic(options)
        plan = dataclasses.replace(plan, join=place(app, plan.join, name, flow.source))
    line = {**options, **_repartition(flow)}
    if feeds is not None:
        # The core says where each row goes, and how far its task is.
        line["write_metadata"] = ("headers", "partition")
    if plan.window is not None:
        line["window"] = plan.window
    one = Subscription(
        app,
        _handler(app, plan, name),
        flow.source,
        publish_to=topic,
        message_key=None if feeds else _key(flow, key),
        name=name,
        plan=plan,
        **line,
    )
    app._check_free("plan", one.name)  # noqa: SLF001 - the app's own part
    app.subscriptions[one.name] = one
    return one


def _handler(app: Any, plan: "FlowPlan", name: str) -> Any:
    """What has the rows: the core as a rule, Python where functions are asked."""
    if not plan.lookups:
        return plan
    from turbine._lookup_run import LookedUp

    return LookedUp(plan, app, name)


def _check_of_one_topic(options: Any) -> None:
    for option in _OF_ONE_TOPIC:
        if options.get(option) is not None:
            raise DeclarationError(
                f"to({option}={options[option]!r}) is about the rows of one topic, and a join has "
                f"two: write .through('topic', key=..., {option}=...) in front of join()"
            )


def next_flow(flow: "Flow", topic: "str | Topic", key: str | None, options: Any) -> "Flow":
    """Declare *flow* up to *topic*, and begin one that reads it."""
    time = {name: options.pop(name) for name in EVENT_TIME_OPTIONS if name in options}
    one = declare(flow, topic, key, options)
    app = flow.app
    if isinstance(topic, str):
        read = app.topic(topic, **time)
    elif time:
        raise DeclarationError(
            f"through({topic!r}, {', '.join(time)}): the topic is declared already: say it there"
        )
    else:
        read = topic
    schema = flow.schema
    known = one.message_key if one.message_key in schema.names else None
    return start(app, read, schema, known)


def _key(flow: "Flow", key: str | None) -> str | None:
    if key is not None:
        if key not in flow.schema.names:
            raise DeclarationError(
                f"to(key={key!r}): there is no such column, there are "
                f"{', '.join(flow.schema.names)}"
            )
        return key
    join = flow.compiled().join
    keys = tuple(join.keys) if join else () if flow.group is None else flow.group.keys
    return keys[0] if len(keys) == 1 and keys[0] in flow.schema.names else None


def _repartition(flow: "Flow") -> dict[str, Any]:
    """What brings the rows of a group together, if they are not."""
    group = flow.group
    if group is None or group.is_together:
        return {}
    if not group.keys:
        return {"repartition_by": lit(_EVERYTHING).alias(_EVERYTHING), "repartition_partitions": 1}
    origins = {name: group.origins.get(name) for name in group.keys}
    if any(tree is not None and tree == {"col": flow.keyed_by} for tree in origins.values()):
        return {}
    for name, tree in origins.items():
        if tree is None:
            continue
        is_column = tree == {"col": name} and name in flow.source_schema.names
        # Under another name it has an internal topic of its own.
        by: Any = name if is_column else Expr(tree).alias(name)
        return {"repartition_by": by, "repartition_partitions": group.partitions}
    raise DeclarationError(
        f"group_by({', '.join(map(repr, group.keys))}): no record alone has that value, as it "
        "comes from explode(): write .through('topic', key=...) in front of group_by()"
    )
