"""An embedded broker of several nodes, as confluent-kafka sees it: nodes go down and come back."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    ElectionType,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from support.wait import eventually
from turbine import EmbeddedBroker
from turbine.exceptions import ConfigError

from .conftest import StartBroker

pytestmark = pytest.mark.embedded

COUNT = 1_500

FAST = {
    "topic.metadata.refresh.fast.interval.ms": 20,
    "reconnect.backoff.ms": 1,
    "reconnect.backoff.max.ms": 20,
    "log_level": 0,
}


def admin(broker: EmbeddedBroker) -> AdminClient:
    return AdminClient({"bootstrap.servers": broker.address, **FAST})


def make(broker: EmbeddedBroker, topic: NewTopic) -> None:
    client = admin(broker)
    client.create_topics([topic])[topic.topic].result()


def create(broker: EmbeddedBroker, name: str, partitions: int = 1, copies: int = 3) -> None:
    make(broker, NewTopic(name, partitions, copies))


def partitions(broker: EmbeddedBroker, topic: str) -> list[tuple[int, list[int], list[int]]]:
    """Leader, replicas and replicas in sync of each partition."""
    found = admin(broker).list_topics(topic, timeout=20).topics[topic].partitions
    return [(found[n].leader, found[n].replicas, found[n].isrs) for n in sorted(found)]


@contextmanager
def reading(broker: EmbeddedBroker, topic: str, group: str, **settings: Any) -> Iterator[Consumer]:
    consumer = Consumer(
        {
            "bootstrap.servers": broker.address,
            "group.id": group,
            "auto.offset.reset": "earliest",
            **FAST,
            **settings,
        }
    )
    consumer.subscribe([topic])
    try:
        yield consumer
    finally:
        consumer.close()


def read(consumer: Consumer, count: int) -> list[int]:
    """Read *count* records; errors that pass are what the test is about."""
    got: list[int] = []

    def enough() -> bool:
        messages = consumer.consume(count - len(got), timeout=0.1)
        got.extend(int(m.value() or b"") for m in messages if m.error() is None)
        return len(got) >= count

    eventually(enough, deadline_s=60, why=f"{count} records")
    return got


def test_a_cluster_shows_its_nodes_leaders_and_copies(start_broker: StartBroker) -> None:
    broker = start_broker(nodes=3)
    create(broker, "t", partitions=4, copies=2)
    assert partitions(broker, "t") == [
        (1, [1, 2], [1, 2]),
        (2, [2, 3], [2, 3]),
        (3, [3, 1], [3, 1]),
        (1, [1, 2], [1, 2]),
    ]
    client = admin(broker)
    cluster = client.describe_cluster().result()
    nodes = sorted(cluster.nodes, key=lambda node: node.id)
    assert [(node.id, f"{node.host}:{node.port}") for node in nodes] == list(
        enumerate(broker.addresses, 1)
    )
    client.create_partitions([NewPartitions("t", 5)])["t"].result()
    assert partitions(broker, "t")[4] == (2, [2, 3], [2, 3])
    by_itself = client.list_topics("made-by-itself", timeout=20)
    assert by_itself.brokers.keys() == {1, 2, 3}
    eventually(
        lambda: {len(copies) for _, copies, _ in partitions(broker, "made-by-itself")} == {3},
        why="a topic that does not say has three copies",
    )


def test_more_copies_than_nodes_are_refused(start_broker: StartBroker) -> None:
    broker = start_broker(nodes=2)
    with pytest.raises(KafkaException) as refused:
        create(broker, "t", copies=3)
    assert refused.value.args[0].code() == KafkaError.INVALID_REPLICATION_FACTOR
    assert "only 2 broker(s) are registered" in refused.value.args[0].str()
    with pytest.raises(KafkaException) as refused:
        make(broker, NewTopic("t", num_partitions=1, replica_assignment=[[1, 3]]))
    assert refused.value.args[0].code() == KafkaError.INVALID_REPLICA_ASSIGNMENT


@pytest.mark.parametrize("transactional", [False, True])
def test_failovers_lose_and_repeat_nothing(start_broker: StartBroker, transactional: bool) -> None:  # noqa: FBT001 - pytest's call
    """One node after the other goes while an idempotent producer writes and a group reads."""
    broker = start_broker(nodes=3)
    create(broker, "t")
    settings = {"transactional.id": "writer"} if transactional else {"enable.idempotence": True}
    producer = Producer(
        {
            "bootstrap.servers": broker.address,
            "batch.num.messages": 10,
            "retry.backoff.ms": 1,
            "retry.backoff.max.ms": 20,
            **FAST,
            **settings,
        }
    )
    done: list[KafkaError | None] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        done.append(error)

    def all_but(waiting: int) -> None:
        eventually(lambda: producer.poll(0.01) >= 0 and len(producer) <= waiting, why="deliveries")

    if transactional:
        producer.init_transactions(30)
    down = 0
    for i in range(COUNT):
        if transactional and i % 100 == 0:
            producer.begin_transaction()
        if i % 250 == 130:
            all_but(20)
            down = i // 250 % 3 + 1
            broker.down(down)
        elif i % 250 == 230:
            all_but(0)
            broker.up(down)
        producer.produce("t", str(i).encode(), partition=0, on_delivery=delivered)
        producer.poll(0)
        if transactional and i % 100 == 99:
            producer.commit_transaction(30)
    assert producer.flush(30) == 0
    assert done == [None] * COUNT
    with reading(broker, "t", "g", **{"isolation.level": "read_committed"}) as consumer:
        got = read(consumer, COUNT // 2)
        leader = partitions(broker, "t")[0][0]
        broker.down(leader)
        got += read(consumer, COUNT - len(got))
        broker.up(leader)
    assert got == list(range(COUNT))


def test_a_group_keeps_its_offsets_when_its_coordinator_goes(start_broker: StartBroker) -> None:
    broker = start_broker(nodes=3)
    create(broker, "t")
    producer = Producer({"bootstrap.servers": broker.address, **FAST})
    for i in range(30):
        producer.produce("t", str(i).encode())
    assert producer.flush(30) == 0
    for node in (1, 2, 3):
        with reading(broker, "t", "g", **{"enable.auto.commit": False}) as consumer:
            # With each node down once, one of them was the coordinator.
            first = read(consumer, 5)
            broker.down(node)
            more = read(consumer, 5)
            eventually(lambda: commit(consumer), why="a commit at another coordinator")
            broker.up(node)
            start = (node - 1) * 10
            assert first + more == list(range(start, start + 10))
    wanted = [ConsumerGroupTopicPartitions("g", [TopicPartition("t", 0)])]
    client = admin(broker)
    found = client.list_consumer_group_offsets(wanted)["g"].result()
    assert found.topic_partitions[0].offset == 30


def commit(consumer: Consumer) -> bool:
    try:
        consumer.commit(asynchronous=False)
    except KafkaException:
        return False
    return True


def test_preferred_leaders_return_when_asked(start_broker: StartBroker) -> None:
    broker = start_broker(nodes=2)
    create(broker, "t", partitions=2, copies=2)
    broker.down(1)
    broker.up(1)
    assert [leader for leader, _, _ in partitions(broker, "t")] == [2, 2]
    wanted = [TopicPartition("t", 0), TopicPartition("t", 1)]
    client = admin(broker)
    elected = client.elect_leaders(ElectionType.PREFERRED, wanted).result()
    errors = {partition.partition: error for partition, error in elected.items()}
    assert errors[0] is None
    assert errors[1].code() == KafkaError.ELECTION_NOT_NEEDED
    assert [leader for leader, _, _ in partitions(broker, "t")] == [1, 2]


def test_too_few_copies_in_sync_refuse_records(start_broker: StartBroker) -> None:
    broker = start_broker(nodes=2)
    config = {"min.insync.replicas": "2"}
    make(broker, NewTopic("t", 1, 2, config=config))
    broker.down(2)
    errors: list[int | None] = []
    producer = Producer({"bootstrap.servers": broker.address, "retries": 0, **FAST})
    producer.produce(
        "t", b"x", on_delivery=lambda error, _: errors.append(error.code() if error else None)
    )
    assert producer.flush(30) == 0
    broker.up(2)
    producer.produce(
        "t", b"x", on_delivery=lambda error, _: errors.append(error.code() if error else None)
    )
    assert producer.flush(30) == 0
    assert errors == [KafkaError.NOT_ENOUGH_REPLICAS, None]


def test_a_partition_without_live_copies_waits_for_its_node(start_broker: StartBroker) -> None:
    broker = start_broker(nodes=2)
    create(broker, "t", partitions=2, copies=1)
    broker.down(2)
    assert [leader for leader, _, _ in partitions(broker, "t")] == [1, -1]
    producer = Producer({"bootstrap.servers": broker.address, **FAST})
    errors: list[KafkaError | None] = []
    producer.produce("t", b"1", partition=1, on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(0.3) == 1, "it waits"
    broker.up(2)
    assert producer.flush(30) == 0
    assert errors == [None]


@pytest.mark.parametrize("node", [0, -1, 3])
def test_a_node_that_there_is_not_is_refused(start_broker: StartBroker, node: int) -> None:
    broker = start_broker(nodes=2)
    for change in (broker.down, broker.up):
        with pytest.raises(ConfigError, match="nodes are 1 to 2"):
            change(node)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"nodes": 0}, "nodes is 0: give 1 to 100"),
        ({"advertised": "host:x"}, "advertised is host:x: give HOST or HOST:PORT"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        EmbeddedBroker(**settings)


def test_clients_are_told_the_advertised_address(start_broker: StartBroker) -> None:
    broker = start_broker(nodes=2, advertised="127.0.0.2:700")
    found = admin(broker).list_topics(timeout=20).brokers
    assert [f"{found[n].host}:{found[n].port}" for n in (1, 2)] == [
        "127.0.0.2:700",
        "127.0.0.2:701",
    ]


def test_the_command_line_starts_several_nodes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "turbine", "--json", "broker", "--port", "0", "--nodes", "3"]
    with subprocess.Popen(
        [*command, "--advertised", "127.0.0.3"], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        try:
            assert process.stdout is not None
            address = json.loads(process.stdout.readline())["address"]
            client = AdminClient({"bootstrap.servers": address, **FAST})
            found = client.list_topics(timeout=20).brokers
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
    told = [f"{found[n].host}:{found[n].port}" for n in (1, 2, 3)]
    assert told == address.replace("127.0.0.1", "127.0.0.3").split(",")
