"""
`App` as Faust programs make and use it.

What differs from `turbine.App`: an agent's failing event is left out and counted
(``on_error="skip"``), as those programs expect.
"""

from collections.abc import Callable
from typing import Any, overload

from turbine.agents import Source
from turbine.channels import Channel
from turbine.faust._app_life import AppLife
from turbine.faust._app_sensors import AppSensors
from turbine.faust.agents import Agent, declare_agent
from turbine.faust.channels import AppChannels
from turbine.faust.models.base import maybe_model
from turbine.faust.settings import Settings
from turbine.faust.tables import AppTables
from turbine.faust.topics import AppTopics
from turbine.topics import Topic

__all__ = ["App"]


class App(AppTables, AppChannels, AppTopics, AppLife, AppSensors):
    """
    An app with the defaults of Faust.

    Args:
        id: Names the consumer group, changelogs and agents' topics.
        **settings: As `turbine.App`; names of Faust without a meaning here are left out.
    """

    conf: Settings
    _settings = Settings

    @overload
    def agent(self, channel: Callable[..., Any], /) -> Agent: ...
    @overload
    def agent(
        self, channel: Source = None, /, **options: Any
    ) -> Callable[[Callable[..., Any]], Agent]: ...
    def agent(self, channel: Any = None, /, **options: Any) -> Any:
        """Declare an agent that leaves failing events out unless ``on_error`` says otherwise."""
        channel = options.pop("channel", channel)
        if callable(channel) and not isinstance(channel, Topic | Channel):
            return declare_agent(self, None, options)(channel)
        return declare_agent(self, channel, options)

    actor = agent

    def reply_value(self, value: Any) -> Any:
        """Make a record of an answer that says which one it is."""
        return maybe_model(value)
