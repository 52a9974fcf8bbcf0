"""The few names that programs for Faust take from its library ``mode``."""

import logging
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from datetime import timedelta
from typing import Any, TypeAlias, TypeVar

from turbine._parsers import seconds
from turbine.faust.service import Service
from turbine.faust.supervisors import (
    CrashingSupervisor,
    ForfeitOneForAllSupervisor,
    ForfeitOneForOneSupervisor,
    OneForAllSupervisor,
    OneForOneSupervisor,
)

__all__ = [
    "CrashingSupervisor",
    "ForfeitOneForAllSupervisor",
    "ForfeitOneForOneSupervisor",
    "OneForAllSupervisor",
    "OneForOneSupervisor",
    "Seconds",
    "Service",
    "aenumerate",
    "get_logger",
    "label",
    "qualname",
    "want_seconds",
]

T = TypeVar("T")

Seconds: TypeAlias = timedelta | float | str
"""A time: seconds as a number, or a `timedelta`."""


def want_seconds(value: Seconds) -> float:
    """Seconds of *value*."""
    return seconds(value)


def qualname(thing: Any) -> str:
    """Name of a class or function with its module."""
    named = thing if hasattr(thing, "__name__") else type(thing)
    return f"{named.__module__}.{getattr(named, '__qualname__', named.__name__)}"


def label(thing: Any) -> str:
    """Name of something for people."""
    return str(getattr(thing, "label", None) or qualname(thing))


def get_logger(name: str) -> logging.Logger:
    """As `logging.getLogger`."""
    return logging.getLogger(name)


async def aenumerate(
    values: Iterable[T] | AsyncIterable[T], start: int = 0
) -> AsyncIterator[tuple[int, T]]:
    """As `enumerate`, over async iterators too."""
    if isinstance(values, AsyncIterable):
        async for value in values:
            yield start, value
            start += 1
        return
    for value in values:
        yield start, value
        start += 1
