"""
Settings that programs written for Faust bring along: rows of `turbine.settings.Settings`.

Some go to the client library under its own name, some have an effect here, and the rest are read,
can be asked for, and change nothing.
"""

from typing import Any

from turbine import _parsers as read
from turbine._brokers import parse_brokers
from turbine._credentials import credentials, ssl_context
from turbine._setting import Setting

__all__ = ["FaustRows"]

_SECONDS = read.optional(read.seconds)
_TEXT = read.optional(read.text)
_SIZE = read.optional(read.integer(least=1))


def _ignored(
    default: object,
    why: str,
    *legacy_env: str,
    aliases: tuple[str, ...] = (),
) -> Setting[Any]:
    """Make a row without an effect; *why* says what there is instead."""
    return Setting[Any](
        read.anything, default, why, aliases=aliases, legacy_env=legacy_env, has_effect=False
    )


class FaustRows:
    """The rows; what reads them is `turbine.settings.Settings`."""

    # -- names and serializers -------------------------------------------------------------

    id_format = Setting(
        read.text,
        "{id}-v{self.version}",
        "Name of the consumer group and prefix of the app's topics from version 2 on.",
        legacy_env=("APP_ID_FORMAT",),
    )
    env_prefix = Setting(
        _TEXT,
        None,
        "Put in front of the variables of Faust, in programs of turbine.faust.",
        legacy_env=("APP_ENV_PREFIX",),
    )
    key_serializer = Setting[Any](
        read.anything,
        "raw",
        "Codec of keys without a type, in programs of turbine.faust.",
        legacy_env=("APP_KEY_SERIALIZER",),
    )
    value_serializer = Setting[Any](
        read.anything,
        "json",
        "Codec of values without a type, in programs of turbine.faust.",
        legacy_env=("APP_VALUE_SERIALIZER",),
    )

    # -- agents ----------------------------------------------------------------------------

    agent_supervisor = Setting[Any](
        read.anything,
        None,
        "Supervisor of agents that name none, in programs of turbine.faust.",
        legacy_env=("AGENT_SUPERVISOR",),
    )
    reply_to = Setting(_TEXT, None, "Topic of the answers to this worker; a name of its own.")
    reply_to_prefix = Setting(
        read.text,
        "f-reply-",
        "How the names of topics of answers begin.",
        legacy_env=("APP_REPLY_TO_PREFIX",),
    )
    reply_create_topic = Setting(
        read.boolean,
        False,
        "Whether the topic of the answers is created.",
        aliases=("create_reply_topic",),
        legacy_env=("APP_REPLY_CREATE_TOPIC",),
    )
    reply_expires = Setting(
        read.seconds,
        86_400.0,
        "How long answers are kept in their topic, in seconds.",
        legacy_env=("APP_REPLY_EXPIRES",),
    )

    # -- security --------------------------------------------------------------------------

    broker_credentials = Setting(
        credentials,
        None,
        "What the brokers ask for: an ssl.SSLContext or credentials of turbine.faust.",
        legacy_env=("BROKER_CREDENTIALS",),
    )
    ssl_context = Setting(ssl_context, None, "TLS to the brokers, as Python's ssl describes it.")

    # -- the client library ----------------------------------------------------------------

    broker_consumer = Setting(
        read.optional(parse_brokers),
        None,
        "Brokers to read from; the same cluster as broker.",
        legacy_env=("BROKER_CONSUMER_URL",),
    )
    broker_producer = Setting(
        read.optional(parse_brokers),
        None,
        "Brokers to write to; the same cluster as broker.",
        legacy_env=("BROKER_PRODUCER_URL",),
    )
    broker_client_id = Setting(
        _TEXT,
        None,
        "Name of this client in the brokers' logs.",
        aliases=("client_id",),
        legacy_env=("BROKER_CLIENT_ID",),
        client="client.id",
    )
    broker_heartbeat_interval = Setting(
        _SECONDS,
        None,
        "Time between two heartbeats of a group member.",
        legacy_env=("BROKER_HEARTBEAT_INTERVAL",),
        client="heartbeat.interval.ms",
    )
    broker_max_poll_interval = Setting(
        _SECONDS,
        None,
        "Longest time without a poll before a member counts as gone; polls never wait for "
        "handlers.",
        legacy_env=("BROKER_MAX_POLL_INTERVAL",),
        client="max.poll.interval.ms",
    )
    broker_request_timeout = Setting(
        _SECONDS,
        None,
        "Longest wait for an answer of a broker.",
        legacy_env=("BROKER_REQUEST_TIMEOUT",),
        client="socket.timeout.ms",
    )
    broker_session_timeout = Setting(
        _SECONDS,
        None,
        "Time without a heartbeat after which a member is gone.",
        legacy_env=("BROKER_SESSION_TIMEOUT",),
        client="session.timeout.ms",
    )
    consumer_group_instance_id = Setting(
        _TEXT,
        None,
        "Static member of the group: a restart within the session moves no partition.",
        legacy_env=("CONSUMER_GROUP_INSTANCE_ID",),
        client="group.instance.id",
    )
    consumer_max_fetch_size = Setting(
        _SIZE,
        None,
        "Most bytes of a partition in one fetch.",
        legacy_env=("CONSUMER_MAX_FETCH_SIZE",),
        client="max.partition.fetch.bytes",
    )
    producer_compression_type = Setting(
        read.optional(read.choice("none", "gzip", "snappy", "lz4", "zstd")),
        None,
        "Compression of written records.",
        legacy_env=("PRODUCER_COMPRESSION_TYPE",),
        client="compression.type",
    )
    producer_linger = Setting(
        _SECONDS,
        None,
        "How long a record waits for others to go with it.",
        legacy_env=("PRODUCER_LINGER",),
        client="linger.ms",
    )
    producer_max_batch_size = Setting(
        _SIZE,
        None,
        "Most bytes of a batch of records.",
        legacy_env=("PRODUCER_MAX_BATCH_SIZE",),
        client="batch.size",
    )
    producer_max_request_size = Setting(
        _SIZE,
        None,
        "Most bytes of a record.",
        legacy_env=("PRODUCER_MAX_REQUEST_SIZE",),
        client="message.max.bytes",
    )
    producer_request_timeout = Setting(
        _SECONDS,
        None,
        "Longest time until a sent record is acknowledged.",
        legacy_env=("PRODUCER_REQUEST_TIMEOUT",),
        client="message.timeout.ms",
    )
    producer_partitioner = Setting(
        read.no_partitioner, None, "Only None: keys meet the partition that Java clients choose."
    )

    # -- logging ---------------------------------------------------------------------------

    logging_config = Setting[Any](
        read.anything, None, "Argument of logging.config.dictConfig, instead of the worker's own."
    )
    loghandlers = Setting[Any](read.anything, (), "Handlers that get the worker's log lines too.")

    # -- without effect --------------------------------------------------------------------

    blocking_timeout = _ignored(None, "USR1 shows what blocks the event loop.", "BLOCKING_TIMEOUT")
    broker_api_version = _ignored("auto", "The client asks the brokers.", "BROKER_API_VERSION")
    broker_check_crcs = _ignored(True, "Checksums are always checked.", "BROKER_CHECK_CRCS")
    broker_commit_every = _ignored(
        10_000, "Commits go by time: broker_commit_interval.", "BROKER_COMMIT_EVERY"
    )
    broker_commit_livelock_soft_timeout = _ignored(
        300.0, "Metrics show a partition that stands.", "BROKER_COMMIT_LIVELOCK_SOFT_TIMEOUT"
    )
    broker_max_poll_records = _ignored(
        None, "Buffers are bounded by bytes: fetch_buffer_bytes.", "BROKER_MAX_POLL_RECORDS"
    )
    broker_rebalance_timeout = _ignored(
        60.0,
        "Only partitions that move are drained, within drain_timeout.",
        "BROKER_REBALANCE_TIMEOUT",
    )
    cache = Setting[Any](
        read.anything,
        "memory://",
        "Where answers of pages are kept, in programs of turbine.faust: memory:// or redis://....",
        legacy_env=("CACHE_URL",),
    )
    consumer_api_version = _ignored("auto", "The client asks the brokers.", "CONSUMER_API_VERSION")
    consumer_connections_max_idle_ms = _ignored(
        540_000, "The client's own rule.", "CONSUMER_CONNECTIONS_MAX_IDLE_MS"
    )
    consumer_metadata_max_age_ms = Setting(
        read.integer(least=1),
        5_000,
        "How often topics are looked for that fit the pattern of a topic, in ms.",
        legacy_env=("CONSUMER_METADATA_MAX_AGE_MS",),
    )
    producer_acks = _ignored(
        -1, "Records are always acknowledged by all replicas in sync.", "PRODUCER_ACKS"
    )
    producer_api_version = _ignored("auto", "The client asks the brokers.", "PRODUCER_API_VERSION")
    producer_connections_max_idle_ms = _ignored(
        540_000, "The client's own rule.", "PRODUCER_CONNECTIONS_MAX_IDLE_MS"
    )
    producer_metadata_max_age_ms = _ignored(
        300_000, "The client's own rule.", "PRODUCER_METADATA_MAX_AGE_MS"
    )
    producer_threaded = _ignored(
        False, "The producer has a thread of its own.", "PRODUCER_THREADED"
    )
    recovery_consistency_check = _ignored(
        True, "State and offsets are always compared.", "RECOVERY_CONSISTENCY_CHECK"
    )
    store_check_exists = _ignored(True, "The store does what is needed.", "STORE_CHECK_EXISTS")
    stream_processing_timeout = Setting(
        _SECONDS,
        300.0,
        "How long a record may be with its handler before the log says so; nothing is ended.",
        legacy_env=("STREAM_PROCESSING_TIMEOUT",),
    )
    stream_publish_on_commit = _ignored(
        False, "processing_guarantee='exactly_once' does this.", "STREAM_PUBLISH_ON_COMMIT"
    )
    stream_recovery_delay = _ignored(0.0, "Nothing waits after it.", "STREAM_RECOVERY_DELAY")
    stream_wait_empty = _ignored(
        True, "A partition that moves is drained, and no other waits.", "STREAM_WAIT_EMPTY"
    )
    table_cleanup_interval = Setting(
        read.positive_seconds,
        30.0,
        "How often windows of tables are closed that no record closes, and how long a partition "
        "is silent before its time goes on by the clock; in seconds.",
        legacy_env=("TABLE_CLEANUP_INTERVAL",),
    )
    table_key_index_size = _ignored(1_000, "Windows find their keys.", "TABLE_KEY_INDEX_SIZE")
    table_standby_replicas = _ignored(
        1,
        "Snapshots make a restart quick: checkpoint_url.",
        "TABLE_STANDBY_REPLICAS",
        aliases=("num_standby_replicas",),
    )
    tabledir = _ignored(None, "State is below datadir.", "APP_TABLEDIR")
    topic_disable_leader = _ignored(False, "There is no leader topic.", "TOPIC_DISABLE_LEADER")
    web = _ignored(None, "There is one web server.", "WEB_URL")
    web_in_thread = _ignored(False, "Pages share the loop with the agents.")
    worker_redirect_stdouts = _ignored(
        False, "What is printed stays on standard output.", "WORKER_REDIRECT_STDOUTS"
    )
    worker_redirect_stdouts_level = _ignored(
        None, "What is printed stays on standard output.", "WORKER_REDIRECT_STDOUTS_LEVEL"
    )
