"""Groups of the ``consumer`` protocol (KIP-848), whose partitions the broker assigns."""

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest
from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupType,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from support.fixtures import MakeTopic, Produce
from support.kafka import Cluster
from support.wait import eventually

TIMEOUT_S = 10.0
Owned = set[tuple[str, int]]


class Join(Protocol):
    """Make a consumer of a group; it is closed at the end of the test."""

    def __call__(self, group: str, **settings: Any) -> Consumer: ...


@pytest.fixture
def join(broker: str) -> Iterator[Join]:
    with ExitStack() as closing:

        def make(group: str, **settings: Any) -> Consumer:
            member = Consumer(
                {
                    "bootstrap.servers": broker,
                    "log_level": 0,
                    "group.id": group,
                    "group.protocol": "consumer",
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    "topic.metadata.refresh.interval.ms": 500,
                    **settings,
                }
            )
            closing.callback(member.close)
            return member

        yield make


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex[:8]}"


def owned_by(member: Consumer) -> Owned:
    return {(tp.topic, tp.partition) for tp in member.assignment()}


def own(members: list[Consumer], counts: list[int]) -> Callable[[], bool]:
    """The members, polled, have so many partitions each, and no partition twice."""

    def check() -> bool:
        for member in members:
            message = member.poll(0.02)
            assert message is None or message.error() is None, message
        owned = [owned_by(member) for member in members]
        return sorted(map(len, owned)) == counts and len(set().union(*owned)) == sum(counts)

    return check


def test_members_share_the_partitions_and_only_some_move(
    make_topic: MakeTopic, join: Join, group: str
) -> None:
    topic = make_topic(partitions=6)
    first, second, third = (join(group) for _ in range(3))
    revoked: list[TopicPartition] = []
    first.subscribe([topic], on_revoke=lambda _, partitions: revoked.extend(partitions))
    eventually(own([first], [6]), why="the first member has everything")

    second.subscribe([topic])
    eventually(own([first, second], [3, 3]), why="three partitions each")
    assert len(revoked) == 3, "the others stayed"
    before = owned_by(first), owned_by(second)

    third.subscribe([topic])
    eventually(own([first, second, third], [2, 2, 2]), why="two partitions each")
    assert owned_by(first) < before[0]
    assert owned_by(second) < before[1]

    third.unsubscribe()
    eventually(own([first, second], [3, 3]), why="the third one's partitions come back")
    assert (owned_by(first) | owned_by(second)) == (before[0] | before[1])


def test_a_group_goes_on_where_it_has_committed(
    cluster: Cluster, make_topic: MakeTopic, produce: Produce, join: Join, group: str
) -> None:
    topic = make_topic(partitions=1)
    produce(topic, [b"0", b"1", b"2", b"3"])

    def read(member: Consumer, count: int) -> list[bytes | None]:
        got: list[bytes | None] = []

        def enough() -> bool:
            message = member.poll(0.1)
            if message is not None:
                assert message.error() is None, message.error()
                got.append(message.value())
            return len(got) >= count

        eventually(enough)
        return got

    first = join(group)
    first.subscribe([topic])
    assert read(first, 2) == [b"0", b"1"]
    first.commit(offsets=[TopicPartition(topic, 0, 2)], asynchronous=False)
    first.close()
    assert cluster.committed(group, topic) == {0: 2}
    second = join(group)
    second.subscribe([topic])
    assert read(second, 2) == [b"2", b"3"]


def test_ranges_keep_the_same_partitions_of_topics_together(
    make_topic: MakeTopic, join: Join, group: str
) -> None:
    topics = [make_topic(name, partitions=4) for name in ("left", "right")]
    members = [join(group, **{"group.remote.assignor": "range"}) for _ in range(2)]
    for member in members:
        member.subscribe(topics)
    eventually(own(members, [4, 4]), why="half of each topic each")
    for member in members:
        left, right = ({p for t, p in owned_by(member) if t == topic} for topic in topics)
        assert left == right
        assert left in ({0, 1}, {2, 3})


def test_an_assignor_that_the_broker_does_not_have_is_refused(
    make_topic: MakeTopic, join: Join, group: str
) -> None:
    topic = make_topic(partitions=1)
    member = join(group, **{"group.remote.assignor": "no-such"})
    member.subscribe([topic])

    def refused() -> bool:
        try:
            message = member.poll(0.05)
        except KafkaException as exc:
            return bool(exc.args[0].code() in {KafkaError._FATAL, KafkaError.UNSUPPORTED_ASSIGNOR})
        error = message.error() if message is not None else None
        return error is not None and error.code() in {
            KafkaError._FATAL,
            KafkaError.UNSUPPORTED_ASSIGNOR,
        }

    eventually(refused)


def test_a_pattern_finds_the_topics_of_today_and_of_tomorrow(
    make_topic: MakeTopic, join: Join, group: str
) -> None:
    prefix = f"p{uuid.uuid4().hex[:6]}"
    today = make_topic(f"{prefix}-a", partitions=2)
    member = join(group)
    member.subscribe([f"^{prefix}-[ab].*"])
    eventually(own([member], [2]), deadline_s=40, why="the topic that is there")
    tomorrow = make_topic(f"{prefix}-b", partitions=1)
    make_topic(f"{prefix}-c", partitions=1)
    eventually(own([member], [3]), deadline_s=40, why="the new topic, and no other")
    assert {topic for topic, _ in owned_by(member)} == {today, tomorrow}


def test_new_partitions_are_shared_too(
    cluster: Cluster, make_topic: MakeTopic, join: Join, group: str
) -> None:
    from confluent_kafka.cimpl import NewPartitions

    topic = make_topic(partitions=2)
    member = join(group)
    member.subscribe([topic])
    eventually(own([member], [2]))
    cluster.admin.create_partitions([NewPartitions(topic, 4)])[topic].result(TIMEOUT_S)
    eventually(own([member], [4]))


def test_a_static_member_comes_back_to_its_partitions(
    cluster: Cluster, make_topic: MakeTopic, join: Join, group: str
) -> None:
    topic = make_topic(partitions=4)
    rebalances: list[str] = []
    members = [join(group, **{"group.instance.id": f"i{i}"}) for i in range(2)]
    members[0].subscribe([topic], on_revoke=lambda *_: rebalances.append("revoked"))
    members[1].subscribe([topic])
    eventually(own(members, [2, 2]), why="two partitions each")
    before = [owned_by(member) for member in members]
    rebalances.clear()

    members[1].close()
    members[1] = join(group, **{"group.instance.id": "i1"})
    members[1].subscribe([topic])
    eventually(own(members, [2, 2]), why="two partitions each, again")

    assert [owned_by(member) for member in members] == before
    assert rebalances == []
    described = cluster.admin.describe_consumer_groups([group])[group].result(TIMEOUT_S)
    assert {m.group_instance_id for m in described.members} == {"i0", "i1"}


MEMBER = """
import sys
from confluent_kafka import Consumer

address, group, topic = sys.argv[1:]
member = Consumer({"bootstrap.servers": address, "group.id": group, "group.protocol": "consumer"})
member.subscribe([topic])
while True:
    member.poll(0.05)
    print(len(member.assignment()), flush=True)
"""


def test_the_partitions_of_a_killed_member_are_taken_over(
    broker: str, make_topic: MakeTopic, join: Join, group: str
) -> None:
    topic = make_topic(partitions=4)
    killed = subprocess.Popen(
        [sys.executable, "-c", MEMBER, broker, group, topic], stdout=subprocess.PIPE, text=True
    )
    try:
        assert killed.stdout is not None
        owned = (line.strip() for line in killed.stdout)
        assert any(count == "4" for count in owned), "it ended before it had everything"
        survivor = join(group)
        survivor.subscribe([topic])
        eventually(own([survivor], [2]), why="half of it")
    finally:
        killed.kill()
        killed.communicate()
    eventually(own([survivor], [4]), why="all of it, after the session of the other one")


def test_an_admin_sees_the_group_and_deletes_it_when_nobody_is_left(
    cluster: Cluster, make_topic: MakeTopic, join: Join, group: str
) -> None:
    topic = make_topic(partitions=2)
    member = join(group, **{"client.id": "the-client"})
    member.subscribe([topic])
    eventually(own([member], [2]))
    member.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)

    def listed(**filters: Any) -> set[str]:
        found = cluster.admin.list_consumer_groups(**filters).result(TIMEOUT_S)
        return {g.group_id for g in found.valid}

    assert group in listed(types={ConsumerGroupType.CONSUMER}, states={ConsumerGroupState.STABLE})
    assert group not in listed(types={ConsumerGroupType.CLASSIC})
    described = cluster.admin.describe_consumer_groups([group])[group].result(TIMEOUT_S)
    assert (described.state, described.type) == (
        ConsumerGroupState.STABLE,
        ConsumerGroupType.CONSUMER,
    )
    assert described.partition_assignor == "uniform"
    assert [m.client_id for m in described.members] == ["the-client"]
    owned = described.members[0].assignment.topic_partitions
    assert {(tp.topic, tp.partition) for tp in owned} == {(topic, 0), (topic, 1)}

    with pytest.raises(KafkaException) as refused:
        cluster.admin.delete_consumer_groups([group])[group].result(TIMEOUT_S)
    assert refused.value.args[0].code() == KafkaError.NON_EMPTY_GROUP
    member.close()
    cluster.admin.delete_consumer_groups([group])[group].result(TIMEOUT_S)
    assert group not in listed()
    assert cluster.committed(group, topic) == {}


def test_an_empty_group_changes_its_protocol_and_keeps_its_offsets(
    cluster: Cluster, make_topic: MakeTopic, join: Join, group: str
) -> None:
    topic = make_topic(partitions=2)
    for protocol, offset in (("classic", 1), ("consumer", 2), ("classic", 3)):
        member = join(group, **{"group.protocol": protocol})
        member.subscribe([topic])
        eventually(own([member], [2]), why=f"a member of the {protocol} protocol")
        described = cluster.admin.describe_consumer_groups([group])[group].result(TIMEOUT_S)
        assert described.type.name.lower() == protocol
        member.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
        member.close()
        assert cluster.committed(group, topic) == {0: offset}


@pytest.mark.embedded
def test_a_rebalance_by_hand_takes_everything_and_gives_it_back(
    make_topic: MakeTopic, join: Join, group: str, start_broker: Any
) -> None:
    broker = start_broker(consumer_heartbeat_interval_ms=100)
    cluster = Cluster(broker.address)
    topic = cluster.make_topic(partitions=4)
    members = [join(group, **{"bootstrap.servers": broker.address}) for _ in range(2)]
    moves: list[str] = []
    for member in members:
        member.subscribe(
            [topic],
            on_assign=lambda *_: moves.append("assigned"),
            on_revoke=lambda *_: moves.append("revoked"),
        )
    eventually(own(members, [2, 2]))
    moves.clear()
    assert broker.rebalance(group) == 1
    eventually(lambda: own(members, [2, 2])() and moves.count("revoked") >= 2)
    eventually(lambda: own(members, [2, 2])() and moves.count("assigned") >= 2)


@pytest.mark.embedded
def test_a_member_that_is_expired_by_hand_joins_again(
    join: Join, group: str, start_broker: Any
) -> None:
    broker = start_broker(consumer_heartbeat_interval_ms=100)
    topic = Cluster(broker.address).make_topic(partitions=2)
    member = join(group, **{"bootstrap.servers": broker.address, "client.id": "frozen"})
    lost: list[str] = []
    member.subscribe([topic], on_lost=lambda *_: lost.append("lost"))
    eventually(own([member], [2]))
    assert broker.expire_member(group, "frozen") == 1
    eventually(lambda: own([member], [2])() and lost == ["lost"])
