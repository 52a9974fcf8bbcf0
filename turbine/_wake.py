"""The core wakes the event loop: one file descriptor for all that wait."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turbine._native import Worker

__all__ = ["Wake", "was_cancelled"]


def was_cancelled() -> bool:
    """
    Say, of a `CancelledError` in hand, whether the running task was cancelled from outside.

    Otherwise a handler raised it, mostly by awaiting something that was cancelled, and it is an
    exception like any other.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Wake:
    """
    Waits of this loop for news of the core.

    Whoever waits looks first, then waits, then looks again: news that come in between make the
    descriptor readable, which is noticed after the wait has begun.
    """

    def __init__(self, native: "Worker", on_news: Callable[[], None]) -> None:
        self._native = native
        self._on_news = on_news
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Future[None]] = set()
        self._loop.add_reader(native.wake_fd(), self._wake)

    async def wait(self, deadline: float | None = None) -> None:
        """
        Wait for news.

        Raises:
            TimeoutError: *deadline*, a time of the loop in seconds, has passed.
        """
        waiter = self._loop.create_future()
        self._waiting.add(waiter)
        try:
            if deadline is None:
                await waiter
            else:
                async with asyncio.timeout_at(deadline):
                    await waiter
        finally:
            self._waiting.discard(waiter)

    def nudge(self) -> None:
        """Let everybody who waits look again."""
        waiting, self._waiting = self._waiting, set()
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _wake(self) -> None:
        self._native.clear_wake()
        self.nudge()
        self._on_news()

    def close(self) -> None:
        """Stop listening; who waits still, waits for ever."""
        self._loop.remove_reader(self._native.wake_fd())
