"""What a batch handler may ask about its batch, and where it may write besides."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turbine._native import Batch

__all__ = ["Context"]


class Context:
    """
    The parameter ``ctx`` of a batch handler; valid as long as the call lasts.

    Attributes:
        topic: Topic that the batch is from.
        partition: Partition that it is from.
        watermark_ms: The watermark in front of its first row, in ms since the Unix epoch; None
            without event time, and before any row had one.
        is_replay: Whether the handler sees rows again to make its state whole: what it returns was
            written before, and is compared with that instead. Leave out what it does elsewhere.
        batch_id: Names the batch by topic, partition and first offset, the same whenever it is
            handled again: a key for whatever must not be done twice elsewhere. A batch that comes
            again may have more rows, or fewer.
        window: With ``window=`` on the subscription, the name of the window that gave the results.
    """

    __slots__ = (
        "_emitted",
        "_sides",
        "batch_id",
        "is_replay",
        "partition",
        "topic",
        "watermark_ms",
        "window",
    )

    def __init__(self, batch: "Batch", window: str | None, sides: Mapping[str, int]) -> None:
        self.topic = batch.topic
        self.partition = batch.partition
        self.watermark_ms = batch.watermark_ms
        self.is_replay = batch.is_replay
        self.batch_id = f"{batch.topic}-{batch.partition}-{batch.first_offset}"
        self.window = window
        self._sides = sides
        self._emitted: list[tuple[int | None, Any]] = []

    @property
    def side_outputs(self) -> tuple[str, ...]:
        """Names that `emit` takes."""
        return tuple(self._sides)

    def emit(self, name: str, batch: Any) -> None:
        """
        Write rows to a side output, together with what the handler returns.

        Args:
            name: Name in ``side_outputs`` of the subscription.
            batch: A RecordBatch, or anything with an Arrow interface.

        Raises:
            ValueError: No side output has that name.
        """
        index = self._sides.get(name)
        if index is None:
            known = ", ".join(map(repr, self._sides)) or "none"
            raise ValueError(
                f"there is no side output {name!r}; declared are {known}: "
                f"write side_outputs={{{name!r}: 'topic'}} on the subscription"
            )
        self._emitted.append((index, batch))

    def __repr__(self) -> str:
        return f"<Context of {self.topic}[{self.partition}]>"
