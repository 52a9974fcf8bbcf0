"""Makes sure, before a worker starts, that its topics exist."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from turbine._patterns import find_topics
from turbine._recovery import CHANGELOG_CONFIG, changelogs
from turbine._repartition import internal_partitions
from turbine.exceptions import ConfigError
from turbine.topics import Topic

if TYPE_CHECKING:
    from turbine._native import Admin
    from turbine.app import App

__all__ = ["ensure_changelogs", "ensure_topics"]

_INTERNAL = {"retention.ms": "-1"}
"""Records there have the timestamps of their source, which may be older than any retention."""


def ensure_topics(app: "App", admin: "Admin", timeout_ms: int) -> dict[str, int]:
    """
    Create the missing topics of *app*; blocks.

    Returns:
        Partitions of every topic of the cluster, afterwards.

    Raises:
        BrokerUnavailable: No broker answers.
        ConfigError: A topic that is read is missing, and the app must not create topics; or an
            internal topic has another number of partitions than is declared.
    """
    known = admin.list_topics(timeout_ms)
    find_topics(app, known)
    missing = {name: topic for name, topic in _wanted(app).items() if name not in known}
    _check_may_create(app, missing)
    for name, topic in missing.items():
        partitions = (topic and topic.partitions) or _partitions(app, name, known)
        replicas = (topic and topic.replicas) or app.conf.topic_replication_factor
        config = topic.config if topic else None
        admin.create_topics({name: partitions}, replicas, config or None, timeout_ms)
        known[name] = partitions
    sources = [known[name] for agent in app.agents.values() for name in agent.topics]
    ensure_changelogs(app, admin, known, max(sources, default=0), timeout_ms)
    internal = internal_partitions(app, known)
    missing_internal = {name: count for name, count in internal.items() if name not in known}
    _check_may_create(app, missing_internal)
    replicas = app.conf.topic_replication_factor
    for name, partitions in missing_internal.items():
        admin.create_topics({name: partitions}, replicas, _INTERNAL, timeout_ms)
        known[name] = partitions
    logs = {name: count for name, count in changelogs(app, known).items() if name not in known}
    _check_may_create(app, logs)
    for name, partitions in logs.items():
        admin.create_topics({name: partitions}, replicas, CHANGELOG_CONFIG, timeout_ms)
        known[name] = partitions
    return known


def ensure_changelogs(
    app: "App", admin: "Admin", known: dict[str, int], wanted: int, timeout_ms: int
) -> None:
    """
    Create the missing changelogs of tables, with *wanted* partitions at least; blocks.

    A partition of a table is restored from the changelog's partition with the same number.

    Raises:
        ConfigError: One has less, or is missing and the app must not create topics.
    """
    # What every worker reads needs no agent here.
    tables = [one for one in app.tables.values() if wanted or one.is_global]
    _check_may_create(app, [one.changelog for one in tables if one.changelog not in known])
    for table in tables:
        name = table.changelog
        if name not in known:
            known[name] = table.partitions or wanted or app.conf.topic_partitions
            config = {"cleanup.policy": "compact", **table.config}
            replicas = app.conf.topic_replication_factor
            admin.create_topics({name: known[name]}, replicas, config, timeout_ms)
        if known[name] < wanted:
            raise ConfigError(
                f"the changelog {name} of table {table.name} has {known[name]} partitions, and the "
                f"topics of the agents have up to {wanted}: declare partitions={wanted}, or create "
                f"the topic anew with {wanted}"
            )


def _check_may_create(app: "App", missing: Iterable[str]) -> None:
    if missing and not app.conf.topic_allow_declare:
        raise ConfigError(
            f"these topics do not exist: {', '.join(sorted(missing))}. Create them, or let the app "
            "create them with topic_allow_declare=True"
        )


def _partitions(app: "App", name: str, known: dict[str, int]) -> int:
    """As many as what feeds it has, so that keys stay together; else the setting."""
    for subscription in app.subscriptions.values():
        if name in subscription.written:
            sources = [known[source] for source in subscription.topics if source in known]
            if sources:
                return max(sources)
    for agent in app.agents.values():
        if isinstance(agent.feeds, Topic) and name in agent.feeds.names:
            sources = [known[source] for source in agent.topics if source in known]
            if sources:
                return max(sources)
    return app.conf.topic_partitions


def _wanted(app: "App") -> dict[str, Topic | None]:
    """Every topic that the app reads or writes by declaration."""
    wanted: dict[str, Topic | None] = {}
    for topic in app.topics.values():
        wanted.update(dict.fromkeys(topic.names, topic))
    for agent in app.agents.values():
        if isinstance(agent.channel, Topic):
            wanted.update(dict.fromkeys(agent.channel.names, agent.channel))
        if isinstance(agent.reads, Topic):
            wanted.update(dict.fromkeys(agent.reads.names, agent.reads))
        if agent.dlq:
            wanted.setdefault(agent.dlq, None)
    for subscription in app.subscriptions.values():
        for name in subscription.topics:
            wanted.setdefault(name, subscription.source)
        for target in subscription.written:
            wanted.setdefault(target, None)
    return wanted
