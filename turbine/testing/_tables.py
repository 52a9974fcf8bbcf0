"""Tables in a test without a broker: in memory, with the rules and bytes of a worker's tables."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from turbine._native import TableCodec
from turbine.exceptions import StateError

__all__ = ["MemoryTable", "TestTurn"]


@dataclass(frozen=True)
class TestTurn:
    """The event that an agent under test has."""

    __test__ = False

    topic: str
    partition: int
    is_exact: bool = False


class MemoryTable:
    """What `turbine._native.Table` is in a worker."""

    def __init__(self, name: str, codec: TableCodec) -> None:
        self._name = name
        self._codec = codec
        self._parts: dict[int, dict[bytes, bytes]] = {}

    @property
    def partitions(self) -> list[int]:
        """Partitions that were written to."""
        return sorted(self._parts)

    def get(self, turn: TestTurn | None, key: Any, default: Any, /) -> Any:
        """Return the value of *key*, or *default*."""
        data = self._codec.encode_key(key)
        found = next((part[data] for part in self._seen(turn) if data in part), None)
        return default if found is None else self._codec.decode_value(found)

    def get_many(self, turn: TestTurn | None, keys: Iterable[Any], default: Any, /) -> list[Any]:
        """Return values in the order of *keys*."""
        return [self.get(turn, key, default) for key in keys]

    def has(self, turn: TestTurn | None, key: Any, /) -> bool:
        """Whether *key* is there."""
        data = self._codec.encode_key(key)
        return any(data in part for part in self._seen(turn))

    def put(self, turn: TestTurn | None, key: Any, value: Any, /) -> None:
        """Store one pair."""
        self.put_many(turn, [(key, value)])

    def put_many(self, turn: TestTurn | None, pairs: Iterable[Any], /) -> None:
        """Store every pair, or none."""
        encode = self._codec
        rows = [(encode.encode_key(key), encode.encode_value(value)) for key, value in pairs]
        if rows:
            self._own(turn).update(rows)

    def delete(self, turn: TestTurn | None, key: Any, /) -> bool:
        """Remove a key; whether it was there."""
        return self._own(turn).pop(self._codec.encode_key(key), None) is not None

    def clear(self, turn: TestTurn | None, /) -> None:
        """Remove every key of the event's partition."""
        self._own(turn).clear()

    def count(self, turn: TestTurn | None, /) -> int:
        """How many keys there are."""
        return sum(len(part) for part in self._seen(turn))

    def page(
        self, turn: TestTurn | None, partition: int, after: bytes | None, limit: int, what: str, /
    ) -> tuple[int, list[Any], bytes | None] | None:
        """Return some rows, as the core does."""
        known = self.partitions if turn is None else [turn.partition]
        found = next((number for number in known if number >= partition), None)
        if found is None:
            return None
        part = self._parts.get(found, {})
        keys = sorted(part)
        start = bisect_right(keys, after) if after is not None and found == partition else 0
        here = keys[start : start + limit]
        rows = [self._row(what, key, part[key]) for key in here]
        return found, rows, here[-1] if start + limit < len(keys) else None

    def _row(self, what: str, key: bytes, value: bytes) -> Any:
        if what == "keys":
            return self._codec.decode_key(key)
        if what == "values":
            return self._codec.decode_value(value)
        return self._codec.decode_key(key), self._codec.decode_value(value)

    def _seen(self, turn: TestTurn | None) -> list[dict[bytes, bytes]]:
        if turn is None:
            return [self._parts[number] for number in self.partitions]
        return [self._parts.get(turn.partition, {})]

    def _own(self, turn: TestTurn | None) -> dict[bytes, bytes]:
        if turn is None:
            raise StateError(
                f"Cannot modify table {self._name} outside of a stream: only an agent may, while "
                "it has an event. Send to a topic that an agent reads, and write there"
            )
        return self._parts.setdefault(turn.partition, {})
