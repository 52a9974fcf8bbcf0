"""A proxy in front of the broker under test, and what clients make of its faults."""

import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from support.clients import consumer, producer, write
from support.fixtures import Produce
from support.kafka import Cluster
from support.wait import eventually
from turbine import EmbeddedBroker
from turbine._native import Fault, FaultProxy

from .conftest import StartBroker


@pytest.fixture
def proxy(broker: str) -> Iterator[FaultProxy]:
    proxy = FaultProxy(broker)
    yield proxy
    proxy.close()


def new_group() -> str:
    return f"group-{uuid.uuid4().hex[:8]}"


def numbers(cluster: Cluster, topic: str, count: int) -> list[int]:
    return [int(one.value or b"") for one in cluster.consume(topic, count)]


def test_clients_stay_behind_the_proxy(proxy: FaultProxy, cluster: Cluster, topic: str) -> None:
    client = producer(proxy.address)
    named = {f"{node.host}:{node.port}" for node in client.list_topics(timeout=10).brokers.values()}
    own = f"127.0.0.1:{cluster.address.rsplit(':', 1)[1]}"
    assert named
    assert not named & {cluster.address, own}
    assert write(client, topic, 100) == []
    member = consumer(proxy.address, new_group())
    member.subscribe([topic])
    got: list[Message] = []
    eventually(lambda: len(extended(got, member)) == 100)
    member.commit(asynchronous=False)
    assert proxy.connections >= 2
    proxy.cut()
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": next(iter(named)), "log_level": 0}).list_topics(timeout=1)
    proxy.restore()
    member.close()
    eventually(lambda: proxy.connections <= 2, why="the connections of the consumer are gone")


def extended(got: list[Message], member: Consumer) -> list[Message]:
    got.extend(member.consume(1000, 0.1))
    return got


def test_an_idempotent_producer_leaves_no_duplicate_when_responses_are_lost(
    proxy: FaultProxy, cluster: Cluster, topic: str
) -> None:
    client = producer(proxy.address, **{"batch.num.messages": 10})
    write(client, topic, 1)
    lost, refused = proxy.drop_response("Produce", 5), proxy.disconnect("Produce", 5, topic=topic)
    assert write(client, topic, 200) == []
    assert (lost.hits, refused.hits) == (5, 5)
    assert numbers(cluster, topic, 201) == [0, *range(200)]


def test_without_idempotence_a_lost_response_makes_a_duplicate(
    proxy: FaultProxy, cluster: Cluster, topic: str
) -> None:
    proxy.drop_response("Produce")
    assert write(producer(proxy.address, **{"enable.idempotence": False}), topic, 1) == []
    assert numbers(cluster, topic, 2) == [0, 0]


def test_an_error_can_be_made_up_in_front_of_any_broker(
    proxy: FaultProxy, cluster: Cluster, topic: str
) -> None:
    client = producer(proxy.address)
    passing = proxy.fail("Produce", "NOT_LEADER_OR_FOLLOWER", 3, topic=topic)
    assert write(client, topic, 50) == []
    assert passing.hits == 3
    lasting = proxy.fail("Produce", "MESSAGE_TOO_LARGE", None)
    plain = producer(proxy.address, **{"enable.idempotence": False})
    assert [error.code() for error in write(plain, topic, 1)] == [KafkaError.MSG_SIZE_TOO_LARGE]
    assert lasting.hits == 1
    proxy.clear_faults()
    assert numbers(cluster, topic, 50) == list(range(50))

    member = consumer(proxy.address, new_group())
    refused = proxy.fail("OffsetCommit", "UNKNOWN_MEMBER_ID")
    with pytest.raises(KafkaException) as caught:
        member.commit(offsets=[TopicPartition(topic, 0, 7)], asynchronous=False)
    assert caught.value.args[0].code() == KafkaError.UNKNOWN_MEMBER_ID
    assert refused.hits == 1
    member.commit(offsets=[TopicPartition(topic, 0, 7)], asynchronous=False)
    member.close()


def test_metadata_that_fail_still_name_the_nodes(proxy: FaultProxy, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": proxy.address, "log_level": 0})
    admin.list_topics(timeout=10)
    fault = proxy.fail("Metadata", "TOPIC_AUTHORIZATION_FAILED", topic=topic)
    described = admin.list_topics(topic, timeout=10)
    error = described.topics[topic].error
    assert error is not None
    assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert {f"{node.host}:{node.port}" for node in described.brokers.values()} == {proxy.address}
    assert fault.hits == 1
    assert admin.list_topics(topic, timeout=10).topics[topic].error is None


def test_requests_sent_together_are_answered_in_order_by_node_and_proxy(proxy: FaultProxy) -> None:
    versions, groups = (struct.pack(">ihhih", 10, key, 0, key, -1) for key in (18, 16))
    fault = proxy.fail("ListGroups", "COORDINATOR_NOT_AVAILABLE", None)
    host, port = proxy.address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall((groups + groups + versions) * 20)
        got: list[int] = []
        for _ in range(60):
            (length,) = struct.unpack(">i", client.recv(4, socket.MSG_WAITALL))
            answer = client.recv(length, socket.MSG_WAITALL)
            key, error = struct.unpack(">ih", answer[:6])
            got.append(key)
            assert error == (15 if key == 16 else 0)
    assert got == [16, 16, 18] * 20
    assert fault.hits == 40


def test_a_delay_can_be_on_the_way_there_or_on_the_way_back(proxy: FaultProxy, topic: str) -> None:
    client = producer(proxy.address)
    write(client, topic, 1)
    for direction in ("requests", "responses"):
        fault = proxy.delay("Produce", 300, 1, direction=direction)
        start = time.monotonic()
        write(client, topic, 1)
        assert time.monotonic() - start >= 0.3
        assert fault.hits == 1


def test_what_waits_on_the_way_there_has_no_effect_and_what_waits_on_the_way_back_has(
    proxy: FaultProxy, cluster: Cluster, topic: str
) -> None:
    client = producer(proxy.address)
    write(client, topic, 1)
    for direction, arrived in (("requests", 1), ("responses", 3)):
        held = proxy.hold(direction, "Produce")
        client.produce(topic, b"x", partition=0)
        eventually(partial(has_hits, held))
        assert cluster.ends(topic)[0] == arrived
        assert len(client) == 1
        proxy.release()
        assert client.flush(20) == 0
        assert cluster.ends(topic)[0] == max(arrived, 2)


def test_what_waits_arrives_even_if_its_client_has_gone(
    proxy: FaultProxy, cluster: Cluster, topic: str
) -> None:
    zombie = producer(proxy.address)
    write(zombie, topic, 1)
    held = proxy.hold("both", "Produce")
    zombie.produce(topic, b"late", partition=0)
    eventually(lambda: held.hits == 1)
    zombie.purge()
    zombie.flush(10)
    del zombie
    assert cluster.ends(topic)[0] == 1
    proxy.release()
    eventually(lambda: cluster.ends(topic)[0] == 2)
    eventually(lambda: proxy.connections == 0)


def test_after_a_cut_nothing_arrives(proxy: FaultProxy, cluster: Cluster, topic: str) -> None:
    client = producer(proxy.address, **{"batch.num.messages": 1})
    stop = threading.Event()

    def write_on() -> None:
        while not stop.is_set():
            if len(client) < 100:
                client.produce(topic, b"x", partition=0)
            client.poll(0.001)

    writer = threading.Thread(target=write_on)
    writer.start()
    eventually(lambda: cluster.ends(topic)[0] > 50)
    proxy.cut()
    eventually(lambda: proxy.connections == 0)
    # What had left the proxy may still be on its way through the broker.
    before = settled(lambda: cluster.ends(topic)[0])
    time.sleep(0.3)
    assert cluster.ends(topic)[0] == before
    proxy.restore()
    eventually(lambda: cluster.ends(topic)[0] > before)
    stop.set()
    writer.join()
    assert client.flush(20) == 0


def has_hits(fault: Fault) -> bool:
    return fault.hits > 0


def settled(look: Callable[[], int]) -> int:
    """Return the value of *look* once it is the same twice."""
    last = [-1]

    def same() -> bool:
        before, last[0] = last[0], look()
        return before == last[0]

    eventually(same)
    return last[0]


def test_a_consumer_that_is_cut_off_loses_its_partitions(
    proxy: FaultProxy, broker: str, topic: str
) -> None:
    group, quick = new_group(), {"session.timeout.ms": 6000}
    cut_off = consumer(proxy.address, group, **quick)
    cut_off.subscribe([topic])
    eventually(lambda: cut_off.poll(0.05) is None and len(cut_off.assignment()) == 4)
    heir = consumer(broker, group, **quick)
    heir.subscribe([topic])
    proxy.cut()
    eventually(lambda: heir.poll(0.1) is None and len(heir.assignment()) == 4, deadline_s=30)
    proxy.restore()
    # It has been away: it joins again, and they share.
    eventually(
        lambda: (
            cut_off.poll(0.05) is None
            and heir.poll(0.05) is None
            and len(cut_off.assignment()) == len(heir.assignment()) == 2
        ),
        deadline_s=30,
    )
    cut_off.close()
    heir.close()


def test_a_reset_is_survived(proxy: FaultProxy, cluster: Cluster, topic: str) -> None:
    client = producer(proxy.address)
    for i in range(3):
        assert write(client, topic, 10) == []
        proxy.reset()
        assert cluster.ends(topic)[0] == 10 * (i + 1)


def test_records_pass_unharmed_and_by_the_million_bytes(
    proxy: FaultProxy, cluster: Cluster, topic: str
) -> None:
    client = producer(proxy.address, **{"compression.type": "none", "linger.ms": 5})
    payload = [uuid.uuid4().bytes * 5_000 for _ in range(8)]
    for i in range(160):
        client.produce(topic, payload[i % 8], partition=i % 4)
        client.poll(0)
    assert client.flush(30) == 0
    member = consumer(proxy.address, new_group())
    member.assign([TopicPartition(topic, p, 0) for p in range(4)])
    got: list[Message] = []
    eventually(lambda: len(extended(got, member)) == 160)
    values = sorted(message.value() or b"" for message in got)
    assert values == sorted(payload[i % 8] for i in range(160))
    member.close()


@pytest.mark.parametrize("acks", [0, 1])
def test_requests_without_responses_pass(
    proxy: FaultProxy, cluster: Cluster, topic: str, acks: int
) -> None:
    client = producer(proxy.address, **{"enable.idempotence": False, "acks": acks})
    assert write(client, topic, 20) == []
    assert client.list_topics(topic, timeout=10).topics[topic].error is None
    eventually(lambda: cluster.ends(topic)[0] == 20)


# -- without a cluster -----------------------------------------------------------------------


def test_a_cluster_that_is_not_there_yet_is_reached_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    proxy = FaultProxy(f"127.0.0.1:{port}")
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": proxy.address, "log_level": 0}).list_topics(timeout=0.5)
    broker = EmbeddedBroker(port=port)
    assert Cluster(proxy.address).topics() == set()
    broker.stop()
    proxy.close()


@pytest.mark.parametrize("upstream", ["", "localhost", ":9092", "localhost:none", "a:1,,b:2"])
def test_an_upstream_that_is_no_address_is_refused(upstream: str) -> None:
    with pytest.raises(ValueError, match="is no address: give host:port"):
        FaultProxy(upstream)


@pytest.mark.embedded
def test_every_node_of_a_cluster_has_a_listener(start_broker: StartBroker) -> None:
    broker = start_broker(nodes=3)
    proxy = FaultProxy(broker.addresses[0])
    cluster = Cluster(proxy.address)
    topic = cluster.make_topic(partitions=6)
    nodes = cluster.admin.list_topics(timeout=10).brokers
    addresses = {f"{node.host}:{node.port}" for node in nodes.values()}
    assert len(addresses) == 3
    assert proxy.address in addresses
    assert not addresses & set(broker.addresses)
    cluster.produce(topic, [b"%d" % i for i in range(600)], keys=[b"%d" % i for i in range(600)])
    assert len(cluster.consume(topic, 600)) == 600
    assert min(cluster.ends(topic).values()) > 0
    proxy.close()


@pytest.mark.embedded
def test_faults_of_a_proxy_and_wrong_words(proxy: FaultProxy, produce: Produce, topic: str) -> None:
    produce(topic, [b"x"])
    hold = proxy.hold("responses", "Heartbeat", client="c")
    delay = proxy.delay("*", 1, topic=topic)
    assert [repr(fault) for fault in proxy.faults()] == [repr(hold), repr(delay)]
    assert repr(hold) == "<Fault hold Heartbeat responses, client c: 0 times>"
    with pytest.raises(ValueError, match='direction is "back": give "requests", "responses"'):
        proxy.hold("back")
    with pytest.raises(ValueError, match="do you mean Heartbeat"):
        proxy.hold("both", "Heartbeet")
    proxy.clear_faults()
    assert proxy.faults() == []


def test_closing_twice_is_fine_and_ends_the_connections(proxy: FaultProxy) -> None:
    host, port = proxy.address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        eventually(lambda: proxy.connections == 1)
        proxy.hold()
        proxy.close()
        proxy.close()
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), timeout=10)


def test_nonsense_ends_its_connection_only(proxy: FaultProxy, broker: str) -> None:
    host, port = proxy.address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(b"\xff\xff\xff\xff nonsense")
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
    assert Cluster(proxy.address).topics() == Cluster(broker).topics()
