"""The declarations of an app as the document that the core starts with (`WorkerConfig` there)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from turbine._handlers import Handler
from turbine._line_options import window_spec
from turbine._recovery import recovery_config
from turbine._repartition import stages
from turbine._shards import make_handler
from turbine._sharing import shared_topics
from turbine.topics import Topic

if TYPE_CHECKING:
    from turbine.agents import Agent
    from turbine.app import App
    from turbine.codecs import Format
    from turbine.subscriptions import Subscription
    from turbine.tables import Table

__all__ = ["worker_config"]


def worker_config(
    app: "App",
    *,
    handlers: Mapping[str, Handler] | None = None,
    http: bool,
    brokers: str | None = None,
    kafka: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """
    Describe *app* to the core.

    Args:
        app: The app, with everything declared.
        handlers: The handlers of its subscriptions by name, if they are made already.
        http: Whether the worker serves HTTP, if the settings allow it.
        brokers: ``host:port,host:port`` instead of the app's brokers.
        kafka: Settings of the Kafka client, on top of the app's.

    Raises:
        ConfigError: A setting is wrong.
    """
    conf = app.conf
    conf.validate()
    made = (
        {one.name: make_handler(one) for one in app.subscriptions.values()}
        if handlers is None
        else handlers
    )
    return {
        "app_id": conf.id,
        "brokers": brokers or conf.bootstrap,
        "kafka": {**conf.client, **(kafka or {})},
        "start_at": conf.start_at,
        "commit_interval_ms": max(1, round(conf.broker_commit_interval * 1_000)),
        "drain_timeout_ms": round(conf.drain_timeout * 1_000),
        "fetch_buffer_bytes": conf.fetch_buffer_bytes,
        "produce_buffer_bytes": conf.produce_buffer_bytes,
        **({"tells_commits": True} if app.hears_commits else {}),
        "subscriptions": [_subscription(one, made[one.name]) for one in app.subscriptions.values()],
        "repartitions": stages(app),
        "state_dir": str(conf.data_path / "state"),
        "store": conf.store,
        "state_memory_bytes": conf.state_memory_bytes,
        "checkpoint_interval_ms": max(1, round(conf.checkpoint_interval * 1_000)),
        "tables": [_table(one) for one in app.tables.values()],
        "copartitioned": shared_topics(app),
        "checkpoint_url": conf.checkpoint_url,
        "snapshot_interval_ms": max(1, round(conf.snapshot_interval * 1_000)),
        "snapshot_bytes": max(1, conf.snapshot_bytes),
        "snapshot_keep": conf.snapshot_keep,
        "agents": [_agent(one) for one in app.agents.values() if isinstance(one.reads, Topic)],
        "schema_registry": conf.registry(),
        "http": conf.http() if http else None,
    }


def _subscription(one: "Subscription", handler: Handler) -> dict[str, Any]:
    time = one.line.event_time
    return {
        "name": one.name,
        "group": one.group,
        # The other topic of a join goes with its plan.
        "topics": list(one.reads if one.join is None else one.reads[:1]),
        "partition_key": one.line.partition_key,
        "parallelism": one.line.parallelism,
        "is_repartitioned": one.line.repartition is not None or one.is_fed,
        "feeds": None if one.plan is None or one.plan.feeds is None else one.plan.feeds.config(),
        "publish_to": one.publish_to,
        "value_format": one.value_format.config(),
        "output_format": one.output_format.config(),
        "batch_size": one.batch_size,
        "batch_timeout_ms": one.batch_timeout_ms,
        "message_key": one.message_key,
        "with_metadata": list(one.with_metadata),
        "key_format": _key_format(one.key_format),
        "output_key_format": _key_format(one.output_key_format),
        "write_metadata": list(one.write_metadata),
        "write_tombstones": one.write_tombstones,
        "on_error": one.on_error,
        "dlq": one.dlq,
        "tombstones_as_nulls": one.tombstones == "null",
        "event_time": None if time is None else time.config(),
        "dedup": None if one.line.dedup is None else one.line.dedup.config(),
        "windows": _windows(one, handler),
        "plan": None if one.plan is None else one.plan.config(),
        "state": one.state.config(keyed=one.shape.is_keyed),
        "side_outputs": [target.config() for target in one.side_outputs.values()],
        "guarantee": one.guarantee,
        **recovery_config(one),
    }


def _key_format(declared: "Format | None") -> dict[str, Any] | None:
    return None if declared is None else declared.config()


def _windows(one: "Subscription", handler: Handler) -> dict[str, Any] | None:
    line = one.line
    named = line.windows or {window.name: window.declared for window in handler.windows}
    if not named:
        return None
    return {
        "before_handler": bool(line.windows),
        "specs": [window_spec(line, window, name) for name, window in named.items()],
        "late_data": None if line.late_data is None else line.late_data.config(),
    }


def _agent(one: "Agent") -> dict[str, Any]:
    return {
        "name": one.name,
        "group": one.group,
        "topics": list(one.topics),
        "concurrency": one.concurrency,
        "on_error": one.on_error,
        "dlq": one.dlq,
        "guarantee": one.guarantee,
        "acks_by_hand": one.plan is not None and one.plan.acks_by_hand,
    }


def _table(one: "Table[Any, Any]") -> dict[str, Any]:
    return {
        "name": one.name,
        "changelog": one.changelog,
        "partitions": one.partitions,
        "is_global": one.is_global,
    }
