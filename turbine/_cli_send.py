"""What ``turbine send`` does, apart from reading its options."""

import importlib
import random
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from turbine._cli_support import NO_BROKER, Invocation
from turbine.exceptions import AppNotFound, ConfigError, SendError
from turbine.naming import check_topic_name
from turbine.topics import Topic
from turbine.types import RecordMetadata

if TYPE_CHECKING:
    from turbine._native import Delivery
    from turbine.app import App
    from turbine.settings import Settings

__all__ = ["encode", "resolve", "send", "texts_of", "type_of_codec"]

_TIMEOUT_MS = 15_000
_JSON = dict[str, Any] | list[Any] | str | float | bool | None
_TYPES: dict[str, Any] = {
    "str": str,
    "bytes": bytes,
    "int": int,
    "float": float,
    "bool": bool,
    "json": _JSON,
}


def send(
    conf: "Settings",
    topic: str,
    values: Sequence[bytes | None],
    *,
    key: bytes | None = None,
    partition: int | None = None,
    repeat: int = 1,
    pause_s: tuple[float, float] = (0.0, 0.0),
) -> Iterator[RecordMetadata]:
    """
    Send *values*, *repeat* times, and give the place of each record once it is acknowledged.

    After each value there is a pause of a length between the two of *pause_s*, in seconds.

    Raises:
        SendError: A record was not acknowledged in time.
    """
    from turbine._native import Producer

    producer = Producer(conf.bootstrap, conf.client, conf.produce_buffer_bytes)
    deliveries = []
    for value in (value for _ in range(repeat) for value in values):
        number = -1 if partition is None else partition
        while (delivery := producer.send(topic, key, value, number)) is None:
            if not producer.wait_room(_TIMEOUT_MS):
                raise SendError(_unreachable("no room for more records", conf))
        deliveries.append(delivery)
        if max(pause_s) > 0:
            time.sleep(random.uniform(pause_s[0], max(pause_s)))  # noqa: S311 - no secret
    for delivery in deliveries:
        yield _place(delivery, conf)


def _place(delivery: "Delivery", conf: "Settings") -> RecordMetadata:
    try:
        topic, partition, offset, timestamp_ms = delivery.result(_TIMEOUT_MS)
    except (SendError, TimeoutError) as exc:
        raise SendError(_unreachable(str(exc), conf)) from exc
    return RecordMetadata(topic, partition, offset, timestamp_ms / 1_000)


def _unreachable(what: str, conf: "Settings") -> str:
    return f"the record was not taken at {conf.bootstrap} ({what})\n{NO_BROKER}"


def resolve(given: Invocation, entity: str) -> tuple["Settings", str, Topic | None]:
    """
    Find what *entity* stands for.

    Args:
        given: The options in front of the command.
        entity: A topic name, or ``@agent``.

    Returns:
        Settings, topic name, and the topic as the app declares it, if it does.

    Raises:
        AppNotFound: There is no such agent.
    """
    if entity.startswith("@"):
        app = given.load()
        topic = _topic_of_agent(app, entity[1:])
        return app.conf, topic.get_topic_name(), topic
    name = check_topic_name(entity)
    if given.app is None and given.app_name is None:
        return given.settings(), name, None
    app = given.load()
    return app.conf, name, app.topics.get(name)


def _topic_of_agent(app: "App", name: str) -> Topic:
    ending = f".{name}"
    found = [one for one in app.agents.values() if one.name == name or one.name.endswith(ending)]
    if len(found) != 1:
        names = ", ".join(f"@{agent}" for agent in app.agents) or "none"
        problem = "ends the names of several agents" if found else "is no agent of this app"
        raise AppNotFound(f"@{name} {problem}; its agents: {names}")
    channel = found[0].channel
    if not isinstance(channel, Topic):
        raise ConfigError(
            f"the agent {found[0].name} reads a channel, which lives inside its worker: "
            f"only an agent that reads a topic can be sent to from here"
        )
    return channel


def texts_of(value: str | None) -> list[str | None]:
    """Give the texts to send: *value* itself, or with ``-`` each line of standard input."""
    if value != "-":
        return [value]
    return [line.rstrip("\r\n") for line in sys.stdin if line.strip()]


def encode(text: str | None, type_name: str | None, declared: Any = None) -> bytes | None:
    """
    Give the bytes of a key or value, checked against its type.

    Args:
        text: What was typed; None is a null.
        type_name: ``str``, ``int``, ``float``, ``bool``, ``json`` or a model's full name;
            None takes *declared*.
        declared: Type that the topic declares; None checks nothing.

    Raises:
        ConfigError: The text does not fit the type, or there is no such type.
    """
    if text is None:
        return None
    wanted = _type_named(type_name) if type_name else declared
    if wanted in (None, str, bytes):
        return text.encode()
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(wanted).validate_json(text)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"] if isinstance(part, str))
        name = type_name or getattr(wanted, "__name__", str(wanted))
        where = f" at {place!r}" if place and wanted is not _JSON else ""
        raise ConfigError(f"{text!r} is not a valid {name}{where}: {first['msg']}") from None
    return text.encode()


def type_of_codec(name: str | None) -> str | None:
    """
    Type whose text the codec *name* writes.

    Raises:
        ConfigError: What is typed here is no text of that codec.
    """
    if name is None:
        return None
    try:
        return {"json": "json", "raw": "bytes", "str": "str"}[name]
    except KeyError:
        raise ConfigError(
            f"the codec {name!r} cannot be typed: write json or raw, or send bytes from a program"
        ) from None


def _type_named(name: str) -> Any:
    if name in _TYPES:
        return _TYPES[name]
    module, _, attribute = name.replace(":", ".").rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, ValueError, AttributeError):
        raise ConfigError(
            f"there is no type {name!r}: write str, int, float, bool, json, "
            f"or the full name of a model, as proj.models.Order"
        ) from None
