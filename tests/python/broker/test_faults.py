"""Requests that go wrong on purpose, and what clients make of it."""

import threading
import time
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from support.clients import consumer, producer, write
from support.kafka import Cluster
from support.wait import eventually
from turbine import EmbeddedBroker
from turbine._native import Clock

from .conftest import StartBroker

pytestmark = pytest.mark.embedded


def read(broker: EmbeddedBroker, topic: str, count: int) -> list[int]:
    return [int(one.value or b"") for one in Cluster(broker.address).consume(topic, count)]


# -- fail ------------------------------------------------------------------------------------


def test_an_error_that_passes_is_retried_and_nothing_is_lost(start_broker: StartBroker) -> None:
    broker = start_broker()
    fault = broker.fail("Produce", "NOT_LEADER_OR_FOLLOWER", 3, topic="t")
    assert write(producer(broker.address), "t", 50) == []
    assert fault.hits == 3
    assert read(broker, "t", 50) == list(range(50))


def test_an_error_that_stays_reaches_the_caller(start_broker: StartBroker) -> None:
    broker = start_broker()
    broker.fail("produce", "message_too_large", None)
    errors = write(producer(broker.address), "t", 1)
    assert [error.code() for error in errors] == [KafkaError.MSG_SIZE_TOO_LARGE]
    broker.clear_faults()
    assert write(producer(broker.address), "t", 1) == []
    assert broker.faults() == []


def test_a_refused_commit_has_no_effect(start_broker: StartBroker) -> None:
    broker = start_broker()
    topic = Cluster(broker.address).make_topic()
    member = consumer(broker.address, "g")
    fault = broker.fail("OffsetCommit", 25)
    with pytest.raises(KafkaException) as refused:
        member.commit(offsets=[TopicPartition(topic, 0, 7)], asynchronous=False)
    assert refused.value.args[0].code() == KafkaError.UNKNOWN_MEMBER_ID
    assert fault.hits == 1
    assert Cluster(broker.address).committed("g", topic) == {}
    member.commit(offsets=[TopicPartition(topic, 0, 7)], asynchronous=False)
    assert Cluster(broker.address).committed("g", topic) == {0: 7}
    member.close()


def test_a_fault_is_about_its_client_and_its_topic_only(start_broker: StartBroker) -> None:
    broker = start_broker()
    fault = broker.fail("Produce", "TOPIC_AUTHORIZATION_FAILED", None, topic="t", client="bad")
    assert write(producer(broker.address, **{"client.id": "good"}), "t", 3) == []
    assert write(producer(broker.address, **{"client.id": "bad"}), "other", 3) == []
    assert fault.hits == 0
    assert len(write(producer(broker.address, **{"client.id": "bad"}), "t", 1)) == 1
    assert fault.hits == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b: b.fail("Produced", 1), 'called "Produced": do you mean Produce'),
        (lambda b: b.fail("Produce", "NOT_LEADER"), "do you mean NOT_LEADER_OR_FOLLOWER"),
        (lambda b: b.fail("Produce", 0), "0 is the code of no error"),
        (lambda b: b.delay("Produce", 5, 0), "times is 0"),
        (lambda b: b.hold("Heartbeat", topic="t"), "Heartbeat names no topic"),
        (lambda b: b.disconnect("Vote"), "does not serve Vote"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(
    start_broker: StartBroker, call: Callable[[EmbeddedBroker], object], message: str
) -> None:
    broker = start_broker()
    with pytest.raises(ValueError, match=message):
        call(broker)
    assert broker.faults() == []


# -- connections -----------------------------------------------------------------------------


def test_an_idempotent_producer_leaves_no_duplicate_when_responses_are_lost(
    start_broker: StartBroker,
) -> None:
    broker = start_broker()
    lost = broker.drop_response("Produce", 5)
    refused = broker.disconnect("Produce", 5)
    client = producer(broker.address, **{"batch.num.messages": 10})
    assert write(client, "t", 200) == []
    assert (lost.hits, refused.hits) == (5, 5)
    assert read(broker, "t", 200) == list(range(200))


def test_without_idempotence_a_lost_response_makes_a_duplicate(start_broker: StartBroker) -> None:
    broker = start_broker()
    broker.drop_response("Produce")
    assert write(producer(broker.address, **{"enable.idempotence": False}), "t", 1) == []
    assert read(broker, "t", 2) == [0, 0]


def test_a_consumer_reads_on_after_its_connection_was_closed(start_broker: StartBroker) -> None:
    broker = start_broker()
    write(producer(broker.address), "t", 10)
    fault = broker.drop_response("Fetch", 2)
    member = consumer(broker.address, "g")
    member.assign([TopicPartition("t", 0, 0)])
    got: list[Message] = []

    def has_all() -> bool:
        got.extend(member.consume(10, 0.1))
        return len(got) == 10

    eventually(has_all)
    assert fault.hits == 2
    member.close()


# -- time ------------------------------------------------------------------------------------


def test_what_is_held_has_no_effect_until_it_is_released(start_broker: StartBroker) -> None:
    broker = start_broker()
    cluster = Cluster(broker.address)
    topic = cluster.make_topic()
    held = broker.hold("Produce", topic=topic)
    errors: list[list[KafkaError]] = []
    client = producer(broker.address)
    writer = threading.Thread(target=lambda: errors.append(write(client, topic, 1)))
    writer.start()
    eventually(lambda: held.hits == 1, why="the request is there")
    assert cluster.ends(topic)[0] == 0
    assert repr(held) == f"<Fault hold Produce requests, topic {topic}: 1 times>"
    broker.release()
    writer.join(20)
    assert errors == [[]]
    assert cluster.ends(topic)[0] == 1


def test_a_held_request_is_served_even_when_its_client_has_gone(start_broker: StartBroker) -> None:
    broker = start_broker()
    cluster = Cluster(broker.address)
    topic = cluster.make_topic()
    held = broker.hold("Produce")
    gone = Producer({"bootstrap.servers": broker.address, "log_level": 0})
    gone.produce(topic, b"late", partition=0)
    eventually(lambda: held.hits == 1)
    gone.purge()
    gone.flush(10)
    assert cluster.ends(topic)[0] == 0
    held.remove()
    eventually(lambda: cluster.ends(topic)[0] == 1)


def test_a_delay_takes_the_time_of_the_machine(start_broker: StartBroker) -> None:
    broker = start_broker()
    client = producer(broker.address)
    write(client, "t", 1)
    fault = broker.delay("Produce", 300, 1)
    start = time.monotonic()
    write(client, "t", 1)
    assert time.monotonic() - start >= 0.3
    assert fault.hits == 1


def test_a_delay_on_a_clock_that_stands_still_waits_for_it(start_broker: StartBroker) -> None:
    clock = Clock(time.time())  # the records of a client have its own time
    broker = start_broker(clock=clock)
    cluster = Cluster(broker.address)
    topic = cluster.make_topic()
    fault = broker.delay("Produce", 60_000, 1)
    client = producer(broker.address)
    client.produce(topic, b"x", partition=0)
    eventually(lambda: client.poll(0) == 0 and fault.hits == 1)
    clock.advance(59)
    assert cluster.ends(topic)[0] == 0
    clock.advance(1)
    assert client.flush(20) == 0
    assert cluster.ends(topic)[0] == 1


def test_a_clock_moves_only_when_told_and_never_back() -> None:
    clock = Clock(1_000.5)
    assert (clock.now(), clock.now_ms()) == (1_000.5, 1_000_500)
    clock.advance(0.25)
    assert (clock.now(), clock.now_ms()) == (1_000.75, 1_000_750)
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="time does not go back"):
            clock.advance(wrong)


def test_a_broker_that_holds_requests_can_stop(start_broker: StartBroker) -> None:
    broker = start_broker()
    held = broker.hold()
    client = producer(broker.address, **{"socket.timeout.ms": 1000})
    client.produce("t", b"x")
    eventually(lambda: client.poll(0) == 0 and held.hits >= 1)
    broker.stop()
    client.purge()
    client.flush(10)
