"""The core's tables, as Python sees them; all of it is in `turbine._native`."""

from collections.abc import Iterable
from typing import Any, Self, final

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
