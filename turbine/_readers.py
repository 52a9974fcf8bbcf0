"""
Streams that are no agent's: `App.stream`, read by a task, or inside of an agent beside its own.

The topic is declared before the start, like that of an agent; rows come once a worker runs, and
wait while nobody asks for them.
"""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from turbine import _declare
from turbine._agents_runtime import Rows
from turbine._decoders import is_model
from turbine._event_time import EVENT_TIME_OPTIONS
from turbine.channels import Channel
from turbine.exceptions import DeclarationError, NotRunning
from turbine.streams import Stream
from turbine.topics import Topic
from turbine.types import TP

if TYPE_CHECKING:
    from turbine._channel_stream import ChannelStream
    from turbine._native import Cursor, Worker
    from turbine._wake import Wake
    from turbine.agents import Agent
    from turbine.app import App
    from turbine.flows import Flow

__all__ = ["DeclaredStream", "Reader", "make_stream"]

_OPTIONS = frozenset({*EVENT_TIME_OPTIONS, "model", "keyed_by", "value_format", "key_format"})


class Reader(Rows):
    """The rows of one such stream, whichever worker runs."""

    def __init__(self, app: "App") -> None:
        self.agent: Agent
        self.stream = DeclaredStream(app, self)
        self.stopped = False
        self._is_bound = False
        self.is_planned = False
        self.keyed_by: str | None = None

    async def __call__(self, stream: Any) -> None:
        """Stand for the function of an agent, and never be called."""

    def bind(self, native: "Worker", wake: "Wake") -> None:
        """Let rows come from a worker that starts."""
        self.stream.forget()
        hurried = self.hurried
        super().__init__(native, wake, self.agent, 0)
        self.hurried = hurried
        self._is_bound = True

    def end(self) -> None:
        """Let go of what a task had in its hands when it was cancelled."""
        self.stream.let_go()

    async def next(self, deadline: float | None) -> "Cursor | None":
        self._check()
        return await super().next(deadline)

    def poll(self) -> "Cursor | None":
        self._check()
        return super().poll()

    def partitions(self) -> set[TP]:
        self._check()
        return super().partitions()

    def _check(self) -> None:
        if self.is_planned:
            raise NotRunning(
                f"the stream of {self.agent.channel} has become a plan, whose rows stay in "
                "the core: iterate over what it writes, or over a second app.stream()"
            )
        if not self._is_bound:
            raise NotRunning(
                f"the stream of {self.agent.channel} has rows while a worker runs: read it in "
                "@app.task, or inside 'async with app.running():'"
            )


class DeclaredStream(Stream):
    """
    The stream of `App.stream`: to be iterated over, or the beginning of a plan.

    Attributes:
        reader: Its rows.
    """

    def __init__(self, app: "App", reader: Reader) -> None:
        super().__init__(app, reader)
        self.reader = reader

    def flow(self) -> "Flow":
        """Give the plan without any step; the stream is not read any more."""
        from turbine._flow_sink import start
        from turbine.models import arrow_schema

        reader, source = self.reader, self.reader.agent.channel
        if self._steps or self._by_hand:
            raise DeclarationError(
                f"the stream of {source} has functions, which run in Python, and a plan stays in "
                "the core: write conditions as col('a') > 0, or declare a second app.stream()"
            )
        if not isinstance(source, Topic) or not is_model(source.value_type):
            raise DeclarationError(
                f"a plan has to know the columns of {source}: write app.stream({str(source)!r}, "
                "model=Order) with a class that derives from turbine.Record"
            )
        if not reader.is_planned:
            reader.is_planned = True
            del self.app.agents[reader.agent.name]
        return start(self.app, source, arrow_schema(source.value_type), reader.keyed_by)

    def group_by(self, *args: Any, **options: Any) -> "Flow":
        """As `turbine.flows.Flow.group_by`."""
        return self.flow().group_by(*args, **options)

    def through(self, *args: Any, **options: Any) -> "Flow":
        """As `turbine.flows.Flow.through`."""
        return self.flow().through(*args, **options)


def make_stream(
    app: "App", source: "str | Topic | Channel", options: Mapping[str, Any]
) -> "Stream | ChannelStream":
    """
    Declare a stream over *source*; see `turbine.App.stream`.

    Raises:
        DeclarationError: A worker of the app runs already, or an option says nothing.
    """
    from turbine.agents import Agent

    _declare.refuse_unknown("app.stream", options.keys() - _OPTIONS, _OPTIONS)
    given = {name: value for name, value in options.items() if value is not None}
    if given and not isinstance(source, str):
        raise DeclarationError(
            f"app.stream({source!r}, {next(iter(given))}=...): it is declared already: say it there"
        )
    if isinstance(source, Channel):
        return source.stream()
    if app._runtime is not None:  # noqa: SLF001 - the app's own part
        raise DeclarationError(
            f"app.stream({str(source)!r}) comes too late, the worker has been told what it reads: "
            "declare the stream beside the agents, and iterate over it here"
        )
    reader = Reader(app)
    reader.keyed_by = given.pop("keyed_by", None)
    topic = _topic(app, source, given) if isinstance(source, str) else source
    names = (f"stream-{number}-of-{topic.name}" for number in itertools.count(1))
    free = next(name for name in names if name not in app.agents)
    reader.agent = Agent(app, reader, topic, name=free)
    app._add_agent(reader.agent)  # noqa: SLF001 - as above
    return reader.stream


def _topic(app: "App", name: str, given: dict[str, Any]) -> Topic:
    """The topic of that name; with a model, in the formats that it was declared with."""
    known, model = app.topics.get(name), given.pop("model", None)
    if model is not None and not is_model(model):
        raise DeclarationError(
            f"model={model!r} is not a pydantic model: write a class that derives from "
            "turbine.Record"
        )
    if model is not None and known is not None:
        formats = {"key_format": known.key_format, "value_format": known.value_format}
        given = {**formats, **given}
    return app.topic(name, **({} if model is None else {"value_type": model}), **given)
