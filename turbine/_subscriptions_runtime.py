"""Runs the handlers of subscriptions: sync ones in a thread, async ones on the event loop."""

import asyncio
import contextvars
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from turbine._wake import was_cancelled
from turbine.exceptions import EncodeError, WorkerStopped
from turbine.subscriptions import Subscription

if TYPE_CHECKING:
    from turbine._native import Batch, Worker
    from turbine._wake import Wake

__all__ = ["AsyncRunner", "SyncRunner"]

logger = logging.getLogger("turbine.subscriptions")

_POLL_MS = 1_000


class SyncRunner:
    """One thread that calls a plain function; the event loop never waits for it."""

    def __init__(self, native: "Worker", subscription: Subscription) -> None:
        self._native = native
        self._subscription = subscription
        self.name = subscription.name
        # In the worker's context, as the tasks of its loop are.
        self.thread = threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._run,),
            name=f"turbine-{subscription.name}",
            daemon=True,
        )

    def start(self) -> None:
        """Begin to take batches."""
        self.thread.start()

    def _run(self) -> None:
        subscription = self._subscription
        while True:
            try:
                batch = self._native.next_batch(subscription.name, _POLL_MS)
            except WorkerStopped:
                return
            if batch is not None:
                _finish(subscription, batch, *_attempt(subscription.fn, batch.to_arrow()))


class AsyncRunner:
    """Calls an async function; batches of one partition one after the other, of several at once."""

    def __init__(self, native: "Worker", wake: "Wake", subscription: Subscription) -> None:
        self._native = native
        self._wake = wake
        self._subscription = subscription
        self.name = subscription.name
        self._queues: dict[tuple[str, int], deque[Batch]] = {}
        self._busy: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Take batches until the worker stops."""
        while True:
            try:
                batch = self._native.try_next_batch(self.name)
            except WorkerStopped:
                break
            if batch is None:
                await self._wake.wait()
                continue
            place = (batch.topic, batch.partition)
            if place in self._queues:
                self._queues[place].append(batch)
                continue
            self._queues[place] = deque([batch])
            task = asyncio.create_task(self._drain(place), name=f"{self.name} {place}")
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)
        if self._busy:
            await asyncio.wait(self._busy)

    async def _drain(self, place: tuple[str, int]) -> None:
        queue = self._queues[place]
        while queue:
            batch = queue.popleft()
            await self._handle(batch)
        del self._queues[place]

    async def _handle(self, batch: "Batch") -> None:
        subscription = self._subscription
        output, error = await _attempt_async(subscription.fn, batch.to_arrow())
        if error is None or subscription.on_error == "fail":
            _finish(subscription, batch, output, error)
            return
        _report(subscription, batch, error)
        outputs: list[Any] = []
        bad: list[tuple[int, str]] = []
        parts: list[tuple[int, int]] = []
        _split(parts, bad, 0, batch.num_rows, error)
        while parts:
            start, rows = parts.pop()
            output, failure = await _attempt_async(subscription.fn, batch.slice(start, rows))
            if failure is None:
                outputs.append(output)
            else:
                _split(parts, bad, start, rows, failure)
        _complete_parts(subscription, batch, outputs, bad)


def _attempt(fn: Callable[[Any], Any], rows: Any) -> tuple[Any, BaseException | None]:
    try:
        return fn(rows), None
    except BaseException as exc:  # noqa: BLE001 - sys.exit() in a thread would end only the thread
        return None, exc


async def _attempt_async(
    fn: Callable[[Any], Awaitable[Any]], rows: Any
) -> tuple[Any, BaseException | None]:
    try:
        return await fn(rows), None
    except asyncio.CancelledError as exc:
        if was_cancelled():
            raise
        return None, exc
    except Exception as exc:  # noqa: BLE001 - a handler may raise anything
        return None, exc


def _finish(
    subscription: Subscription, batch: "Batch", output: Any, error: BaseException | None
) -> None:
    """Complete *batch*; a handler that raised fails it, or has its bad rows looked for."""
    if error is None:
        try:
            batch.complete(output)
        except EncodeError as exc:
            batch.fail(f"{exc}")
    elif subscription.on_error == "fail":
        logger.error("subscription %s raised", subscription.name, exc_info=error)
        batch.fail(
            f"the handler raised {type(error).__name__}: {error}. Nothing is lost: the partition "
            'waits in front of the batch. Mend the handler and restart, or declare on_error="skip" '
            'or on_error="dlq" to go on without the rows that it cannot handle'
        )
    else:
        _report(subscription, batch, error)
        _bisect(subscription, batch, error)


def _bisect(subscription: Subscription, batch: "Batch", error: BaseException) -> None:
    """
    Call the handler on halves of halves, until the rows that make it fail stand alone.

    A bad row costs about ``2 log2(rows)`` more calls; the order of the outputs stays.
    """
    outputs: list[Any] = []
    bad: list[tuple[int, str]] = []
    parts: list[tuple[int, int]] = []
    _split(parts, bad, 0, batch.num_rows, error)
    while parts:
        start, rows = parts.pop()
        output, failure = _attempt(subscription.fn, batch.slice(start, rows))
        if failure is None:
            outputs.append(output)
        else:
            _split(parts, bad, start, rows, failure)
    _complete_parts(subscription, batch, outputs, bad)


def _split(
    parts: list[tuple[int, int]],
    bad: list[tuple[int, str]],
    start: int,
    rows: int,
    error: BaseException,
) -> None:
    if rows == 1:
        bad.append((start, f"{type(error).__name__}: {error}"))
        return
    half = rows // 2
    # The first half is taken next, so that outputs keep the order of the rows.
    parts.extend([(start + half, rows - half), (start, half)])


def _complete_parts(
    subscription: Subscription,
    batch: "Batch",
    outputs: list[Any],
    bad: list[tuple[int, str]],
) -> None:
    logger.warning(
        "subscription %s: %d of %d rows left out (on_error=%r)",
        subscription.name,
        len(bad),
        batch.num_rows,
        subscription.on_error,
    )
    try:
        batch.complete_parts(outputs, bad)
    except EncodeError as exc:
        batch.fail(f"{exc}")


def _report(subscription: Subscription, batch: "Batch", error: BaseException) -> None:
    logger.warning(
        "subscription %s raised on %d rows of %s[%d]; looking for the rows that it cannot handle",
        subscription.name,
        batch.num_rows,
        batch.topic,
        batch.partition,
        exc_info=error,
    )
