"""Subscriptions that read their topic by another column, and the stages that they need."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from turbine import _declare
from turbine.exceptions import ConfigError, DeclarationError
from turbine.functions import Expr
from turbine.naming import check_topic_name, repartition_topic

if TYPE_CHECKING:
    from turbine._event_time import EventTime
    from turbine.app import App
    from turbine.codecs import Format
    from turbine.subscriptions import Subscription

__all__ = [
    "Repartition",
    "Stage",
    "check_shared",
    "internal_partitions",
    "placed",
    "repartition",
    "stages",
]

_SHARED = {
    "partitions": "repartition_partitions",
    "key": "the expression in repartition_by",
    "value_format": "the topic's value_format",
    "schema": "model",
    "tombstones": "tombstones",
    "on_error": "on_error",
    "dlq": "dlq",
    "event_time": "event_time and its companions",
}
"""What two subscriptions with one stage have to agree in, and what users call it."""


@dataclass(frozen=True)
class Stage:
    """
    What writes one topic once more.

    Attributes:
        name: Label of its metrics.
        topic: Topic that it reads.
        to: Internal topic that it writes, and its consumer group.
    """

    name: str
    topic: str
    to: str


@dataclass(frozen=True)
class Repartition:
    """
    What ``repartition_by`` and ``repartition_partitions`` say, checked.

    Attributes:
        column: Column whose value becomes the key.
        key: Expression that gives it, as `Expr.to_json` writes it; None: the rows have the column.
        partitions: Partitions of the internal topics; None: as many as their source has.
        stages: One for each topic of the subscription.
    """

    column: str
    partitions: int | None
    key: str | None
    stages: tuple[Stage, ...]

    @property
    def topics(self) -> tuple[str, ...]:
        """Names of the internal topics."""
        return tuple(stage.to for stage in self.stages)


def repartition(
    app: "App", column: object, partitions: object, *, topics: Iterable[str], schema: Any
) -> Repartition | None:
    """
    Check the options together.

    Raises:
        DeclarationError: They cannot work; the message says what to write.
    """
    if column is None:
        if partitions is not None:
            raise DeclarationError(
                f"repartition_partitions={partitions!r} says nothing without repartition_by=: name "
                "the column"
            )
        return None
    key = None
    if isinstance(column, Expr):
        key, column = column, column.name
        if schema is not None:
            key.check(schema)
    if not isinstance(column, str) or not column:
        raise DeclarationError(
            f"repartition_by={column!r} is not a column: write the name of one, or an "
            "expression with a name"
        )
    if schema is not None and key is None and column not in schema.names:
        raise DeclarationError(
            f"repartition_by={column!r} is not a column of the model: it has "
            f"{', '.join(schema.names)}"
        )
    if partitions is not None:
        _declare.whole_number("repartition_partitions", partitions, least=1)
    prefix = app.conf.group
    return Repartition(
        column=column,
        partitions=partitions if isinstance(partitions, int) else None,
        key=None if key is None else key.to_json(),
        stages=tuple(_stage(prefix, topic, column) for topic in topics),
    )


def _stage(prefix: str, topic: str, column: str) -> Stage:
    to = repartition_topic(prefix, topic, column)
    try:
        check_topic_name(to)
    except DeclarationError:
        raise DeclarationError(
            f"repartition_by={column!r} would name the internal topic {to!r}, which Kafka refuses: "
            "use a column whose name has letters, digits, '.', '_' and '-' only"
        ) from None
    return Stage(f"{topic}-{column}-repartition", topic, to)


def placed(
    app: "App", topic: str, by: tuple[str, str | None], name: str, partitions: int | None
) -> Repartition:
    """
    Give the first stage of one side of a join, whose internal topic is its own.

    Args:
        app: The app.
        topic: Topic that is read.
        by: Column whose value becomes the key, and the expression that gives it, if there is one.
        name: Name of the plan.
        partitions: Of the internal topic; None: as many as the other side has, or more.

    Raises:
        DeclarationError: The internal topic would have a name that Kafka refuses.
    """
    column, key = by
    stage = _stage(app.conf.group, topic, f"{column}-{name}")
    return Repartition(column=column, partitions=partitions, key=key, stages=(stage,))


def check_shared(app: "App", one: "Subscription") -> None:
    """
    Refuse *one* if it shares a stage with another subscription and they want different things.

    Raises:
        DeclarationError: They do; the message names the options.
    """
    mine = one.line.repartition
    if mine is None:
        return
    for other in app.subscriptions.values():
        theirs = other.line.repartition
        if theirs is None or not set(mine.topics) & set(theirs.topics):
            continue
        ours, its = _wishes(one), _wishes(other)
        different = [_SHARED[name] for name in ours if ours[name] != its[name]]
        if different:
            raise DeclarationError(
                f"the subscriptions {other.name} and {one.name} share the internal topic "
                f"{mine.stages[0].to!r}, and differ in {', '.join(different)}: write the same in "
                "both, or give one of them another column"
            )


def _wishes(one: "Subscription") -> dict[str, Any]:
    line = one.line
    return {
        "partitions": line.repartition and line.repartition.partitions,
        "key": line.repartition and line.repartition.key,
        "value_format": one.value_format,
        "schema": one.schema,
        "tombstones": one.tombstones,
        "on_error": one.on_error,
        "dlq": one.dlq,
        "event_time": line.event_time,
    }


def stages(app: "App") -> list[dict[str, Any]]:
    """Describe the stages of *app* to the core, each once."""
    found: dict[str, dict[str, Any]] = {}
    # One that is to be exact comes last: what is written once is right for the others too.
    for one in sorted(app.subscriptions.values(), key=lambda one: one.guarantee == "exactly_once"):
        for side in _sides(one):
            for stage in side.declared.stages:
                found[stage.to] = _config(one, side, stage)
    return list(found.values())


class _Side(NamedTuple):
    """What a subscription reads by another column."""

    declared: Repartition
    rows_of: str
    value_format: "Format"
    event_time: "EventTime | None"


def _sides(one: "Subscription") -> list[_Side]:
    join = one.join
    if join is not None and join.repartitions is not None:
        left, right = join.repartitions
        other = join.right
        return [
            _Side(left, one.name, one.value_format, one.line.event_time),
            _Side(right, one.name_of_right, other.source.value_format, other.event_time),
        ]
    declared = one.line.repartition
    if declared is None:
        return []
    return [_Side(declared, one.name, one.value_format, one.line.event_time)]


def _config(one: "Subscription", side: _Side, stage: Stage) -> dict[str, Any]:
    declared, time = side.declared, side.event_time
    return {
        "name": stage.name,
        "to": stage.to,
        "topic": stage.topic,
        "column": declared.column,
        "key": None if not declared.key else json.loads(declared.key),
        "rows_of": side.rows_of,
        "value_format": side.value_format.config(),
        "on_error": one.on_error,
        "dlq": one.dlq,
        "tombstones_as_nulls": one.tombstones == "null",
        "event_time": None if time is None else time.config(),
        "guarantee": one.guarantee,
    }


def internal_partitions(app: "App", known: Mapping[str, int]) -> dict[str, int]:
    """
    Partitions of each internal topic of *app*.

    Args:
        app: The app.
        known: Partitions of every topic of the cluster; the topics that are read are among them.

    Raises:
        ConfigError: A topic is there with another number.
    """
    wanted: dict[str, int] = {}
    for one in app.subscriptions.values():
        sides = _sides(one)
        # Both sides of a join have as many, whatever their sources have.
        most = max(
            (known[stage.topic] for side in sides for stage in side.declared.stages), default=0
        )
        for stage, declared in [(stage, s.declared) for s in sides for stage in s.declared.stages]:
            count = declared.partitions or (known[stage.topic] if one.join is None else most)
            there = known.get(stage.to, count)
            if there != count:
                option = "repartition_partitions" if one.join is None else "partitions"
                raise ConfigError(
                    f"the internal topic {stage.to} has {there} partitions, and the subscription "
                    f"{one.name} wants {count}: declare {option}={there}, or stop "
                    "the app, let it read the topic to its end and delete it"
                )
            wanted[stage.to] = count
    return wanted
