"""Subscriptions: functions over Arrow batches, as they are declared."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Unpack

from turbine import _declare
from turbine._decoders import is_model
from turbine._guarantee import guarantee
from turbine._handlers import Shape, shape_of
from turbine._line_options import Line, LineOptions, Target, read_line
from turbine._recovery import check_recovery
from turbine._repartition import check_shared
from turbine._state_options import StateOptions, read_state
from turbine.codecs import Avro, Format, Json, SchemaArg
from turbine.exceptions import DeclarationError
from turbine.naming import check_name, function_name, subscription_group
from turbine.topics import Topic
from turbine.types import METADATA_COLUMNS, WRITE_METADATA, OnError

if TYPE_CHECKING:
    from turbine._flow_join import FlowJoin
    from turbine._flow_plan import FlowPlan
    from turbine._repartition import Repartition
    from turbine.app import App

__all__ = ["Subscription", "Tombstones"]

Tombstones = Literal["error", "null"]
"""What a record without a value is: a bad record, or a row of nulls."""


class Subscription:
    """
    A declared subscription. Made by `App.subscribe`, which also says what each option means.

    Attributes:
        name: Unique in the app, the function's name unless given.
        fn: The function, ``(batch[, ctx]) -> batch | None``, or a class with such a ``process``.
        shape: What it is called with besides the batch.
        line: Time, windows and further outputs.
        state: The state that its handler keeps.
        topics: Names of the topics it is declared for.
        reads: Names of the topics its batches come from.
        publish_to: Name of the topic it writes, if any.
        model: pydantic model of the rows; None infers the schema.
        schema: Arrow schema of the model, if there is one.
        guarantee: ``"at_least_once"`` or ``"exactly_once"``.
        value_format: Format of what it reads.
        output_format: Format of what it writes.
        is_async: Whether the function is async.
        plan: What the core does with the rows instead of a function; `turbine.flows`.
        is_fed: Whether it reads an internal topic that a plan writes, whose schema is known.
    """

    def __init__(
        self,
        app: "App",
        fn: Callable[..., Any],
        source: str | Topic,
        *,
        publish_to: str | Topic | None = None,
        model: Any = None,
        batch_size: int = 10_000,
        batch_timeout_ms: int = 250,
        message_key: str | None = None,
        with_metadata: Sequence[str] = (),
        write_metadata: Sequence[str] = (),
        write_tombstones: bool = False,
        on_error: OnError = "fail",
        dlq: str | Topic | None = None,
        name: str | None = None,
        tombstones: Tombstones = "error",
        avro_schema: SchemaArg | None = None,
        processing_guarantee: str | None = None,
        plan: "FlowPlan | None" = None,
        rows: Any = None,
        **line: Unpack[LineOptions],
    ) -> None:
        self.app = app
        self.fn = fn
        self.plan = plan
        self.is_async, self.shape = _check_handler(fn)
        self.name = check_name("subscription", name or function_name(fn, qualified=False))
        self.source = _source(app, source)
        if self.source.pattern is not None:
            raise DeclarationError(
                f"the subscription {self.name} reads a pattern, which only agents can: write "
                "@app.agent(app.topic(pattern=...)), or name its topics"
            )
        self.publish_to = (
            None if publish_to is None else _declare.topic_name("publish_to", publish_to)
        )
        self.value_format = _value_format(self.source, avro_schema)
        self.output_format = _output_format(app, publish_to)
        self.model = _model(model, self.source)
        self.is_fed = rows is not None or (plan is not None and plan.is_fed)
        if plan is not None:
            self.schema = plan.source_schema
        elif rows is not None:
            self.schema = rows
        else:
            self.schema = None if self.model is None else _schema(self.model)
        self.batch_size = _declare.whole_number("batch_size", batch_size, least=1)
        self.batch_timeout_ms = _declare.whole_number("batch_timeout_ms", batch_timeout_ms, least=0)
        self.message_key = _message_key(message_key, self.publish_to)
        self.with_metadata = _metadata("with_metadata", with_metadata, METADATA_COLUMNS)
        self.write_metadata = _metadata("write_metadata", write_metadata, WRITE_METADATA)
        self.write_tombstones = write_tombstones
        _check_written(self)
        self.key_format = self.source.key_format
        self.output_key_format = _output_key_format(app, publish_to)
        self.tombstones = _declare.one_of("tombstones", tombstones, ("error", "null"))
        self.on_error, self.dlq = _declare.error_policy(on_error, dlq)
        _declare.check_no_loop(self.topics, self.publish_to, "publish_to")
        _declare.check_no_loop(self.topics, self.dlq, "dlq")
        self.line = read_line(
            app,
            line,
            name=self.name,
            source=self.source,
            publish_to=self.publish_to,
            schema=self.schema,
            is_class=isinstance(fn, type),
        )
        self.state = _state(self, line)
        if self.join is not None:
            self.line = _joined(self.line, self.join)
            self.state = StateOptions(is_kept=True, format=self.state.format)
        check_shared(app, self)
        self.guarantee = guarantee(app, processing_guarantee, name=self.name)
        _check_exact(self)
        check_recovery(self)
        self.help = _declare.first_line(fn)

    @property
    def topics(self) -> tuple[str, ...]:
        """Names of the topics it is declared for; of a join those of the left come first."""
        join = self.join
        return self.source.names if join is None else (*self.source.names, join.right.source.name)

    @property
    def join(self) -> "FlowJoin | None":
        """The join of its plan with a second topic, if there is one."""
        return None if self.plan is None else self.plan.join

    @property
    def repartitions(self) -> "tuple[Repartition, ...]":
        """What is written once more of each topic, by another column."""
        if self.join is not None and self.join.repartitions is not None:
            return self.join.repartitions
        return () if self.line.repartition is None else (self.line.repartition,)

    @property
    def name_of_right(self) -> str:
        """What the core calls the rows of the second topic."""
        return f"{self.name} right"

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the topics its batches come from: internal ones with ``repartition_by``."""
        repartition, join = self.line.repartition, self.join
        if join is not None:
            left = self.source.names if repartition is None else repartition.topics
            return (*left, join.right.reads)
        return self.topics if repartition is None else repartition.topics

    @property
    def side_outputs(self) -> "Mapping[str, Target]":
        """Topics that ``ctx.emit`` writes to, by name."""
        return self.line.side_outputs

    @property
    def written(self) -> tuple[str, ...]:
        """Names of the topics it writes."""
        return tuple(name for name in (self.publish_to, self.dlq, *self.line.topics) if name)

    @property
    def keeps_state(self) -> bool:
        """Whether something of it is kept in a store."""
        windows = self.line.windows.values()
        return self.state.is_kept or any(window.persistent for window in windows)

    @property
    def group(self) -> str:
        """Its own consumer group: it sees every record, and fails alone."""
        return subscription_group(self.app.conf.group, self.name)

    def explain(self) -> str:
        """Say what it reads, does and writes, a line for each step."""
        from turbine._topology import explain_one

        return explain_one(self)

    def __repr__(self) -> str:
        target = f", writes {self.publish_to}" if self.publish_to else ""
        return f"<Subscription {self.name} reads {self.source}{target}>"


def _joined(line: Line, join: "FlowJoin") -> Line:
    """What the join says of its left."""
    left = None if join.repartitions is None else join.repartitions[0]
    return dataclasses.replace(line, event_time=join.event_time, repartition=left)


def _check_exact(one: Subscription) -> None:
    """Refuse exactly-once where it would promise nothing, or more than it can keep."""
    if one.guarantee != "exactly_once":
        return
    if not (one.publish_to or one.line.topics or one.keeps_state):
        raise DeclarationError(
            f"{one.name}: processing_guarantee='exactly_once' is about what goes to Kafka, and "
            "this handler writes nothing there: a database is not part of the transaction. Add "
            "publish_to=, or a 'state' parameter: then the state is what is made exact; or leave "
            "it at 'at_least_once' and make repeats harmless"
        )


def _check_handler(fn: Any) -> tuple[bool, Shape]:
    """Refuse what cannot be a subscription; whether it is async, and what it is called with."""
    name = getattr(fn, "__name__", type(fn).__name__)
    in_class = isinstance(fn, type)
    if in_class:
        fn = _method_of(fn)
    if not callable(fn):
        raise DeclarationError(f"a subscription is a function, not {fn!r}: write 'def f(batch)'")
    generator = _declare.is_kind(fn, inspect.isasyncgenfunction)
    if generator or _declare.is_kind(fn, inspect.isgeneratorfunction):
        raise DeclarationError(
            f"the subscription {name} yields: return one batch instead, "
            f"or use @app.agent for yielding one value at a time"
        )
    shape = shape_of(fn, name, in_class=in_class)
    return _declare.is_kind(fn, inspect.iscoroutinefunction), shape


def _state(one: Subscription, line: LineOptions) -> StateOptions:
    shape = one.shape
    if shape.is_keyed and one.line.partition_key is None:
        raise DeclarationError(
            f"{one.name} is called with the rows of one key, and which column that is is not said: "
            "add partition_key='column'"
        )
    if shape.is_keyed and one.line.windows:
        raise DeclarationError(
            f"{one.name} is called with results of window=, which are not the rows of one key: "
            "write 'def f(batch, state)'"
        )
    return read_state(
        one.fn,
        line,
        name=one.name,
        default_format=one.app.conf.state_format,
        takes_state=shape.takes_state,
        is_async=one.is_async,
        has_time=one.line.event_time is not None,
    )


def _method_of(cls: type) -> Any:
    """Find what is called for a batch: ``process``, or ``process_key``."""
    process, keyed = getattr(cls, "process", None), getattr(cls, "process_key", None)
    if inspect.isfunction(process) and inspect.isfunction(keyed):
        raise DeclarationError(
            f"the handler class {cls.__name__} has process and process_key: keep one of them"
        )
    process = keyed if inspect.isfunction(keyed) else process
    if not inspect.isfunction(process):
        raise DeclarationError(
            f"the handler class {cls.__name__} has no process method: "
            "write 'def process(self, batch)'"
        )
    try:
        inspect.signature(cls).bind()
    except TypeError:
        raise DeclarationError(
            f"the handler class {cls.__name__} is made without arguments, and its __init__ asks "
            "for some: give them defaults"
        ) from None
    except ValueError:
        pass
    return process


def _source(app: "App", source: Any) -> Topic:
    if isinstance(source, str):
        known = app.topics.get(source)
        formats = (
            {}
            if known is None
            else {"key_format": known.key_format, "value_format": known.value_format}
        )
        return app.topic(source, **formats)
    if not isinstance(source, Topic):
        raise DeclarationError(
            f"a subscription reads a topic, not {source!r}: "
            f"write @app.subscribe('orders') or @app.subscribe(app.topic('a', 'b'))"
        )
    if source.app is not app:
        raise DeclarationError(
            f"{source!r} belongs to another app: declare it with this app's .topic()"
        )
    return source


def _value_format(source: Topic, avro_schema: SchemaArg | None) -> Format:
    given = source.value_format
    if avro_schema is None:
        return given
    if given == Json():
        return Avro(schema=avro_schema, framing="single_object")
    if not isinstance(given, Avro) or given.schema is not None:
        raise DeclarationError(
            f"avro_schema= and {source!r} with {given!r} say different things: "
            "leave avro_schema out, or write value_format=Avro(schema=...)"
        )
    return dataclasses.replace(given, schema=avro_schema)


def _output_format(app: "App", publish_to: str | Topic | None) -> Format:
    """Give the format of a topic that is given, or was declared under its name."""
    topic = app.topics.get(publish_to) if isinstance(publish_to, str) else publish_to
    return Json() if topic is None else topic.value_format


def _model(model: Any, source: Topic) -> Any:
    if model is None:
        return source.value_type if is_model(source.value_type) else None
    if not is_model(model):
        raise DeclarationError(
            f"model={model!r} is not a pydantic model: "
            "write a class that derives from turbine.Record or pydantic.BaseModel, and pass the "
            "class"
        )
    if is_model(source.value_type) and source.value_type is not model:
        raise DeclarationError(
            f"{source!r} has value_type={source.value_type!r} already: leave model out"
        )
    return model


def _schema(model: Any) -> Any:
    """Give the Arrow schema of *model*; a rule that the core cannot check is refused here."""
    from turbine.models import arrow_schema

    return arrow_schema(model)


def _message_key(message_key: object, publish_to: str | None) -> str | None:
    if message_key is None:
        return None
    if not isinstance(message_key, str) or not message_key:
        raise DeclarationError(
            f"message_key={message_key!r} is not a column: write the name of one"
        )
    if publish_to is None:
        raise DeclarationError(
            f"message_key={message_key!r} is the key of output records, and there is no output: "
            "add publish_to="
        )
    return message_key


def _metadata(option: str, columns: Any, known: Sequence[str]) -> tuple[str, ...]:
    if isinstance(columns, str) or not isinstance(columns, Sequence | set | frozenset):
        raise DeclarationError(
            f"{option}={columns!r} is not a list: write {option}={list(known[:2])!r}"
        )
    checked = tuple(_declare.one_of(option, column, known) for column in columns)
    if len(set(checked)) != len(checked):
        raise DeclarationError(f"{option}={list(columns)!r} names a column twice: name it once")
    return checked


def _check_written(one: Subscription) -> None:
    """Refuse choices for records that are never written."""
    if type(one.write_tombstones) is not bool:
        raise DeclarationError(
            f"write_tombstones={one.write_tombstones!r} is not possible: write True or False"
        )
    if one.publish_to is None and (one.write_metadata or one.write_tombstones):
        option = "write_metadata" if one.write_metadata else "write_tombstones"
        raise DeclarationError(
            f"{option}= is about output records, and there is no output: add publish_to="
        )


def _output_key_format(app: "App", publish_to: str | Topic | None) -> Format | None:
    """Give the key format of the topic that is written, if one is declared."""
    topic = app.topics.get(publish_to) if isinstance(publish_to, str) else publish_to
    return None if topic is None else topic.key_format
