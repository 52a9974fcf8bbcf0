"""Transactions through confluent-kafka, the same on the embedded broker and on Apache Kafka."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin._listoffsets import OffsetSpec

from support.fixtures import MakeTopic, Produce
from support.kafka import Cluster
from support.wait import eventually

TIMEOUT_S = 20.0
FENCED = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
}
StartProducer = Callable[..., Producer]


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def start_producer(broker: str) -> StartProducer:
    """Start a transactional producer that has its epoch."""

    def start(transactional_id: str | None = None, **settings: Any) -> Producer:
        producer = Producer(
            {
                "bootstrap.servers": broker,
                "log_level": 0,
                "transactional.id": transactional_id or unique("tx"),
                "linger.ms": 0,
                **settings,
            }
        )
        producer.init_transactions(TIMEOUT_S)
        return producer

    return start


StartConsumer = Callable[..., Consumer]


@pytest.fixture
def start_consumer(broker: str) -> Iterator[StartConsumer]:
    started: list[Consumer] = []

    def start(group: str | None = None, **settings: Any) -> Consumer:
        consumer = Consumer(
            {
                "bootstrap.servers": broker,
                "log_level": 0,
                "group.id": group or unique("group"),
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 200,
                "isolation.level": "read_committed",
                **settings,
            }
        )
        started.append(consumer)
        return consumer

    yield start
    for consumer in started:
        consumer.close()


def write(producer: Producer, topic: str, values: list[bytes], partition: int = 0) -> None:
    """Write to the open transaction and wait until all is acknowledged."""
    errors: list[KafkaError] = []
    for value in values:
        producer.produce(
            topic,
            value,
            partition=partition,
            on_delivery=lambda error, _: errors.append(error) if error else None,
        )
    assert producer.flush(TIMEOUT_S) == 0
    assert errors == []


def values(consumer: Consumer, count: int, deadline_s: float = TIMEOUT_S) -> list[bytes | None]:
    """Values of the next *count* records."""
    got: list[bytes | None] = []

    def read() -> bool:
        message = consumer.poll(0.1)
        if message is not None:
            assert message.error() is None, message.error()
            got.append(message.value())
        return len(got) >= count

    eventually(read, deadline_s, why=f"{count} records")
    return got


def is_quiet(consumer: Consumer) -> bool:
    """Whether nothing comes for a second, in which the consumer fetches several times."""
    return consumer.poll(1.0) is None


def latest(cluster: Cluster, topic: str, isolation: IsolationLevel) -> int:
    place = TopicPartition(topic, 0)
    found = cluster.admin.list_offsets(
        {place: OffsetSpec.latest()},  # type: ignore[no-untyped-call]
        isolation_level=isolation,
    )
    return int(found[place].result(TIMEOUT_S).offset)


# -- what readers see ------------------------------------------------------------------------


def test_committed_records_are_seen_and_aborted_ones_are_not(
    cluster: Cluster,
    make_topic: MakeTopic,
    start_producer: StartProducer,
    start_consumer: StartConsumer,
) -> None:
    topic, producer = make_topic(partitions=2), start_producer()
    for name, ends in [
        ("a", producer.commit_transaction),
        ("b", producer.abort_transaction),
        ("c", producer.commit_transaction),
    ]:
        producer.begin_transaction()
        for partition in (0, 1):
            write(producer, topic, [f"{name}{i}".encode() for i in range(5)], partition)
        ends(TIMEOUT_S)

    kept = [f"{name}{i}".encode() for name in "ac" for i in range(5)]
    for partition in (0, 1):
        committed = start_consumer()
        committed.assign([TopicPartition(topic, partition, 0)])
        assert values(committed, 10) == kept
        assert is_quiet(committed)
    everything = start_consumer(**{"isolation.level": "read_uncommitted"})
    everything.assign([TopicPartition(topic, 0, 0)])
    assert len(values(everything, 15)) == 15
    assert cluster.ends(topic) == {0: 18, 1: 18}, "each transaction has its marker"


def test_an_open_transaction_holds_back_what_is_behind_it(
    cluster: Cluster,
    make_topic: MakeTopic,
    produce: Produce,
    start_producer: StartProducer,
    start_consumer: StartConsumer,
) -> None:
    topic, producer = make_topic(partitions=1), start_producer()
    produce(topic, [b"before"])
    producer.begin_transaction()
    write(producer, topic, [b"open"])
    produce(topic, [b"after"])

    consumer = start_consumer(**{"fetch.wait.max.ms": 5000})
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert values(consumer, 1) == [b"before"]
    assert is_quiet(consumer)
    assert latest(cluster, topic, IsolationLevel.READ_COMMITTED) == 1
    assert latest(cluster, topic, IsolationLevel.READ_UNCOMMITTED) == 3
    producer.commit_transaction(TIMEOUT_S)
    # The consumer waits in a fetch of five seconds, which the marker ends.
    assert values(consumer, 2, deadline_s=4) == [b"open", b"after"]
    assert latest(cluster, topic, IsolationLevel.READ_COMMITTED) == 4


def test_records_of_an_open_transaction_are_not_found_by_time(
    cluster: Cluster,
    make_topic: MakeTopic,
    produce: Produce,
    start_producer: StartProducer,
) -> None:
    topic, producer = make_topic(partitions=1), start_producer()
    produce(topic, [b"x"], timestamp_ms=1000)
    producer.begin_transaction()
    producer.produce(topic, b"y", timestamp=2000)
    assert producer.flush(TIMEOUT_S) == 0

    def since(timestamp_ms: int, isolation: IsolationLevel) -> int:
        place = TopicPartition(topic, 0)
        spec = {place: OffsetSpec.for_timestamp(timestamp_ms)}
        found = cluster.admin.list_offsets(spec, isolation_level=isolation)
        return int(found[place].result(TIMEOUT_S).offset)

    assert since(1000, IsolationLevel.READ_COMMITTED) == 0
    assert since(2000, IsolationLevel.READ_COMMITTED) == -1
    assert since(2000, IsolationLevel.READ_UNCOMMITTED) == 1
    producer.commit_transaction(TIMEOUT_S)
    eventually(lambda: since(2000, IsolationLevel.READ_COMMITTED) == 1)


# -- owners ----------------------------------------------------------------------------------


def test_a_new_producer_fences_the_old_one_and_aborts_its_transaction(
    make_topic: MakeTopic, start_producer: StartProducer, start_consumer: StartConsumer
) -> None:
    topic, name = make_topic(partitions=1), unique("tx")
    old = start_producer(name)
    old.begin_transaction()
    write(old, topic, [b"old"])
    new = start_producer(name)
    with pytest.raises(KafkaException) as refused:
        old.commit_transaction(TIMEOUT_S)
    assert refused.value.args[0].code() in FENCED
    assert refused.value.args[0].fatal()
    new.begin_transaction()
    write(new, topic, [b"new"])
    new.commit_transaction(TIMEOUT_S)
    consumer = start_consumer()
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert values(consumer, 1) == [b"new"]


def test_a_zombie_cannot_write_after_its_successor(
    make_topic: MakeTopic, start_producer: StartProducer, start_consumer: StartConsumer
) -> None:
    topic, name = make_topic(partitions=1), unique("tx")
    old = start_producer(name)
    new = start_producer(name)
    new.begin_transaction()
    write(new, topic, [b"new"])
    old.begin_transaction()
    old.produce(topic, b"zombie", partition=0)
    with pytest.raises(KafkaException) as refused:
        old.commit_transaction(TIMEOUT_S)
    assert refused.value.args[0].code() in FENCED
    new.commit_transaction(TIMEOUT_S)
    consumer = start_consumer(**{"isolation.level": "read_uncommitted"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert values(consumer, 1) == [b"new"]
    assert is_quiet(consumer)


def test_a_transaction_that_is_open_for_too_long_is_aborted(
    make_topic: MakeTopic,
    produce: Produce,
    start_producer: StartProducer,
    start_consumer: StartConsumer,
) -> None:
    topic = make_topic(partitions=1)
    producer = start_producer(**{"transaction.timeout.ms": 1000})
    producer.begin_transaction()
    write(producer, topic, [b"late"])
    produce(topic, [b"after"])
    consumer = start_consumer()
    consumer.assign([TopicPartition(topic, 0, 0)])
    # Apache Kafka looks every ten seconds.
    assert values(consumer, 1, deadline_s=40) == [b"after"]
    with pytest.raises(KafkaException) as refused:
        producer.commit_transaction(TIMEOUT_S)
    assert refused.value.args[0].code() in FENCED


def test_a_timeout_beyond_the_limit_is_refused(start_producer: StartProducer) -> None:
    with pytest.raises(KafkaException) as refused:
        start_producer(**{"transaction.timeout.ms": 900_001})
    assert refused.value.args[0].code() == KafkaError.INVALID_TRANSACTION_TIMEOUT


# -- offsets ---------------------------------------------------------------------------------


def test_consume_transform_produce_moves_records_and_offsets_together(
    cluster: Cluster,
    make_topic: MakeTopic,
    produce: Produce,
    start_producer: StartProducer,
    start_consumer: StartConsumer,
) -> None:
    source, target, group = make_topic(partitions=1), make_topic(partitions=1), unique("eos")
    produce(source, [b"%d" % i for i in range(20)])
    producer, consumer = start_producer(), start_consumer(group)
    consumer.subscribe([source])
    taken = values(consumer, 10)
    for attempt in ("aborted", "committed"):
        producer.begin_transaction()
        write(producer, target, [attempt.encode() + b" " + (value or b"") for value in taken])
        offsets = [TopicPartition(source, 0, 10, f"of {attempt}")]
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), TIMEOUT_S)
        if attempt == "aborted":
            producer.abort_transaction(TIMEOUT_S)
            assert cluster.committed(group, source) == {}
        else:
            producer.commit_transaction(TIMEOUT_S)
    assert [one.value for one in cluster.consume(target, 10)] == [
        b"committed %d" % i for i in range(10)
    ]
    (committed,) = consumer.committed([TopicPartition(source, 0)], TIMEOUT_S)
    assert (committed.offset, committed.metadata) == (10, "of committed")
    consumer.close()
    heir = start_consumer(group)
    heir.subscribe([source])
    assert values(heir, 10) == [b"%d" % i for i in range(10, 20)]


def test_offsets_of_a_member_that_lost_its_partitions_are_refused(
    make_topic: MakeTopic,
    produce: Produce,
    start_producer: StartProducer,
    start_consumer: StartConsumer,
) -> None:
    topic, group = make_topic(partitions=2), unique("eos")
    produce(topic, [b"x"], partition=0)
    first, producer = start_consumer(group), start_producer()
    first.subscribe([topic])
    values(first, 1)
    stale = first.consumer_group_metadata()
    second = start_consumer(group)
    second.subscribe([topic])

    def shared() -> bool:
        first.poll(0.05)
        second.poll(0.05)
        return len(first.assignment()) == len(second.assignment()) == 1

    eventually(shared, why="each has a partition")

    def refused(metadata: object) -> int:
        producer.begin_transaction()
        with pytest.raises(KafkaException) as error:
            producer.send_offsets_to_transaction([TopicPartition(topic, 0, 1)], metadata, TIMEOUT_S)
        assert error.value.args[0].txn_requires_abort()
        producer.abort_transaction(TIMEOUT_S)
        return int(error.value.args[0].code())

    assert refused(stale) == KafkaError.ILLEGAL_GENERATION
    gone = second.consumer_group_metadata()
    second.close()
    eventually(lambda: first.poll(0.05) is None and len(first.assignment()) == 2)
    assert refused(gone) == KafkaError.UNKNOWN_MEMBER_ID
    producer.begin_transaction()
    current = first.consumer_group_metadata()
    producer.send_offsets_to_transaction([TopicPartition(topic, 0, 1)], current, TIMEOUT_S)
    producer.commit_transaction(TIMEOUT_S)
    (committed,) = first.committed([TopicPartition(topic, 0)], TIMEOUT_S)
    assert committed.offset == 1


def test_offsets_in_an_open_transaction_are_not_stable(
    cluster: Cluster,
    make_topic: MakeTopic,
    start_producer: StartProducer,
    start_consumer: StartConsumer,
) -> None:
    topic, group, producer = make_topic(partitions=2), unique("eos"), start_producer()
    outsider = start_consumer(group)
    outsider.commit(offsets=[TopicPartition(topic, p, 1) for p in (0, 1)], asynchronous=False)

    def offsets(*, stable: bool) -> list[tuple[int, KafkaError | None]]:
        wanted = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        request = [ConsumerGroupTopicPartitions(group, wanted)]
        found = cluster.admin.list_consumer_group_offsets(
            request, require_stable=stable, request_timeout=TIMEOUT_S
        )
        partitions = found[group].result(TIMEOUT_S).topic_partitions
        return [(tp.offset, tp.error) for tp in sorted(partitions, key=lambda tp: tp.partition)]

    producer.begin_transaction()
    producer.send_offsets_to_transaction(
        [TopicPartition(topic, 0, 7)], outsider.consumer_group_metadata(), TIMEOUT_S
    )
    assert offsets(stable=False) == [(1, None), (1, None)]
    with pytest.raises(KafkaException) as unstable:
        # librdkafka asks again for as long as the offset is not stable.
        outsider.committed([TopicPartition(topic, 0)], 2)
    assert unstable.value.args[0].code() in {
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError._TIMED_OUT,
    }
    (other,) = outsider.committed([TopicPartition(topic, 1)], TIMEOUT_S)
    assert other.offset == 1
    producer.commit_transaction(TIMEOUT_S)
    eventually(lambda: offsets(stable=True) == [(7, None), (1, None)])


# -- things go while a transaction is open ---------------------------------------------------


def test_a_topic_that_is_deleted_does_not_hold_up_its_transaction(
    cluster: Cluster, make_topic: MakeTopic, start_producer: StartProducer
) -> None:
    kept, gone, producer = make_topic(partitions=1), make_topic(partitions=1), start_producer()
    producer.begin_transaction()
    write(producer, kept, [b"kept"])
    write(producer, gone, [b"gone"])
    cluster.admin.delete_topics([gone])[gone].result(TIMEOUT_S)
    producer.commit_transaction(TIMEOUT_S)
    assert [one.value for one in cluster.consume(kept, 1)] == [b"kept"]
    producer.begin_transaction()
    write(producer, kept, [b"more"])
    producer.commit_transaction(TIMEOUT_S)
    assert len(cluster.consume(kept, 2)) == 2


def test_a_group_that_is_deleted_loses_the_offsets_of_an_open_transaction(
    cluster: Cluster,
    make_topic: MakeTopic,
    start_producer: StartProducer,
    start_consumer: StartConsumer,
) -> None:
    topic, group, producer = make_topic(partitions=1), unique("eos"), start_producer()
    outsider = start_consumer(group)
    outsider.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
    producer.begin_transaction()
    write(producer, topic, [b"x"])
    producer.send_offsets_to_transaction(
        [TopicPartition(topic, 0, 7)], outsider.consumer_group_metadata(), TIMEOUT_S
    )
    outsider.close()
    cluster.admin.delete_consumer_groups([group])[group].result(TIMEOUT_S)
    producer.commit_transaction(TIMEOUT_S)
    assert len(cluster.consume(topic, 1)) == 1
    assert cluster.committed(group, topic) == {}
