"""Several streams of topics as one: ``async for value in a & b``."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from turbine._operators import run_steps
from turbine.streams import Stream

if TYPE_CHECKING:
    from turbine._native import Cursor
    from turbine.types import TP

__all__ = ["merge"]


class _MergedRows:
    """Rows of several streams, taken in turns; there is no order between them."""

    def __init__(self, parts: Sequence[Stream]) -> None:
        self.parts = list(parts)
        self.current = self.parts[0]
        self.policy = getattr(self.current.rows, "policy", None)
        self.stopped = False
        self.hurried: Callable[[], bool] | None = None

    async def next(self, deadline: float | None) -> "Cursor | None":
        while True:
            for part in list(self.parts):
                cursor = part.rows.poll()
                if cursor is not None:
                    # The next time the others come first.
                    self.parts.remove(part)
                    self.parts.append(part)
                    self.current = part
                    return cursor
            self.stopped = all(part.rows.stopped for part in self.parts)
            if self.stopped:
                return None
            if self.hurried is not None and self.hurried():
                raise TimeoutError
            await self.parts[0].rows.wake.wait(deadline)

    def partitions(self) -> "set[TP]":
        return {tp for part in self.parts for tp in part.rows.partitions()}


def merge(parts: Sequence[Stream]) -> Stream:
    """Return one stream of the rows of *parts*, each behind its own filters and processors."""
    rows: Any = _MergedRows(parts)
    merged = Stream(parts[0].app, rows, parts[0].concurrency_index)

    async def steps_of_part(value: Any) -> Any:
        return await run_steps(rows.current.steps, value)

    if any(part.steps for part in parts):
        merged.add_processor(steps_of_part)
    if any(part.is_by_hand for part in parts):
        merged.noack()
    for part in parts:
        part.merged = merged
        if part.before is not None:
            # The agent has raised and is called again: it has rows of the one before.
            merged.adopt(part.before)
            rows.current = part.before.rows.current  # type: ignore[attr-defined] # combined too
            part.before = None
    return merged
