"""Which groups an app is a member of, and what they read."""

from typing import TYPE_CHECKING

from turbine._repartition import stages

if TYPE_CHECKING:
    from turbine.app import App

__all__ = ["reads_of"]


def reads_of(app: "App") -> dict[str, set[str]]:
    """Topics that each group of *app* reads."""
    reads: dict[str, set[str]] = {}
    for agent in app.agents.values():
        if agent.topics:
            reads.setdefault(agent.group, set()).update(agent.topics)
    for subscription in app.subscriptions.values():
        reads.setdefault(subscription.group, set()).update(subscription.reads)
    for stage in stages(app):
        reads.setdefault(stage["to"], set()).add(stage["topic"])
    return reads
