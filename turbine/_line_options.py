"""Options of a subscription about time, windows and further outputs, checked together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from turbine import _declare
from turbine._event_time import EventTime, event_time
from turbine._handlers import check_keyed
from turbine._recovery import Recovery, RecoveryOptions, read_recovery
from turbine._repartition import Repartition, repartition
from turbine._state_options import StateFormat
from turbine.branches import Branch, OnUnmatched, check_branches
from turbine.dedup import Dedup, check_dedup
from turbine.exceptions import DeclarationError
from turbine.functions import Expr

if TYPE_CHECKING:
    from turbine.app import App
    from turbine.codecs import Format
    from turbine.topics import Topic
    from turbine.windows import Window

__all__ = ["Line", "LineOptions", "OnLate", "Target", "read_line", "window_spec"]

OnLate = Literal["drop", "route", "update"]
"""What happens to a row whose windows are all closed."""

_ON_LATE = ("drop", "route", "update")
_TIMELESS = ("count", "global")
_MOST_SHARDS = 256


class LineOptions(RecoveryOptions, total=False):
    """
    Options of `App.subscribe` about time, windows and further outputs.

    Attributes:
        event_time: Column with the time of a row, ``"a.b"`` inside a nested field, ``"timestamp"``
            for the timestamp of its record.
        event_time_unit: What a number in it counts: ``"s"``, ``"ms"``, ``"us"`` or ``"ns"``.
        out_of_orderness: How far behind the newest row a row may be without being late; seconds.
        idle_close: After so long without records windows close by the clock; seconds. None: never.
        window: A window of `turbine.windows`, or several by name; the function gets their results.
        on_late: What happens to a row whose windows are all closed: ``"drop"`` counts it,
            ``"route"`` writes it to *late_data*, ``"update"`` gives a further result.
        late_data: Topic for late rows.
        side_outputs: Topics that ``ctx.emit`` writes to, by name.
        partition_key: Column by which rows may be divided; every window must be keyed by it.
        repartition_by: Column, or expression with a name, by which the topic is read, through an
            internal topic that has it as the key of its records; `docs/guides/partitioning.md`.
        repartition_partitions: Partitions of that topic; as many as its source has if None.
        parallelism: Shards inside a partition, each with a handler of its own; rows with one
            *partition_key* stay together and in order.
        branch: Where rows go that the handler returns: `turbine.Branch`, the first that fits.
        on_unmatched: What happens to rows that no branch takes: ``"output"`` or ``"drop"``.
        dedup: Rows that are left out because their key was there already: `turbine.Dedup`.
        state_ttl: How long values of the state live in event time, in ms, by the prefix of their
            key.
        state_format: How lists and dicts of the state are kept: ``"json"`` or ``"msgpack"``.
        on_timer: ``(timer_id, state[, ctx])``, called when a timer of the state is due; a class has
            a method of that name instead.
    """

    event_time: str | None
    event_time_unit: str | None
    out_of_orderness: float | timedelta | str | None
    idle_close: float | timedelta | str | None
    window: "Window | Mapping[str, Window] | None"
    on_late: OnLate | None
    late_data: "str | Topic | None"
    side_outputs: "Mapping[str, str | Topic] | None"
    partition_key: str | None
    repartition_by: str | Expr | None
    repartition_partitions: int | None
    parallelism: int
    branch: "Branch | Sequence[Branch] | None"
    on_unmatched: OnUnmatched | None
    dedup: Dedup | None
    state_ttl: Mapping[str, int] | None
    state_format: StateFormat | None
    on_timer: Callable[..., Any] | None


@dataclass(frozen=True)
class Target:
    """
    A further topic that a subscription writes.

    Attributes:
        name: What the handler calls it.
        topic: Name of the topic.
        value_format: Format of its values.
    """

    name: str
    topic: str
    value_format: "Format"

    def config(self) -> dict[str, Any]:
        """Describe it to the core."""
        return {
            "name": self.name,
            "topic": self.topic,
            "value_format": self.value_format.config(),
        }


@dataclass(frozen=True)
class Line:
    """
    What `LineOptions` say, checked.

    Attributes:
        event_time: Event time of the rows, if they have one.
        windows: Windows in front of the function, by name.
        on_late: What happens to late rows.
        late_data: Topic for late rows, if they are routed.
        side_outputs: Topics for ``ctx.emit``, by name.
        partition_key: Column by which rows may be divided.
        repartition: The column by which it reads its topics, if it is not their key.
        parallelism: Shards inside a partition.
        branches: Where rows go that the handler returns; their topics end *side_outputs*.
        on_unmatched: What happens to rows that no branch takes.
        dedup: Which rows are left out as duplicates.
        recovery: How its state comes back.
    """

    event_time: EventTime | None = None
    windows: "Mapping[str, Window]" = field(default_factory=dict)
    on_late: OnLate = "drop"
    late_data: Target | None = None
    side_outputs: Mapping[str, Target] = field(default_factory=dict)
    partition_key: str | None = None
    repartition: Repartition | None = None
    parallelism: int = 1
    branches: tuple[Branch, ...] = ()
    on_unmatched: OnUnmatched = "output"
    dedup: Dedup | None = None
    recovery: Recovery = field(default_factory=Recovery)

    @property
    def topics(self) -> tuple[str, ...]:
        """Names of the topics that it writes."""
        targets = [*self.side_outputs.values(), *([self.late_data] if self.late_data else [])]
        return tuple(target.topic for target in targets)


def read_line(
    app: "App",
    options: LineOptions,
    *,
    name: str,
    source: "Topic",
    publish_to: str | None,
    schema: Any,
    is_class: bool,
) -> Line:
    """
    Check the options together.

    Raises:
        DeclarationError: They cannot work; the message says what to write.
    """
    time = _event_time(options, source, schema)
    windows = _windows(options.get("window"), name, is_class=is_class)
    on_late, late_data = options.get("on_late"), options.get("late_data")
    if on_late is not None:
        _declare.one_of("on_late", on_late, _ON_LATE)
        if not windows and not is_class:
            raise DeclarationError(
                f"on_late={on_late!r} is about windows, and {name} has none: add window="
            )
    if (on_late == "route") != (late_data is not None):
        raise DeclarationError(
            "on_late='route' and late_data= belong together: name the topic for late rows, as "
            "on_late='route', late_data='orders-late'"
        )
    taken = (*source.names, publish_to)
    sides = _side_outputs(app, options.get("side_outputs"), taken)
    branches, on_unmatched = check_branches(
        options.get("branch"),
        options.get("on_unmatched"),
        publish_to=publish_to,
        taken=tuple(sides),
    )
    for branch in branches:
        kind = f"Branch({branch.name!r}, to=...)"
        sides[branch.name] = _target(app, kind, branch.to, taken, branch.name)
    line = Line(
        event_time=time,
        windows=windows,
        on_late=on_late or "drop",
        late_data=None if late_data is None else _target(app, "late_data", late_data, taken),
        side_outputs=sides,
        partition_key=_partition_key(options.get("partition_key"), schema),
        repartition=repartition(
            app,
            options.get("repartition_by"),
            options.get("repartition_partitions"),
            topics=source.names,
            schema=schema,
        ),
        parallelism=_parallelism(options),
        branches=branches,
        on_unmatched=on_unmatched,
        dedup=check_dedup(options.get("dedup"), has_time=time is not None, schema=schema),
        recovery=read_recovery(options),
    )
    for one, window in windows.items():
        window_spec(line, window, one)
    return line


def window_spec(line: Line, window: "Window", name: str) -> dict[str, Any]:
    """
    Describe *window* to the core.

    Raises:
        DeclarationError: The subscription has no event time for it, or divides its groups.
    """
    check_keyed(line.partition_key, name, window.key)
    kind = window.kind["type"]
    if line.event_time is None and window.time_column is None and kind not in _TIMELESS:
        raise DeclarationError(
            f"the window {name!r} needs the time of rows: add event_time='column' to the "
            "subscription, or event_time='timestamp' for that of the records"
        )
    if line.event_time is None and window.time_column is not None and line.parallelism > 1:
        raise DeclarationError(
            f"the window {name!r} has a time_column of its own, and the rows of {line.parallelism} "
            "shards have no common time: write event_time= instead"
        )
    idle_close = line.event_time is not None and line.event_time.idle_close_ms is not None
    return window.spec(name, on_late=line.on_late) | {"idle_close": idle_close}


def _event_time(options: LineOptions, source: "Topic", schema: Any) -> EventTime | None:
    own = event_time(
        options.get("event_time"),
        unit=options.get("event_time_unit"),
        out_of_orderness=options.get("out_of_orderness"),
        idle_close=options.get("idle_close"),
        schema=schema,
    )
    declared = source.event_time
    if own is None and declared is not None and declared.column is not None:
        # Again with the schema, which the topic does not know.
        event_time(declared.column, schema=schema)
    return own or declared


def _windows(given: Any, name: str, *, is_class: bool) -> "dict[str, Window]":
    if given is None:
        return {}
    from turbine.windows import Window

    if is_class:
        raise DeclarationError(
            f"window= gives results to a function, and {name} is a class: create the window in its "
            "__init__ (turbine.windowing), or write a function of the results"
        )
    found = dict(given) if isinstance(given, Mapping) else {name: given}
    for one, window in found.items():
        if not isinstance(window, Window):
            raise DeclarationError(
                f"window={window!r} is not a window: write windows.tumbling('10s', key='user', "
                "value=aggregates.Count()), or a dict of them by name"
            )
        if not isinstance(one, str) or not one:
            raise DeclarationError(f"window={{{one!r}: ...}}: a window has text as its name")
    if not found:
        raise DeclarationError("window={} has no window: leave it out, or add one")
    return {window.name or one: window for one, window in found.items()}


def _side_outputs(app: "App", given: Any, taken: tuple[str | None, ...]) -> dict[str, Target]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise DeclarationError(
            f"side_outputs={given!r} is not a mapping: write side_outputs={{'vip': 'vip-orders'}}"
        )
    found: dict[str, Target] = {}
    for name, topic in given.items():
        if not isinstance(name, str) or not name:
            raise DeclarationError(f"side_outputs names an output {name!r}: write text as its name")
        found[name] = _target(app, f"side_outputs[{name!r}]", topic, taken, name)
    return found


def _target(
    app: "App", kind: str, topic: Any, taken: tuple[str | None, ...], name: str = ""
) -> Target:
    from turbine.codecs import Json

    text = _declare.topic_name(kind, topic)
    if text in taken:
        raise DeclarationError(
            f"{kind}={text!r} is also what the subscription reads or publishes to: name another "
            "topic"
        )
    declared = app.topics.get(topic) if isinstance(topic, str) else topic
    return Target(name, text, Json() if declared is None else declared.value_format)


def _parallelism(options: LineOptions) -> int:
    count = _declare.whole_number("parallelism", options.get("parallelism", 1), least=1)
    if count > _MOST_SHARDS:
        raise DeclarationError(
            f"parallelism={count} is more than the {_MOST_SHARDS} shards that a process can have: "
            "a few per core are enough; beyond, add partitions to the topic"
        )
    if count > 1 and options.get("partition_key") is None:
        raise DeclarationError(
            f"parallelism={count} divides rows by their key, and there is none: add "
            "partition_key='column'"
        )
    return count


def _partition_key(given: Any, schema: Any) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str) or not given:
        raise DeclarationError(f"partition_key={given!r} is not a column: write the name of one")
    if schema is not None and given not in schema.names:
        raise DeclarationError(
            f"partition_key={given!r} is not a column of the model: it has "
            f"{', '.join(schema.names)}"
        )
    return given
