"""What a test does not forgive: errors in the log, and what a worker leaves behind."""

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from turbine.worker import write_logs

__all__ = ["ErrorLog", "Threads"]

_PATIENCE_S = 5.0
_LASTING = ("turbine-broker", "turbine-proxy", "asyncio_", "pytest_timeout", "ThreadPoolExec")
"""Names of threads that live as long as the process."""

_OF_FAULTS = ("turbine.kafka", "turbine.worker")
"""Loggers whose errors are what a test means that cuts, holds or spoils connections."""

_FOLLOWS = "no partition is left"
"""Begin of a line that comes after the one with the cause."""


class ErrorLog(logging.Handler):
    """
    Collects what is logged as an error below ``turbine``, while it is entered.

    Args:
        is_disturbed: Whether the test has made trouble on purpose, so that complaints of the
            client library are no news.
        is_dead: Whether a thread, given by its name, belongs to a worker that was killed.
    """

    def __init__(self, is_disturbed: Callable[[], bool], is_dead: Callable[[str], bool]) -> None:
        super().__init__(logging.ERROR)
        self._is_disturbed = is_disturbed
        self._is_dead = is_dead
        self._texts: list[str] = []
        self._expected: list[str] = []

    def __enter__(self) -> Self:
        # Lines of an earlier test are not this one's.
        write_logs()
        logging.getLogger("turbine").addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        write_logs()
        logging.getLogger("turbine").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        if record.name.startswith(_OF_FAULTS) and self._is_disturbed():
            return
        if record.getMessage().startswith(_FOLLOWS):
            return
        if self._is_dead(record.threadName or ""):
            return
        text = f"{record.name}: {record.getMessage()}"
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            text += f" ({type(error).__name__}: {error})"
        self.note(text)

    def from_loop(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Keep what an event loop complains about; an exception handler of asyncio."""
        error = context.get("exception")
        said = f" ({type(error).__name__}: {error})" if error is not None else ""
        self.note(f"asyncio: {context.get('message')}{said}")

    def note(self, text: str) -> None:
        """Keep an error."""
        if text not in self._texts:
            self._texts.append(text)

    def expect(self, pattern: str) -> None:
        """From now on, and of what has come, errors with *pattern* are meant."""
        re.compile(pattern)
        self._expected.append(pattern)

    def is_expected(self, text: str) -> bool:
        """Whether the test has said that this comes."""
        return any(re.search(pattern, text) for pattern in self._expected)

    def complaints(self) -> list[str]:
        """Errors that nobody expected, and expected ones that did not come."""
        write_logs()
        wrong = [text for text in self._texts if not self.is_expected(text)]
        absent = [p for p in self._expected if not any(re.search(p, t) for t in self._texts)]
        return [
            *(
                f"an error was logged: {text}\n    (if the test means it, say "
                "worker.expect_error('part of that text') before)"
                for text in wrong
            ),
            *(f"expect_error({pattern!r}): no such error came" for pattern in absent),
        ]


def _names() -> dict[int, str]:
    """Native thread id to name, of Python's threads and of the core's own."""
    names = {
        thread.native_id: thread.name
        for thread in threading.enumerate()
        if thread.native_id is not None and not thread.daemon
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
    """
    The threads at one moment, to compare with later.

    Args:
        patience_s: How long threads that have come since may take to end, in seconds.
    """

    def __init__(self, patience_s: float = _PATIENCE_S) -> None:
        self._patience_s = patience_s
        # All of them: a thread has its number a moment before its name.
        self._before = {int(task.name) for task in Path("/proc/self/task").glob("*")} | set(
            _names()
        )

    def left(self) -> list[str]:
        """Names of threads that have come since, after giving them time to end."""
        end = time.monotonic() + self._patience_s
        while True:
            new = [name for i, name in _names().items() if i not in self._before]
            if not new or time.monotonic() > end:
                return sorted(new)
            time.sleep(0.01)
