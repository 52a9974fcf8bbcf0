"""Settings that programs written for Faust bring along, and what becomes of each."""

from collections.abc import Callable

from turbine import _parsers as read

__all__ = ["KAFKA_SETTINGS", "KEPT_QUIETLY", "REFUSED"]


def _ms(value: object) -> str:
    return str(round(read.seconds(value) * 1_000))


def _text(value: object) -> str:
    return read.text(str(value))


def _compression(value: object) -> str:
    return read.choice("none", "gzip", "snappy", "lz4", "zstd")(value)


def _integer(value: object) -> str:
    return str(read.integer(least=1)(value))


KAFKA_SETTINGS: dict[str, tuple[str, Callable[[object], str]]] = {
    "broker_client_id": ("client.id", _text),
    "broker_heartbeat_interval": ("heartbeat.interval.ms", _ms),
    "broker_request_timeout": ("socket.timeout.ms", _ms),
    "broker_session_timeout": ("session.timeout.ms", _ms),
    "consumer_group_instance_id": ("group.instance.id", _text),
    "consumer_max_fetch_size": ("max.partition.fetch.bytes", _integer),
    "producer_compression_type": ("compression.type", _compression),
    "producer_linger": ("linger.ms", _ms),
    "producer_max_batch_size": ("batch.size", _integer),
    "producer_max_request_size": ("message.max.bytes", _integer),
}
"""Faust's name to the client library's name, and how the value is written there."""

REFUSED: dict[str, str] = {
    "broker_credentials": (
        "set kafka={'security.protocol': 'sasl_ssl', 'sasl.mechanism': ..., 'sasl.username': ..., "
        "'sasl.password': ...}"
    ),
    "ssl_context": "set kafka={'security.protocol': 'ssl', 'ssl.ca.location': ...}",
}
"""Leaving these out quietly would open a connection without security."""

KEPT_QUIETLY: frozenset[str] = frozenset(
    {
        "agent_supervisor",
        "blocking_timeout",
        "broker_api_version",
        "broker_check_crcs",
        "broker_commit_every",
        "broker_commit_livelock_soft_timeout",
        "broker_consumer",
        "broker_max_poll_interval",
        "broker_max_poll_records",
        "broker_producer",
        "broker_rebalance_timeout",
        "cache",
        "canonical_url",
        "consumer_api_version",
        "consumer_connections_max_idle_ms",
        "consumer_metadata_max_age_ms",
        "env_prefix",
        "id_format",
        "key_serializer",
        "loghandlers",
        "logging_config",
        "producer_acks",
        "producer_api_version",
        "producer_connections_max_idle_ms",
        "producer_metadata_max_age_ms",
        "producer_partitioner",
        "producer_request_timeout",
        "producer_threaded",
        "recovery_consistency_check",
        "reply_create_topic",
        "reply_expires",
        "reply_to",
        "reply_to_prefix",
        "store_check_exists",
        "stream_processing_timeout",
        "stream_publish_on_commit",
        "stream_recovery_delay",
        "stream_wait_empty",
        "table_cleanup_interval",
        "table_key_index_size",
        "table_standby_replicas",
        "tabledir",
        "topic_disable_leader",
        "value_serializer",
        "web_bind",
        "web_cors_options",
        "web_graph_enabled",
        "web_in_thread",
        "web_metrics_enabled",
        "web_router_enabled",
        "web_ssl_context",
        "web_stats_enabled",
        "web_tables_enabled",
        "web_transport",
        "worker_redirect_stdouts",
        "worker_redirect_stdouts_level",
    }
)
"""Known settings without a meaning here: left out with a debug line."""
