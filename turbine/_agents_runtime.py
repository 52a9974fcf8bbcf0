"""Runs the instances of an agent on the event loop."""

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from turbine._turns import leave
from turbine._wake import was_cancelled
from turbine.agents import Agent
from turbine.channels import Channel
from turbine.exceptions import StateError, WorkerStopped
from turbine.streams import Stream
from turbine.topics import Topic

if TYPE_CHECKING:
    from turbine._native import Cursor, Worker
    from turbine._wake import Wake

__all__ = ["AgentInstance", "Rows"]

logger = logging.getLogger("turbine.agents")


class Rows:
    """The mailbox of one instance."""

    def __init__(self, native: "Worker", wake: "Wake", agent: str, index: int) -> None:
        self._native = native
        self._wake = wake
        self._agent = agent
        self._index = index
        self.stopped = False
        self.hurried: Callable[[], bool] | None = None

    async def next(self, deadline: float | None) -> "Cursor | None":
        """
        Wait for rows.

        Args:
            deadline: Time of the running loop, in seconds; None waits for ever.

        Returns:
            A cursor with rows; None once the worker has stopped.

        Raises:
            TimeoutError: *deadline* has passed, or what the stream collects is asked for.
        """
        while True:
            try:
                cursor = self._native.next_cursor(self._agent, self._index)
            except WorkerStopped:
                self.stopped = True
                return None
            if cursor is not None:
                return cursor
            if self.hurried is not None and self.hurried():
                raise TimeoutError
            await self._wake.wait(deadline)


class AgentInstance:
    """One running copy of an agent's function; started again after an exception."""

    def __init__(self, native: "Worker", wake: "Wake", agent: Agent, index: int) -> None:
        self._native = native
        self.agent = agent
        self.name = agent.name if agent.concurrency == 1 else f"{agent.name}[{index}]"
        self._rows = Rows(native, wake, agent.name, index)
        self._stream: Any = (
            Stream(agent.app, self._rows, index)
            if isinstance(agent.channel, Topic)
            else agent.channel.stream()
        )

    async def run(self) -> None:
        """Run until the worker stops or the agent gives up."""
        while not self._rows.stopped:
            try:
                await self._call()
            except (Exception, asyncio.CancelledError) as exc:
                if isinstance(exc, asyncio.CancelledError) and was_cancelled():
                    raise
                message = f"{type(exc).__name__}: {exc}"
                logger.exception("agent %s raised", self.name)
                if isinstance(exc, StateError):
                    # No row is to blame: each would be left out, and be missing in the tables.
                    self._native.agent_failed(self.agent.name, message)
                    return
                if not self._go_on(message):
                    return
            else:
                self._returned()
                return

    async def _call(self) -> None:
        leave()
        result = self.agent.fn(self._stream)
        if not self.agent.yields:
            await result
            return
        async for value in result:
            for sink in self.agent.sinks:
                await self._deliver(sink, value)

    async def _deliver(self, sink: Any, value: Any) -> None:
        if isinstance(sink, Topic | Channel | Agent):
            await sink.send(key=self._key(), value=value)
            return
        answer = sink(value)
        if inspect.isawaitable(answer):
            await answer

    def _key(self) -> Any:
        """The key of the row in hand: what is yielded for it stays in its order."""
        if isinstance(self._stream, Stream):
            return self._stream.raw_key()
        event = self._stream.current_event
        return None if event is None else event.key

    def _go_on(self, message: str) -> bool:
        if not isinstance(self._stream, Stream):
            if self.agent.on_error != "fail":
                return True
        elif self._stream.refuse(message):
            return True
        self._native.agent_failed(
            self.agent.name,
            f"the agent {self.agent.name} failed outside of a record: {message}",
        )
        return False

    def _returned(self) -> None:
        if self._rows.stopped:
            return
        if isinstance(self._stream, Stream):
            self._stream.finish()
            self._native.agent_failed(
                self.agent.name,
                f"the agent {self.agent.name} returned while its stream goes on: "
                "an agent iterates until the worker stops",
            )


async def cancel_all(tasks: "list[asyncio.Task[Any]]") -> None:
    """Cancel *tasks* and wait until they are gone."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
