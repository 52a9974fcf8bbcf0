"""
`App` as Faust programs make and use it.

What differs from `turbine.App`: an agent's failing event is left out and counted
(``on_error="skip"``), as those programs expect.
"""

from collections.abc import Callable
from typing import Any, overload

from turbine.agents import Agent, Source
from turbine.channels import Channel
from turbine.faust._app_life import AppLife
from turbine.faust.settings import Settings
from turbine.faust.tables import AppTables
from turbine.faust.topics import CODEC_OPTIONS, AppTopics, with_codecs
from turbine.topics import Topic

__all__ = ["App"]


class App(AppTables, AppTopics, AppLife):
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
        options.setdefault("on_error", "skip")
        codecs = {name: options.pop(name) for name in CODEC_OPTIONS if name in options}
        if callable(channel) and not isinstance(channel, Topic | Channel):
            return with_codecs(self._add_agent(Agent(self, channel, **options)), codecs)
        declare: Any = super().agent(channel, **options)
        return lambda fn: with_codecs(declare(fn), codecs)
