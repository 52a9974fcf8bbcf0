"""
Agents with ``isolated_partitions=True``: one instance of the function for each partition.

An instance begins when its partition comes, sees rows of no other, and ends when the partition
goes: a failing or slow one holds up no other.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from turbine._agents_runtime import AgentInstance, Rows
from turbine.types import TP

if TYPE_CHECKING:
    from turbine._native import Cursor, Worker
    from turbine._wake import Wake
    from turbine.agents import Agent

__all__ = ["IsolatedAgent"]


class IsolatedAgent:
    """
    Divides the rows of one agent among its instances.

    Args:
        native: The core's worker.
        wake: Wakes who waits for rows.
        agent: The agent.
        spawn: Runs an instance under a name.
        options: Of every `AgentInstance`.
    """

    def __init__(
        self,
        native: "Worker",
        wake: "Wake",
        agent: "Agent",
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
        **options: Any,
    ) -> None:
        self.agent = agent
        self._native = native
        self._wake = wake
        self._spawn = spawn
        self._options = options
        self._parts: dict[TP, _Part] = {}

    async def run(self) -> None:
        """Begin an instance for every partition that rows come from."""
        rows = Rows(self._native, self._wake, self.agent, 0)
        while (cursor := await rows.next(None)) is not None:
            self.give(cursor)

    def give(self, cursor: "Cursor") -> None:
        """Let the instance of its partition have *cursor*."""
        self._part(TP(cursor.topic, cursor.partition)).queue.append(cursor)
        self._wake.nudge()

    def assigned(self, partitions: Iterable[TP]) -> None:
        """Begin the instances of *partitions*, as far as the agent reads them."""
        for tp in partitions:
            if tp.topic in self.agent.topics:
                self._part(tp)

    def revoked(self, partitions: Iterable[TP]) -> None:
        """End the instances of *partitions*."""
        for tp in partitions:
            part = self._parts.pop(tp, None)
            if part is None:
                continue
            part.stopped = True
            if part.queue and tp in part.partitions_of_worker():
                # It has come back already, and its first rows were quicker than this word.
                self._part(tp).queue.extend(part.queue)
        self._wake.nudge()

    def _part(self, tp: TP) -> "_Part":
        part = self._parts.get(tp)
        if part is None:
            part = self._parts[tp] = _Part(self._native, self._wake, self, tp)
            one = AgentInstance(self._native, self.agent, part, tp.partition, **self._options)
            self._spawn(one.run(), f"{self.agent.name}[{tp.topic}-{tp.partition}]")
        return part


class _Part(Rows):
    """The rows of one partition."""

    def __init__(self, native: "Worker", wake: "Wake", owner: IsolatedAgent, tp: TP) -> None:
        super().__init__(native, wake, owner.agent, 0)
        self._owner = owner
        self._tp = tp
        self.queue: deque[Cursor] = deque()

    def poll(self) -> "Cursor | None":
        while not self.queue and not self.stopped:
            cursor = super().poll()
            if cursor is None:
                return None
            self._owner.give(cursor)
        return None if self.stopped else self.queue.popleft()

    def partitions(self) -> set[TP]:
        return {self._tp}

    def partitions_of_worker(self) -> set[TP]:
        """Partitions of the agent's topics that the worker has at this moment."""
        return super().partitions()
