"""
Writing to tables outside of a stream: ``async with table.turn(key):``.

The turn is one of the partition that the key's records go to, without a record: what is written is
committed with that partition, at the offset that it has. So it is possible on the worker that has
the partition, and refused on every other.
"""

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from turbine._turns import TURN, enter, leave
from turbine.agents import topics_read
from turbine.exceptions import NotRunning, StateError
from turbine.types import TP

if TYPE_CHECKING:
    from turbine._native import Admin, Visit
    from turbine.app import App

__all__ = ["TableTurn"]

_LIMIT_MS = 10_000
"""Longest wait for a commit of the partition that waits for records."""


class TableTurn:
    """
    A turn of the partition of one key; made by `Table.turn`.

    Args:
        app: The app.
        table: Name of the table.
        key: The key as records have it.
        topic: Topic whose agents write the table; None: the only one that agents read.

    Raises:
        StateError: The partition is elsewhere, nothing of it was read yet, there are several
            topics, or a stream has its turn already.
        NotRunning: No worker of the app runs here.
    """

    def __init__(self, app: "App", table: str, key: bytes, topic: str | None) -> None:
        self._app = app
        self._table = table
        self._key = key
        self._topic = topic
        self._visit: Visit | None = None

    async def __aenter__(self) -> Self:
        if TURN.get() is not None:
            raise StateError(
                f"table {self._table}: there is a turn already: write without turn(), to the "
                "partition of the event"
            )
        runtime: Any = self._app._attached  # noqa: SLF001 - the app's own part
        native = getattr(runtime, "native", None)
        if native is None:
            raise NotRunning(
                f"the table {self._table} is written where a worker of its app runs: "
                "'turbine worker', or 'async with app.running():'"
            )
        tp = await self._place(runtime.admin)
        visit = asyncio.to_thread(native.visit, tp.topic, tp.partition, _LIMIT_MS)
        self._visit = await visit
        if self._visit is None:
            raise StateError(
                f"table {self._table} cannot be written here now: {tp.topic}[{tp.partition}] is "
                "on another worker, or nothing of it was ever committed. Answer the request where "
                "the key is, with @app.table_route, or send to the topic and write in an agent"
            )
        enter(self._app, self._visit.turn)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        leave()
        if self._visit is not None:
            self._visit.end()

    async def _place(self, admin: "Admin") -> TP:
        from turbine._native import partition_for

        names = topics_read(self._app.agents.values())
        if self._topic is None and len(names) != 1:
            listed = ", ".join(names) or "none"
            raise StateError(
                f"table {self._table}: agents read {listed}: say whose turn it is, as "
                "table.turn(key, topic='...')"
            )
        topic = self._topic or names[0]
        # Each time: a topic may have got more partitions.
        known = await asyncio.to_thread(admin.list_topics)
        if topic not in known:
            raise StateError(f"table {self._table}: there is no topic {topic}")
        return TP(topic, partition_for(self._key, known[topic]))
