"""What requests of transactions are answered that no client sends on purpose."""

import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from confluent_kafka import Producer

from support.fixtures import MakeTopic
from support.kafka import CLIENT_TIMEOUT_S
from support.transaction_wire import Connection, Owner, batch

NONE = 0
UNKNOWN_TOPIC_OR_PARTITION = 3
ILLEGAL_GENERATION = 22
INVALID_REQUEST = 42
INVALID_PRODUCER_EPOCH = 47
OUT_OF_ORDER_SEQUENCE = 45
INVALID_TXN_STATE = 48
INVALID_PRODUCER_ID_MAPPING = 49
INVALID_TRANSACTION_TIMEOUT = 50
CONCURRENT_TRANSACTIONS = 51
TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
OPERATION_NOT_ATTEMPTED = 55
PRODUCER_FENCED = 90
GROUP = "no-such-group"


@pytest.fixture
def connection(broker: str) -> Iterator[Connection]:
    # The first transaction lets Apache Kafka make its own topics.
    config = {"bootstrap.servers": broker, "transactional.id": "first", "log_level": 0}
    Producer(config).init_transactions(CLIENT_TIMEOUT_S)
    with Connection(broker) as connection:
        yield connection


@pytest.fixture
def name() -> str:
    return f"tx-{uuid.uuid4().hex[:8]}"


def owned(connection: Connection, name: str, expected: Owner | None = None) -> Owner:
    """Own a transactional id; asks again while its last transaction ends."""
    deadline = time.monotonic() + CLIENT_TIMEOUT_S
    while True:
        error, owner = connection.init(name, expected=expected)
        if error == NONE:
            return owner
        assert error == CONCURRENT_TRANSACTIONS
        assert time.monotonic() < deadline


def add_0(connection: Connection, name: str, owner: Owner, topic: str, version: int = 2) -> int:
    """Add partition 0 of a topic; its error."""
    return connection.add_partitions(name, owner, [(topic, 0)], version)[topic, 0]


def settled(ask: Callable[[], int]) -> int:
    """Error of a request, which is made again while the last transaction ends."""
    deadline = time.monotonic() + CLIENT_TIMEOUT_S
    while (error := ask()) == CONCURRENT_TRANSACTIONS:
        assert time.monotonic() < deadline
    return error


def add(connection: Connection, name: str, owner: Owner, topic: str) -> None:
    assert settled(lambda: add_0(connection, name, owner, topic)) == NONE


def test_a_stale_owner_is_told_so_in_the_words_of_its_version(
    connection: Connection, name: str, make_topic: MakeTopic
) -> None:
    topic = make_topic(partitions=1)
    old = owned(connection, name)
    new = owned(connection, name)
    assert (new.producer_id, new.epoch) == (old.producer_id, old.epoch + 1)
    for version, code in [(0, INVALID_PRODUCER_EPOCH), (1, INVALID_PRODUCER_EPOCH)]:
        assert add_0(connection, name, old, topic, version) == code
        assert connection.add_offsets(name, old, GROUP, version) == code
        assert connection.end(name, old, commit=True, version=version) == code
    assert add_0(connection, name, old, topic) == PRODUCER_FENCED
    assert connection.add_offsets(name, old, GROUP, 2) == PRODUCER_FENCED
    assert connection.end(name, old, commit=True, version=2) == PRODUCER_FENCED
    assert connection.init(name, expected=old, version=3)[0] == INVALID_PRODUCER_EPOCH
    assert connection.init(name, expected=old, version=4)[0] == PRODUCER_FENCED
    assert connection.produce(name, topic, batch(old, 0)) == INVALID_PRODUCER_EPOCH


def test_a_stranger_is_told_that_the_id_is_not_its_own(
    connection: Connection, name: str, make_topic: MakeTopic
) -> None:
    topic = make_topic(partitions=1)
    owner = owned(connection, name)
    stranger = Owner(owner.producer_id + 1_000_000, 0)
    for who, by in [(name, stranger), (f"{name}-unknown", owner)]:
        assert add_0(connection, who, by, topic) == INVALID_PRODUCER_ID_MAPPING
        assert connection.add_offsets(who, by, GROUP, 2) == INVALID_PRODUCER_ID_MAPPING
        assert connection.end(who, by, commit=True, version=2) == INVALID_PRODUCER_ID_MAPPING
        assert connection.produce(who, topic, batch(by, 0)) == INVALID_PRODUCER_ID_MAPPING
    assert connection.init(name, expected=stranger)[0] == PRODUCER_FENCED


def test_a_transaction_ends_once_and_only_in_one_way(
    connection: Connection, name: str, make_topic: MakeTopic
) -> None:
    topic = make_topic(partitions=1)
    owner = owned(connection, name)
    for commit in (True, False):
        assert connection.end(name, owner, commit=commit, version=2) == INVALID_TXN_STATE

    def end(commit: bool) -> int:  # noqa: FBT001 - one argument
        return settled(partial(connection.end, name, owner, commit=commit, version=2))

    for commit in (True, False):
        add(connection, name, owner, topic)
        assert [end(commit), end(commit), end(not commit)] == [NONE, NONE, INVALID_TXN_STATE]


def test_partitions_are_added_all_or_none(
    connection: Connection, name: str, make_topic: MakeTopic
) -> None:
    topic, owner = make_topic(partitions=1), owned(connection, name)
    places = [(topic, 0), (topic, 7), ("no-such-topic", 0)]
    assert connection.add_partitions(name, owner, places, 2) == {
        (topic, 0): OPERATION_NOT_ATTEMPTED,
        (topic, 7): UNKNOWN_TOPIC_OR_PARTITION,
        ("no-such-topic", 0): UNKNOWN_TOPIC_OR_PARTITION,
    }
    assert connection.end(name, owner, commit=True, version=2) == INVALID_TXN_STATE


def test_records_need_a_transaction_and_its_partition(
    connection: Connection, name: str, make_topic: MakeTopic
) -> None:
    topic, other = make_topic(partitions=1), make_topic(partitions=1)
    owner = owned(connection, name)
    assert connection.produce(name, topic, batch(owner, 0)) == INVALID_TXN_STATE
    add(connection, name, owner, topic)
    assert connection.produce(name, other, batch(owner, 0)) == INVALID_TXN_STATE
    unnamed = connection.produce(None, topic, batch(owner, 0))
    assert unnamed == TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    assert connection.produce(name, topic, batch(owner, 0)) == NONE
    plain = batch(owner, 1, transactional=False)
    assert connection.produce(None, topic, plain) == INVALID_TXN_STATE
    assert connection.produce(name, topic, batch(owner, 2)) == OUT_OF_ORDER_SEQUENCE
    assert connection.produce(name, topic, batch(owner, 1)) == NONE
    assert connection.end(name, owner, commit=True, version=2) == NONE


def test_a_producer_is_initialized_with_what_it_can_be(
    connection: Connection, name: str, make_topic: MakeTopic
) -> None:
    for timeout_ms in (0, -1, 900_001):
        error, nobody = connection.init(name, timeout_ms=timeout_ms)
        assert (error, nobody) == (INVALID_TRANSACTION_TIMEOUT, Owner(-1, -1))
    assert connection.init("")[0] == INVALID_REQUEST
    assert connection.init(name, expected=Owner(-1, 3))[0] == INVALID_REQUEST
    first = owned(connection, name)
    second = owned(connection, name, expected=first)
    assert second == Owner(first.producer_id, first.epoch + 1)
    assert owned(connection, name, expected=first) == second, "its answer was lost"
    third = owned(connection, name)
    assert connection.init(name, expected=first)[0] == PRODUCER_FENCED

    add(connection, name, third, make_topic(partitions=1))
    assert connection.init(name)[0] == CONCURRENT_TRANSACTIONS, "its transaction ends first"
    fourth = owned(connection, name)
    assert fourth == Owner(third.producer_id, third.epoch + 2), "one epoch is for fencing"


def test_an_owner_whose_transaction_was_aborted_may_come_back_unless_it_has_a_successor(
    connection: Connection, name: str, make_topic: MakeTopic
) -> None:
    topic = make_topic(partitions=1)
    first = owned(connection, name)
    second = owned(connection, name)
    add(connection, name, second, topic)
    # Even a zombie ends the transaction of its successor, but is nobody afterwards.
    assert connection.init(name, expected=first)[0] == CONCURRENT_TRANSACTIONS
    zombie = settled(lambda: connection.init(name, expected=first)[0])
    assert zombie == PRODUCER_FENCED
    assert connection.end(name, second, commit=True, version=2) == PRODUCER_FENCED
    third = owned(connection, name, expected=second)
    assert third == Owner(second.producer_id, second.epoch + 1)
    add(connection, name, third, topic)
    assert connection.end(name, third, commit=True, version=2) == NONE
    settled(lambda: add_0(connection, name, third, topic))
    fourth = owned(connection, name)
    assert fourth == Owner(third.producer_id, third.epoch + 2)
    assert connection.init(name, expected=third)[0] == PRODUCER_FENCED


def test_offsets_need_a_group_of_the_transaction_and_a_member_of_the_group(
    connection: Connection, name: str, make_topic: MakeTopic
) -> None:
    topic, group = make_topic(partitions=1), f"group-{uuid.uuid4().hex[:8]}"
    owner = owned(connection, name)
    assert connection.commit_offset(name, owner, group, topic) == INVALID_TXN_STATE
    assert connection.add_offsets(name, owner, group, 2) == NONE
    member = ("nobody", 3)
    assert connection.commit_offset(name, owner, group, topic, member=member) == ILLEGAL_GENERATION
    assert connection.commit_offset(name, owner, group, "missing") == UNKNOWN_TOPIC_OR_PARTITION
    unknown = connection.commit_offset(f"{name}-unknown", owner, group, topic)
    assert unknown == INVALID_PRODUCER_ID_MAPPING
    assert connection.commit_offset(name, owner, group, topic) == NONE
    stale = Owner(owner.producer_id, owner.epoch + 7)
    assert connection.commit_offset(name, stale, group, topic) == INVALID_PRODUCER_EPOCH
    assert connection.end(name, owner, commit=True, version=2) == NONE
