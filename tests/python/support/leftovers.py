"""What a test may not leave behind: threads, native or Python's, and tasks."""

import asyncio
import time

from turbine.testing._errors import Threads

__all__ = ["Threads", "tasks_left"]

PATIENCE_S = 5.0


async def tasks_left() -> list[str]:
    """Names of the tasks of this loop that go on, apart from the one that asks."""
    mine = asyncio.current_task()
    end = time.monotonic() + PATIENCE_S
    while True:
        others = [t for t in asyncio.all_tasks() if t is not mine and not t.done()]
        if not others or time.monotonic() > end:
            return sorted(f"{t.get_name()}: {t.get_coro()!r}" for t in others)
        await asyncio.sleep(0.01)
