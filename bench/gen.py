"""
Fill a topic with the events of the workloads: ``gen.py BOOTSTRAP TOPIC COUNT``.

An event is some 165 bytes of JSON, keyed by its user and placed by Java's partitioner. Event time
starts at 1,700,000,000,000 ms and advances 1 ms an event. The seed is fixed: every run writes the
same bytes.
"""

import argparse
import random
from collections.abc import Iterator
from functools import cache

import orjson
from common import PARTITIONS, make_topics
from confluent_kafka import Producer

from turbine._native import partition_for

SEED = 7
USERS = 1_000
START_MS = 1_700_000_000_000
KINDS = ("view", "click", "cart", "buy")
REGIONS = ("eu-west", "eu-north", "us-east", "us-west", "ap-south")


def events(count: int, users: int = USERS) -> Iterator[tuple[str, bytes]]:
    """Yield key and value of each event; the order of the draws is part of the workload."""
    draw = random.Random(SEED)
    for number in range(count):
        user = f"u{draw.randrange(users):06d}"
        event = {
            "id": number,
            "user": user,
            "ts": START_MS + number,
            "amount": round(draw.random() * 500, 2),
            "kind": KINDS[draw.randrange(len(KINDS))],
            "region": REGIONS[draw.randrange(len(REGIONS))],
            "session": f"s{draw.randrange(10**12):012d}",
            "ok": True,
        }
        yield user, orjson.dumps(event)


def fill(bootstrap: str, topic: str, count: int, users: int = USERS) -> None:
    """Create *topic* and write *count* events of *users* to it."""
    make_topics(bootstrap, topic)
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "linger.ms": 50,
            "batch.num.messages": 10_000,
            "queue.buffering.max.messages": 2_000_000,
        }
    )
    for number, (key, value) in enumerate(events(count, users)):
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 10_000 == 0:
            producer.poll(0)
    unsent = producer.flush(300)
    if unsent:
        raise SystemExit(f"{unsent} events were not acknowledged")


@cache
def closed_windows(count: int, users: int, size_ms: int, step_ms: int) -> int:
    """
    Count the results of windows a user over the events: those that the partition's time closes.

    Args:
        count: Events.
        users: Users.
        size_ms: Length of a window.
        step_ms: From one start to the next; *size_ms* for tumbling windows.
    """
    draw = random.Random(SEED)
    steps: list[set[int]] = [set() for _ in range(users)]
    latest = [0] * PARTITIONS
    place = [partition_for(f"u{user:06d}".encode(), PARTITIONS) for user in range(users)]
    for number in range(count):
        user = draw.randrange(users)
        steps[user].add((START_MS + number) // step_ms)
        latest[place[user]] = START_MS + number
        # The other draws of an event, so that its user is the same as in `events`.
        draw.random(), draw.randrange(len(KINDS)), draw.randrange(len(REGIONS))
        draw.randrange(10**12)
    panes = size_ms // step_ms
    closed = 0
    for user, seen in enumerate(steps):
        end = latest[place[user]] // step_ms
        starts = {start for step in seen for start in range(step - panes + 1, step + 1)}
        closed += sum(start + panes <= end for start in starts)
    return closed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap")
    parser.add_argument("topic")
    parser.add_argument("count", type=int)
    parser.add_argument("--users", type=int, default=USERS)
    given = parser.parse_args()
    print(f"{given.count} events in {PARTITIONS} partitions of {given.topic}")
    fill(given.bootstrap, given.topic, given.count, given.users)
