"""What a test may not leave behind: threads, native or Python's, and tasks."""

import asyncio
import threading
import time
from pathlib import Path

PATIENCE_S = 5.0

# Owned by the session's broker or by pools that live as long as the process.
_LASTING = ("turbine-broker", "asyncio_", "pytest_timeout", "ThreadPoolExec")


def _names() -> dict[int, str]:
    """Native thread id to name, of Python's threads and of the core's own."""
    names = {
        t.native_id: t.name
        for t in threading.enumerate()
        if t.native_id is not None and not t.daemon
    }
    for task in Path("/proc/self/task").glob("*"):
        try:
            name = (task / "comm").read_text(encoding="utf-8").strip()
        except OSError:
            continue  # ended between the two looks
        if name.startswith("turbine-"):
            names[int(task.name)] = name
    return {i: name for i, name in names.items() if not name.startswith(_LASTING)}


class Threads:
    """The threads at one moment, to compare with later."""

    def __init__(self) -> None:
        # All of them: a thread has its number a moment before its name.
        numbers = {int(task.name) for task in Path("/proc/self/task").glob("*")}
        self._before = numbers | set(_names())

    def left(self) -> list[str]:
        """Names of threads that have come since, after giving them time to end."""
        end = time.monotonic() + PATIENCE_S
        while True:
            new = [name for i, name in _names().items() if i not in self._before]
            if not new or time.monotonic() > end:
                return sorted(new)
            time.sleep(0.01)


async def tasks_left() -> list[str]:
    """Names of the tasks of this loop that go on, apart from the one that asks."""
    mine = asyncio.current_task()
    end = time.monotonic() + PATIENCE_S
    while True:
        others = [t for t in asyncio.all_tasks() if t is not mine and not t.done()]
        if not others or time.monotonic() > end:
            return sorted(f"{t.get_name()}: {t.get_coro()!r}" for t in others)
        await asyncio.sleep(0.01)
