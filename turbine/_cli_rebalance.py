"""What ``turbine rebalance`` does, apart from reading its options."""

import time
from typing import TYPE_CHECKING, Any

from turbine._cli_units import select
from turbine.exceptions import BrokerUnavailable, ConfigError

if TYPE_CHECKING:
    from turbine._native import Admin
    from turbine.app import App

__all__ = ["rebalance_groups"]

_PATIENCE_S = 15.0
"""How long a coordinator may take that has just come up."""
_PAUSE_S = 0.2


def rebalance_groups(app: "App", name: str | None) -> list[dict[str, Any]]:
    """
    Make the members of the app's groups share their partitions anew.

    Args:
        app: The app.
        name: A subscription, or ``agents``; None means all.

    Returns:
        A row a group: its name, how many members it has, and partitions of its topics.

    Raises:
        ConfigError: There is no such part, no worker runs, or there is no topic to join with.
        KafkaError: No broker answers.
    """
    from turbine._native import Admin

    topics: dict[str, set[str]] = {}
    for unit in select(app, name):
        topics.setdefault(unit.group, set()).add(unit.topic)
    admin = Admin(app.conf.bootstrap, app.conf.client)
    known = admin.list_topics()
    rows = []
    for group, read in sorted(topics.items()):
        members = _members(admin, group)
        if not members:
            raise ConfigError(f"the group {group} has no members: start a worker first")
        # Whoever joins has to read something; what the members read would move to it.
        others = sorted(topic for topic in known if topic not in read)
        if not others:
            raise ConfigError(
                f"every topic of the cluster is read by the group {group}: rebalance needs one "
                "that is not, to join the group with; create an empty one"
            )
        admin.rebalance(group, min(others, key=lambda topic: known[topic]))
        partitions = sum(known.get(topic, 0) for topic in read)
        rows.append({"group": group, "members": len(members), "partitions": partitions})
    return rows


def _members(admin: "Admin", group: str) -> list[str]:
    """Who is in *group*; waits for a coordinator that moves, or that reads its log still."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return admin.members(group)
        except BrokerUnavailable:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_S)
