"""confluent-kafka (librdkafka), unchanged: producing, reading, groups and administration."""

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.cimpl import NewPartitions, NewTopic

from support.fixtures import MakeTopic, Produce
from support.kafka import Cluster
from support.wait import eventually

TIMEOUT_S = 10.0


def consumer(broker: str, group: str, **settings: Any) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": broker,
            "log_level": 0,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 200,
            "topic.metadata.refresh.interval.ms": 1000,
            **settings,
        }
    )


def group_name() -> str:
    return f"group-{uuid.uuid4().hex[:8]}"


def partitions_of(member: Consumer) -> set[int]:
    return {tp.partition for tp in member.assignment()}


def poll_all(*members: Consumer) -> None:
    for member in members:
        message = member.poll(0.02)
        assert message is None or message.error() is None, message


def own(members: list[Consumer], counts: list[int]) -> Callable[[], bool]:
    """The members, polled, have so many partitions each, and no partition twice."""

    def check() -> bool:
        poll_all(*members)
        owned = [partitions_of(member) for member in members]
        return sorted(map(len, owned)) == counts and len(set().union(*owned)) == sum(counts)

    return check


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_records_of_an_idempotent_producer_come_back_in_every_codec(
    cluster: Cluster, broker: str, make_topic: MakeTopic, codec: str
) -> None:
    topic = make_topic(codec, partitions=1)
    producer = Producer(
        {
            "bootstrap.servers": broker,
            "enable.idempotence": True,
            "compression.type": codec,
            "linger.ms": 20,
        }
    )
    headers: list[tuple[str, str | bytes | None]] = [("h", b"1"), ("h", b"2"), ("none", None)]
    start_ms = 1_700_000_000_000
    for i in range(1000):
        value = b"value %d " % i * 10
        producer.produce(topic, value, b"k%d" % i, headers=headers, timestamp=start_ms + i)
    assert producer.flush(TIMEOUT_S) == 0

    got = cluster.consume(topic, 1000)

    assert [one.value for one in got] == [b"value %d " % i * 10 for i in range(1000)]
    assert [one.offset for one in got] == list(range(1000))
    assert [one.timestamp_ms for one in got] == [start_ms + i for i in range(1000)]
    assert got[7].headers == (("h", b"1"), ("h", b"2"), ("none", None))

    # Exact, also inside a compressed batch.
    reader = consumer(broker, group_name())
    wanted = [TopicPartition(topic, 0, start_ms + 500)]
    assert reader.offsets_for_times(wanted, TIMEOUT_S)[0].offset == 500
    beyond = [TopicPartition(topic, 0, start_ms + 1000)]
    assert reader.offsets_for_times(beyond, TIMEOUT_S)[0].offset == -1
    reader.close()


def test_offsets_are_listed_by_every_specification(
    cluster: Cluster, make_topic: MakeTopic, produce: Produce
) -> None:
    topic = make_topic(partitions=1)
    for timestamp_ms in [3000, 9000, 5000]:
        produce(topic, [b"x"], timestamp_ms=timestamp_ms)

    def offset(spec: OffsetSpec) -> int:
        partition = TopicPartition(topic, 0)
        result = cluster.admin.list_offsets({partition: spec})[partition].result(TIMEOUT_S)
        assert isinstance(result.offset, int)
        return result.offset

    assert offset(OffsetSpec.earliest()) == 0  # type: ignore[no-untyped-call]
    assert offset(OffsetSpec.latest()) == 3  # type: ignore[no-untyped-call]
    assert offset(OffsetSpec.max_timestamp()) == 1  # type: ignore[no-untyped-call]
    assert offset(OffsetSpec.for_timestamp(4000)) == 1


def test_a_record_that_is_too_large_is_refused_and_the_next_one_is_not(
    broker: str, make_topic: MakeTopic
) -> None:
    topic = make_topic(partitions=1, config={"max.message.bytes": "2000"})
    producer = Producer({"bootstrap.servers": broker, "log_level": 0})
    results: list[KafkaError | None] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        results.append(error)

    for size in [3000, 1000]:
        producer.produce(topic, b"x" * size, on_delivery=delivered)
        assert producer.flush(TIMEOUT_S) == 0
    assert results[0] is not None
    assert results[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert results[1] is None


def test_a_compacted_topic_takes_only_records_with_keys(broker: str, make_topic: MakeTopic) -> None:
    topic = make_topic(partitions=1, config={"cleanup.policy": "compact"})
    producer = Producer({"bootstrap.servers": broker, "log_level": 0, "retries": 0})
    results: list[KafkaError | None] = []
    for key in [None, b"k"]:
        producer.produce(topic, b"x", key, on_delivery=lambda error, _: results.append(error))
        assert producer.flush(TIMEOUT_S) == 0
    assert results[0] is not None
    assert results[0].code() == KafkaError.INVALID_RECORD
    assert results[1] is None


@pytest.mark.parametrize("acks", [0, 1, -1])
def test_records_arrive_with_every_kind_of_acknowledgement(
    cluster: Cluster, broker: str, make_topic: MakeTopic, acks: int
) -> None:
    topic = make_topic(partitions=1)
    producer = Producer({"bootstrap.servers": broker, "acks": acks})
    for i in range(50):
        producer.produce(topic, b"%d" % i)
    assert producer.flush(TIMEOUT_S) == 0
    assert [one.value for one in cluster.consume(topic, 50)] == [b"%d" % i for i in range(50)]


def test_a_fetch_waits_for_the_record_and_not_longer(
    broker: str, make_topic: MakeTopic, produce: Produce
) -> None:
    topic = make_topic(partitions=1)
    reader = consumer(broker, group_name(), **{"fetch.wait.max.ms": 20_000})
    reader.assign([TopicPartition(topic, 0, 0)])
    assert reader.poll(0.5) is None, "the reader waits in a fetch now"
    produce(topic, [b"x"])
    start = time.monotonic()
    message = reader.poll(TIMEOUT_S)
    assert message is not None
    assert time.monotonic() - start < 5
    reader.close()


def test_partitions_move_between_cooperative_members(broker: str, make_topic: MakeTopic) -> None:
    topic, group = make_topic(partitions=4), group_name()
    strategy = {"partition.assignment.strategy": "cooperative-sticky"}
    first, second = consumer(broker, group, **strategy), consumer(broker, group, **strategy)
    first.subscribe([topic])
    eventually(own([first], [4]), why="the first member has everything")

    revoked: list[int] = []

    def on_revoke(_: Consumer, partitions: list[TopicPartition]) -> None:
        revoked.extend(tp.partition for tp in partitions)

    first.subscribe([topic], on_revoke=on_revoke)
    second.subscribe([topic])
    eventually(own([first, second], [2, 2]), why="two partitions each")
    assert len(revoked) == 2, "the others stayed"

    first.close()
    eventually(own([second], [4]), why="the second member takes over")
    second.close()


def test_a_static_member_comes_back_to_its_partitions(
    cluster: Cluster, broker: str, make_topic: MakeTopic
) -> None:
    topic, group = make_topic(partitions=4), group_name()
    rebalances: list[str] = []

    def on_revoke(_: Consumer, partitions: list[TopicPartition]) -> None:
        rebalances.append("revoked")

    members = [consumer(broker, group, **{"group.instance.id": f"i{i}"}) for i in range(2)]
    members[0].subscribe([topic], on_revoke=on_revoke)
    members[1].subscribe([topic])
    eventually(own(members, [2, 2]), why="two partitions each")
    before = [partitions_of(member) for member in members]
    rebalances.clear()

    members[1].close()
    members[1] = consumer(broker, group, **{"group.instance.id": "i1"})
    members[1].subscribe([topic])
    eventually(own(members, [2, 2]), why="two partitions each, again")

    assert [partitions_of(member) for member in members] == before
    assert rebalances == []
    described = cluster.admin.describe_consumer_groups([group])[group].result(TIMEOUT_S)
    assert {m.group_instance_id for m in described.members} == {"i0", "i1"}
    for member in members:
        member.close()


def test_a_second_owner_of_an_instance_id_fences_the_first(
    broker: str, make_topic: MakeTopic
) -> None:
    topic, group = make_topic(partitions=1), group_name()
    first = consumer(broker, group, **{"group.instance.id": "same"})
    first.subscribe([topic])
    eventually(own([first], [1]))
    second = consumer(broker, group, **{"group.instance.id": "same"})
    second.subscribe([topic])
    eventually(own([second], [1]))

    def fenced() -> bool:
        second.poll(0.02)
        try:
            message = first.poll(0.02)
        except KafkaException as exc:
            return bool(exc.args[0].fatal())
        error = message.error() if message is not None else None
        return error is not None and error.code() in {
            KafkaError._FATAL,
            KafkaError.FENCED_INSTANCE_ID,
        }

    eventually(fenced, why="the first one is told")
    first.close()
    second.close()


def test_committed_offsets_keep_their_metadata(
    cluster: Cluster, broker: str, make_topic: MakeTopic
) -> None:
    topic, group = make_topic(partitions=2), group_name()
    writer = consumer(broker, group)
    writer.commit(offsets=[TopicPartition(topic, 0, 42, "where we were")], asynchronous=False)
    committed = writer.committed([TopicPartition(topic, p) for p in range(2)], TIMEOUT_S)
    assert [(tp.offset, tp.metadata) for tp in committed] == [(42, "where we were"), (-1001, None)]
    writer.close()
    assert cluster.committed(group, topic) == {0: 42}


def test_a_commit_for_a_topic_that_is_not_there_is_refused(broker: str) -> None:
    member = consumer(broker, group_name())
    with pytest.raises(KafkaException) as refused:
        member.commit(offsets=[TopicPartition("no-such-topic", 0, 1)], asynchronous=False)
    assert refused.value.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    member.close()


def test_groups_are_listed_described_and_deleted(
    cluster: Cluster, broker: str, make_topic: MakeTopic
) -> None:
    topic, group = make_topic(partitions=2), group_name()
    member = consumer(broker, group, **{"client.id": "the-client"})
    member.subscribe([topic])
    eventually(own([member], [2]))

    listed = cluster.admin.list_consumer_groups().result(TIMEOUT_S)
    assert group in {g.group_id for g in listed.valid}
    described = cluster.admin.describe_consumer_groups([group])[group].result(TIMEOUT_S)
    assert described.state == ConsumerGroupState.STABLE
    assert [m.client_id for m in described.members] == ["the-client"]
    owned = described.members[0].assignment.topic_partitions
    assert {(tp.topic, tp.partition) for tp in owned} == {(topic, 0), (topic, 1)}

    with pytest.raises(KafkaException) as refused:
        cluster.admin.delete_consumer_groups([group])[group].result(TIMEOUT_S)
    assert refused.value.args[0].code() == KafkaError.NON_EMPTY_GROUP
    member.close()
    cluster.admin.delete_consumer_groups([group])[group].result(TIMEOUT_S)
    listed = cluster.admin.list_consumer_groups().result(TIMEOUT_S)
    assert group not in {g.group_id for g in listed.valid}


def test_topics_are_configured_grown_and_deleted(cluster: Cluster, make_topic: MakeTopic) -> None:
    topic = make_topic(partitions=1, config={"cleanup.policy": "compact"})
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)

    def config(name: str) -> str | None:
        found = cluster.admin.describe_configs([resource])[resource].result(TIMEOUT_S)
        value = found[name].value
        assert value is None or isinstance(value, str)
        return value

    assert config("cleanup.policy") == "compact"
    assert config("max.message.bytes") == "1048588"
    change = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    altered = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[change])
    cluster.admin.incremental_alter_configs([altered])[altered].result(TIMEOUT_S)
    assert config("retention.ms") == "1000"

    cluster.admin.create_partitions([NewPartitions(topic, 3)])[topic].result(TIMEOUT_S)
    eventually(lambda: cluster.partitions(topic) == 3)
    cluster.admin.delete_topics([topic])[topic].result(TIMEOUT_S)
    eventually(lambda: topic not in cluster.topics())


@pytest.mark.parametrize(
    ("new", "code"),
    [
        (NewTopic("bad name", 1, 1), KafkaError.TOPIC_EXCEPTION),
        (NewTopic("t", 0, 1), KafkaError.INVALID_PARTITIONS),
        (NewTopic("t", 1, 3), KafkaError.INVALID_REPLICATION_FACTOR),
        (NewTopic("t", 1, 1, config={"no.such": "1"}), KafkaError.INVALID_CONFIG),
        (NewTopic("t", 1, 1, config={"retention.ms": "soon"}), KafkaError.INVALID_CONFIG),
    ],
)
def test_a_topic_that_cannot_be_is_refused(broker: str, new: NewTopic, code: int) -> None:
    admin = AdminClient({"bootstrap.servers": broker})
    with pytest.raises(KafkaException) as refused:
        admin.create_topics([new])[new.topic].result(TIMEOUT_S)
    assert refused.value.args[0].code() == code


def test_records_in_front_of_an_offset_are_deleted(
    cluster: Cluster, make_topic: MakeTopic, produce: Produce
) -> None:
    topic = make_topic(partitions=1)
    for i in range(4):
        produce(topic, [b"%d" % i])
    partition = TopicPartition(topic, 0, 3)
    deleted = cluster.admin.delete_records([partition])
    assert next(iter(deleted.values())).result(TIMEOUT_S).low_watermark == 3
    reader = consumer(cluster.address, group_name())
    assert reader.get_watermark_offsets(TopicPartition(topic, 0), TIMEOUT_S) == (3, 4)
    reader.close()
