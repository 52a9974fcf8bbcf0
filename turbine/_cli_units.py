"""What an app keeps, and where: the parts that ``turbine reset`` and ``turbine doctor`` handle."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from turbine.agents import topics_read
from turbine.exceptions import ConfigError
from turbine.naming import changelog_topic

if TYPE_CHECKING:
    from turbine._native import LocalState
    from turbine.app import App

__all__ = ["Unit", "local_state", "parse_partition", "select", "state_directory", "units_of"]

AGENTS = "agents"
"""What the agents of an app are called on the command line."""


@dataclass(frozen=True)
class Unit:
    """
    One subscription, or the agents of an app, on one topic.

    Attributes:
        name: What it is called on the command line.
        owner: What its state is called.
        group: Its consumer group.
        topic: The topic read.
        changelogs: Topics that its state may be written to.
        is_internal: Whether the app writes the topic itself: it is read from its beginning.
    """

    name: str
    owner: str
    group: str
    topic: str
    changelogs: tuple[str, ...]
    is_internal: bool = False


def units_of(app: "App") -> list[Unit]:
    """List every part of *app* that commits offsets."""
    return [*_subscriptions(app), *_agents(app)]


def _subscriptions(app: "App") -> Iterator[Unit]:
    for one in app.subscriptions.values():
        changelog = f"{one.group}-changelog"
        for topic in one.reads:
            is_internal = one.line.repartition is not None
            yield Unit(one.name, one.name, one.group, topic, (changelog,), is_internal)


def _agents(app: "App") -> Iterator[Unit]:
    group = app.conf.group
    changelogs = tuple(changelog_topic(app.conf.id, name) for name in app.tables)
    for topic in topics_read(app.agents.values()):
        yield Unit(AGENTS, group, group, topic, changelogs)


def select(app: "App", name: str | None, topic: str | None = None) -> list[Unit]:
    """
    Find the parts that are meant.

    Args:
        app: The app.
        name: A subscription, or ``agents``; None means all.
        topic: Only those on this topic.

    Raises:
        ConfigError: There is none.
    """
    units = units_of(app)
    found = [one for one in units if name in (None, one.name) and topic in (None, one.topic)]
    if not found:
        names = ", ".join(dict.fromkeys(one.name for one in units)) or "nothing"
        on = f" on topic {topic!r}" if topic else ""
        raise ConfigError(f"the app has no {name or 'part'!r}{on}: it has {names}")
    return found


def parse_partition(text: str) -> tuple[str, int]:
    """
    Read ``TOPIC:NUMBER``.

    Raises:
        ConfigError: It is something else.
    """
    topic, _, number = text.rpartition(":")
    if not topic or not number.isdecimal():
        raise ConfigError(f"{text!r} is no partition: write TOPIC:NUMBER, as orders:3")
    return topic, int(number)


def state_directory(app: "App") -> Path | None:
    """Where a worker of *app* keeps its state on this machine; None if there is none."""
    directory = Path(app.conf.data_path) / "state"
    return directory if directory.exists() else None


@contextlib.contextmanager
def local_state(app: "App") -> "Iterator[LocalState | None]":
    """
    Open the state on this machine; None if there is none. Meanwhile no worker can open it.

    Raises:
        TurbineError: Another process has it, or it cannot be read.
    """
    from turbine._native import LocalState

    directory = state_directory(app)
    if directory is None:
        yield None
        return
    with contextlib.closing(LocalState(str(directory), app.conf.id)) as state:
        yield state
