"""
Agents as Faust programs declare and test them.

What differs from `turbine.Agent`: a failing event is left out, ``on_error=`` may be a function that
is told of exceptions, and supervisors have names.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from turbine import agents as native
from turbine.channels import Channel
from turbine.exceptions import DeclarationError
from turbine.faust.supervisors import supervision
from turbine.faust.topics import CODEC_OPTIONS, with_codecs
from turbine.naming import agent_topic
from turbine.topics import Topic

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from turbine.app import App
    from turbine.testing import AgentContext

__all__ = ["Agent", "declare_agent"]

logger = logging.getLogger("turbine.agents")

_OF_AGENTS = frozenset(
    {
        "name",
        "concurrency",
        "sink",
        "on_error",
        "dlq",
        "processing_guarantee",
        "isolated_partitions",
        "restarts_all",
    }
)
_WORDS = {"stop_partition": "fail"}
"""What stands for a policy of `turbine.Agent`."""


class Agent(native.Agent):
    """As `turbine.Agent`; what Faust's ``test_context`` is told is taken too."""

    def test_context(
        self, channel: object = None, supervisor_strategy: object = None, **options: object
    ) -> "AbstractAsyncContextManager[AgentContext]":
        """Run the agent in a test, without a broker; the options change nothing."""
        del channel, supervisor_strategy, options
        return super().test_context()


def declare_agent(app: "App", channel: Any, options: dict[str, Any]) -> Callable[[Any], Agent]:
    """
    Return what makes an agent of a function.

    Args:
        app: The app.
        channel: What it reads: a name, a topic, a channel or None.
        options: Of the agent, and of the topic if *channel* is not one.

    Raises:
        DeclarationError: They cannot work; the message says what to write.
    """
    if options.pop("use_reply_headers", True) is False:
        logger.debug("use_reply_headers=False has no effect: questions have headers, never more")
    strategy = options.pop("supervisor_strategy", None) or app.conf.agent_supervisor
    try:
        chosen = {"on_error": "skip", **supervision(strategy)}
    except ValueError as exc:
        raise DeclarationError(str(exc)) from None
    told = options.pop("on_error", None)
    tells = callable(told) and not hasattr(told, "times")
    if told is not None and not tells:
        chosen["on_error"] = _WORDS.get(str(told), told)
    chosen.update({name: options.pop(name) for name in _OF_AGENTS & options.keys()})

    def declare(fn: Any) -> Agent:
        source = _source(app, fn, channel, options, chosen.get("name"))
        agent = Agent(app, fn, source, **chosen)
        agent.on_exception = told if tells else None
        if isinstance(channel, Topic):
            with_codecs(agent, {key: options[key] for key in CODEC_OPTIONS if key in options})
        app._add_agent(agent)  # noqa: SLF001 - the app's own part
        return agent

    return declare


def _source(
    app: "App", fn: Any, channel: Any, options: dict[str, Any], name: str | None
) -> Topic | Channel:
    if isinstance(channel, Topic | Channel):
        unknown = options.keys() - {"key_type", "value_type", *CODEC_OPTIONS}
        if unknown:
            raise DeclarationError(
                f"say {', '.join(sorted(unknown))} where {channel!r} is declared"
            )
        types = options.get("key_type"), options.get("value_type")
        return channel.with_types(*types) if any(types) and isinstance(channel, Topic) else channel
    if isinstance(channel, str):
        return app.topic(channel, **options)
    from turbine.naming import function_name

    own = name or function_name(fn, qualified=True)
    return app.topic(agent_topic(app.conf.group, own), **{"internal": True, **options})
