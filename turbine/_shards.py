"""Several instances of one handler, side by side: rows divided by the hash of their key."""

import asyncio
import contextvars
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from turbine._handlers import Call, Handler

if TYPE_CHECKING:
    from turbine._native import Batch, State
    from turbine.subscriptions import Subscription

__all__ = ["ShardedHandler", "make_handler"]


def make_handler(subscription: "Subscription") -> Handler:
    """Make the handler of *subscription*, with as many instances as it asks for."""
    if subscription.line.parallelism == 1:
        return Handler(subscription)
    return ShardedHandler(subscription)


class ShardedHandler(Handler):
    """
    As many handlers as ``parallelism`` says, each with the rows of its keys.

    A key is always in the same shard, and its rows keep their order there. A run is done when all
    shards are; what they gave comes in the order of the shards, whichever was first. Threads run
    plain handlers at once as far as Python lets them; those of async ones share the event loop.
    """

    def __init__(self, subscription: "Subscription") -> None:
        super().__init__(subscription)
        key = subscription.line.partition_key
        assert key is not None  # noqa: S101 - checked where it is declared
        self._key: str = key
        self._shards = [self, *(Handler(subscription) for _ in range(1, self._count(subscription)))]
        self._pool: ThreadPoolExecutor | None = None

    @staticmethod
    def _count(subscription: "Subscription") -> int:
        return subscription.line.parallelism

    def call(self, batch: "Batch", rows: Any, window: str | None) -> Call:
        """Run plain handlers on their shards of *rows*."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(len(self._shards), f"turbine-{self.name}-shard")
        # In the worker's context, as the thread of a single handler is.
        jobs: list[Future[Call]] = [
            self._pool.submit(contextvars.copy_context().run, self._one, shard, batch, part, window)
            for shard, part in self._divide(rows)
        ]
        return self._join([_outcome(job) for job in jobs])

    def _one(self, shard: Handler, batch: "Batch", rows: Any, window: str | None) -> Call:
        return Handler.call(shard, batch, rows, window)

    async def call_async(self, batch: "Batch", rows: Any, window: str | None) -> Call:
        """Run async handlers on their shards of *rows*."""
        jobs = [
            Handler.call_async(shard, batch, part, window) for shard, part in self._divide(rows)
        ]
        return self._join(await asyncio.gather(*jobs, return_exceptions=True))

    def fire(self, batch: "Batch", timer_id: str, state: "State") -> Call:
        """Give a timer to the instance that has the rows of its key."""
        return Handler.fire(self._of(state), batch, timer_id, state)

    async def fire_async(self, batch: "Batch", timer_id: str, state: "State") -> Call:
        """Give a timer to the async instance that has the rows of its key."""
        return await Handler.fire_async(self._of(state), batch, timer_id, state)

    def close(self, batch: "Batch", results: Sequence[tuple[str, Any]]) -> list[Any]:
        """Give results of windows to the callbacks of the instances whose rows they are of."""
        outputs: list[Any] = []
        for name, rows in results:
            for shard, part in self._divide(rows):
                outputs += Handler.close(shard, batch, [(name, part)])
        return outputs

    def stop(self) -> None:
        """End the threads; nothing runs in them any more."""
        if self._pool is not None:
            self._pool.shutdown()

    def _of(self, state: "State") -> Handler:
        from turbine._native import shard_of

        key = state.scope_key
        return self if key is None else self._shards[shard_of(key, len(self._shards))]

    def _divide(self, rows: Any) -> list[tuple[Handler, Any]]:
        from turbine._native import shard_rows

        parts = shard_rows(rows, self._key, len(self._shards))
        pairs = zip(self._shards, parts, strict=True)
        return [(shard, part) for shard, part in pairs if part is not None]

    def _join(self, outcomes: Sequence[Call | BaseException]) -> Call:
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        done = [outcome for outcome in outcomes if isinstance(outcome, Call)]
        feeds: dict[int, list[Any]] = {}
        for call in done:
            for window, rows in call.feeds:
                feeds.setdefault(window, []).append(rows)
        outputs = [output for call in done for output in call.outputs]
        return Call(outputs, [(window, _in_time(parts)) for window, parts in feeds.items()])


def _outcome(job: "Future[Call]") -> Call | BaseException:
    try:
        return job.result()
    except BaseException as exc:  # noqa: BLE001 - all shards end before the batch does
        return exc


def _in_time(parts: list[Any]) -> Any:
    """
    Put rows of several shards into the order of their watermarks, so that a window sees time go on.

    Rows of one key keep their order: they are in one shard, and the sort is stable.
    """
    import pyarrow as pa

    rows = pa.concat_tables([_table(part) for part in parts])
    if "_watermark" not in rows.schema.names:
        return rows
    return rows.sort_by([("_watermark", "ascending")])


def _table(rows: Any) -> Any:
    import pyarrow as pa

    return pa.table(rows) if hasattr(rows, "__arrow_c_stream__") else pa.Table.from_batches([rows])
