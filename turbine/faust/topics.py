"""
Topics with Faust's types, codecs and schemas.

What differs from `turbine.Topic`: bytes are read and written by a `Schema`. Where its types and
codecs are those that the core has too, the core reads: records and plain types from JSON never pass
through Python code. A value of None, a tombstone, is given as None whatever the type is.
"""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, TypedDict, Unpack

from turbine import _declare
from turbine import app as native
from turbine._decoders import decoder_for
from turbine.agents import Agent
from turbine.app import TOPIC_OPTIONS
from turbine.faust.models.base import Model, maybe_model, registry
from turbine.faust.sensors._observing import watch_sent
from turbine.faust.serializers.codecs import CodecArg, get_codec
from turbine.faust.serializers.registry import Registry
from turbine.faust.serializers.schemas import Schema
from turbine.topics import Pending
from turbine.topics import Topic as NativeTopic

__all__ = ["CODEC_OPTIONS", "AppTopics", "How", "Topic", "with_codecs"]

CODEC_OPTIONS = ("key_serializer", "value_serializer", "schema")
"""Options of an agent that are of its topic."""

_HOOKS = (
    "dumps_key",
    "dumps_value",
    "on_dumps_key_prepare_headers",
    "on_dumps_value_prepare_headers",
)
_SAID_BY_TYPE = (str, bytes, int)
_IGNORED = ("has_prefix", "acks", "maxsize", "allow_empty", "active_partitions", "loop")


@dataclass
class _Raw:
    """What a schema of the program's own gets to read."""

    key: bytes | None = None
    value: bytes | None = None
    headers: Any = ()


class How(TypedDict, total=False):
    """
    How a record is sent.

    Attributes:
        partition: Partition; chosen by the key if None.
        timestamp: Seconds since the Unix epoch, or an aware `datetime`; now if None.
        headers: Names and values; text becomes UTF-8.
        schema: Another one for this record.
        key_serializer: Another codec for this key.
        value_serializer: Another codec for this value.
        callback: Called with the pending record.
        force: Accepted; a record always goes out when it is sent.
    """

    partition: int | None
    timestamp: float | datetime | None
    headers: Any
    schema: Schema | None
    key_serializer: CodecArg
    value_serializer: CodecArg
    callback: Callable[[Any], Any] | None
    force: bool


class _Decoder:
    """A decoder of the core in Python: the bytes of one key or value to an object."""

    def __init__(self, read: Callable[[bytes], Any]) -> None:
        self.validate_json = read


class Topic(NativeTopic):
    """
    A topic as Faust programs declare it; made by `App.topic`.

    Attributes:
        schema: Types and codecs.
    """

    __slots__ = ("_has_native_codecs", "_takes_dicts", "schema")

    app: Any

    def __init__(self, app: Any, names: tuple[str, ...], *, schema: Schema, **options: Any) -> None:
        self.schema = schema
        self._has_native_codecs: bool | None = None
        self._takes_dicts = False
        super().__init__(
            app, names, key_type=schema.key_type, value_type=schema.value_type, **options
        )

    # -- reading ---------------------------------------------------------------------------

    def decoders(self) -> tuple[Any, Any]:
        """Key and value decoder for the core."""
        return self._key_decoder(), self._value_decoder()

    def _key_decoder(self) -> Any:
        schema, app = self.schema, self.app
        if type(schema).loads_key is not Schema.loads_key:
            return _Decoder(lambda raw: schema.loads_key(app, _Raw(key=raw)))
        codec = schema.key_serializer or app.serializers.key_serializer
        if schema.key_type is None and codec in {None, "raw"}:
            return "raw"
        is_said = schema.key_type in _SAID_BY_TYPE and schema.key_serializer in {None, "raw"}
        if is_said or (schema.key_type is not None and codec in {None, "raw", "json"}):
            return decoder_for(schema.key_type, default="raw")
        return _Decoder(lambda raw: schema.loads_key(app, _Raw(key=raw)))

    def _value_decoder(self) -> Any:
        schema, app = self.schema, self.app
        if type(schema).loads_value is not Schema.loads_value:
            return _Decoder(lambda raw: schema.loads_value(app, _Raw(value=raw)))
        codec = schema.value_serializer or app.serializers.value_serializer
        kind = schema.value_type
        if kind in _SAID_BY_TYPE and schema.value_serializer in {None, "raw"}:
            return _Decoder(_plain_text) if kind is str and codec == "json" else _word(kind)
        if codec == "json" and kind not in _SAID_BY_TYPE:
            return _untyped() if kind is None else decoder_for(kind, default="json")
        return _Decoder(lambda raw: schema.loads_value(app, _Raw(value=raw)))

    def with_types(self, key_type: Any, value_type: Any) -> "Topic":
        """The same topic, read with other types; None keeps a type."""
        schema = copy(self.schema)
        schema.update(key_type=key_type, value_type=value_type)
        return Topic(self.app, self.names, schema=schema, **self._declared())

    # -- writing ---------------------------------------------------------------------------

    def send(self, *, key: Any = None, value: Any = None, **how: Unpack[How]) -> Any:
        """
        Enqueue a record; wait only while the producer is full.

        Args:
            key: Written by the schema.
            value: The same; None is a tombstone.
            **how: What `How` names: partition, timestamp, headers, codecs, a callback.
        """
        # Most records have nothing but a key and a dict, and an agent sends one an event.
        if how or type(value) is not dict or not self._takes_dicts or self.app.tells_of_sends:
            return self._send(key, value, **how)
        return self._send_json(key, value)

    def _send(
        self,
        key: Any,
        value: Any,
        *,
        partition: int | None = None,
        timestamp: float | datetime | None = None,
        headers: Any = None,
        schema: Schema | None = None,
        key_serializer: CodecArg = None,
        value_serializer: CodecArg = None,
        callback: Callable[[Any], Any] | None = None,
        force: bool = False,
    ) -> Any:
        del force
        codecs = schema, key_serializer, value_serializer
        key, value, headers = self._written(key, value, headers, codecs)
        headers, told = self._told(key, value, partition, timestamp, headers)
        sent = super().send(
            key=key, value=value, partition=partition, timestamp=timestamp, headers=headers
        )
        return sent if callback is None and told is None else _with_calls(sent, told, callback)

    def send_raw(
        self,
        *,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | datetime | None = None,
        headers: Any = None,
    ) -> Any:
        """Enqueue bytes as they are."""
        headers, told = self._told(key, value, partition, timestamp, headers)
        sent = super().send_raw(
            key=key, value=value, partition=partition, timestamp=timestamp, headers=headers
        )
        return sent if told is None else _with_calls(sent, told)

    def send_soon(
        self,
        *,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | datetime | None = None,
        headers: Any = None,
        schema: Schema | None = None,
        key_serializer: CodecArg = None,
        value_serializer: CodecArg = None,
        callback: Callable[[Any], Any] | None = None,
        force: bool = False,
    ) -> Pending:
        """Enqueue a record from a plain function; see `send`."""
        del force
        codecs = schema, key_serializer, value_serializer
        key, value, headers = self._written(key, value, headers, codecs)
        headers, told = self._told(key, value, partition, timestamp, headers)
        pending = super().send_soon(
            key=key, value=value, partition=partition, timestamp=timestamp, headers=headers
        )
        for call in (told, callback):
            if call is not None:
                call(pending)
        return pending

    def _written(self, key: Any, value: Any, headers: Any, codecs: tuple[Any, ...]) -> Any:
        """Key, value and headers for the core: as they are, or as the schema writes them."""
        schema, key_codec, value_codec = codecs
        is_plain = codecs == (None, None, None) and self._is_native(value)
        if is_plain and not self.app.tells_of_sends:
            return key, value, headers
        outgoing = _Outgoing(schema or self.schema, key_codec, value_codec)
        return outgoing.written(self.app, key, value, headers)

    def _told(
        self,
        key: Any,
        value: Any,
        partition: int | None,
        timestamp: float | datetime | None,
        headers: Any,
    ) -> tuple[Any, Callable[[Any], None] | None]:
        """Tell of a record that is about to go; its headers, and what to call when it has gone."""
        app = self.app
        if not app.tells_of_sends:
            return headers, None
        if app.on_produce_message:
            pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
            headers = list(pairs)
            parts = {"key": key, "value": value, "partition": partition, "timestamp": timestamp}
            app.on_produce_message.send_now(app, **parts, headers=headers)
        return headers, watch_sent(app.sensors, None, self.name, key, value)

    def _is_native(self, value: Any) -> bool:
        """Does the core write what the schema would?"""
        if self._has_native_codecs is None:
            self._has_native_codecs = self._find_native_codecs()
            self._takes_dicts = self._has_native_codecs and not self._bytes_only
        if not self._has_native_codecs:
            return False
        return type(value) is dict or not isinstance(value, Model) or _is_json(value)

    def _find_native_codecs(self) -> bool:
        schema, serializers = self.schema, self.app.serializers
        is_own = any(getattr(type(schema), name) is not getattr(Schema, name) for name in _HOOKS)
        value_codec = schema.value_serializer or serializers.value_serializer
        is_text = schema.value_type in {str, bytes} and schema.value_serializer is None
        self._json_text = not is_text
        key_codecs = {schema.key_serializer, serializers.key_serializer} - {None, "raw"}
        return not is_own and not key_codecs and (is_text or value_codec == "json")


@dataclass
class _Outgoing:
    """How one record is written where the core does not."""

    schema: Schema
    key_codec: CodecArg
    value_codec: CodecArg

    def written(self, app: Any, key: Any, value: Any, headers: Any) -> tuple[Any, Any, Any]:
        """Give the bytes of a key and value, and the headers."""
        schema = self.schema
        if key is not None:
            codec = _key_codec(schema, key, self.key_codec)
            key, headers = schema.dumps_key(app, key, serializer=codec, headers=headers)
        if value is not None:
            codec = self.value_codec or _value_codec(schema, value)
            value, headers = schema.dumps_value(app, value, serializer=codec, headers=headers)
        return key, value, headers


class AppTopics(native.App):
    """The part of the app that makes topics."""

    @cached_property
    def serializers(self) -> Registry:
        """Codecs of keys and values where a topic says nothing else."""
        return Registry(
            key_serializer=getattr(self.conf, "key_serializer", None) or "raw",
            value_serializer=getattr(self.conf, "value_serializer", None) or "json",
        )

    def topic(
        self,
        *names: str,
        key_type: Any = None,
        value_type: Any = None,
        key_serializer: CodecArg = None,
        value_serializer: CodecArg = None,
        schema: Schema | None = None,
        **options: Any,
    ) -> Topic:
        """
        Declare a topic.

        Args:
            *names: Topic names; several are for reading only.
            key_type: ``bytes`` (None), ``str``, ``int``, a record, or what pydantic reads.
            value_type: The same; None is what the data itself says, of any shape.
            key_serializer: Codec of keys.
            value_serializer: Codec of values.
            schema: Types and codecs together; what else is given goes before.
            **options: As `turbine.App.topic`.
        """
        for name in _IGNORED:
            options.pop(name, None)
        made = schema or Schema()
        made.update(
            key_type=key_type,
            value_type=value_type,
            key_serializer=key_serializer,
            value_serializer=value_serializer,
        )
        for codec in (made.key_serializer, made.value_serializer):
            get_codec(codec)
        _declare.refuse_unknown("app.topic", options.keys() - TOPIC_OPTIONS, TOPIC_OPTIONS)
        topic = Topic(self, names, schema=made, **options)
        self._add_topic(topic)
        return topic


def with_codecs(agent: Agent, codecs: dict[str, Any]) -> Agent:
    """Let *agent* read its topic with *codecs*."""
    if codecs and isinstance(agent.channel, Topic):
        topic = agent.channel.with_types(None, None)
        topic.schema = copy(codecs.pop("schema", None) or topic.schema)
        topic.schema.update(**codecs)
        agent.channel = topic
    return agent


async def _with_calls(sent: Any, *calls: Callable[[Any], Any] | None) -> Any:
    pending = await sent
    for call in calls:
        if call is not None:
            call(pending)
    return pending


def _word(kind: Any) -> Any:
    return decoder_for(kind, default="json")


def _untyped() -> Any:
    """JSON of any shape; an object that names a declared record becomes that record."""
    if not registry:
        return "json"
    from pydantic_core import SchemaValidator, core_schema

    return SchemaValidator(
        core_schema.no_info_after_validator_function(maybe_model, core_schema.any_schema())
    )


def _plain_text(raw: bytes) -> str:
    """
    Text as it is, or as Faust wrote it: in the quotes of JSON.

    Raises:
        ValueError: It is not UTF-8.
    """
    if raw[:1] == b'"' and raw[-1:] == b'"':
        try:
            quoted = get_codec("json").loads(raw)
        except ValueError:
            quoted = None
        if isinstance(quoted, str):
            return quoted
    return raw.decode()


def _is_json(record: Model) -> bool:
    return record._options.serializer in {None, "json"}  # noqa: SLF001 - this package's own


def _key_codec(schema: Schema, key: Any, given: CodecArg) -> CodecArg:
    """Keys that are neither text nor bytes are JSON, unless a codec is named."""
    if given or isinstance(key, str | bytes):
        return given
    codec = schema.key_serializer
    return "json" if codec in {None, "raw"} else codec


def _value_codec(schema: Schema, value: Any) -> CodecArg:
    """A type of text or bytes says how they are written, unless a codec is named."""
    is_text = isinstance(value, str | bytes) and schema.value_type in {str, bytes}
    return "raw" if is_text and schema.value_serializer is None else None
