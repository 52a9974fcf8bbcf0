"""Topics that an app declares, and sending to them."""

import asyncio
import contextlib
import copy
from collections.abc import Generator, Mapping, Sequence
from datetime import datetime, timedelta
from types import GenericAlias
from typing import TYPE_CHECKING, Any, ClassVar

from turbine._decoders import check_type, decoder_for, takes_json
from turbine._event_time import EventTime
from turbine._event_time import event_time as read_event_time
from turbine._parsers import seconds
from turbine._turns import SENDER
from turbine.codecs import FormatArg, format_of
from turbine.exceptions import ConfigError, DeclarationError, EncodeError, SendError
from turbine.naming import check_pattern, check_topic_name
from turbine.types import HeadersArg, RecordMetadata

if TYPE_CHECKING:
    import re

    from turbine._native import Delivery
    from turbine.app import App

__all__ = ["Pending", "Topic"]

_ROOM_POLL_MS = 250
"""How long one wait for room in the producer lasts before the program is looked at again."""

_SEND_SOON_LIMIT_MS = 60_000
"""How long `Topic.send_soon` waits for room before it gives up."""


class Pending:
    """
    A record on its way; awaiting it gives its `RecordMetadata`.

    Awaiting is optional: a worker commits an input after everything sent before is acknowledged.

    Attributes:
        delivery: The core's side of it.
    """

    __slots__ = ("delivery",)

    def __init__(self, delivery: "Delivery") -> None:
        self.delivery = delivery

    def done(self) -> bool:
        """Whether the record is acknowledged, or has failed."""
        return self.delivery.done()

    def __await__(self) -> Generator[Any, None, RecordMetadata]:
        delivery = self.delivery
        if not delivery.done():
            yield from _acknowledged(delivery)
        topic, partition, offset, timestamp_ms = delivery.result(0)
        return RecordMetadata(topic, partition, offset, timestamp_ms / 1_000)


def _acknowledged(delivery: "Delivery") -> "asyncio.Future[None]":
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def finish() -> None:
        if not waiter.done():
            waiter.set_result(None)

    def wake(_: object) -> None:
        # The loop may be gone by the time the broker answers; nobody waits then.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(finish)

    delivery.add_done_callback(wake)
    return waiter


class Topic:
    """
    One or several Kafka topics, with the types of their keys and values.

    Several names are for reading only. Made by `App.topic`.

    Attributes:
        names: Topic names; none if it has a pattern.
        pattern: What the names of the topics to read have to fit; None: those of `names`.
        found: Topics that fit the pattern, as far as they are known.
        key_type: Type of keys; None: bytes.
        value_type: Type of values; None: of any shape.
        key_format: Format of the keys.
        value_format: Format of the values.
        partitions: Partitions if the app creates it; None: the ``topic_partitions`` setting.
        replicas: Replicas if the app creates it; None: the ``topic_replication_factor`` setting.
        event_time: Where rows have their time, if subscriptions do not say otherwise.
        config: Settings of the topic if the app creates it, by Kafka's names.
    """

    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)
    __slots__ = (
        "_bytes_only",
        "_json_text",
        "app",
        "config",
        "event_time",
        "found",
        "internal",
        "key_format",
        "key_type",
        "name",
        "names",
        "partitions",
        "pattern",
        "replicas",
        "value_format",
        "value_type",
    )

    def __init__(
        self,
        app: "App",
        names: tuple[str, ...],
        *,
        key_type: Any = None,
        value_type: Any = None,
        key_format: FormatArg = None,
        value_format: FormatArg = None,
        partitions: int | None = None,
        replicas: int | None = None,
        retention: float | timedelta | None = None,
        compacting: bool | None = None,
        deleting: bool | None = None,
        config: Mapping[str, object] | None = None,
        internal: bool = False,
        event_time: str | EventTime | None = None,
        event_time_unit: str | None = None,
        out_of_orderness: float | timedelta | str | None = None,
        idle_close: float | timedelta | str | None = None,
        pattern: "str | re.Pattern[str] | None" = None,
    ) -> None:
        self.pattern = None if pattern is None else check_pattern(pattern, names)
        self.found: tuple[str, ...] = ()
        if not names and self.pattern is None:
            raise DeclarationError("a topic needs a name: write app.topic('orders')")
        check_type("key_type", key_type)
        check_type("value_type", value_type)
        if partitions is not None and (type(partitions) is not int or partitions < 1):
            raise DeclarationError(
                f"partitions={partitions!r} is not possible: write a number from 1"
            )
        self.app = app
        self.names = tuple(dict.fromkeys(check_topic_name(name) for name in names))
        self.name = self.names[0] if names else str(self)
        self.key_type = key_type
        self.value_type = value_type
        self.key_format = None if key_format is None else format_of("key_format", key_format)
        self.value_format = format_of("value_format", value_format)
        self.partitions = partitions
        self.replicas = replicas
        self.internal = internal
        self.event_time = (
            event_time
            if isinstance(event_time, EventTime)
            else read_event_time(
                event_time,
                unit=event_time_unit,
                out_of_orderness=out_of_orderness,
                idle_close=idle_close,
            )
        )
        self.config = _topic_config(retention, {"compact": compacting, "delete": deleting}, config)
        self._json_text = takes_json(value_type) and self.value_format.kind == "json"
        self._bytes_only = self.value_format.kind not in {"json", "raw", "string"}

    async def send(
        self,
        *,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | datetime | None = None,
        headers: HeadersArg | None = None,
    ) -> Pending:
        """
        Enqueue a record; wait only while the producer is full.

        Args:
            key: bytes, str, int, or what JSON can hold; equal keys go to one partition.
            value: The same, or a model; None is a tombstone.
            partition: Partition; chosen by the key if None.
            timestamp: Seconds since the Unix epoch, or an aware `datetime`; now if None.
            headers: Names and values; text becomes UTF-8.

        Returns:
            The pending record: ``meta = await (await topic.send(value=1))``.

        Raises:
            NotRunning: Neither a worker nor a client of the app is running.
            EncodeError: The value cannot be written as JSON, or the topic has another format.
        """
        app = self.app
        sender = SENDER.get()
        producer: Any = (
            app._producer or app._find_producer()  # noqa: SLF001 - the app's own part
            if sender is None or sender.app is not app
            else sender.turn
        )
        if len(self.names) != 1:
            raise _several_names(self)
        if self._bytes_only:
            _check_bytes(self, value)
        if self._json_text and type(value) is str:
            value = _json_string(value)
        number = -1 if partition is None else partition
        time_ms = -1 if timestamp is None else _to_ms(timestamp)
        raw = None if headers is None else _raw_headers(headers)
        delivery = producer.send(self.name, key, value, number, time_ms, raw)
        if delivery is None:
            record = self.name, key, value, number, time_ms, raw
            delivery = await _when_there_is_room(producer, record)
        return Pending(delivery)

    send_raw = send
    """As `send`, past whatever writes the values of a topic; key and value are bytes."""

    def send_soon(
        self,
        *,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | datetime | None = None,
        headers: HeadersArg | None = None,
    ) -> Pending:
        """
        Enqueue a record from a plain function, in any thread.

        While the producer is full this blocks, without the interpreter lock: a list on the side
        would let the offset of an input pass a record that is only in memory.

        Raises:
            SendError: There was no room for a minute: no broker takes records.
        """
        app = self.app
        sender = SENDER.get()
        producer: Any = (
            app._producer or app._find_producer()  # noqa: SLF001 - the app's own part
            if sender is None or sender.app is not app
            else sender.turn
        )
        if len(self.names) != 1:
            raise _several_names(self)
        if self._bytes_only:
            _check_bytes(self, value)
        if self._json_text and type(value) is str:
            value = _json_string(value)
        number = -1 if partition is None else partition
        time_ms = -1 if timestamp is None else _to_ms(timestamp)
        raw = None if headers is None else _raw_headers(headers)
        delivery = producer.send(self.name, key, value, number, time_ms, raw)
        while delivery is None:
            if not producer.wait_room(_SEND_SOON_LIMIT_MS):
                raise SendError(
                    f"no room for a record to {self.name!r} for {_SEND_SOON_LIMIT_MS // 1_000} s: "
                    f"the broker takes nothing, or produce_buffer_bytes is too small",
                    retryable=True,
                )
            delivery = producer.send(self.name, key, value, number, time_ms, raw)
        return Pending(delivery)

    async def _send_json(self, key: Any, value: Any) -> Pending:
        """As `send`, of a value that a topic with JSON takes as it is."""
        if len(self.names) != 1:
            raise _several_names(self)
        app, sender = self.app, SENDER.get()
        producer: Any = (
            app._producer or app._find_producer()  # noqa: SLF001 - the app's own part
            if sender is None or sender.app is not app
            else sender.turn
        )
        delivery = producer.send(self.name, key, value)
        if delivery is None:
            delivery = await _when_there_is_room(producer, (self.name, key, value))
        return Pending(delivery)

    async def declare(self) -> None:
        """Create what is missing of it on the cluster."""
        from turbine._native import Admin

        conf = self.app.conf
        wanted = dict.fromkeys(self.names, self.partitions or conf.topic_partitions)
        replicas = self.replicas or conf.topic_replication_factor
        admin = Admin(conf.bootstrap, conf.client)
        await asyncio.get_running_loop().run_in_executor(
            None, lambda: admin.create_topics(wanted, replicas, self.config or None)
        )

    def decoders(self) -> tuple[Any, Any]:
        """How an agent's keys and values are read, as `_native.Worker.set_decoder` takes it."""
        return decoder_for(self.key_type, default="raw"), decoder_for(
            self.value_type, default="json"
        )

    maybe_declare = declare

    def derive(
        self,
        *,
        topics: Sequence[str] | None = None,
        prefix: str = "",
        suffix: str = "",
        **changes: Any,
    ) -> "Topic":
        """
        Make a topic like this one under another name.

        Args:
            topics: Its names; None: those of this one.
            prefix: Put in front of each.
            suffix: Put behind each.
            **changes: ``key_type``, ``value_type``, ``partitions``, ``replicas``, ``config``,
                ``internal``; None keeps what this one has.

        Raises:
            DeclarationError: Kafka refuses the name, or a change does not exist.
        """
        known = {"key_type", "value_type", "partitions", "replicas", "config", "internal"}
        if changes.keys() - known:
            raise DeclarationError(
                f"a topic cannot be derived with {sorted(changes.keys() - known)}: it takes "
                f"{', '.join(sorted(known))}"
            )
        types = changes.pop("key_type", None), changes.pop("value_type", None)
        twin = copy.copy(self.with_types(*types) if any(types) else self)
        names = self.names if topics is None else topics
        if topics is None and self.pattern is not None:
            raise _several_names(self)
        twin.pattern = None
        twin.names = tuple(check_topic_name(f"{prefix}{name}{suffix}") for name in names)
        twin.name = twin.names[0]
        for name, value in changes.items():
            if value is not None:
                setattr(twin, name, value)
        return twin

    clone = derive_topic = derive

    def stream(self) -> Any:
        """As `App.stream` of this topic."""
        return self.app.stream(self)

    async def put(self, event: Any) -> Pending:
        """Send an `Event` on, with its key, headers and timestamp."""
        sent: Pending = await event.forward(self)
        return sent

    def get_topic_name(self) -> str:
        """The name, of a topic with one."""
        if len(self.names) != 1:
            raise _several_names(self)
        return self.name

    def with_types(self, key_type: Any, value_type: Any) -> "Topic":
        """The same topic, read with other types; None keeps a type."""
        return Topic(
            self.app,
            self.names,
            key_type=self.key_type if key_type is None else key_type,
            value_type=self.value_type if value_type is None else value_type,
            **self._declared(),
        )

    def _declared(self) -> dict[str, Any]:
        """What it was declared with beside its names and types."""
        return {
            "key_format": self.key_format,
            "value_format": self.value_format,
            "partitions": self.partitions,
            "replicas": self.replicas,
            "config": self.config,
            "internal": self.internal,
            "event_time": self.event_time,
            "pattern": self.pattern,
        }

    def __str__(self) -> str:
        return ",".join(self.names) if self.pattern is None else f"~{self.pattern.pattern}"

    def __repr__(self) -> str:
        return f"<Topic {self}>"


async def _when_there_is_room(producer: Any, record: tuple[Any, ...]) -> "Delivery":
    """Send *record* when the producer takes it."""
    loop = asyncio.get_running_loop()
    while True:
        await loop.run_in_executor(None, producer.wait_room, _ROOM_POLL_MS)
        delivery: Delivery | None = producer.send(*record)
        if delivery is not None:
            return delivery


def _several_names(topic: Topic) -> DeclarationError:
    if topic.pattern is not None:
        return DeclarationError(
            f"{topic!r} is a pattern and can only be read: send to a topic with a name"
        )
    return DeclarationError(
        f"the topic {str(topic)!r} has several names and can only be read: "
        f"send to app.topic({topic.name!r})"
    )


def _check_bytes(topic: Topic, value: object) -> None:
    """Refuse what would go out as JSON to a topic in another format."""
    if value is not None and not isinstance(value, bytes):
        raise EncodeError(
            f"{topic!r} holds {topic.value_format.kind}, which send() does not write yet: send "
            "bytes that are encoded already, or write to it from a subscription"
        )


def _json_string(value: str) -> bytes:
    from turbine._native import encode_json

    return encode_json(value)


def _to_ms(timestamp: float | datetime) -> int:
    if isinstance(timestamp, datetime):
        timestamp = timestamp.timestamp()
    return round(timestamp * 1_000)


def _raw_headers(headers: HeadersArg) -> list[tuple[str, bytes | None]]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in pairs]


def _topic_config(
    retention: float | timedelta | None,
    policies: Mapping[str, bool | None],
    config: Mapping[str, object] | None,
) -> dict[str, str]:
    result: dict[str, str] = {}
    if retention is not None:
        try:
            result["retention.ms"] = str(round(seconds(retention) * 1_000))
        except ConfigError as exc:
            raise DeclarationError(f"retention {exc}") from None
    chosen = [name for name, on in policies.items() if on]
    if chosen:
        result["cleanup.policy"] = ",".join(chosen)
    for name, value in (config or {}).items():
        result[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return result
