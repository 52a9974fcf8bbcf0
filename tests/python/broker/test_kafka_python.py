"""kafka-python, unchanged: another client in pure Python, with Kafka's own schemas."""

import time
import uuid
from typing import Any

import pytest
from kafka.admin import NewTopic
from kafka.errors import ProducerFencedError, TopicAlreadyExistsError

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from support.fixtures import MakeTopic
from support.wait import eventually

TIMEOUT_S = 20.0


def name(kind: str) -> str:
    return f"kp-{kind}-{uuid.uuid4().hex[:8]}"


def consumer(broker: str, *topics: str, **settings: Any) -> Any:
    return KafkaConsumer(
        *topics,
        bootstrap_servers=broker,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        **settings,
    )


def read(reader: Any, count: int) -> list[Any]:
    got: list[Any] = []
    end = time.monotonic() + TIMEOUT_S
    while len(got) < count:
        assert time.monotonic() < end, f"{len(got)} of {count} records"
        for records in reader.poll(timeout_ms=200).values():
            got.extend(records)
    return got


@pytest.mark.parametrize("codec", [None, "gzip"])
def test_a_group_reads_what_an_idempotent_producer_wrote(
    broker: str, make_topic: MakeTopic, codec: str | None
) -> None:
    topic, group = make_topic(partitions=3), name("group")
    producer = KafkaProducer(
        bootstrap_servers=broker, enable_idempotence=True, compression_type=codec
    )
    for i in range(300):
        producer.send(topic, b"%d" % i, key=b"k%d" % i, headers=[("h", b"x")])
    producer.flush()
    producer.close()

    reader = consumer(broker, group_id=group)
    # It shares nothing of a topic whose partitions it has not heard of, and does not come back.
    eventually(lambda: reader.partitions_for_topic(topic) == {0, 1, 2})
    reader.subscribe([topic])
    got = read(reader, 300)
    assert sorted(int(record.value) for record in got) == list(range(300))
    assert {tuple(record.headers) for record in got} == {(("h", b"x"),)}
    reader.commit()
    partitions = [TopicPartition(topic, p) for p in range(3)]
    assert sum(reader.committed(one) for one in partitions) == 300
    reader.close()


def test_offsets_are_found_by_time_and_at_both_ends(broker: str, make_topic: MakeTopic) -> None:
    topic = make_topic(partitions=1)
    place = TopicPartition(topic, 0)
    producer = KafkaProducer(bootstrap_servers=broker)
    for timestamp_ms in [3000, 5000, 9000]:
        producer.send(topic, b"x", partition=0, timestamp_ms=timestamp_ms).get(TIMEOUT_S)
    producer.close()
    reader = consumer(broker)
    assert reader.beginning_offsets([place]) == {place: 0}
    assert reader.end_offsets([place]) == {place: 3}
    assert reader.offsets_for_times({place: 4000})[place].offset == 1
    reader.close()


def test_readers_of_committed_records_see_no_aborted_transaction(
    broker: str, make_topic: MakeTopic
) -> None:
    topic, transactional_id = make_topic(partitions=1), name("tx")
    first = KafkaProducer(bootstrap_servers=broker, transactional_id=transactional_id)
    first.init_transactions()
    for value, commits in [(b"no", False), (b"yes", True)]:
        first.begin_transaction()
        first.send(topic, value, partition=0).get(TIMEOUT_S)
        if commits:
            first.commit_transaction()
        else:
            first.abort_transaction()
    reader = consumer(broker, topic, isolation_level="read_committed")
    assert [record.value for record in read(reader, 1)] == [b"yes"]
    reader.close()

    second = KafkaProducer(bootstrap_servers=broker, transactional_id=transactional_id)
    second.init_transactions()
    first.begin_transaction()
    with pytest.raises(ProducerFencedError):
        first.send(topic, b"zombie", partition=0).get(TIMEOUT_S)
    first.close(timeout=1)
    second.close()


def test_topics_are_made_and_deleted(broker: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker)
    topic = name("topic")
    new = NewTopic(topic, num_partitions=2, replication_factor=1)
    admin.create_topics([new])
    with pytest.raises(TopicAlreadyExistsError):
        admin.create_topics([new])
    assert topic in admin.list_topics()
    admin.delete_topics([topic])
    end = time.monotonic() + TIMEOUT_S
    while topic in admin.list_topics():
        assert time.monotonic() < end
    admin.close()
