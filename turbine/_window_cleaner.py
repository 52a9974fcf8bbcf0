"""
Closes windows of tables that no record closes.

From time to time each partition is looked at. A table that is relative to the clock closes what is
over by then. The time of any other one goes on with the clock while its partition is silent: after
a silence of ``table_cleanup_interval`` its watermark is as much further as the silence has lasted.
So a replay of old records closes its windows as they did, and a partition that is late, because a
broker was away, is not mistaken for one that is silent: silent means that the broker was asked, and
that everything up to the end of the partition is handled.

What is done belongs to a turn without a record: outputs, removals and the watermark are committed
together, at the offset that the partition has.

# Not here

Which windows are due, and what closing one does: `turbine._window_expiry`.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from turbine._turns import enter, leave
from turbine.agents import topics_read
from turbine.exceptions import KafkaError
from turbine.types import TP

if TYPE_CHECKING:
    from turbine._native import Visit, Worker
    from turbine._window_expiry import Expiry
    from turbine.app import App

__all__ = ["WindowCleaner"]

logger = logging.getLogger("turbine.tables")


class WindowCleaner:
    """
    Looks at the partitions of one worker, for as long as that runs.

    Args:
        app: The app.
        native: The core's worker.
    """

    def __init__(self, app: "App", native: "Worker") -> None:
        self._app = app
        self._native = native
        self._ends: dict[TP, int] = {}
        self._is_ending = False
        self._is_closing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, if the app has a table whose windows close."""
        if self._expiries():
            self._task = asyncio.create_task(self._run(), name="windows of tables")

    async def stop(self, limit_s: float) -> None:
        """End; what is being closed may take *limit_s* seconds more, then it is not committed."""
        self._is_ending = True
        if self._task is None:
            return
        if self._is_closing:
            await asyncio.wait([self._task], timeout=limit_s)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await self._app.clock.sleep(self._app.conf.table_cleanup_interval)
            for tp in self._partitions():
                if self._is_ending:
                    return
                try:
                    await self._look(tp)
                except Exception:
                    # The partition goes on, and is looked at again.
                    logger.exception("windows of %s[%d] cannot be closed now", *tp)

    def _expiries(self) -> "list[Expiry]":
        return [table.expiry for table in self._app.tables.values() if table.expiry is not None]

    def _partitions(self) -> list[TP]:
        topics = topics_read(self._app.agents.values())
        rows = self._native.assignments()
        running = {
            TP(row["topic"], row["partition"])
            for row in rows
            if row["topic"] in topics and row["state"] == "running"
        }
        self._ends = {tp: end for tp, end in self._ends.items() if tp in running}
        return sorted(running)

    async def _look(self, tp: TP) -> None:
        """Close what is due in one partition."""
        waits = self._waits_for(tp)
        is_silent = "silence" in waits and await self._is_silent(tp)
        if not is_silent and "time" not in waits:
            return
        # None while a commit waits for records: then some are handled, and windows close with them.
        visit = self._native.visit(*tp, 0)
        if visit is not None:
            await self._close(visit, tp, is_silent=is_silent)

    def _waits_for(self, tp: TP) -> set[str | None]:
        visit = self._native.visit(*tp, 0)
        if visit is None:
            return set()
        try:
            enter(self._app, visit.turn)
            return {expiry.waits_for() for expiry in self._expiries()}
        finally:
            leave()
            visit.end()

    async def _is_silent(self, tp: TP) -> bool:
        """Is everything handled, and nothing written since the last look?"""
        before = self._ends.pop(tp, None)
        try:
            ahead = await asyncio.to_thread(self._native.ahead, *tp)
        except KafkaError as exc:
            logger.warning("nobody says where %s[%d] ends, so windows wait there: %s", *tp, exc)
            return False
        if ahead is None:
            return False
        self._ends[tp], is_done = ahead
        # Behind the last record there may be marks of transactions, which nobody is handed.
        return is_done or self._ends[tp] == before

    async def _close(self, visit: "Visit", tp: TP, *, is_silent: bool) -> None:
        self._is_closing = True
        failure: str | None = "the worker has ended while windows of it were closed"
        try:
            enter(self._app, visit.turn)
            for expiry in self._expiries():
                await expiry.passed(is_silent=is_silent, skips=self._skips(tp))
            failure = None
        except Exception as exc:
            logger.exception("on_window_close raised for %s[%d]", *tp)
            failure = (
                f"a window could not be closed: {type(exc).__name__}: {exc}. Nothing is lost: it "
                "is open as before. Mend the cause and restart, or declare on_error='skip' to "
                "remove such windows"
            )
        finally:
            self._is_closing = False
            leave()
            if failure is None:
                visit.end()
            else:
                visit.fail(failure)

    def _skips(self, tp: TP) -> bool:
        """Do the agents of the partition leave out what raises?"""
        readers: list[Any] = [a for a in self._app.agents.values() if tp.topic in a.topics]
        return all(agent.policy.last in {"skip", "dlq"} for agent in readers)
