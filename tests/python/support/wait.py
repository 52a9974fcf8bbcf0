"""Waiting for a fact, never for a while."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE_S = 0.02


def _gave_up(why: str, deadline_s: float, last: object) -> AssertionError:
    return AssertionError(f"after {deadline_s} s still not: {why} (last seen: {last!r})")


def _name(condition: Callable[[], object]) -> str:
    # What functools.partial makes has none.
    return getattr(condition, "__name__", repr(condition))


def eventually(condition: Callable[[], T], deadline_s: float = 20.0, why: str = "") -> T:
    """
    Ask *condition* until it is true.

    Args:
        condition: Asked again and again; an assertion that fails in it counts as not yet.
        deadline_s: Longest time to wait, in seconds.
        why: What is waited for, for the message of the failure.

    Returns:
        The first true value.
    """
    end = time.monotonic() + deadline_s
    while True:
        value, problem = _ask(condition)
        if value:
            return value
        if time.monotonic() >= end:
            raise _gave_up(why or _name(condition), deadline_s, problem or value) from problem
        time.sleep(PAUSE_S)


async def eventually_async(
    condition: Callable[[], T | Awaitable[T]], deadline_s: float = 20.0, why: str = ""
) -> T:
    """Ask *condition*, plain or async, until it is true; the event loop runs meanwhile."""
    end = time.monotonic() + deadline_s
    while True:
        problem: AssertionError | None = None
        value: T | None = None
        try:
            answer = condition()
            value = await answer if isinstance(answer, Awaitable) else answer
        except AssertionError as exc:
            problem = exc
        if value:
            return value
        if time.monotonic() >= end:
            raise _gave_up(why or _name(condition), deadline_s, problem or value) from problem
        await asyncio.sleep(PAUSE_S)


def _ask(condition: Callable[[], T]) -> tuple[T | None, AssertionError | None]:
    try:
        return condition(), None
    except AssertionError as exc:
        return None, exc
