"""
Lets a running worker read the topics that its agents' patterns fit, also those that come later.

The cluster is asked for its topics from time to time. What fits is told to the core, whose group
subscribes to it beside the others; partitions that it has stay where they are.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from turbine._patterns import find_topics
from turbine._topics_runtime import ensure_changelogs
from turbine.exceptions import ConfigError, KafkaError
from turbine.topics import Topic

if TYPE_CHECKING:
    from turbine._native import Admin, Worker
    from turbine.app import App

__all__ = ["Patterns"]

logger = logging.getLogger("turbine.worker")

_ADMIN_TIMEOUT_MS = 5_000


class Patterns:
    """
    What a worker does about patterns.

    Args:
        app: The app.
        native: The core's worker.
        admin: Lists topics.
    """

    def __init__(self, app: "App", native: "Worker", admin: "Admin") -> None:
        self._app = app
        self._native = native
        self._admin = admin
        self._told: dict[str, set[str]] = {}

    @property
    def are_there(self) -> bool:
        """Whether an agent has one."""
        return any(_has_pattern(agent.reads) for agent in self._app.agents.values())

    async def look_on(self) -> None:
        """Look from time to time, until cancelled."""
        while True:
            await asyncio.sleep(self._app.conf.consumer_metadata_max_age_ms / 1_000)
            try:
                await asyncio.to_thread(self.look)
            except (KafkaError, ConfigError) as exc:
                logger.warning("topics of patterns are looked for again later: %s", exc)

    def look(self) -> None:
        """Tell the core what is there that it does not read yet; blocks."""
        known = self._admin.list_topics(_ADMIN_TIMEOUT_MS)
        find_topics(self._app, known)
        for agent in self._app.agents.values():
            if not _has_pattern(agent.reads):
                continue
            told = self._told.setdefault(agent.name, set())
            news = [name for name in agent.topics if name in known and name not in told]
            self._read(agent.name, [name for name in news if self._has_room(known, name)], known)
            told.update(news)

    def _read(self, agent: str, names: list[str], known: dict[str, int]) -> None:
        if not names:
            return
        widest = max(known[name] for name in names)
        ensure_changelogs(self._app, self._admin, known, widest, _ADMIN_TIMEOUT_MS)
        logger.info("agent %s: reads %s", agent, ", ".join(names))
        self._native.read_also(agent, {name: known[name] for name in names})

    def _has_room(self, known: Mapping[str, int], name: str) -> bool:
        """A partition of a table is kept in the changelog's partition with the same number."""
        partitions = known[name]
        for table in self._app.tables.values():
            there = known.get(table.changelog, table.partitions or partitions)
            if there < partitions:
                logger.error(
                    "the topic %s fits a pattern and has %d partitions, and the changelog %s has "
                    "%d: it is not read. Create the topic with at most as many",
                    name,
                    partitions,
                    table.changelog,
                    there,
                )
                return False
        return True


def _has_pattern(source: Any) -> bool:
    return isinstance(source, Topic) and source.pattern is not None
