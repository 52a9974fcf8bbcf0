"""
How the process of a worker keeps its memory.

A worker has a dozen threads that allocate for each other. glibc would give each of them an arena of
its own, and huge pages round what the core's allocator touches up to two megabytes: together a
third of the memory of an agent under load, and no measurable time. So a worker that is a program of
its own has an arena a core, and small pages. Workers inside of another program change nothing.
"""

import contextlib
import ctypes
import os
import sys

__all__ = ["keep_memory_small"]

_M_ARENA_MAX = -8
"""Of ``mallopt``."""
_PR_SET_THP_DISABLE = 41
_LEAST_ARENAS = 2


def keep_memory_small() -> None:
    """Set it for this process, before its threads are there; where it cannot be set, do nothing."""
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    # Other libraries of C than glibc have no arenas.
    with contextlib.suppress(AttributeError):
        if not _has_arenas_set():
            library.mallopt(_M_ARENA_MAX, max(_LEAST_ARENAS, os.cpu_count() or 1))
    with contextlib.suppress(AttributeError):
        library.prctl(_PR_SET_THP_DISABLE, *map(ctypes.c_ulong, (1, 0, 0, 0)))


def _has_arenas_set() -> bool:
    """Whether somebody has said it for this process."""
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    return "MALLOC_ARENA_MAX" in os.environ or "arena_max" in tunables
