"""Runs the handlers of subscriptions: sync ones in a thread, async ones on the event loop."""

import asyncio
import contextvars
import logging
import threading
from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from turbine._handlers import Call, Handler, RowsFailed
from turbine._wake import was_cancelled
from turbine.exceptions import StateError, TurbineError, WorkerStopped
from turbine.subscriptions import Subscription

if TYPE_CHECKING:
    from turbine._native import Batch, State, Worker
    from turbine._wake import Wake

__all__ = ["AsyncRunner", "SyncRunner"]

logger = logging.getLogger("turbine.subscriptions")

_POLL_MS = 1_000


class Attempt(NamedTuple):
    """
    What the handler is to be tried on: rows, or a timer.

    Attributes:
        rows: The rows; None for a timer.
        window: Name of the window that they come from.
        timer: Id of the timer, and the state that it was set on.
    """

    rows: Any
    window: str | None
    timer: "tuple[str, State] | None" = None


Outcome: TypeAlias = Call | BaseException
"""What became of an attempt."""


class SyncRunner:
    """One thread that calls a plain function; the event loop never waits for it."""

    def __init__(self, native: "Worker", subscription: Subscription, handler: Handler) -> None:
        self._native = native
        self._subscription = subscription
        self._handler = handler
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
        while True:
            try:
                batch = self._native.next_batch(self.name, _POLL_MS)
            except WorkerStopped:
                self._handler.stop()
                return
            if batch is not None:
                self._handle(batch)

    def _handle(self, batch: "Batch") -> None:
        work = _work_on(self._subscription, self._handler, batch)
        try:
            attempt = next(work)
            while True:
                attempt = work.send(self._attempt(batch, attempt))
        except StopIteration:
            pass

    def _attempt(self, batch: "Batch", attempt: Attempt) -> Outcome:
        undo = batch.savepoint() if self._handler.keeps_state else None
        try:
            if attempt.timer is not None:
                return self._handler.fire(batch, *attempt.timer)
            return self._handler.call(batch, attempt.rows, attempt.window)
        except BaseException as exc:  # noqa: BLE001 - sys.exit() in a thread would end only the thread
            if undo is not None:
                undo.roll_back()
            return exc


class AsyncRunner:
    """Calls an async function; batches of one partition one after the other, of several at once."""

    def __init__(
        self, native: "Worker", wake: "Wake", subscription: Subscription, handler: Handler
    ) -> None:
        self._native = native
        self._wake = wake
        self._subscription = subscription
        self._handler = handler
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
        work = _work_on(self._subscription, self._handler, batch)
        try:
            attempt = next(work)
            while True:
                attempt = work.send(await self._attempt(batch, attempt))
        except StopIteration:
            pass

    async def _attempt(self, batch: "Batch", attempt: Attempt) -> Outcome:
        undo = batch.savepoint() if self._handler.keeps_state else None
        try:
            if attempt.timer is not None:
                return await self._handler.fire_async(batch, *attempt.timer)
            return await self._handler.call_async(batch, attempt.rows, attempt.window)
        except BaseException as exc:
            if isinstance(exc, asyncio.CancelledError):
                if was_cancelled():
                    raise
            elif not isinstance(exc, Exception):
                raise
            if undo is not None:
                undo.roll_back()
            return exc


class Failed(Exception):  # noqa: N818 - never leaves this module
    """The partition is to stop in front of the batch; the message says why."""


def _work_on(
    subscription: Subscription, handler: Handler, batch: "Batch"
) -> Generator[Attempt, Outcome, None]:
    """
    Take *batch* from its rows to its end; each yield asks for a run of the handler.

    Nothing that the handler did takes effect before it has succeeded on all rows, or on all but
    those that are left out: so a batch that is tried again in parts counts no row twice.
    """
    calls: list[Call] = []
    bad: list[tuple[int, str]] = []
    try:
        for attempt in _attempts(batch):
            outcome = yield attempt
            if isinstance(outcome, Call):
                calls.append(outcome)
                continue
            _check_may_go_on(subscription, attempt, outcome)
            if isinstance(outcome, RowsFailed):
                calls.append(Call([(None, outcome.rest)], []))
                bad += outcome.bad
                _report_left_out(subscription, attempt, outcome.bad)
                continue
            _report(subscription, batch, attempt, outcome)
            yield from _bisect(attempt, outcome, calls, bad)
            _report_left_out(subscription, attempt, bad)
        outputs = [output for call in calls for output in call.outputs]
        if handler.windows:
            outputs += _close_windows(subscription, handler, batch, calls)
        if handler.takes_timers:
            outputs += yield from _fire_timers(subscription, batch)
        batch.complete(handler.route(outputs), bad)
    except (Failed, TurbineError) as exc:
        batch.fail(f"{exc}")
    except Exception as exc:
        # Whatever it is, the partition stops with a reason, and the others go on.
        logger.exception("subscription %s: an output was not taken", subscription.name)
        batch.fail(f"an output was not taken: {type(exc).__name__}: {exc}")


def _attempts(batch: "Batch") -> list[Attempt]:
    if batch.is_silence:
        return []
    results = batch.results()
    if results is None:
        return [Attempt(batch.to_arrow(), None)]
    return [Attempt(rows, window) for window, rows in results]


def _check_may_go_on(subscription: Subscription, attempt: Attempt, error: BaseException) -> None:
    _check_is_of_rows(error)
    policy = subscription.on_error
    if policy == "skip" or (policy == "dlq" and attempt.window is None):
        return
    logger.error("subscription %s raised", subscription.name, exc_info=error)
    kind = "" if isinstance(error, RowsFailed) else f"the handler raised {type(error).__name__}: "
    said = (
        f"{kind}{error}. Nothing is lost: the partition waits "
        "in front of the batch. Mend the handler and restart, or declare "
    )
    if attempt.window is not None:
        raise Failed(said + 'on_error="skip" to go on without the results that it cannot handle')
    raise Failed(
        said + 'on_error="skip" or on_error="dlq" to go on without the rows that it cannot handle'
    )


def _check_is_of_rows(error: BaseException) -> None:
    """Stop where state cannot be read or written: no row is to blame, and each would be buried."""
    if isinstance(error, StateError):
        said = f"{error}. Nothing is lost: the partition waits in front of the batch"
        raise Failed(said) from error


def _bisect(
    attempt: Attempt, error: BaseException, calls: list[Call], bad: list[tuple[int, str]]
) -> Generator[Attempt, Outcome, None]:
    """
    Try halves of halves, until the rows that make the handler fail stand alone.

    A bad row costs about ``2 log2(rows)`` more calls; the order of the outputs stays.
    """
    parts: list[tuple[int, int]] = []
    _split(parts, bad, 0, attempt.rows.num_rows, error)
    while parts:
        start, rows = parts.pop()
        outcome = yield Attempt(attempt.rows.slice(start, rows), attempt.window)
        if isinstance(outcome, Call):
            calls.append(outcome)
        else:
            _check_is_of_rows(outcome)
            _split(parts, bad, start, rows, outcome)


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


def _close_windows(
    subscription: Subscription, handler: Handler, batch: "Batch", calls: list[Call]
) -> list[tuple[int | None, Any]]:
    """Give the rows to the windows; what the callbacks for their results returned."""
    outputs: list[tuple[int | None, Any]] = []
    for name, rows in batch.feed([feed for call in calls for feed in call.feeds]):
        undo = batch.savepoint() if handler.keeps_state else None
        try:
            returned = handler.close(batch, [(name, rows)])
        except Exception as exc:
            if undo is not None:
                undo.roll_back()
            _check_is_of_rows(exc)
            if subscription.on_error != "skip":
                logger.exception("subscription %s raised", subscription.name)
                raise Failed(
                    f"the callback of the window {name!r} raised {type(exc).__name__}: {exc}. "
                    "Nothing is lost: the partition waits in front of the batch. Mend it and "
                    'restart, or declare on_error="skip" to go on without these results'
                ) from exc
            logger.warning(
                "subscription %s: %d results of the window %r left out (on_error='skip')",
                subscription.name,
                rows.num_rows,
                name,
                exc_info=exc,
            )
        else:
            outputs += [(None, one) for one in returned]
    return outputs


def _fire_timers(
    subscription: Subscription, batch: "Batch"
) -> Generator[Attempt, Outcome, list[tuple[int | None, Any]]]:
    """Give due timers to the handler, the earliest first; what it returned for them."""
    outputs: list[tuple[int | None, Any]] = []
    while (timer := batch.next_timer()) is not None:
        outcome = yield Attempt(None, None, timer)
        if isinstance(outcome, Call):
            outputs += outcome.outputs
            continue
        _check_is_of_rows(outcome)
        said = f"on_timer raised {type(outcome).__name__} for the timer {timer[0]!r}: {outcome}"
        if subscription.on_error != "skip":
            logger.error("subscription %s raised", subscription.name, exc_info=outcome)
            raise Failed(
                f"{said}. Nothing is lost: the partition waits in front of the batch. Mend it and "
                'restart, or declare on_error="skip" to go on without this timer'
            )
        logger.warning(
            "subscription %s: %s; left out (on_error='skip')",
            subscription.name,
            said,
            exc_info=outcome,
        )
    return outputs


def _report(
    subscription: Subscription, batch: "Batch", attempt: Attempt, error: BaseException
) -> None:
    logger.warning(
        "subscription %s raised on %d rows of %s[%d]; looking for the rows that it cannot handle",
        subscription.name,
        attempt.rows.num_rows,
        batch.topic,
        batch.partition,
        exc_info=error,
    )


def _report_left_out(
    subscription: Subscription, attempt: Attempt, bad: list[tuple[int, str]]
) -> None:
    logger.warning(
        "subscription %s: %d of %d rows left out (on_error=%r)",
        subscription.name,
        len(bad),
        attempt.rows.num_rows,
        subscription.on_error,
    )
