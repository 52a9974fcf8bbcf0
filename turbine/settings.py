"""
The settings of an app: one row a setting.

A setting is read from the first place that has it: what was assigned to ``app.conf`` after
construction or on the command line, the keyword of `App`, the object of `config_from_object`,
the environment, the default. The environment is read here and nowhere else.

A setting that nobody knows is a warning with the closest name, never an error: programs written
for Faust bring settings that have no meaning here.
"""

import difflib
import ipaddress
import logging
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from turbine import _parsers as read
from turbine._brokers import parse_brokers
from turbine._credentials import client_settings
from turbine._faust_settings import FaustRows
from turbine._registry_settings import RegistryRows
from turbine._setting import ENV_PREFIX, Setting
from turbine._web_settings import LAST_PORT, WebRows
from turbine.exceptions import ConfigError
from turbine.naming import app_group, check_app_id

__all__ = ["BY_NAME", "ROWS", "Setting", "Settings", "parse_value"]

logger = logging.getLogger("turbine.settings")

T = TypeVar("T")

_OTHER_ENV = frozenset({"TURBINE_APP", "TURBINE_HOME", "TURBINE_CACHE", "TURBINE_TEST_KAFKA"})
_SECRETS = frozenset({"api_token", "schema_registry_password", "schema_registry_token"})


class Settings(WebRows, RegistryRows, FaustRows):
    """What is set for one app; read as attributes, ``app.conf.broker``."""

    id = Setting(
        check_app_id, "turbine", "Names consumer groups and internal topics.", aliases=("app_id",)
    )
    version = Setting(
        read.integer(least=1),
        1,
        "From 2 on, part of the group names: a new version reads from the start.",
        legacy_env=("APP_VERSION",),
    )
    broker = Setting(
        parse_brokers,
        "kafka://localhost:9092",
        "Broker addresses.",
        aliases=("brokers", "url"),
        legacy_env=("BROKER_URL",),
    )
    kafka = Setting(
        read.kafka_properties,
        {},
        "Settings of the Kafka client (librdkafka), by their own names; name=value;... in the "
        "environment.",
    )
    processing_guarantee = Setting(
        read.guarantee,
        "at_least_once",
        "Guarantee of every handler.",
        legacy_env=("PROCESSING_GUARANTEE",),
    )
    consumer_auto_offset_reset = Setting(
        read.choice("earliest", "latest"),
        "earliest",
        "Where a group without offsets starts.",
        legacy_env=("CONSUMER_AUTO_OFFSET_RESET",),
    )
    from_earliest = Setting(
        read.boolean, False, "Start a group without offsets at the oldest record."
    )
    from_latest = Setting(
        read.boolean, False, "Start a group without offsets behind the newest record."
    )
    broker_commit_interval = Setting(
        read.seconds,
        0.1,
        "Longest time between two commits of a partition, in seconds.",
        aliases=("commit_interval",),
        legacy_env=("BROKER_COMMIT_INTERVAL",),
    )
    checkpoint_interval = Setting(
        read.seconds,
        1.0,
        "Longest time between two checkpoints of a partition's state, in seconds.",
    )
    checkpoint_url = Setting(
        read.optional(read.text),
        None,
        "Object store of the snapshots: file:///DIRECTORY, s3://BUCKET/PREFIX, gs://, az://, "
        "memory://.",
    )
    snapshot_interval = Setting(
        read.seconds, 300.0, "Longest time between two snapshots of a partition, in seconds."
    )
    snapshot_bytes = Setting(
        read.byte_size, 1 << 30, "Bytes written to a partition's state that make one due."
    )
    snapshot_keep = Setting(read.integer(least=1), 3, "Snapshots of a partition that stay.")
    state_format = Setting(
        read.choice("json", "msgpack"),
        "json",
        "How handlers' lists and dicts are kept in the state: json or msgpack.",
    )
    drain_timeout = Setting(
        read.seconds, 10.0, "Longest time that a stop waits for handlers, in seconds."
    )
    fetch_buffer_bytes = Setting(
        read.byte_size, 64 << 20, "Fetched records that may wait in memory, in bytes."
    )
    produce_buffer_bytes = Setting(
        read.byte_size, 64 << 20, "Sent records that may wait for their acknowledgement, in bytes."
    )
    stream_buffer_maxsize = Setting(
        read.integer(least=1),
        4_096,
        "Most values that wait in an in-process channel.",
        legacy_env=("STREAM_BUFFER_MAXSIZE",),
    )
    datadir = Setting(
        read.optional(read.directory),
        None,
        "Directory for local state; {id}-data if not set.",
        aliases=("state_dir",),
        legacy_env=("APP_DATADIR",),
        flag="-D, --datadir",
    )
    store = Setting(
        read.store,
        "rocksdb",
        "Where state is kept: rocksdb (on disk) or memory.",
        legacy_env=("APP_STORE",),
    )
    state_memory_bytes = Setting(
        read.byte_size, 256 << 20, "Memory for state on disk: caches and write buffers, in bytes."
    )
    topic_partitions = Setting(
        read.integer(least=1),
        8,
        "Partitions of a topic that the app creates.",
        aliases=("default_partitions",),
        legacy_env=("TOPIC_PARTITIONS",),
    )
    topic_replication_factor = Setting(
        read.integer(least=-1),
        -1,
        "Replicas of a topic that the app creates; -1: the broker's default.",
        aliases=("replication_factor",),
        legacy_env=("TOPIC_REPLICATION_FACTOR",),
    )
    topic_allow_declare = Setting(
        read.boolean,
        True,
        "Whether missing topics are created.",
        legacy_env=("TOPIC_ALLOW_DECLARE",),
    )
    api_host = Setting(
        read.text,
        "127.0.0.1",
        "Address of the worker's HTTP server; anything but loopback needs a token.",
        flag="worker --api-host",
    )
    api_port = Setting(
        read.integer(least=0, most=LAST_PORT, none_of="a port"),
        8_400,
        "Port of the worker's HTTP server. The default moves to the next free port when it is "
        "taken.",
        flag="worker --api-port",
    )
    api_token = Setting(
        read.optional(read.text),
        None,
        "Bearer token that every route but /health and /ready asks for.",
    )
    leader_topic = Setting(
        read.optional(read.text),
        None,
        "Topic whose partition 0 makes its worker the leader; the first by name if not set.",
    )
    timezone = Setting[tzinfo](
        read.timezone,
        UTC,
        "Time zone of crontabs that name none.",
        legacy_env=("TIMEZONE",),
    )
    autodiscover = Setting[Any](
        lambda value: value,
        False,
        "Modules to import before the start: True, a list, or a function.",
    )
    origin = Setting(read.optional(read.text), None, "Package that autodiscover=True searches.")
    debug = Setting(
        read.boolean,
        False,
        "Log more, and show tracebacks.",
        legacy_env=("APP_DEBUG",),
        flag="--debug",
    )

    _defaults: ClassVar[Mapping[str, object]] = {}
    """Defaults that are not those of the rows."""

    def __init__(self, **keywords: object) -> None:
        self._assigned: dict[str, Any] = {}
        self._keywords: dict[str, Any] = {}
        self._object: dict[str, Any] = {}
        self._warned: set[str] = set()
        self._load(keywords, self._keywords, "App()")

    # -- reading ---------------------------------------------------------------------------

    def source(self, name: str) -> str:
        """Where a setting is from: assigned, keyword, object, environment or default."""
        row = ROWS[name]
        layers = (
            ("assigned", self._assigned),
            ("keyword", self._keywords),
            ("object", self._object),
        )
        for source, layer in layers:
            if name in layer:
                return source
        return "default" if _from_environment(row) is None else "environment"

    def _read(self, row: Setting[T]) -> T:
        for layer in (self._assigned, self._keywords, self._object):
            if row.name in layer:
                value: T = layer[row.name]
                return value
        found = _from_environment(row)
        if found is None:
            return row.parse(self._defaults.get(row.name, row.default))
        return parse_value(row, found[1], found[0])

    # -- writing ---------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or name in ROWS:
            object.__setattr__(self, name, value)
        else:
            self._load({name: value}, self._assigned, "app.conf")

    def _assign(self, row: Setting[Any], value: object) -> None:
        self._assigned[row.name] = parse_value(row, value, f"app.conf.{row.name}")
        if not row.has_effect:
            self._tell_ignored(row, "app.conf")

    def update_from_object(self, source: object) -> None:
        """
        Take settings from a module, a dict or any object with attributes.

        Names are written as here, or in capitals. In a module only names that are settings count,
        so that its imports and helpers stay out.
        """
        if isinstance(source, Mapping):
            self._load(dict(source), self._object, "config_from_object()")
            return
        found = {
            name: getattr(source, name)
            for name in dir(source)
            if not name.startswith("_") and name.lower() in BY_NAME
        }
        self._load(found, self._object, f"config_from_object({source!r})")

    def _load(self, values: Mapping[str, object], layer: dict[str, Any], where: str) -> None:
        for spelling, value in values.items():
            row = BY_NAME.get(spelling.lower())
            if row is None:
                self._warn_unknown(spelling, where)
                continue
            self._store(row, spelling, value, layer, where)
            if not row.has_effect:
                self._tell_ignored(row, where)

    def _store(
        self, row: Setting[Any], spelling: str, value: object, layer: dict[str, Any], where: str
    ) -> None:
        parsed = parse_value(row, value, spelling)
        if layer is self._keywords and layer.get(row.name, parsed) != parsed:
            names = " and ".join(f"{name}=" for name in (row.name, *row.aliases) if name != "url")
            raise ConfigError(f"{where}: {names} mean the same and have different values: keep one")
        layer[row.name] = parsed

    def _tell_ignored(self, row: Setting[Any], where: str) -> None:
        if row.name not in self._warned:
            self._warned.add(row.name)
            logger.debug("%s: %s has no effect here. %s", where, row.name, row.help)

    def _warn_unknown(self, name: str, where: str) -> None:
        if name in self._warned:
            return
        self._warned.add(name)
        close = difflib.get_close_matches(name.lower(), list(BY_NAME), n=1, cutoff=0.6)
        hint = f"did you mean {close[0]}?" if close else "it has no effect"
        logger.warning("%s: unknown setting %s; %s", where, name, hint)

    # -- what follows from the settings ----------------------------------------------------

    @property
    def group(self) -> str:
        """Consumer group of the agents."""
        return app_group(self.id, self.version, self.id_format)

    @property
    def bootstrap(self) -> str:
        """Broker addresses as the client library takes them, ``host:port,host:port``."""
        return ",".join(self.broker)

    @property
    def client(self) -> dict[str, str]:
        """Settings of the Kafka client: credentials, rows that go there, then ``kafka``."""
        given = ((row, self._read(row)) for row in ROWS.values() if row.client)
        rows = {row.client: row.client_text(value) for row, value in given if value is not None}
        secrets = client_settings(self.broker_credentials, self.ssl_context)
        return {**secrets, **rows, **self.kafka}

    @property
    def start_at(self) -> str:
        """``earliest`` or ``latest``: where a group without offsets starts."""
        if self.from_earliest and self.from_latest:
            raise ConfigError("from_earliest and from_latest are both set: keep one")
        if self.from_latest:
            return "latest"
        return "earliest" if self.from_earliest else self.consumer_auto_offset_reset

    @property
    def data_path(self) -> Path:
        """Directory for local state."""
        return self.datadir or Path(f"{self.group}-data")

    def validate(self) -> None:
        """
        Check every setting, alone and together, before anything starts.

        Raises:
            ConfigError: What is wrong first.
        """
        for row in ROWS.values():
            self._read(row)
        _ = self.start_at
        check_app_id(self.group)
        self._check_one_cluster()
        self.registry()
        if self.web_enabled:
            self._check_http()
        _warn_unknown_environment()

    def _check_one_cluster(self) -> None:
        for row in (ROWS["broker_consumer"], ROWS["broker_producer"]):
            other = self._read(row)
            if other is not None and set(other).isdisjoint(self.broker):
                raise ConfigError(
                    f"{row.name}={','.join(other)} is not among the brokers {self.bootstrap}: "
                    "one worker reads from and writes to one cluster"
                )

    def _check_http(self) -> None:
        token = self.api_token
        if token is not None and not all("!" <= char <= "~" for char in token):
            raise ConfigError(
                "api_token has characters that an HTTP header cannot carry: use visible ASCII"
            )
        if token is None and not _is_loopback(self.api_host):
            raise ConfigError(
                f"api_host={self.api_host!r} is reachable from other machines and api_token is "
                "not set: "
                f"set api_token (TURBINE_API_TOKEN), or leave api_host out for loopback"
            )

    def http(self) -> dict[str, Any] | None:
        """Settings of the worker's HTTP server; None if it is switched off."""
        if not self.web_enabled:
            return None
        self._check_http()
        explicit = self.api_port != 0 and self.source("api_port") != "default"
        return {
            "host": self.api_host,
            "port": self.api_port,
            "port_is_explicit": explicit,
            "token": self.api_token,
        }

    def registry(self) -> dict[str, Any] | None:
        """Settings of the schema registry's client; None without a registry."""
        if not self.schema_registry:
            return None
        if self.schema_registry_token and self.schema_registry_username:
            raise ConfigError(
                "schema_registry_token and schema_registry_username are both set: keep one"
            )
        if (self.schema_registry_certificate_location is None) != (
            self.schema_registry_key_location is None
        ):
            raise ConfigError(
                "schema_registry_certificate_location and schema_registry_key_location go "
                "together: set both"
            )
        return {
            "urls": list(self.schema_registry),
            "username": self.schema_registry_username,
            "password": self.schema_registry_password,
            "token": self.schema_registry_token,
            "ca_location": self.schema_registry_ca_location,
            "certificate_location": self.schema_registry_certificate_location,
            "key_location": self.schema_registry_key_location,
            "timeout_ms": max(1, round(self.schema_registry_timeout * 1_000)),
        }

    def items(self) -> Iterator[tuple[str, Any, str]]:
        """Every setting with its value and source; secrets are masked."""
        for name, row in ROWS.items():
            value = self._read(row)
            yield name, "***" if name in _SECRETS and value else value, self.source(name)

    def __repr__(self) -> str:
        return f"<Settings {self.id!r} broker={self.bootstrap!r}>"


ROWS: dict[str, Setting[Any]] = {
    name: row
    for owner in (Settings, RegistryRows, WebRows, FaustRows)
    for name, row in vars(owner).items()
    if isinstance(row, Setting)
}
"""Every row by its name, in the order of the class."""

BY_NAME: dict[str, Setting[Any]] = {
    name: row for row in ROWS.values() for name in (row.name, *row.aliases)
}
"""Every row by each of its spellings."""


def _from_environment(row: Setting[Any]) -> tuple[str, str] | None:
    for name in row.env_names:
        value = os.environ.get(name)
        if value is not None:
            return name, value
    return None


def parse_value(row: Setting[T], value: object, where: str) -> T:
    """Read *value* for *row*; a `ConfigError` names *where* it was."""
    try:
        return row.parse(value)
    except ConfigError as exc:
        message = str(exc)
        sentence = f"{where} {message}" if message.startswith(("expects", "does not")) else message
        raise ConfigError(sentence) from None


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _warn_unknown_environment() -> None:
    known = {name for row in ROWS.values() for name in row.env_names} | _OTHER_ENV
    for name in os.environ:
        if not name.startswith(ENV_PREFIX) or name in known:
            continue
        # Kubernetes sets TURBINE_* for a service called "turbine": only near misses are named.
        close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.85)
        if close:
            logger.warning("unknown environment variable %s; did you mean %s?", name, close[0])
