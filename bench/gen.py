"""
Fill a topic with the events of the workload: ``gen.py BOOTSTRAP TOPIC COUNT``.

An event is some 165 bytes of JSON, keyed by its user and placed by Java's partitioner. Event time
starts at 1,700,000,000,000 ms and advances 1 ms an event. The seed is fixed: every run writes the
same bytes.
"""

import argparse
import random
from collections.abc import Iterator

import orjson
from common import PARTITIONS, make_topics
from confluent_kafka import Producer

SEED = 7
USERS = 1_000
START_MS = 1_700_000_000_000
KINDS = ("view", "click", "cart", "buy")
REGIONS = ("eu-west", "eu-north", "us-east", "us-west", "ap-south")


def events(count: int) -> Iterator[tuple[str, bytes]]:
    """Yield key and value of each event; the order of the draws is part of the workload."""
    draw = random.Random(SEED)
    for number in range(count):
        user = f"u{draw.randrange(USERS):06d}"
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


def fill(bootstrap: str, topic: str, count: int) -> None:
    """Create *topic* and write *count* events to it."""
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
    for number, (key, value) in enumerate(events(count)):
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap")
    parser.add_argument("topic")
    parser.add_argument("count", type=int)
    given = parser.parse_args()
    print(f"{given.count} events in {PARTITIONS} partitions of {given.topic}")
    fill(given.bootstrap, given.topic, given.count)
