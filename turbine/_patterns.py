"""
Which topics fit the patterns of agents.

The pattern is Python's and has to fit the whole name. Topics of Kafka itself (``__...``), those in
between of the app, changelogs, answers, and what the reading agent writes to never fit. A topic
that is deleted stays subscribed to; it has nothing to read.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from turbine.topics import Topic

if TYPE_CHECKING:
    import re

    from turbine.agents import Agent
    from turbine.app import App

__all__ = ["find_topics"]


def find_topics(app: "App", known: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """
    Look among the *known* topics, by their partitions, for those that agents' patterns fit.

    Returns:
        By agent the topics that are new since the last time, with their partitions.
    """
    news: dict[str, dict[str, int]] = {}
    for agent in app.agents.values():
        topic = agent.reads
        if isinstance(topic, Topic) and topic.pattern is not None:
            fits = {name: known[name] for name in known if _fits(app, agent, topic.pattern, name)}
            news[agent.name] = {k: n for k, n in fits.items() if k not in topic.found}
            topic.found = tuple(sorted({*topic.found, *fits}))
    return news


def _fits(app: "App", agent: "Agent", pattern: "re.Pattern[str]", name: str) -> bool:
    if name.startswith(("__", app.conf.reply_to_prefix)) or not pattern.fullmatch(name):
        return False
    is_own = name.startswith(f"{app.conf.group}-") and name.endswith(("-changelog", "-repartition"))
    changelogs = {table.changelog for table in app.tables.values()}
    written = {one.name for one in agent.sinks if isinstance(one, Topic)} | {agent.dlq}
    return not is_own and name not in changelogs and name not in written
