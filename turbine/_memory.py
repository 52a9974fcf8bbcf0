"""
How the process of a worker keeps its memory.

A worker has a dozen threads that allocate for each other. glibc would give each of them an arena of
its own, and huge pages round what the core's allocator touches up to two megabytes: together a
third of the memory of an agent under load, and no measurable time. So a worker that is a program of
its own has an arena a core, and small pages. What is fetched comes in pieces of a megabyte, which
glibc learns to keep for the next one: here they go back to the system. And the pages of code that
only the start needs are given back. Workers inside of another program change nothing.
"""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["give_start_back", "keep_memory_small"]

_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
"""Of ``mallopt``."""
_PR_SET_THP_DISABLE = 41
_MADV_DONTNEED = 4
_LEAST_ARENAS = 2
_LARGE_BYTES = 128 << 10
"""What glibc begins with; saying so keeps it from raising it to what was freed last."""


class _Mapping(NamedTuple):
    start: int
    end: int
    rights: str
    path: str


def keep_memory_small() -> None:
    """Set it for this process, before its threads are there; where it cannot be set, do nothing."""
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    # Other libraries of C than glibc have no arenas.
    with contextlib.suppress(AttributeError):
        if not _is_set("MALLOC_ARENA_MAX", "arena_max"):
            library.mallopt(_M_ARENA_MAX, max(_LEAST_ARENAS, os.cpu_count() or 1))
        if not _is_set("MALLOC_MMAP_THRESHOLD_", "mmap_threshold"):
            library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
    with contextlib.suppress(AttributeError):
        library.prctl(_PR_SET_THP_DISABLE, *map(ctypes.c_ulong, (1, 0, 0, 0)))


def give_start_back() -> None:
    """
    Let go of the pages of programs and libraries that were read so far; what is needed comes again.

    They are copies of files that the system keeps anyway. Loading the core reads eight megabytes of
    relocations, once, and imports and settings go through code that no record meets.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, ValueError, AttributeError):
        advise = ctypes.CDLL(None).madvise
        for one in list(_read_only_files(Path("/proc/self/smaps"))):
            advise(ctypes.c_void_p(one.start), ctypes.c_size_t(one.end - one.start), _MADV_DONTNEED)


def _read_only_files(smaps: Path) -> Iterator[_Mapping]:
    """Files as they are on disk: nobody can write there, and nothing was changed before that."""
    found: _Mapping | None = None
    for line in smaps.read_text(encoding="utf-8", errors="replace").splitlines():
        name, *rest = line.split(maxsplit=5)
        if "-" in name and not name.endswith(":"):
            start, end = (int(part, 16) for part in name.split("-"))
            rights, _offset, _device, _inode, *path = rest
            found = _Mapping(start, end, rights, "".join(path))
        elif name == "Anonymous:" and found is not None:
            is_file = found.path.startswith("/") and "w" not in found.rights
            if is_file and int(rest[0]) == 0:
                yield found
            found = None


def _is_set(variable: str, tunable: str) -> bool:
    """Whether somebody has said it for this process."""
    return variable in os.environ or tunable in os.environ.get("GLIBC_TUNABLES", "")
