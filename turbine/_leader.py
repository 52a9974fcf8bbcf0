"""
Which worker of an app runs what only one of them is to run.

The leader is the worker that has partition 0 of the leader topic: the group's own assignment
decides, so no topic, lock or election of its own is needed. Leadership moves when that partition
moves. While it moves, there may be no leader; for the moment until the former owner hears of it,
two.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from turbine.exceptions import ConfigError
from turbine.types import TP

if TYPE_CHECKING:
    from turbine.app import App

__all__ = ["Leader"]

logger = logging.getLogger("turbine.worker")


class Leader:
    """
    Knows whether this worker is the leader.

    Attributes:
        place: Consumer group and topic whose partition 0 makes the leader; None: the app reads no
            topic, so that nothing tells its workers apart and each is a leader.
    """

    def __init__(self, app: "App") -> None:
        self.place = leader_place(app)
        self._is_leader = asyncio.Event()
        if self.place is not None:
            return
        self._is_leader.set()
        for job in app.jobs:
            if job.on_leader:
                logger.warning(
                    "%s %s has on_leader=True, and the app reads no topic whose partition 0 makes "
                    "a leader: every worker runs it",
                    job.kind,
                    job.name,
                )

    def __bool__(self) -> bool:
        return self._is_leader.is_set()

    async def wait(self) -> None:
        """Wait until this worker is the leader."""
        await self._is_leader.wait()

    def heard(self, event: dict[str, Any], partitions: set[TP]) -> None:
        """Take note of partitions that the core was given, or that were taken."""
        if self.place is None or event["group"] != self.place[0]:
            return
        if TP(self.place[1], 0) not in partitions:
            return
        if event["kind"] == "assigned":
            self._is_leader.set()
        else:
            self._is_leader.clear()


def leader_place(app: "App") -> tuple[str, str] | None:
    """
    Name the group and the topic that decide: ``leader_topic``, else the first by name.

    Agents come before subscriptions, as all of them are in one group.

    Raises:
        ConfigError: The app does not read its ``leader_topic``.
    """
    places = [
        *sorted((one.group, topic) for one in app.agents.values() for topic in one.topics),
        *sorted((one.group, topic) for one in app.subscriptions.values() for topic in one.reads),
    ]
    named = app.conf.leader_topic
    if named is None:
        return next((place for place in places if not place[1].startswith("^")), None)
    found = next((place for place in places if place[1] == named), None)
    if found is None:
        known = ", ".join(sorted({topic for _, topic in places})) or "nothing"
        raise ConfigError(f"leader_topic={named!r} is not among what the app reads: {known}")
    return found
