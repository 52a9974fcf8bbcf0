"""
Streams that are no agent's: `App.stream`, read by a task, or inside of an agent beside its own.

The topic is declared before the start, like that of an agent; rows come once a worker runs, and
wait while nobody asks for them.
"""

from typing import TYPE_CHECKING, Any

from turbine._agents_runtime import Rows
from turbine.channels import Channel
from turbine.exceptions import DeclarationError, NotRunning
from turbine.streams import Stream
from turbine.types import TP

if TYPE_CHECKING:
    from turbine._channel_stream import ChannelStream
    from turbine._native import Cursor, Worker
    from turbine._wake import Wake
    from turbine.agents import Agent
    from turbine.app import App
    from turbine.topics import Topic

__all__ = ["Reader", "make_stream"]


class Reader(Rows):
    """The rows of one such stream, whichever worker runs."""

    def __init__(self, app: "App") -> None:
        self.agent: Agent
        self.stream = Stream(app, self)
        self.stopped = False
        self._is_bound = False

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
        if not self._is_bound:
            raise NotRunning(
                f"the stream of {self.agent.channel} has rows while a worker runs: read it in "
                "@app.task, or inside 'async with app.running():'"
            )


def make_stream(app: "App", source: "str | Topic | Channel") -> "Stream | ChannelStream":
    """
    Declare a stream over *source*; see `turbine.App.stream`.

    Raises:
        DeclarationError: A worker of the app runs already.
    """
    from turbine.agents import Agent

    if isinstance(source, Channel):
        return source.stream()
    if app._runtime is not None:  # noqa: SLF001 - the app's own part
        raise DeclarationError(
            f"app.stream({str(source)!r}) comes too late, the worker has been told what it reads: "
            "declare the stream beside the agents, and iterate over it here"
        )
    reader = Reader(app)
    number = sum(isinstance(one.fn, Reader) for one in app.agents.values())
    topic = app.topic(source) if isinstance(source, str) else source
    reader.agent = Agent(app, reader, topic, name=f"stream-{number + 1}-of-{topic.name}")
    app._add_agent(reader.agent)  # noqa: SLF001 - as above
    return reader.stream
