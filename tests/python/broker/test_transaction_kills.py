"""
A broker with a data directory, killed again and again while a producer commits and aborts.

``pytest --kills=100 tests/python/broker/test_transaction_kills.py`` kills it a hundred times.
"""

import itertools
import json
import random
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from support.brokers import free_port
from support.kafka import Cluster
from support.wait import eventually

pytestmark = [pytest.mark.embedded, pytest.mark.slow]

PARTITIONS = 3
RECORDS = 4
GROUP = "eos"


class BrokerProcess:
    """``turbine broker --data-dir`` in a process of its own, which can be killed."""

    def __init__(self, data: Path) -> None:
        self._port = free_port()
        self._data = data
        self._log = data.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"127.0.0.1:{self._port}"

    def start(self) -> None:
        command = ["turbine", "broker", "--port", str(self._port), "--data-dir", str(self._data)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command], stdout=log, stderr=log
            )

    def wait_until_it_serves(self) -> None:
        process = self._process
        assert process is not None

        def serves() -> bool:
            assert process.poll() is None, "the broker has ended on its own"
            admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
            try:
                return bool(admin.list_topics(timeout=1).brokers)
            except KafkaException:
                return False

        eventually(serves, why="the broker serves")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()


@pytest.fixture
def broker_process(tmp_path: Path) -> Iterator[BrokerProcess]:
    process = BrokerProcess(tmp_path / "data")
    process.start()
    process.wait_until_it_serves()
    yield process
    process.kill()


@dataclass
class Client:
    """
    Runs one transaction after the other and keeps what it was told.

    Each writes records with its number to every partition, and its number as an offset of a group.

    Attributes:
        committed: Numbers of transactions whose commit was acknowledged.
        aborted: Numbers whose abort was acknowledged, or that were given up before a commit.
        unknown: Numbers whose commit was asked for and not answered: all or nothing.
        restarts: How often it went on as a new producer.
    """

    address: str
    topic: str
    name: str
    seed: int
    committed: set[int] = field(default_factory=set)
    aborted: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    restarts: int = 0
    problem: BaseException | None = None

    def __post_init__(self) -> None:
        self.ends = threading.Event()
        self._choose = random.Random(self.seed)
        self._thread = threading.Thread(target=self._run, name=self.name)
        self._group = Consumer(
            {"bootstrap.servers": self.address, "group.id": GROUP, "log_level": 0}
        )
        self._thread.start()

    def stop(self) -> None:
        self.ends.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), f"{self.name} does not end"
        self._group.close()
        if self.problem is not None:
            raise self.problem

    @property
    def done(self) -> int:
        return len(self.committed) + len(self.aborted) + len(self.unknown)

    def _run(self) -> None:
        try:
            producer = None
            for number in itertools.count():
                if self.ends.is_set():
                    return
                producer = producer or self._new_producer()
                if not self._transaction(producer, number):
                    self.restarts += 1
                    producer = None
        except BaseException as problem:  # noqa: BLE001 - raised by the test's own thread
            self.problem = problem

    def _new_producer(self) -> Producer:
        producer = Producer(
            {
                "bootstrap.servers": self.address,
                "log_level": 0,
                "transactional.id": self.name,
                "linger.ms": 0,
                "reconnect.backoff.ms": 10,
                "reconnect.backoff.max.ms": 50,
                "retry.backoff.ms": 10,
                # librdkafka 2.16 forgets its brokers when all are down, and may then wait forever
                # for one that it has forgotten.
                "metadata.recovery.strategy": "none",
            }
        )
        while True:
            try:
                producer.init_transactions(20)
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise
            else:
                return producer

    def _transaction(self, producer: Producer, number: int) -> bool:
        """Run one; False if the producer is of no use any more."""
        is_to_commit = self._choose.random() < 0.7
        try:
            producer.begin_transaction()
            for partition in range(PARTITIONS):
                for i in range(RECORDS):
                    value = json.dumps({"by": self.name, "number": number, "i": i})
                    producer.produce(self.topic, value, partition=partition)
                producer.poll(0)
            self._retry(
                producer.send_offsets_to_transaction,
                [TopicPartition(self.topic, self.seed, number)],
                self._group.consumer_group_metadata(),
            )
            # An open transaction that has its records is the likely victim of a kill.
            assert producer.flush(30) == 0
            self.ends.wait(self._choose.random() * 0.01)
        except KafkaException as error:
            return self._abort(producer, number, error.args[0])
        if not is_to_commit:
            return self._abort(producer, number, None)
        try:
            self._retry(producer.commit_transaction)
        except KafkaException as error:
            if error.args[0].txn_requires_abort():
                return self._abort(producer, number, error.args[0])
            self.unknown.add(number)
            return False
        self.committed.add(number)
        return True

    def _abort(self, producer: Producer, number: int, error: KafkaError | None) -> bool:
        self.aborted.add(number)
        if error is not None and error.fatal():
            return False
        try:
            self._retry(producer.abort_transaction)
        except KafkaException:
            return False
        return True

    @staticmethod
    def _retry(call: Any, *args: Any) -> None:
        while True:
            try:
                call(*args, 20)
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise
            else:
                return


def read(address: str, topic: str, isolation: str) -> dict[int, list[dict[str, Any]]]:
    """Values of every partition, in order; of committed readers up to the last stable offset."""
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": uuid.uuid4().hex,
            "enable.partition.eof": True,
            "isolation.level": isolation,
            "log_level": 0,
        }
    )
    consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
    got: dict[int, list[dict[str, Any]]] = defaultdict(list)
    at_end: set[int] = set()

    def reads() -> bool:
        for message in consumer.consume(1000, 0.1):
            error, partition = message.error(), message.partition()
            assert partition is not None
            if error is None:
                got[partition].append(json.loads(message.value() or b""))
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                at_end.add(partition)
        return len(at_end) == PARTITIONS

    eventually(reads, deadline_s=60, why="the end of every partition")
    consumer.close()
    return got


def check(clients: list[Client], address: str, topic: str) -> None:
    seen = read(address, topic, "read_committed")
    for client in clients:
        for partition in range(PARTITIONS):
            mine = [v for v in seen[partition] if v["by"] == client.name]
            numbers = [v["number"] for v in mine][::RECORDS]
            assert numbers == sorted(set(numbers)), "in order, and each once"
            expected = [(n, i) for n in numbers for i in range(RECORDS)]
            assert [(v["number"], v["i"]) for v in mine] == expected, "all records or none"
            assert client.committed <= set(numbers), "a committed record is lost"
            assert not client.aborted & set(numbers), "an aborted record is visible"
            whole = set(numbers) - client.committed
            assert whole <= client.unknown
            if partition == 0:
                first = whole
            assert whole == first, "a transaction is in all partitions or in none"
        counted = client.committed | first
        committed = Cluster(address).committed(GROUP, topic)
        assert committed.get(client.seed) == max(counted, default=None), "offsets go with records"


def progress(clients: list[Client]) -> Callable[[], bool]:
    """Whether every client has ended a transaction since this call, or cannot any more."""
    before = [client.done for client in clients]

    def has_progress() -> bool:
        return all(c.problem or c.done > b for c, b in zip(clients, before, strict=True))

    return has_progress


@pytest.mark.timeout(1200)
def test_nothing_committed_is_lost_and_nothing_aborted_is_seen_when_the_broker_is_killed(
    broker_process: BrokerProcess, pytestconfig: pytest.Config
) -> None:
    kills, address = pytestconfig.getoption("--kills"), broker_process.address
    topic = Cluster(address).make_topic(partitions=PARTITIONS)
    clients = [Client(address, topic, f"client-{n}", n) for n in range(2)]
    choose = random.Random(kills)
    try:
        for _ in range(kills):
            # Each gets through a transaction, then the kill comes anywhere in the next ones.
            eventually(progress(clients), deadline_s=60, why="the clients go on")
            time.sleep(choose.random() * 0.05)
            broker_process.kill()
            broker_process.start()
    finally:
        broker_process.wait_until_it_serves()
        for client in clients:
            client.stop()

    committed = sum(len(c.committed) for c in clients)
    assert committed >= kills
    check(clients, address, topic)
    # Nobody holds anything back: the ends that both kinds of readers see are the same.
    total = {p: len(v) for p, v in read(address, topic, "read_uncommitted").items()}
    assert all(total[p] >= committed * RECORDS for p in range(PARTITIONS))
