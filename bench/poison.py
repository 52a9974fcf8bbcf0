"""
Bad records among good ones: ``poison.py [--count N] [--every N] [--broker NAME|ADDRESS]``.

Fills one topic with good events and another with the same, of which one in *every* is one of
twelve kinds of poison; runs the same subscription over both, with ``on_error="dlq"``; and checks
that every good event came out, and that every bad record is in the dead letters exactly once, by
the offset in its headers. Prints one JSON row, and ends with 1 if anything is missing, there twice,
or slower than ``--least`` times the clean run.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import brokers
from common import PARTITIONS, drop_topics, make_topics
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from gen import events
from poison_kinds import KINDS, LARGE_BYTES
from run import measure

Place = tuple[int, int]
"""Partition and offset."""


def mixed(count: int, every: int, seed: int = 11) -> Iterator[tuple[str, bytes | None, str | None]]:
    """Yield key, value and, of poison, the kind: each kind in turn, at random places."""
    draw, names = random.Random(seed), list(KINDS)
    bad_at = turn = 0
    for number, (key, value) in enumerate(events(count)):
        if number % every == 0:
            bad_at = draw.randrange(every)
        if number % every == bad_at:
            name = names[turn % len(names)]
            turn += 1
            yield key, KINDS[name](value), name
        else:
            yield key, value, None


def fill(bootstrap: str, topic: str, count: int, every: int | None) -> dict[Place, str]:
    """Write *count* events; where the poison among them is, and its kind."""
    make_topics(bootstrap, topic)
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "linger.ms": 50,
            "message.max.bytes": 2 * LARGE_BYTES,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 512 * 1024,
        }
    )
    poison: dict[Place, str] = {}
    refused: list[str] = []

    def note(kind: str | None, error: KafkaError | None, record: Message) -> None:
        if error is not None:
            refused.append(str(error))
        elif kind is not None:
            poison[record.partition() or 0, record.offset() or 0] = kind

    source = mixed(count, every) if every else ((k, v, None) for k, v in events(count))
    for number, (key, value, kind) in enumerate(source):
        told = None if kind is None else (lambda e, m, k=kind: note(k, e, m))
        while True:
            try:
                producer.produce(topic, value, key, on_delivery=told)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1_000 == 0:
            producer.poll(0)
    if producer.flush(300) or refused:
        raise SystemExit(f"records were not acknowledged: {refused[:3]}")
    return poison


def dead_letters(bootstrap: str, topic: str) -> Counter[Place]:
    """How often each place of the source is in *topic*."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": topic, "enable.partition.eof": True}
    )
    places = [TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)]
    consumer.assign(places)
    found: Counter[Place] = Counter()
    ended = 0
    while ended < PARTITIONS:
        record = consumer.poll(30.0)
        if record is None:
            raise SystemExit(f"{topic} cannot be read to its end")
        if record.error() is not None:
            ended += 1
            continue
        headers = dict(record.headers() or [])
        place = (headers["turbine.source.partition"], headers["turbine.source.offset"])
        found[int(place[0]), int(place[1])] += 1
    consumer.close()
    return found


def compare(poison: dict[Place, str], found: Counter[Place]) -> dict[str, object]:
    """What is missing, there twice, or not poison at all; by kinds."""
    twice = {place for place, times in found.items() if times > 1}
    return {
        "poison": dict(Counter(poison.values())),
        "missing": dict(Counter(kind for place, kind in poison.items() if place not in found)),
        "twice": dict(Counter(poison.get(place, "good") for place in twice)),
        "not_poison": sum(place not in poison for place in found),
    }


def run(bootstrap: str, count: int, every: int, limit_s: float) -> dict[str, object]:
    """Run both, and compare."""
    stamp = time.time_ns() // 1_000_000
    clean, mixed_topic, dead = (f"{name}-{stamp}" for name in ("clean", "poison", "dead"))
    make_topics(bootstrap, dead)
    os.environ["DEAD"] = dead
    command = [sys.executable, str(Path(__file__).with_name("turbine_poison.py"))]
    rates: dict[str, float] = {}
    complete = True
    fill(bootstrap, clean, count, None)
    poison = fill(bootstrap, mixed_topic, count, every)
    for label, topic, expect in (
        ("clean", clean, count),
        ("poison", mixed_topic, count - len(poison)),
    ):
        log = Path(tempfile.gettempdir()) / f"bench-{label}-{stamp}.log"
        row = measure(bootstrap, topic, expect, label, command, log=log, limit_s=limit_s)
        rates[label] = row.rate_per_s
        complete = complete and row.outputs == expect
    result = compare(poison, dead_letters(bootstrap, dead))
    drop_topics(bootstrap, clean, mixed_topic, dead)
    return {
        "count": count,
        "is_complete": complete,
        **result,
        "rates_per_s": {name: round(rate) for name, rate in rates.items()},
        "ratio": round(rates["poison"] / max(rates["clean"], 1.0), 3),
    }


def main() -> int:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--every", type=int, default=1_000)
    parser.add_argument("--broker", default="kafka")
    parser.add_argument("--least", type=float, default=0.8, help="poison to clean, in throughput")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for one run")
    given = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="poison-"))
    broker = (
        brokers.start(given.broker, work)
        if given.broker in brokers.NAMES
        else brokers.Given(given.broker)
    )
    try:
        row = run(broker.address, given.count, given.every, given.limit)
    finally:
        broker.stop()
    print(json.dumps(row))
    is_right = row["is_complete"] and not (row["missing"] or row["twice"] or row["not_poison"])
    return 0 if is_right and float(str(row["ratio"])) >= given.least else 1


if __name__ == "__main__":
    sys.exit(main())
