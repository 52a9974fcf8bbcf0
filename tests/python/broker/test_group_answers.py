"""What the broker answers members of the ``consumer`` protocol, request by request."""

import uuid
from collections.abc import Iterator

import pytest

from support.fixtures import MakeTopic
from support.kafka import Cluster
from support.wait import eventually
from support.wire import Beat, Owned, Wire

UNKNOWN_MEMBER_ID = 25
INVALID_REQUEST = 42
GROUP_ID_NOT_FOUND = 69
FENCED_INSTANCE_ID = 82
FENCED_MEMBER_EPOCH = 110
UNRELEASED_INSTANCE_ID = 111
UNSUPPORTED_ASSIGNOR = 112
STALE_MEMBER_EPOCH = 113
INVALID_REGULAR_EXPRESSION = 128


@pytest.fixture
def group(cluster: Cluster) -> str:
    name = f"group-{uuid.uuid4().hex[:8]}"
    cluster.committed(name, "any")  # finds its coordinator, which a new Kafka has to make
    return name


@pytest.fixture
def topic(make_topic: MakeTopic) -> str:
    return make_topic(partitions=4)


@pytest.fixture
def wire(broker: str, topic: str) -> Iterator[Wire]:
    connection = Wire(broker)
    eventually(lambda: len(connection.describe([topic], 10)[0][0][2]) == 4)
    yield connection
    connection.close()


def of(topic: str, *partitions: int) -> Owned:
    return {(topic, partition) for partition in partitions}


def test_a_partition_is_given_after_it_was_given_up(wire: Wire, topic: str, group: str) -> None:
    everything = of(topic, 0, 1, 2, 3)
    assert wire.heartbeat(group, "a", 0, topics=[topic]) == Beat(0, 1, everything)
    assert wire.heartbeat(group, "a", 0, topics=[topic]) == Beat(0, 1, everything), "lost answer"
    assert wire.heartbeat(group, "a", 1) == Beat(0, 1)
    assert wire.heartbeat(group, "b", 0, topics=[topic]) == Beat(0, 2, set())

    told = wire.heartbeat(group, "a", 1, owned=everything)
    assert told.owned is not None
    assert (told.epoch, len(told.owned)) == (1, 2)
    assert wire.heartbeat(group, "a", 1, owned=everything) == Beat(0, 1), "it still holds them"
    assert wire.heartbeat(group, "b", 2, owned=set()) == Beat(0, 2)
    assert wire.heartbeat(group, "a", 1, owned=told.owned) == Beat(0, 2)
    assert wire.heartbeat(group, "b", 2, owned=set()) == Beat(0, 2, everything - told.owned)

    assert wire.heartbeat(group, "a", 1, owned=told.owned) == Beat(0, 2), "lost answer"
    assert wire.heartbeat(group, "a", 1).error == FENCED_MEMBER_EPOCH
    assert wire.heartbeat(group, "a", 0, topics=[topic]).error == FENCED_MEMBER_EPOCH
    assert wire.heartbeat(group, "a", 3).error == FENCED_MEMBER_EPOCH
    assert wire.heartbeat(group, "a", -1) == Beat(0, -1)
    assert wire.heartbeat(group, "a", 2).error == UNKNOWN_MEMBER_ID
    assert wire.heartbeat(group, "b", 2) == Beat(0, 3, everything)
    assert wire.heartbeat(group, "b", -1) == Beat(0, -1)


def test_only_a_member_in_its_epoch_commits(
    cluster: Cluster, wire: Wire, topic: str, group: str
) -> None:
    place = (topic, 0)
    assert wire.commit(group, "a", 1, place, 1) == GROUP_ID_NOT_FOUND
    wire.heartbeat(group, "a", 0, topics=[topic])
    assert wire.commit(group, "a", 1, place, 5) == 0
    assert wire.commit(group, "a", 0, place, 6) == STALE_MEMBER_EPOCH
    assert wire.commit(group, "x", 1, place, 7) == UNKNOWN_MEMBER_ID
    assert wire.commit(group, "", -1, place, 8) == UNKNOWN_MEMBER_ID
    assert cluster.committed(group, topic) == {0: 5}
    wire.heartbeat(group, "a", -1)
    assert wire.commit(group, "", -1, place, 9) == 0
    assert cluster.committed(group, topic) == {0: 9}


def test_the_place_of_a_static_member_waits_for_its_next_self(
    wire: Wire, topic: str, group: str
) -> None:
    def beat(member: str, epoch: int, **said: list[str]) -> Beat:
        return wire.heartbeat(group, member, epoch, instance="i", topics=said.get("topics"))

    everything = of(topic, 0, 1, 2, 3)
    assert beat("a", 0, topics=[topic]) == Beat(0, 1, everything)
    assert beat("b", 0, topics=[topic]).error == UNRELEASED_INSTANCE_ID
    assert beat("a", 0, topics=[topic]).error == UNRELEASED_INSTANCE_ID
    assert beat("b", 1).error == FENCED_INSTANCE_ID
    assert wire.heartbeat(group, "a", 1, instance="j").error == UNKNOWN_MEMBER_ID
    assert wire.heartbeat(group, "a", -2).error == INVALID_REQUEST
    assert beat("a", -2) == Beat(0, -2)
    assert wire.heartbeat(group, "other", 0, topics=[topic]) == Beat(0, 2, set())
    told = beat("b", 0, topics=[topic])
    assert told.owned is not None
    assert (told.epoch, len(told.owned)) == (2, 2)
    assert beat("a", 1).error == FENCED_INSTANCE_ID
    assert wire.heartbeat(group, "other", 2) == Beat(0, 2, everything - told.owned)
    beat("b", -1)
    wire.heartbeat(group, "other", -1)


def test_what_cannot_be_is_refused_and_leaves_no_group(
    cluster: Cluster, wire: Wire, topic: str, group: str
) -> None:
    assert wire.heartbeat(group, "a", 1).error == GROUP_ID_NOT_FOUND
    assert wire.heartbeat(group, "a", -1).error == GROUP_ID_NOT_FOUND
    assert wire.heartbeat(group, "", 0, topics=[topic]).error == INVALID_REQUEST
    assert wire.heartbeat(group, "a", 0).error == INVALID_REQUEST, "no topics"
    assert wire.heartbeat(group, "a", -3).error == INVALID_REQUEST
    assert wire.heartbeat("", "a", 0, topics=[topic]).error == INVALID_REQUEST
    refused = wire.heartbeat(group, "a", 0, topics=[topic], assignor="sticky")
    assert refused.error == UNSUPPORTED_ASSIGNOR
    refused = wire.heartbeat(group, "a", 0, pattern="a(")
    assert refused.error == INVALID_REGULAR_EXPRESSION
    listed = cluster.admin.list_consumer_groups().result(10)
    assert group not in {g.group_id for g in listed.valid}


def test_partitions_are_described_page_by_page(
    cluster: Cluster, wire: Wire, make_topic: MakeTopic
) -> None:
    prefix = uuid.uuid4().hex[:6]
    a, b = (make_topic(f"{prefix}-{name}", partitions=3) for name in "ab")
    eventually(lambda: all(cluster.partitions(topic) == 3 for topic in (a, b)))
    eventually(lambda: [p for _, _, p in wire.describe([a, b], 10)[0]] == [[0, 1, 2]] * 2)
    missing = f"{prefix}-0"
    unknown: tuple[str, int, list[int]] = (missing, 3, [])
    assert wire.describe([b, a, missing], 4) == ([unknown, (a, 0, [0, 1, 2]), (b, 0, [0])], (b, 1))
    assert wire.describe([b, a, missing], 3) == ([unknown, (a, 0, [0, 1, 2])], (b, 0))
    assert wire.describe([b, a], 2, (a, 2)) == ([(a, 0, [2]), (b, 0, [0])], (b, 1))
    assert wire.describe([b, a], 9, (b, 1)) == ([(b, 0, [1, 2])], None)
    assert wire.describe([b], 9, (a, 1)) == ([(b, INVALID_REQUEST, [])], None)
