"""Events of Nexmark in topics of a Kafka, and how many rows each query gives for them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import duckdb
import orjson
import pyarrow as pa
from common import PARTITIONS, make_topics
from confluent_kafka import Producer

from nexmark.batch import BATCH, CHANGES
from nexmark.events import ends, events, side

__all__ = ["Queue", "fill"]

EVENTS_PER_SECOND = 1_000
"""Of event time: one a millisecond, so that a window of ten seconds has ten thousand."""
_TWO_DAYS_MS = 2 * 86_400_000
_CHUNK = 50_000


@dataclass(frozen=True)
class Queue:
    """
    Topics full of events.

    Attributes:
        topic: Topic of the bids; the others are called after it, see `nexmark.queries.declare`.
        counts: How many rows of each kind there are.
        rows: Rows that each query gives, as DuckDB counts them.
    """

    topic: str
    counts: dict[str, int]
    rows: dict[str, int]


def fill(bootstrap: str, topic: str, count: int, advance: Callable[[int], object]) -> Queue:
    """
    Write *count* events, and those that close the last windows.

    Args:
        bootstrap: Address of the Kafka.
        topic: Name for the topic of bids.
        count: How many events.
        advance: Told how many more were written, now and then.
    """
    others = {"auction": "auctions", "person": "people", "side": "side"}
    names = {"bid": topic} | {kind: f"{topic}-{name}" for kind, name in others.items()}
    make_topics(bootstrap, *names.values())
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 50,
            "batch.num.messages": 10_000,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    counts = dict.fromkeys(names, 0)
    tables: dict[str, list[pa.Table]] = {kind: [] for kind in names}
    rest = _all(count)
    while chunk := list(islice(rest, _CHUNK)):
        found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in names}
        for kind, row in chunk:
            _produce(producer, names[kind], row, counts[kind] % PARTITIONS)
            counts[kind] += 1
            found[kind].append(row)
        for kind, rows in found.items():
            tables[kind] += [pa.Table.from_pylist(rows)] if rows else []
        advance(len(chunk))
    if producer.flush(300):
        raise SystemExit("the broker did not acknowledge all events")
    return Queue(topic, counts, _counted(tables))


def _all(count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    last_ms = 0
    for row in side():
        yield "side", row
    for kind, row in events(count, events_per_second=EVENTS_PER_SECOND):
        last_ms = row["date_time"]
        yield kind, row
    for kind in ("bid", "auction", "person", "side"):
        for row in ends(last_ms, kind=kind):
            yield kind, row


def _produce(producer: Producer, topic: str, row: dict[str, Any], partition: int) -> None:
    value = orjson.dumps(row)
    while True:
        try:
            producer.produce(topic, value, partition=partition, timestamp=row["date_time"])
        except BufferError:
            producer.poll(0.1)
        else:
            return


def _counted(tables: dict[str, list[pa.Table]]) -> dict[str, int]:
    connection = duckdb.connect()
    for kind, parts in tables.items():
        connection.register(kind, pa.concat_tables(parts))
    # Windows of what only closes others are not all closed.
    horizon_ms = connection.sql("SELECT max(date_time) FROM bid WHERE channel <> 'end'")
    end_ms = horizon_ms.fetchall()[0][0] + _TWO_DAYS_MS
    return {name: _rows(connection, name, end_ms) for name in BATCH}


def _rows(connection: duckdb.DuckDBPyConnection, name: str, end_ms: int) -> int:
    relation = connection.sql(BATCH[CHANGES.get(name, name)])
    if "end" in relation.columns:
        relation = relation.filter(f'"end" < {end_ms}')
    count: int = relation.aggregate("count(*)").fetchall()[0][0]
    return count
