"""What a test asks the embedded broker itself, and settings that only a client can show."""

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from support.kafka import Cluster
from support.wait import eventually
from turbine import EmbeddedBroker

from .conftest import StartBroker

pytestmark = pytest.mark.embedded


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_records_are_there_without_a_client(start_broker: StartBroker, codec: str) -> None:
    broker = start_broker()
    cluster = Cluster(broker.address)
    topic = cluster.make_topic(partitions=2)
    writer = Producer(
        {"bootstrap.servers": broker.address, "compression.type": codec, "log_level": 0}
    )
    headers: list[tuple[str, str | bytes | None]] = [("h", b"1"), ("h", b"2"), ("none", None)]
    writer.produce(topic, b"v", b"k", 1, timestamp=1_700_000_000_000, headers=headers)
    for i in range(100):
        writer.produce(topic, b"%d" % i * 20, partition=0)
    writer.produce(topic, None, b"gone", 1)
    assert writer.flush(10) == 0

    assert broker.topics() == {topic: 2}
    rows = broker.records(topic)
    assert [row[:2] for row in rows] == [*((0, i) for i in range(100)), (1, 0), (1, 1)]
    assert [row[4] for row in rows[:100]] == [b"%d" % i * 20 for i in range(100)]
    first, last = rows[100:]
    assert first[2:5] == (1_700_000_000_000, b"k", b"v")
    assert first[5] == [("h", b"1"), ("h", b"2"), ("none", None)]
    assert last[3:5] == (b"gone", None)
    assert [row[1] for row in broker.records(topic, 0, 40, 3)] == [40, 41, 42]
    assert broker.records(topic, 1, 2) == []


def test_many_records_are_all_read(start_broker: StartBroker) -> None:
    broker = start_broker(default_partitions=1)
    cluster = Cluster(broker.address)
    topic = cluster.make_topic(partitions=1)
    cluster.produce(topic, [b"x" * 1_000] * 5_000)
    rows = broker.records(topic)
    assert [row[1] for row in rows] == list(range(5_000))
    assert len(broker.records(topic, start=4_321)) == 5_000 - 4_321


def test_records_of_open_and_aborted_transactions_are_left_out(start_broker: StartBroker) -> None:
    broker = start_broker()
    topic = Cluster(broker.address).make_topic(partitions=1)
    writer = Producer(
        {"bootstrap.servers": broker.address, "transactional.id": "t", "log_level": 0}
    )
    writer.init_transactions(10)
    for value, ends in ((b"0", True), (b"1", False), (b"2", True), (b"3", None)):
        writer.begin_transaction()
        writer.produce(topic, value)
        assert writer.flush(10) == 0
        if ends is not None:
            (writer.commit_transaction if ends else writer.abort_transaction)(10)
    assert [row[4] for row in broker.records(topic)] == [b"0", b"2"]
    everything = [row[4] for row in broker.records(topic, committed=False)]
    assert everything == [b"0", b"1", b"2", b"3"]
    writer.commit_transaction(10)
    assert [row[4] for row in broker.records(topic)] == [b"0", b"2", b"3"]


def test_what_is_not_there_is_named(start_broker: StartBroker) -> None:
    broker = start_broker()
    with pytest.raises(ValueError, match="there is no topic t"):
        broker.records("t")
    topic = Cluster(broker.address).make_topic(partitions=1)
    with pytest.raises(ValueError, match="there is no partition 1 of topic"):
        broker.records(topic, 1)


def test_groups_and_what_they_committed(start_broker: StartBroker) -> None:
    broker = start_broker()
    topic = Cluster(broker.address).make_topic()
    assert broker.groups() == {}
    assert broker.committed("g") == {}
    config: dict[str, Any] = {"bootstrap.servers": broker.address, "group.id": "g", "log_level": 0}
    member = Consumer(config | {"client.id": "me"})
    member.subscribe([topic])
    eventually(lambda: member.poll(0.05) is None and len(member.assignment()) == 4)
    state, members = broker.groups()["g"]
    assert (state, list(members.values())) == ("Stable", ["me"])
    member.commit(offsets=[TopicPartition(topic, 2, 5)], asynchronous=False)
    assert broker.committed("g") == {(topic, 2): 5}
    member.close()
    eventually(lambda: broker.groups()["g"] == ("Empty", {}))


# -- security --------------------------------------------------------------------------------


def topics(broker: EmbeddedBroker, **settings: Any) -> set[str]:
    config = {"bootstrap.servers": broker.address, "log_level": 0, **settings}
    return set(AdminClient(config).list_topics(timeout=3).topics)


def test_certificates_that_the_broker_made(start_broker: StartBroker) -> None:
    plain = start_broker()
    assert plain.ca_certificate is None
    assert plain.client_certificate is None
    broker = start_broker(tls=True)
    assert broker.client_certificate is None
    tls = {"security.protocol": "ssl", "ssl.ca.pem": broker.ca_certificate}
    assert topics(broker, **tls) == set()
    with pytest.raises(KafkaException):
        topics(broker)
    strict = start_broker(tls=True, verify_clients=True)
    tls = {"security.protocol": "ssl", "ssl.ca.pem": strict.ca_certificate}
    with pytest.raises(KafkaException):
        topics(strict, **tls)
    assert strict.client_certificate is not None
    certificate, key = strict.client_certificate
    assert (
        topics(strict, **tls, **{"ssl.certificate.pem": certificate, "ssl.key.pem": key}) == set()
    )


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_users_with_passwords(start_broker: StartBroker, mechanism: str) -> None:
    broker = start_broker(users={"ada": "secret"}, mechanisms=[mechanism])
    login = {
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": mechanism,
        "sasl.username": "ada",
    }
    assert topics(broker, **login, **{"sasl.password": "secret"}) == set()
    with pytest.raises(KafkaException):
        topics(broker, **login, **{"sasl.password": "wrong"})


def test_a_refused_password_can_be_a_fault(start_broker: StartBroker) -> None:
    broker = start_broker(users={"ada": "secret"})
    fault = broker.fail("SaslAuthenticate", "SASL_AUTHENTICATION_FAILED")
    errors: list[KafkaError] = []
    writer = Producer(
        {
            "bootstrap.servers": broker.address,
            "log_level": 0,
            "security.protocol": "sasl_plaintext",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "ada",
            "sasl.password": "secret",
            "error_cb": errors.append,
        }
    )
    assert set(writer.list_topics(timeout=10).topics) == set()
    writer.poll(0)
    assert fault.hits == 1
    assert KafkaError._AUTHENTICATION in {error.code() for error in errors}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mechanisms": ["GSSAPI"]}, 'no mechanism "GSSAPI": give PLAIN, SCRAM-SHA-256'),
        ({"verify_clients": True}, "verify_clients goes with tls=True"),
        ({"tls": ("none.crt", "none.key")}, "certificate none.crt"),
        ({"tls": ("none.crt", "none.key", "ca.crt")}, "certificate none.crt"),
        ({"nodes": 0}, "nodes is 0"),
    ],
)
def test_settings_that_cannot_be_are_named(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        EmbeddedBroker(data_dir=str(tmp_path), **settings)


def test_a_node_goes_down_and_comes_back(start_broker: StartBroker) -> None:
    broker = start_broker(nodes=3)
    assert broker.address == ",".join(broker.addresses)
    cluster = Cluster(broker.address)
    keys = [b"%d" % i for i in range(60)]
    cluster.produce("t", [b"x"] * 60, keys=keys)  # made with a copy on each node
    broker.down(2)
    cluster.produce("t", [b"x"] * 60, keys=keys)
    broker.up(2)
    assert len(broker.records("t")) == 120
    with pytest.raises(ValueError, match="there is no node 4: nodes are 1 to 3"):
        broker.down(4)


def test_members_share_anew_or_are_expired(start_broker: StartBroker) -> None:
    broker = start_broker()
    topic = Cluster(broker.address).make_topic()
    assigned: list[int] = []
    member = Consumer(
        {
            "bootstrap.servers": broker.address,
            "group.id": "g",
            "client.id": "me",
            "log_level": 0,
            "heartbeat.interval.ms": 100,
            "session.timeout.ms": 6000,
        }
    )
    member.subscribe([topic], on_assign=lambda _, partitions: assigned.append(len(partitions)))
    eventually(lambda: member.poll(0.05) is None and assigned == [4])
    assert broker.rebalance() == 1
    eventually(lambda: member.poll(0.05) is None and assigned == [4, 4])
    assert broker.rebalance("other") == 0
    assert broker.expire_member("g", "me") == 1
    eventually(lambda: member.poll(0.05) is None and assigned == [4, 4, 4])
    member.close()
