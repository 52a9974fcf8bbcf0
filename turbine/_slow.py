"""
Says which partition stands because its handler does not end: ``stream_processing_timeout``.

Nothing is ended: a handler may take as long as it needs, and its worker keeps its partitions.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["Watch"]

logger = logging.getLogger("turbine.worker")

_LOOKS = 5
"""How often a partition is looked at within its time."""


class Watch:
    """
    Looks at the partitions of a worker.

    Args:
        rows: Gives them, as ``/assignments`` has them.
        limit_s: How long the same record may be with a handler, in seconds.
        now: Seconds that never go back.
    """

    def __init__(
        self,
        rows: Callable[[], Sequence[Mapping[str, Any]]],
        limit_s: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rows = rows
        self._limit_s = limit_s
        self._now = now
        self._since: dict[tuple[str, str, int], tuple[Any, float, bool]] = {}

    async def look_on(self) -> None:
        """Look from time to time, until cancelled."""
        while True:
            await asyncio.sleep(self._limit_s / _LOOKS)
            self.look()

    def look(self) -> None:
        """Tell of partitions whose time is over, each once while it stands."""
        before, self._since = self._since, {}
        now = self._now()
        for row in self._rows():
            if not row["in_flight"] or row["state"] != "running":
                continue
            key = row["name"], row["topic"], row["partition"]
            mark = row["committed"], row["position"], row["in_flight"]
            old, since, is_told = before.get(key, (None, now, False))
            if old != mark:
                since, is_told = now, False
            if now - since >= self._limit_s and not is_told:
                is_told = True
                logger.warning(
                    "%s %s[%d]: %d records are with the handler since %.0f s "
                    "(stream_processing_timeout), behind offset %s: signal USR1 shows where it is",
                    *key,
                    row["in_flight"],
                    now - since,
                    row["committed"],
                )
            self._since[key] = mark, since, is_told
