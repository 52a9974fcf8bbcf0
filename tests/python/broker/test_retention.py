"""What goes without anybody's request: old records, too many bytes, all but the last of a key."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource

from support.fixtures import MakeTopic
from support.kafka import Cluster, Got
from support.wait import eventually
from turbine._native import Clock

from .conftest import StartBroker

# Segments of a moment, every one worth a compaction.
COMPACT = {
    "cleanup.policy": "compact",
    "segment.ms": "50",
    "min.cleanable.dirty.ratio": "0.001",
    "delete.retention.ms": "100",
}


def bounds(cluster: Cluster, topic: str) -> tuple[int, int]:
    consumer = Consumer({"bootstrap.servers": cluster.address, "group.id": "bounds"})
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), 10)
        return int(low), int(high)
    finally:
        consumer.close()


def roll(cluster: Cluster, topic: str, key: str) -> None:
    """Begin a new segment: what is in front of it can be compacted."""
    time.sleep(0.1)
    cluster.produce(topic, ["new segment"], key=key, partition=0)


def records(cluster: Cluster, topic: str) -> list[Got]:
    return [one for one in cluster.consume(topic, 0) if one.key != b"roll"]


def seen(found: list[Got]) -> list[tuple[int, bytes | None, bytes | None]]:
    return [(one.offset, one.key, one.value) for one in found]


# -- age and size ----------------------------------------------------------------------------


def test_records_go_when_they_are_too_old(cluster: Cluster, make_topic: MakeTopic) -> None:
    topic = make_topic(partitions=1, config={"retention.ms": "300", "segment.ms": "100"})
    cluster.produce(topic, [b"%d" % i for i in range(10)], partition=0)
    eventually(lambda: bounds(cluster, topic) == (10, 10), why="they are too old")
    cluster.produce(topic, [b"young"], partition=0)
    assert cluster.ends(topic) == {0: 11}


def test_a_setting_acts_on_what_is_there(cluster: Cluster, make_topic: MakeTopic) -> None:
    topic = make_topic(partitions=1)
    hour_ago = int(time.time() * 1000) - 3_600_000
    cluster.produce(topic, [b"old"] * 5, partition=0, timestamp_ms=hour_ago)
    assert bounds(cluster, topic) == (0, 5)
    entry = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource("topic", topic, incremental_configs=[entry])
    for future in cluster.admin.incremental_alter_configs([resource]).values():
        future.result(10)
    eventually(lambda: bounds(cluster, topic) == (5, 5), why="the setting holds for old records")


def test_the_oldest_bytes_go_when_there_are_too_many(
    cluster: Cluster, make_topic: MakeTopic
) -> None:
    config = {"retention.bytes": "1048576", "segment.bytes": "1048576"}
    topic = make_topic(partitions=1, config=config)
    for _ in range(8):
        cluster.produce(topic, [os.urandom(500_000)], partition=0)
    eventually(lambda: bounds(cluster, topic)[0] >= 4, why="4 MB are too many")
    low, high = bounds(cluster, topic)
    assert (high, high - low >= 2) == (8, True)


@pytest.mark.embedded
def test_old_records_go_when_a_clock_is_moved_past_their_age(start_broker: StartBroker) -> None:
    clock = Clock(1_700_000_000.0)
    cluster = Cluster(start_broker(clock=clock).address)
    topic = cluster.make_topic(partitions=1)
    cluster.produce(topic, [b"a", b"b"], partition=0, timestamp_ms=clock.now_ms())
    clock.advance(6 * 86_400)
    cluster.produce(topic, [b"c"], partition=0, timestamp_ms=clock.now_ms())
    clock.advance(86_400)
    assert bounds(cluster, topic) == (0, 3), "exactly a week is not too old"
    clock.advance(1)
    eventually(lambda: bounds(cluster, topic) == (2, 3))


@pytest.mark.embedded
def test_memory_is_bounded(start_broker: StartBroker) -> None:
    cluster = Cluster(start_broker(memory_bytes=1 << 20).address)
    small, large = cluster.make_topic(partitions=1), cluster.make_topic(partitions=1)
    cluster.produce(small, [b"s"], partition=0)
    for _ in range(30):
        cluster.produce(large, [os.urandom(100_000)], partition=0)
    assert bounds(cluster, small) == (0, 1)
    low, high = bounds(cluster, large)
    assert (high, 8 <= high - low <= 10) == (30, True)


# -- compaction ------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_the_last_record_of_each_key_stays_where_it_was(
    cluster: Cluster, make_topic: MakeTopic, codec: str
) -> None:
    topic = make_topic(codec, partitions=1, config=COMPACT)
    producer = Producer({"bootstrap.servers": cluster.address, "compression.type": codec})
    for i in range(300):
        producer.produce(topic, b"value %d" % i, b"k%d" % (i % 7), partition=0)
    assert producer.flush(10) == 0
    roll(cluster, topic, "roll")
    expected = [(i, b"k%d" % (i % 7), b"value %d" % i) for i in range(293, 300)]
    eventually(lambda: seen(records(cluster, topic)) == expected, deadline_s=30)
    assert bounds(cluster, topic) == (0, 301), "bounds stay"


def test_a_tombstone_takes_its_key_along_and_goes(cluster: Cluster, make_topic: MakeTopic) -> None:
    topic = make_topic(partitions=1, config=COMPACT)
    cluster.produce(topic, ["1", "2"], keys=["gone", "stays"], partition=0)
    cluster.produce(topic, [None], key="gone", partition=0)
    roll(cluster, topic, "roll")

    def is_compacted() -> bool:
        found = records(cluster, topic)
        return found[0].key == b"stays" and len(found) <= 2

    eventually(is_compacted, deadline_s=30, why="the value of the key has a newer tombstone")

    def tombstone_is_gone() -> bool:
        roll(cluster, topic, "roll")  # Kafka compacts only where something was written
        return seen(records(cluster, topic)) == [(1, b"stays", b"2")]

    eventually(tombstone_is_gone, deadline_s=30, why="its time is over")


def test_what_was_aborted_goes_and_what_was_committed_stays(
    cluster: Cluster, make_topic: MakeTopic
) -> None:
    topic = make_topic(partitions=1, config=COMPACT)
    config = {"bootstrap.servers": cluster.address, "transactional.id": f"tx-{topic}"}
    producer = Producer(config)
    producer.init_transactions(20)

    def transaction(value: bytes, end: Callable[[float], None]) -> None:
        producer.begin_transaction()
        for key in (b"a", b"b"):
            producer.produce(topic, value, key, partition=0)
        producer.flush(10)
        end(20)

    transaction(b"first", producer.commit_transaction)
    transaction(b"second", producer.commit_transaction)
    transaction(b"aborted", producer.abort_transaction)
    roll(cluster, topic, "roll")
    expected = [(3, b"a", b"second"), (4, b"b", b"second")]

    def uncommitted() -> list[tuple[int, bytes | None, bytes | None]]:
        consumer = Consumer(
            {
                "bootstrap.servers": cluster.address,
                "group.id": "uncommitted",
                "isolation.level": "read_uncommitted",
                "enable.partition.eof": True,
            }
        )
        consumer.assign([TopicPartition(topic, 0, 0)])
        found: list[tuple[int, bytes | None, bytes | None]] = []
        while (message := consumer.poll(10)) is not None:
            if (error := message.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF
                break
            if message.key() != b"roll":
                found.append((message.offset() or 0, message.key(), message.value()))
        consumer.close()
        return found

    eventually(lambda: uncommitted() == expected, deadline_s=30)
    transaction(b"third", producer.commit_transaction)
    assert [one.value for one in records(cluster, topic)][-2:] == [b"third", b"third"]


def test_a_consumer_goes_on_behind_a_hole(cluster: Cluster, make_topic: MakeTopic) -> None:
    topic = make_topic(partitions=1, config=COMPACT)
    for value in range(20):
        cluster.produce(topic, [value], key="k", partition=0)
    roll(cluster, topic, "roll")
    eventually(lambda: len(records(cluster, topic)) == 1, deadline_s=30)
    for start in (0, 5, 19):
        consumer = Consumer({"bootstrap.servers": cluster.address, "group.id": "hole"})
        consumer.assign([TopicPartition(topic, 0, start)])
        message = consumer.poll(10)
        assert message is not None
        assert (message.error(), message.offset(), message.value()) == (None, 19, b"19")
        consumer.close()


# -- compaction of files ---------------------------------------------------------------------

BROKER = """
import sys
from turbine import EmbeddedBroker
broker = EmbeddedBroker(port=int(sys.argv[1]), data_dir=sys.argv[2])
print(broker.address, flush=True)
sys.stdin.read()
"""


@pytest.mark.embedded
def test_a_kill_during_compaction_loses_no_last_record(tmp_path: Path) -> None:
    """The broker is killed again and again while it compacts what a producer writes."""
    address = "127.0.0.1:0"

    def start() -> subprocess.Popen[str]:
        nonlocal address
        command = [sys.executable, "-c", BROKER, address.split(":")[1], str(tmp_path)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        return process

    process = start()
    config = {**COMPACT, "segment.ms": "1000000", "segment.bytes": "100000"}
    topic = Cluster(address).make_topic(partitions=1, config=config)
    producer = Producer(
        {
            "bootstrap.servers": address,
            "enable.idempotence": True,
            "linger.ms": 1,
            "batch.num.messages": 50,
            "log_level": 0,
            "reconnect.backoff.max.ms": 100,
        }
    )
    acked: dict[bytes | None, bytes | None] = {}
    count = 0

    def delivered(error: KafkaError | None, message: Message) -> None:
        nonlocal count
        assert error is None, error
        count += 1
        acked[message.key()] = message.value()

    sent = 0
    for _ in range(8):
        aim = count + 4_000
        while count < aim:
            for _ in range(100 if len(producer) < 2_000 else 0):
                value = b"%d " % sent + b"x" * 100
                producer.produce(topic, value, b"k%d" % (sent % 40), 0, on_delivery=delivered)
                sent += 1
            producer.poll(0.001)
        os.kill(process.pid, signal.SIGKILL)
        with process:
            pass  # closes the pipes and waits
        process = start()
    assert producer.flush(30) == 0

    cluster = Cluster(address)
    got = cluster.consume(topic, 40)
    offsets = [one.offset for one in got]
    assert offsets == sorted(set(offsets))
    assert {one.key: one.value for one in got} == acked
    assert cluster.ends(topic) == {0: sent}
    assert len(got) < sent / 4, "most was compacted"
    process.kill()
    with process:
        pass
