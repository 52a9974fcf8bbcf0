"""What a test waits for, in async tests and in plain ones."""

import asyncio
import sys
import time
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

__all__ = ["Eventually", "Steps", "until"]

T = TypeVar("T")

Steps = Generator[float, None, T]
"""Work that yields, in seconds, how long to wait before it looks again."""

PAUSE_S = 0.005


class Eventually(Generic[T]):
    """
    Something that takes time: ``await`` it in an async test, call `wait` in a plain one.

    Nothing happens before that, and whoever forgets it is told so at the end of the test.
    """

    __slots__ = ("_forgotten", "_steps", "_what")

    def __init__(
        self, what: str, steps: "Steps[T]", forgotten: "dict[int, str] | None" = None
    ) -> None:
        self._what = what
        self._steps: Steps[T] | None = steps
        self._forgotten = forgotten
        if forgotten is not None:
            forgotten[id(steps)] = what

    def wait(self) -> T:
        """Do it, and block until it is done."""
        __tracebackhide__ = True
        steps = self._begin()
        try:
            while True:
                time.sleep(next(steps))
        except StopIteration as end:
            value: T = end.value
            return value
        finally:
            steps.close()

    def __await__(self) -> Generator[Any, None, T]:
        return self._run(self._begin()).__await__()

    async def _run(self, steps: "Steps[T]") -> T:
        __tracebackhide__ = True
        try:
            while True:
                await _sleep(next(steps))
        except StopIteration as end:
            value: T = end.value
            return value
        finally:
            steps.close()

    def _begin(self) -> "Steps[T]":
        steps, self._steps = self._steps, None
        if steps is None:
            raise RuntimeError(f"{self._what} has been waited for already: call it again")
        if self._forgotten is not None:
            self._forgotten.pop(id(steps), None)
        return steps

    def __repr__(self) -> str:
        return f"<{self._what}: await it, or call .wait() in a plain test>"


async def _sleep(delay_s: float) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        # anyio's plugin runs tests on trio too; whoever does so has imported it.
        await sys.modules["trio"].sleep(delay_s)
    else:
        await asyncio.sleep(delay_s)


def until(
    condition: Callable[[], T], timeout_s: float, why: Callable[[], str], pause_s: float = PAUSE_S
) -> "Steps[T]":
    """
    Ask *condition* until it is true; return what it said.

    Raises:
        TimeoutError: It is not true after *timeout_s*; *why* gives the text.
    """
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() >= end:
            raise TimeoutError(why())
        yield pause_s
    return value
