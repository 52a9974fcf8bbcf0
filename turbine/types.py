"""Words that the whole package shares; imports nothing of it."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

__all__ = [
    "METADATA_COLUMNS",
    "ON_ERROR",
    "TP",
    "WRITE_METADATA",
    "HeadersArg",
    "OnError",
    "RawHeaders",
    "RecordMetadata",
]

OnError: TypeAlias = Literal["fail", "skip", "dlq"]
"""What happens to a record that cannot be decoded or handled."""

RawHeaders: TypeAlias = Sequence[tuple[str, bytes | None]]
"""Headers of a record in their order; a name may repeat."""

HeadersArg: TypeAlias = Mapping[str, bytes | str | None] | Sequence[tuple[str, bytes | str | None]]
"""Headers as a caller may write them."""

ON_ERROR: tuple[OnError, ...] = ("fail", "skip", "dlq")

WRITE_METADATA: tuple[str, ...] = ("headers", "timestamp", "partition")
"""What columns of an output can become, beside keys and values."""

METADATA_COLUMNS: tuple[str, ...] = ("key", "topic", "partition", "offset", "timestamp", "headers")
"""What ``with_metadata`` of a subscription may name."""


class TP(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class RecordMetadata(NamedTuple):
    """Where an acknowledged record is; *timestamp* in seconds since the Unix epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: float

    @property
    def topic_partition(self) -> TP:
        """Topic and partition."""
        return TP(self.topic, self.partition)
