"""
A worker as a program: signals, deadline, exit code.

| signal | effect |
| --- | --- |
| TERM, INT | drain: finish what handlers have, commit, leave; 10 s, then the exit code is not 0 |
| INT again, QUIT | end at once; what is not committed is read again |
| USR1 | log the stack of every task and the state of every partition |
"""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from turbine._memory import give_start_back, keep_memory_small
from turbine.logs import write_logs
from turbine.worker import Runtime

if TYPE_CHECKING:
    from turbine.app import App

__all__ = ["run_process"]

logger = logging.getLogger("turbine.worker")

_GRACE_S = 2.0
"""How much longer than the drain's own deadline the loop may be silent before it is given up."""
_COLD = 130


def run_process(
    app: "App", *, http: bool = True, on_start: Callable[[Runtime], None] | None = None
) -> int:
    """
    Run a worker of *app* until a signal, or until nothing of it can go on.

    Args:
        app: The app, with everything declared.
        http: Serve health and metrics.
        on_start: Called once the worker has started.

    Returns:
        0 after a clean drain; 1 if a partition failed or something hung.

    Raises:
        TurbineError: The worker could not start.
    """
    keep_memory_small()
    return asyncio.run(_run(app, http=http, on_start=on_start))


async def _run(app: "App", *, http: bool, on_start: Callable[[Runtime], None] | None) -> int:
    runtime = Runtime(app, http=http)
    app._runtime = runtime  # noqa: SLF001 - the app's own part
    signals = _Signals(runtime, asyncio.get_running_loop(), app.conf.drain_timeout)
    with signals:
        try:
            await runtime.start()
            give_start_back()
            if on_start is not None:
                on_start(runtime)
            code = await runtime.wait()
        finally:
            app._runtime = None  # noqa: SLF001 - the app's own part
    if runtime.hanging:
        # Threads that hang would keep the interpreter from ending.
        _leave(code)
    return code


class _Signals:
    """Plain signal handlers, not the loop's: they run even while an agent keeps the loop busy."""

    def __init__(
        self, runtime: Runtime, loop: asyncio.AbstractEventLoop, drain_timeout_s: float
    ) -> None:
        self._runtime = runtime
        self._loop = loop
        self._limit_s = drain_timeout_s + _GRACE_S
        self._asked = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number, handler in (
            (signal.SIGINT, self._drain),
            (signal.SIGTERM, self._drain),
            (signal.SIGQUIT, self._cold),
            (signal.SIGUSR1, self._dump),
        ):
            self._before[number] = signal.signal(number, handler)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # what signal() gave us

    def _drain(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            if number == signal.SIGINT:
                self._cold(number, frame)
            return
        self._asked = True
        self._loop.call_soon_threadsafe(self._begin_drain, signal.Signals(number).name)
        watchdog = threading.Timer(self._limit_s, self._give_up)
        watchdog.daemon = True
        watchdog.start()

    def _begin_drain(self, name: str) -> None:
        logger.info("%s: draining; handlers may finish what they have", name)
        self._runtime.request_stop()

    def _give_up(self) -> None:
        logger.error(
            "the event loop did not answer for %.0f s: something in it blocks\n%s",
            self._limit_s,
            self._runtime.dump(),
        )
        _leave(1)

    def _cold(self, number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        logger.warning("%s: ending at once; what is not committed is read again", name)
        _leave(_COLD if number == signal.SIGINT else 128 + number)

    def _dump(self, _number: int, _frame: FrameType | None) -> None:
        # In a thread: the signal may have come in the middle of writing a log line.
        threading.Thread(target=self._write_dump, name="turbine-dump", daemon=True).start()

    def _write_dump(self) -> None:
        logger.warning("state of the worker\n%s", self._runtime.dump())


def _leave(code: int) -> None:
    """End the process although threads are still busy."""
    write_logs()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
