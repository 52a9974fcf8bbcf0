"""Reads whole topics of a cluster, from their beginning, without a group of its own to remember."""

import json
import time
import uuid
from typing import NamedTuple

from turbine import _native

__all__ = ["Raw", "TopicReader"]

_ADMIN_MS = 10_000
_LIMIT_S = 30.0


class Raw(NamedTuple):
    """
    A record as bytes.

    Attributes:
        partition: Partition.
        offset: Offset in it.
        key: Key bytes, if any.
        value: Value bytes; None is a tombstone.
        headers: Headers in their order.
        timestamp_ms: ms since the Unix epoch; -1 if it has none.
    """

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int


class TopicReader:
    """
    The records of one topic of any cluster, up to the ends of this moment.

    Only committed records are read. For the embedded broker there is a shorter way.
    """

    def __init__(self, brokers: str, topic: str) -> None:
        self._topic = topic
        self._admin = _native.Admin(brokers, {})
        group = f"turbine-testing-{uuid.uuid4().hex[:12]}"
        agent = {"name": "reader", "group": group, "topics": [topic], "concurrency": 1}
        config = {
            "app_id": group,
            "brokers": brokers,
            "commit_interval_ms": 1_000,
            "agents": [{**agent, "on_error": "fail", "dlq": None}],
        }
        self._worker = _native.Worker(json.dumps(config))
        self._worker.set_decoder("reader", "raw", "raw", None)
        self._worker.start()
        self._records: list[Raw] = []

    def records(self) -> list[Raw]:
        """
        Everything that is in the topic; of each partition in order.

        Raises:
            TimeoutError: The broker does not hand the records out.
        """
        ends = {p: end for p, (_, end) in self._admin.watermarks(self._topic, _ADMIN_MS).items()}
        deadline = time.monotonic() + _LIMIT_S
        while not self._has_reached(ends):
            if not self._read() and time.monotonic() > deadline:
                raise TimeoutError(f"the broker did not hand out {self._topic!r} up to {ends}")
        return sorted(self._records, key=lambda raw: (raw.partition, raw.offset))

    def close(self) -> None:
        """Leave."""
        self._worker.stop()
        self._worker.join(_ADMIN_MS)
        self._worker.close()

    def _has_reached(self, ends: dict[int, int]) -> bool:
        waiting = {p for p, end in ends.items() if end}
        if not waiting:
            return True
        rows = self._worker.assignments()
        reached = {
            row["partition"]
            for row in rows
            # Rows that are fetched and not handed out yet count as in flight.
            if (row["position"] or 0) >= ends.get(row["partition"], 0) and not row["in_flight"]
        }
        return waiting <= reached

    def _read(self) -> bool:
        cursor = self._worker.next_cursor("reader", 0)
        if cursor is None:
            time.sleep(0.005)
            return False
        for value in cursor:
            key, headers, offset, timestamp_ms = cursor.envelope()
            self._records.append(
                Raw(cursor.partition, offset, key, value, tuple(headers), timestamp_ms)
            )
        return True
