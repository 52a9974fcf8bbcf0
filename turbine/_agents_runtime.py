"""Runs the instances of an agent on the event loop."""

import asyncio
import inspect
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from turbine._asks import reply
from turbine._turns import leave
from turbine._wake import was_cancelled
from turbine.agents import Agent
from turbine.channels import Channel
from turbine.exceptions import StateError, WorkerStopped
from turbine.streams import Stream
from turbine.topics import Topic
from turbine.types import TP

if TYPE_CHECKING:
    from turbine._native import Cursor, Worker
    from turbine._wake import Wake

__all__ = ["AgentInstance", "Rows"]

logger = logging.getLogger("turbine.agents")


class Rows:
    """The mailbox of one instance."""

    def __init__(self, native: "Worker", wake: "Wake", agent: Agent, index: int) -> None:
        self._native = native
        self.wake = wake
        self._agent = agent.name
        self.policy = agent.policy
        self.answers = agent.yields
        self._topics: Callable[[], tuple[str, ...]] = lambda: agent.topics
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
            cursor = self.poll()
            if cursor is not None or self.stopped:
                return cursor
            if self.hurried is not None and self.hurried():
                raise TimeoutError
            await self.wake.wait(deadline)

    def poll(self) -> "Cursor | None":
        """Rows that are there now, if any; notes whether the worker has stopped."""
        try:
            return self._native.next_cursor(self._agent, self._index)
        except WorkerStopped:
            self.stopped = True
            return None

    def partitions(self) -> set[TP]:
        """Partitions of the agent's topics that this worker has."""
        pairs = {TP(row["topic"], row["partition"]) for row in self._native.assignments()}
        topics = frozenset(self._topics())
        return {tp for tp in pairs if tp.topic in topics}


class AgentInstance:
    """
    One running copy of an agent's function; started again after an exception.

    Args:
        native: The core's worker.
        agent: The agent.
        rows: Where its rows come from; None for a channel.
        index: Which of the instances it is.
        ending: Set when the worker is to stop: nobody waits for another try then.
        on_crash: Called with the reason when a channel's agent ends the worker.
    """

    def __init__(
        self,
        native: "Worker",
        agent: Agent,
        rows: Rows | None,
        index: int,
        *,
        ending: asyncio.Event,
        on_crash: Callable[[str], None],
    ) -> None:
        self._native = native
        self.agent = agent
        self.name = agent.name if agent.concurrency == 1 else f"{agent.name}[{index}]"
        self._rows = rows
        self._ending = ending
        self._on_crash = on_crash
        self._fn = agent.make_fn()
        self.siblings: list[AgentInstance] = []
        self._calling: asyncio.Task[None] | None = None
        self._is_restarted = False
        self._tries = 0
        self._tried: tuple[str, int, int] | None = None
        self._stream: Any = agent.reads.stream() if rows is None else Stream(agent.app, rows, index)

    @property
    def _is_over(self) -> bool:
        return self._rows is not None and self._rows.stopped

    async def run(self) -> None:
        """Run until the worker stops or the agent gives up."""
        while not self._is_over:
            try:
                await self._called()
            except (Exception, asyncio.CancelledError) as exc:
                if isinstance(exc, asyncio.CancelledError) and was_cancelled():
                    raise
                if self._is_restarted:
                    self._is_restarted = False
                    if self._stream.active().place() is not None:
                        self._stream.active().again()
                    continue
                for one in self.siblings:
                    one.restart()
                if not await self._after(exc):
                    return
            else:
                self._returned()
                return

    def restart(self) -> None:
        """Call the function again, with the rows that it has in its hands."""
        if self._calling is not None and not self._calling.done():
            self._is_restarted = True
            self._calling.cancel()

    async def _called(self) -> None:
        """Call the function, so that a sibling can end the call."""
        if not self.agent.restarts_all:
            await self._call()
            return
        self._calling = asyncio.ensure_future(self._call())
        try:
            await self._calling
        finally:
            self._calling.cancel()

    async def _after(self, exc: BaseException) -> bool:
        """Decide what follows an exception; whether the function is called again."""
        message = f"{type(exc).__name__}: {exc}"
        if isinstance(exc, WorkerStopped) and self._ending.is_set():
            logger.info("agent %s: %s", self.name, exc)
            self._stream.active().let_go()
            return False
        if self.agent.on_exception is not None:
            answer = self.agent.on_exception(self.agent, exc)
            if inspect.isawaitable(answer):
                await answer
        if isinstance(exc, StateError):
            logger.error("agent %s raised", self.name, exc_info=exc)
            # No row is to blame: each would be left out, and be missing in the tables.
            self._native.agent_failed(self.agent.name, message)
            return False
        if await self._is_retried(message):
            return True
        logger.error("agent %s raised", self.name, exc_info=exc)
        return self._go_on(message)

    async def _is_retried(self, message: str) -> bool:
        """Wait, and let the stream hand its rows out again, while the policy has tries left."""
        retry, place = self.agent.policy.retry, self._stream.active().place()
        if retry is None or place is None:
            return False
        self._tries = self._tries + 1 if place == self._tried else 1
        self._tried = place
        if self._tries > retry.times:
            self._tried = None
            return False
        wait_s = retry.wait_s(self._tries)
        logger.warning(
            "agent %s: %s[%d]@%d failed (%s): try %d of %d in %.1f s",
            self.name,
            *place,
            message,
            self._tries,
            retry.times,
            wait_s,
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._ending.wait()
        self._stream.active().again()
        return True

    async def _call(self) -> None:
        leave()
        stream = self._stream
        stream.restarted()
        result = self._fn(self.agent.given(stream))
        if not self.agent.yields:
            await result
            return
        async for value in result:
            await self._yielded(value)

    async def _yielded(self, value: Any) -> None:
        stream = self._stream.active()
        headers = stream.headers()
        if headers:
            await reply(self.agent.app, headers, stream.current_event, value)
        await stream.askers.yielded(value)
        for sink in self.agent.sinks:
            await self._deliver(sink, value)

    async def _deliver(self, sink: Any, value: Any) -> None:
        if isinstance(sink, Topic | Channel | Agent):
            await sink.send(key=self._stream.active().raw_key(), value=value)
            return
        answer = sink(value)
        if inspect.isawaitable(answer):
            await answer

    def _go_on(self, message: str) -> bool:
        policy = self.agent.policy
        if self._rows is None:
            if policy.crashes:
                self._on_crash(f"the agent {self.agent.name} failed: {message}")
            return policy.last != "fail"
        if self._stream.active().refuse(message, is_buried=policy.last == "dlq"):
            return True
        self._native.agent_failed(
            self.agent.name,
            f"the agent {self.agent.name} failed outside of a record: {message}",
        )
        return False

    def _returned(self) -> None:
        if self._rows is None or self._is_over:
            return
        self._stream.active().finish()
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
