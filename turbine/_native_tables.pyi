"""Rows and tables of agents, as Python sees them; all of it is in `turbine._native`."""

from collections.abc import Iterable
from typing import Any, Self, final

@final
class Cursor:
    """Decoded rows of one partition for one agent instance; an iterator of values.
    Asking for the next row marks the one before as done.
    """

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...
    def values(self, limit: int, /) -> list[Any]:
        """Values of the next rows, at most *limit*; after `hold`. Empty where `__next__` ends."""
    def finish(self) -> None:
        """Mark every row handed out so far as done."""
    def hold(self) -> None:
        """From now on rows are done only by `done_through`, for `take` and batches."""
    def follow(self) -> None:
        """Take `hold` back: asking for a row marks the one before as done again."""
    def handed(self) -> int:
        """Rows handed out so far."""
    def done_through(self, rows: int, /) -> None:
        """Mark the first *rows* rows as done."""
    def abandon(self) -> None:
        """Give back the rows that are not done; they will be read again."""
    def release(self) -> None:
        """Let others be polled in place of these rows, while some are still in progress."""
    def ack(self, row: int, /) -> None:
        """Row *row* of those handed out is done, in any order, also after `abandon`."""
    def turn(self) -> Turn | None:
        """What the rows in hand belong to; None where nothing but their offset is committed."""
    def is_hurried(self) -> bool:
        """Whether a commit waits for the rows in hand."""
    def key(self) -> Any:
        """Key of the row handed out last, decoded."""
    def raw(self) -> tuple[bytes | None, bytes | None]:
        """Key and value bytes of that row."""
    def headers(self) -> list[tuple[str, bytes | None]]: ...
    def value_of(self, row: int, /) -> Any:
        """Value of row *row* of those handed out, decoded anew."""
    def raw_of(self, row: int, /) -> tuple[bytes | None, bytes | None]:
        """Key and value bytes of that row."""
    def envelope(self) -> tuple[Any, list[tuple[str, bytes | None]], int, int]:
        """(key, headers, offset, timestamp in ms) of that row."""
    def bad(self, message: str, /) -> None:
        """Apply the agent's `on_error` to the row handed out last."""
    def bad_rows(self, start: int, end: int, message: str, /) -> None:
        """As `bad`, for the rows handed out from *start* up to *end*."""
    def rest_to_arrow(self, limit: int) -> tuple[Any, int]:
        """Up to *limit* more rows as a `pyarrow.RecordBatch`, and how many rows that took."""

@final
class TableCodec:
    """Keys and values of one table as bytes."""

    def __new__(cls, name: str, key: Any, value: Any, /) -> Self:
        """*key* and *value* are ``"raw"``, ``"str"``, ``"int"``, ``"float"``, ``"bool"``,
        ``"json"``, or pydantic's validator and serializer of a type.
        """
    def encode_key(self, key: Any, /) -> bytes: ...
    def encode_value(self, value: Any, /) -> bytes:
        """Raises `EncodeError` for what would not come back as it is."""
    def decode_key(self, data: bytes, /) -> Any: ...
    def decode_value(self, data: bytes, /) -> Any: ...

@final
class Turn:
    """The rows that an agent has: what is written belongs to their partition and their commit."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...

@final
class Visit:
    """A turn of a partition without a record; no commit of the partition is made meanwhile."""

    @property
    def turn(self) -> Turn: ...
    def end(self) -> None:
        """End it; what was written and sent is committed together. Idempotent."""
    def fail(self, message: str, /) -> None:
        """End it, and stop the partition: nothing of it is committed."""

@final
class Table:
    """One table of a running worker. *turn* None reads every partition, and must not write.
    Writing raises `StateError` where it is refused.
    """

    def get(self, turn: Turn | None, key: Any, default: Any, /) -> Any: ...
    def get_many(self, turn: Turn | None, keys: Iterable[Any], default: Any, /) -> list[Any]: ...
    def has(self, turn: Turn | None, key: Any, /) -> bool: ...
    def put(self, turn: Turn | None, key: Any, value: Any, /) -> None: ...
    def put_many(self, turn: Turn | None, pairs: Iterable[Any], /) -> None:
        """As `put` for each of *pairs*; nothing is written if one of them cannot be stored."""
    def delete(self, turn: Turn | None, key: Any, /) -> bool:
        """Remove a key; whether it was there."""
    def clear(self, turn: Turn | None, /) -> None:
        """Remove every key of the rows' partition."""
    def page(
        self,
        turn: Turn | None,
        partition: int,
        after: bytes | None,
        limit: int,
        what: str,
        /,
    ) -> tuple[int, list[Any], bytes | None] | None:
        """Some keys of the first partition from *partition* on, behind *after*.
        (partition, rows, where the next page begins or None); None behind the last partition.
        *what* is ``"keys"``, ``"values"`` or ``"items"``.
        """
    def count(self, turn: Turn | None, /) -> int:
        """How many keys there are; reads all of them."""
    @property
    def partitions(self) -> list[int]:
        """Partitions of the table that this worker has."""
