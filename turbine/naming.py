"""
The one place that makes names: groups, topics, transactional ids, metric labels.

A name that two processes must agree on is made here and nowhere else.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turbine.exceptions import ConfigError, DeclarationError

__all__ = [
    "agent_topic",
    "app_group",
    "changelog_topic",
    "check_app_id",
    "check_name",
    "check_pattern",
    "check_topic_name",
    "function_name",
    "group_by_topic",
    "module_name",
    "repartition_topic",
    "subscription_group",
    "transactional_id",
    "worker_label",
]

_ALLOWED = re.compile(r"[A-Za-z0-9._-]+")
_VERSION_SUFFIX = re.compile(r"v\d+")
_TOPIC_LIMIT = 249
"""Longest topic name that Kafka accepts, in characters."""


def app_group(app_id: str, version: int = 1, template: str = "{id}-v{version}") -> str:
    """
    Name of the consumer group that the agents of an app share, and prefix of the app's topics.

    Args:
        app_id: Name of the app.
        version: 1 leaves the name as it is.
        template: The name from version 2 on; ``{id}`` and ``{version}`` stand in it.

    Raises:
        ConfigError: *template* has something else in braces.
    """
    if version == 1:
        return app_id
    try:
        # Faust writes {self.version}.
        return template.replace("{self.", "{").format(id=app_id, version=version)
    except (KeyError, IndexError, ValueError, AttributeError):
        raise ConfigError(
            f"id_format={template!r} cannot be filled: write {{id}} and {{version}} in it"
        ) from None


def subscription_group(group: str, name: str) -> str:
    """Consumer group of one subscription; *group* is the app's."""
    return f"{group}-{name}"


def transactional_id(app_id: str, topic: str, partition: int, name: str | None = None) -> str:
    """Transactional id of a partition; *name* tells a second subscription on the topic apart."""
    base = f"{app_id}-{topic}-{partition}"
    return base if name is None else f"{base}-{name}"


def changelog_topic(app_id: str, table: str) -> str:
    """Topic from which a table is restored."""
    return f"{app_id}-{table}-changelog"


def repartition_topic(app_id: str, topic: str, key: str) -> str:
    """Internal topic that carries *topic* placed by another *key*."""
    return f"{app_id}-{topic}-{key}-repartition"


def group_by_topic(agent: str, topic: str, key: str) -> str:
    """Topic between the stages of an agent that groups, named as Faust does."""
    return f"{agent}-{topic}-{key}-repartition"


def agent_topic(group: str, agent: str) -> str:
    """Topic of an agent that is declared without one; *group* is the app's."""
    return f"{group}-{agent}"


def worker_label(name: str, partition: int) -> str:
    """Metric label of one partition of a subscription or agent."""
    return f"{name}-p{partition}"


def check_app_id(app_id: object) -> str:
    """
    Return *app_id* if groups and topics can be named after it.

    Raises:
        ConfigError: It is empty, or has characters that Kafka refuses.
    """
    if not isinstance(app_id, str) or not _ALLOWED.fullmatch(app_id):
        raise ConfigError(
            f"the app id {app_id!r} cannot name a consumer group: "
            f"use letters, digits, '.', '_' and '-', as in App('orders')"
        )
    return app_id


def check_name(kind: str, name: object) -> str:
    """
    Return the *name* of a subscription or agent if metrics and groups can carry it.

    Raises:
        DeclarationError: It is not text, has other characters, or reads like an app version.
    """
    if not isinstance(name, str) or not _ALLOWED.fullmatch(name):
        raise DeclarationError(
            f"{kind} name {name!r} is not possible: "
            f"pass name= with letters, digits, '.', '_' and '-' only"
        )
    if _VERSION_SUFFIX.fullmatch(name):
        raise DeclarationError(
            f"{kind} name {name!r} would share its consumer group with that version of the app: "
            f"pass another name="
        )
    return name


def check_topic_name(name: object) -> str:
    """
    Return *name* if Kafka accepts it as a topic.

    Raises:
        DeclarationError: It is not text, too long, or has other characters.
    """
    if not isinstance(name, str):
        raise DeclarationError(
            f"a topic is named by text, not by {name!r}: write app.topic('orders')"
        )
    if not _ALLOWED.fullmatch(name) or name in {".", ".."} or len(name) > _TOPIC_LIMIT:
        raise DeclarationError(
            f"{name!r} is not a topic name that Kafka accepts: "
            f"1 to {_TOPIC_LIMIT} letters, digits, '.', '_' and '-'"
        )
    return name


def module_name(module: str) -> str:
    """
    Return *module*, with ``__main__`` replaced by the name it has when it is imported.

    ``python app.py worker`` and ``turbine -A app worker`` must read the same topics.
    """
    if module != "__main__":
        return module
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return str(spec.name).removesuffix(".__main__")
    path = getattr(main, "__file__", None)
    # A program from standard input calls its file "<stdin>".
    return Path(path).stem if path and not path.startswith("<") else ""


def function_name(fn: Callable[..., Any], *, qualified: bool) -> str:
    """
    Name of a handler: a function, a `functools.partial` of one, or an instance with ``__call__``.

    Args:
        fn: The handler.
        qualified: Put the module in front, as agents do.
    """
    inner = getattr(fn, "func", fn)
    name = getattr(inner, "__name__", None) or type(inner).__name__
    if not qualified:
        return str(name)
    module = module_name(getattr(inner, "__module__", "") or "")
    return f"{module}.{name}" if module else str(name)


def check_pattern(pattern: "str | re.Pattern[str]", names: tuple[str, ...]) -> re.Pattern[str]:
    """
    Read the pattern of a topic.

    Raises:
        DeclarationError: It is no regular expression, or the topic has names too.
    """
    if names:
        raise DeclarationError(
            f"the topic {', '.join(names)!r} has a pattern too: leave one out, a topic has names "
            "or a pattern"
        )
    try:
        return re.compile(pattern)
    except (re.error, TypeError) as exc:
        raise DeclarationError(
            f"pattern={pattern!r} is no regular expression: {exc}; write pattern=r'orders-.*'"
        ) from None
