"""
A worker of an app inside a test: a thread with an event loop and a core of its own.

It reaches the broker through a proxy of its own, so that whatever is left of it after a `kill` is
cut off. What differs from a process: `docs/guides/testing.md`.
"""

import asyncio
import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

from turbine.exceptions import HandlerError
from turbine.testing._attach import CURRENT, workers_of
from turbine.testing._eventually import Eventually, Steps, until
from turbine.testing._loop import TestLoop
from turbine.worker import Runtime

if TYPE_CHECKING:
    from turbine.app import App
    from turbine.testing._harness import Harness

__all__ = ["WorkerHandle"]

_KILL_LIMIT_S = 10.0
_numbers = itertools.count(1)


class WorkerHandle:
    """
    One worker; made by the fixture ``turbine_worker``.

    Attributes:
        app: The app.
        name: ``worker-1`` and so on; its ``client.id``.
        state: ``starting``, ``running``, ``paused``, ``killed`` or ``stopped``.
    """

    def __init__(self, harness: "Harness", app: "App") -> None:
        self.app = app
        self.name = f"worker-{next(_numbers)}"
        self.state = "starting"
        self._harness = harness
        self._link = harness.broker.link(self.name)
        self._workers = workers_of(app, harness.now_ms)
        self._gate = threading.Event()
        self._gate.set()
        self._started = threading.Event()
        self._order: asyncio.Future[str] | None = None
        self._loop: TestLoop | None = None
        self._runtime: Runtime | None = None
        self._error: BaseException | None = None
        self._left: list[str] = []
        self._thread = threading.Thread(target=self._main, name=f"turbine-test {self.name}")
        self._thread.daemon = True

    # -- what a test does with it ----------------------------------------------------------

    def stop(self, *, timeout: float = 20.0) -> Eventually[None]:
        """
        Drain, commit and leave, as a worker does on TERM.

        Raises:
            HandlerError: A partition had stopped, because of a record or a handler.
            TimeoutError: The worker does not end.
        """
        return self._harness.eventually(f"{self.name}.stop()", self._stop(timeout))

    def kill(self) -> None:
        """
        End it as SIGKILL does: from now on nothing of it reaches the broker.

        Nothing is drained, committed or said to the group. Its handlers are cancelled; what they
        sent and nobody acknowledged is lost. The embedded broker ends its sessions at once, so that
        another worker takes over without waiting for the session timeout.
        """
        if self.state not in {"running", "paused"}:
            raise RuntimeError(f"{self.name} is {self.state}: only a running worker can be killed")
        self.state = "killed"
        self._harness.disturbed = True
        assert self._runtime is not None  # noqa: S101 - it runs
        # First: a commit that is on its way is through when the line is cut.
        self._runtime.kill()
        self._link.cut()
        self._workers.retire(self._runtime)
        self._gate.set()
        self._tell("kill")
        self._harness.broker.expire(self.name)

    def replace(self, *, timeout: float = 20.0) -> "Eventually[WorkerHandle]":
        """Kill it, and start another worker of the app, which takes over; gives that one."""
        return self._harness.eventually(f"{self.name}.replace()", self._replace(timeout))

    def pause(self) -> None:
        """
        Freeze it, as SIGSTOP does: its event loop stands, nothing reaches the broker or it.

        Until `resume` it is a zombie: once its session is over (`expire`), others own its
        partitions and it does not know.
        """
        if self.state != "running":
            raise RuntimeError(f"{self.name} is {self.state}: only a running worker can be paused")
        self.state = "paused"
        self._harness.disturbed = True
        self._gate.clear()
        self._link.hold()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._gate.wait)

    def resume(self) -> None:
        """Let it go on where it was, as SIGCONT does."""
        if self.state != "paused":
            raise RuntimeError(f"{self.name} is {self.state}: only a paused worker can be resumed")
        self.state = "running"
        self._link.release()
        self._gate.set()

    def expire(self) -> None:
        """
        Make the broker believe that it is dead, as if its session had timed out.

        Raises:
            RuntimeError: The broker is not the embedded one.
        """
        self._harness.disturbed = True
        self._harness.broker.expire(self.name, required=True)

    def ready(self, *, timeout: float = 20.0) -> Eventually[None]:
        """
        Wait until its groups are stable and share all partitions with the other workers.

        Raises:
            TimeoutError: They are not in time; the message says what is missing.
        """
        return self._harness.eventually(f"{self.name}.ready()", self._ready(timeout))

    def idle(self, *, timeout: float = 20.0) -> Eventually[None]:
        """
        Wait until every record in the topics of the app is handled and its offset committed.

        Raises:
            TimeoutError: Something goes on; the message says what.
        """
        return self._harness.eventually(f"{self.name}.idle()", self._idle(timeout))

    def expect_error(self, pattern: str = "") -> None:
        """
        Take an error for a part of the test: it must come, and does not fail the test.

        Args:
            pattern: Regular expression that is found in the log line or in the reason.
        """
        self._harness.errors.expect(pattern)

    def assignments(self) -> list[dict[str, Any]]:
        """Its partitions, as ``/assignments`` shows them: state, offsets, records in flight."""
        return [] if self._runtime is None else self._runtime.native.assignments()

    @property
    def partitions(self) -> set[tuple[str, int]]:
        """Topic and number of every partition that it has."""
        return {(row["topic"], row["partition"]) for row in self.assignments()}

    @property
    def failures(self) -> list[str]:
        """Why partitions stopped."""
        return [] if self._runtime is None else list(self._runtime.failures)

    # -- for the harness -------------------------------------------------------------------

    @property
    def loop(self) -> TestLoop | None:
        """Its event loop, once it runs."""
        return self._loop

    @property
    def runtime(self) -> Runtime | None:
        """What runs, if it has started."""
        return self._runtime

    @property
    def thread_name(self) -> str:
        """Name of its thread."""
        return self._thread.name

    @property
    def is_live(self) -> bool:
        """Whether it works, as far as it knows."""
        return self.state in {"running", "paused"}

    def start(self, timeout_s: float, *, wait: bool) -> "Steps[WorkerHandle]":
        """Start it; wait until it is ready."""
        self._thread.start()
        yield from until(
            lambda: self._started.is_set() or not self._thread.is_alive(),
            timeout_s,
            lambda: f"{self.name} has not started after {timeout_s:g} s: does its loop block?",
        )
        self._raise()
        if wait:
            yield from self._ready(timeout_s)
        return self

    def release(self) -> None:
        """Take back what pauses it, for the end of a test."""
        if self.state == "paused":
            self.resume()

    def close(self, timeout_s: float) -> list[str]:
        """Wait until its thread has ended, at most so long; what it left behind."""
        self._thread.join(timeout_s)
        self._link.close()
        if self._thread.is_alive():
            blocked = "its event loop or a handler blocks"
            return [f"{self.name} has not ended after {timeout_s:g} s: {blocked}"]
        return [f"{self.name}: {one}" for one in self._left]

    # -- the thread ------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._make_loop) as runner:
                runner.run(self._life())
        except BaseException as exc:  # noqa: BLE001 - handed to the test
            self._error = exc

    def _make_loop(self) -> TestLoop:
        self._loop = loop = TestLoop(self._harness.clock)
        loop.set_exception_handler(self._harness.errors.from_loop)
        return loop

    async def _life(self) -> None:
        loop = asyncio.get_running_loop()
        self._order = loop.create_future()
        kafka = {"client.id": self.name}
        runtime = Runtime(self.app, http=False, brokers=self._link.address, kafka=kafka)
        CURRENT.set(runtime)
        self._workers.add(runtime)
        try:
            await runtime.start()
            self._runtime = runtime
            self.state = "running"
            self._started.set()
            order = await self._order
            if order == "kill":
                await runtime.abandon()
            else:
                await self._drain(runtime)
        finally:
            self._workers.remove(runtime)

    async def _drain(self, runtime: Runtime) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, TestLoop)  # noqa: S101 - made above
        try:
            await runtime.stop()
        finally:
            self.state = "stopped"
            await asyncio.sleep(0)
            mine = asyncio.current_task()
            left = [task for task in asyncio.all_tasks() if task is not mine and not task.done()]
            self._left = [
                f"the task {task.get_name()} ({task.get_coro()!r}) goes on after the worker: "
                "await or cancel it before the agent ends"
                for task in left
            ]

    def _tell(self, order: str) -> None:
        loop, asked = self._loop, self._order
        if loop is not None and asked is not None and not loop.is_closed():
            loop.call_soon_threadsafe(_answer, asked, order)

    # -- steps -----------------------------------------------------------------------------

    def _replace(self, timeout_s: float) -> "Steps[WorkerHandle]":
        self.kill()
        return (yield from self._harness.start(self.app, timeout_s, wait=True))

    def _stop(self, timeout_s: float) -> Steps[None]:
        if self.state == "paused":
            raise RuntimeError(f"{self.name} is paused: resume it first, or kill it")
        if self.state == "running":
            self._tell("stop")
        yield from until(
            self._has_ended,
            timeout_s,
            lambda: f"{self.name} does not end: a handler blocks or waits for something",
        )
        self._raise()

    def _has_ended(self) -> bool:
        if self._harness.clock is not None and self._loop is not None:
            # A drain has deadlines of its own; nobody advances the clock for them.
            self._loop.run_on()
        return not self._thread.is_alive()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is None:
            return
        if isinstance(error, HandlerError):
            self._harness.errors.note(str(error))
            if self._harness.errors.is_expected(str(error)):
                return
        raise error

    def _ready(self, timeout_s: float) -> Steps[None]:
        yield from until(
            lambda: not self._missing(),
            timeout_s,
            lambda: f"{self.name} is not ready: {'; '.join(self._missing())}",
        )

    def _missing(self) -> list[str]:
        if self._runtime is None or not self._thread.is_alive():
            self._raise()
            return [f"it is {self.state}"]
        reasons = [why for why in self._runtime.native.ready() if not why.startswith("kafka:")]
        return reasons or self._harness.unassigned(self.app)

    def _idle(self, timeout_s: float) -> Steps[None]:
        looks, end = 0, time.monotonic() + timeout_s
        while looks < 2:  # noqa: PLR2004 - news may be between two places
            busy = self._harness.busy(commits=True)
            looks = 0 if busy else looks + 1
            if busy and time.monotonic() > end:
                listed = "\n  - ".join(busy)
                raise TimeoutError(f"after {timeout_s:g} s this is not idle:\n  - {listed}")
            yield 0.005


def _answer(asked: "asyncio.Future[str]", order: str) -> None:
    if not asked.done():
        asked.set_result(order)
