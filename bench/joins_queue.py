"""
What the joins of `joins.py` read: two topics each, keyed alike, of four partitions each.

Times are those of the records, a millisecond from one to the next, as both programs take them. They
begin an hour ago: a broker that keeps records for a while would delete those of another year.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import orjson
from common import make_topics
from confluent_kafka import Producer

__all__ = ["WITHIN_MS", "WORKS", "Queue", "fill"]

WITHIN_MS = 10_000
START_MS = time.time_ns() // 1_000_000 - 3_600_000
USERS = 100_000
_SEED = 7
_METHODS = ("card", "bank", "cash")
_COUNTRIES = ("NO", "PL", "PT", "UY", "KE")

Record = tuple[int, str, int, dict[str, object]]
"""Topic (0 is the left), key, time in ms, row."""


@dataclass(frozen=True)
class Queue:
    """
    Two topics, full.

    Attributes:
        left: Topic of the left.
        right: Topic of the right.
        records: Records in both.
        matches: Rows that the join gives.
    """

    left: str
    right: str
    records: int
    matches: int


def orders(records: int) -> Iterator[Record]:
    """
    Make orders, and payments of nine in ten of them.

    One payment in twenty comes later than `WITHIN_MS`, and matches nothing.
    """
    dice = random.Random(_SEED)
    due: dict[int, list[int]] = {}
    order = 0
    for number in range(records):
        time_ms = START_MS + number
        paid = due.pop(number, None)
        if paid:
            one = paid.pop()
            if paid:
                due.setdefault(number + 1, []).extend(paid)
            yield 1, f"o{one:09d}", time_ms, _payment(dice, one, time_ms)
            continue
        yield 0, f"o{order:09d}", time_ms, _order(dice, order, time_ms)
        if dice.random() < 0.9:
            is_late = dice.random() < 0.05
            wait = dice.randrange(12_000, 20_000) if is_late else dice.randrange(1, 8_000)
            due.setdefault(number + wait, []).append(order)
        order += 1


def _order(dice: random.Random, order: int, time_ms: int) -> dict[str, object]:
    return {
        "order": f"o{order:09d}",
        "user": f"u{dice.randrange(USERS):06d}",
        "amount": round(dice.random() * 500, 2),
        "item": f"item-{dice.randrange(10**6):06d}",
        "ordered": time_ms,
    }


def _payment(dice: random.Random, order: int, time_ms: int) -> dict[str, object]:
    method = dice.choice(_METHODS)
    reference = f"r{dice.randrange(10**12):012d}"
    return {"order": f"o{order:09d}", "method": method, "reference": reference, "paid": time_ms}


def clicks(records: int) -> Iterator[Record]:
    """Make a row of each user, and then clicks of nine users in ten that are there."""
    dice = random.Random(_SEED)
    for user in range(USERS):
        key, country = f"u{user:06d}", dice.choice(_COUNTRIES)
        row = {"user": key, "country": country, "name": f"name-{dice.randrange(10**6)}"}
        yield 1, key, START_MS - USERS + user, row
    for number in range(records):
        key = f"u{dice.randrange(USERS * 10 // 9):06d}"
        row = {"user": key, "page": f"/p/{dice.randrange(10_000)}", "ms": dice.randrange(10_000)}
        yield 0, key, START_MS + number, {"id": number, **row}


class _Matches:
    """Counts what the join gives, as records go by."""

    def __init__(self, work: str) -> None:
        self.count = 0
        self._is_table = work == "table"
        self._seen: dict[str, int] = {}

    def add(self, side: int, key: str, time_ms: int) -> None:
        """Count the matches of a record with those that were there before."""
        if side == (1 if self._is_table else 0):
            self._seen[key] = time_ms
            return
        other_ms = self._seen.get(key)
        if other_ms is not None and (self._is_table or time_ms - other_ms <= WITHIN_MS):
            self.count += 1


WORKS: dict[str, Callable[[int], Iterator[Record]]] = {"streams": orders, "table": clicks}
"""Records by the name of the join."""


def fill(bootstrap: str, work: str, name: str, records: int) -> Queue:
    """Write the records of a join into two new topics that are called after *name*."""
    topics = (f"{name}-left", f"{name}-right")
    make_topics(bootstrap, *topics)
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "linger.ms": 50,
            "batch.num.messages": 10_000,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    matches, count = _Matches(work), 0
    for side, key, time_ms, row in WORKS[work](records):
        _produce(producer, topics[side], key, orjson.dumps(row), time_ms)
        matches.add(side, key, time_ms)
        count += 1
    if producer.flush(300):
        raise SystemExit("the broker did not acknowledge all records")
    return Queue(*topics, count, matches.count)


def _produce(producer: Producer, topic: str, key: str, value: bytes, time_ms: int) -> None:
    while True:
        try:
            producer.produce(topic, value, key, timestamp=time_ms)
        except BufferError:
            producer.poll(0.1)
        else:
            return
