"""The embedded broker as a part of a program: start, stop, data, clients that misbehave."""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import (
    Consumer,
    KafkaError,
    Message,
    Producer,
    TopicPartition,
)

from support.kafka import Cluster
from support.wait import eventually
from turbine import EmbeddedBroker
from turbine.exceptions import ConfigError

from .conftest import StartBroker

pytestmark = pytest.mark.embedded


def request(key: int, version: int, body: bytes = b"", *, length: int | None = None) -> bytes:
    """Frame a request without a client id."""
    rest = struct.pack(">hhih", key, version, 77, -1) + body
    return struct.pack(">i", len(rest) if length is None else length) + rest


@contextmanager
def connected(address: str) -> Iterator[socket.socket]:
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        yield sock


def answer(sock: socket.socket) -> bytes:
    """Read a response; empty if the broker has closed the connection."""
    try:
        head = sock.recv(4, socket.MSG_WAITALL)
        if not head:
            return b""
        (length,) = struct.unpack(">i", head)
        return sock.recv(length, socket.MSG_WAITALL)
    except ConnectionResetError:
        return b""


API_VERSIONS = request(18, 0)


def test_the_first_answer_comes_at_once(start_broker: StartBroker) -> None:
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        with connected(start_broker().address) as sock:
            sock.sendall(API_VERSIONS)
            assert answer(sock)[:4] == struct.pack(">i", 77)
        best = min(best, time.perf_counter() - start)
    assert best < 0.05


def test_an_idle_broker_with_clients_uses_no_cpu(start_broker: StartBroker) -> None:
    others = broker_threads()
    broker = start_broker()
    Cluster(broker.address).make_topic()
    eventually(lambda: len(broker_threads() - others) >= 2, why="the threads have their names")
    threads = broker_threads() - others
    before = cpu_ticks(threads)
    deadline = time.monotonic() + 2
    with connected(broker.address):
        while time.monotonic() < deadline:
            time.sleep(0.1)
    assert cpu_ticks(threads) - before <= 2, "of the 200 ticks of a thread in two seconds"


def broker_threads() -> set[Path]:
    threads = set()
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it may end between the two looks
            if (thread / "comm").read_text().startswith("turbine-broker"):
                threads.add(thread)
    return threads


def cpu_ticks(threads: set[Path]) -> int:
    ticks = 0
    for thread in threads & broker_threads():
        fields = (thread / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks


def test_stopping_twice_is_fine_and_frees_the_port(start_broker: StartBroker) -> None:
    broker = start_broker()
    host, port = broker.address.split(":")
    broker.stop()
    broker.stop()
    with pytest.raises(ConnectionRefusedError), connected(broker.address):
        pass
    again = start_broker(host=host, port=int(port))
    assert again.address == broker.address


def test_a_taken_port_is_named(start_broker: StartBroker) -> None:
    address = start_broker().address
    with pytest.raises(OSError, match=f"broker cannot listen on {address}: "):
        EmbeddedBroker(port=int(address.split(":")[1]))


@pytest.mark.parametrize("count", [0, -1, 1_000_000])
def test_a_partition_count_that_cannot_be_is_refused(count: int) -> None:
    with pytest.raises(ConfigError, match="default_partitions"):
        EmbeddedBroker(default_partitions=count)


def test_the_first_record_makes_its_topic(start_broker: StartBroker) -> None:
    broker = start_broker(default_partitions=7)
    producer = Producer({"bootstrap.servers": broker.address, "log_level": 0})
    producer.produce("made-on-the-way", b"x")
    assert producer.flush(10) == 0
    assert Cluster(broker.address).partitions("made-on-the-way") == 7


def test_topics_are_not_made_on_the_way_if_told_so(start_broker: StartBroker) -> None:
    broker = start_broker(auto_create_topics=False)
    config = {"bootstrap.servers": broker.address, "log_level": 0}
    producer = Producer({**config, "topic.metadata.propagation.max.ms": 500})
    errors: list[KafkaError | None] = []
    producer.produce("missing", b"x", on_delivery=lambda error, _: errors.append(error))
    producer.flush(10)
    assert errors[0] is not None
    assert errors[0].code() in {KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART}


def test_a_member_that_was_killed_makes_room(start_broker: StartBroker) -> None:
    address = start_broker().address
    cluster = Cluster(address)
    topic = cluster.make_topic(partitions=2)
    config = {"bootstrap.servers": address, "group.id": "g", "session.timeout.ms": 1000}
    program = f"""
from confluent_kafka import Consumer
consumer = Consumer({{**{config!r}, "heartbeat.interval.ms": 100}})
consumer.subscribe([{topic!r}], on_assign=lambda _, partitions: print(len(partitions), flush=True))
while True:
    consumer.poll(0.1)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as member:
        assert member.stdout is not None
        assert member.stdout.readline() == "2\n"
        os.kill(member.pid, signal.SIGKILL)
    heir = Consumer({**config, "heartbeat.interval.ms": 100, "log_level": 0})
    heir.subscribe([topic])
    eventually(lambda: heir.poll(0.05) is None and len(heir.assignment()) == 2)
    heir.close()


# -- data that stay --------------------------------------------------------------------------


def test_everything_is_there_after_a_restart(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = start_broker(data_dir=str(tmp_path / "data"))
    cluster = Cluster(broker.address)
    topic = cluster.make_topic(partitions=3, config={"retention.ms": "123456"})
    cluster.produce(topic, [b"%d" % i for i in range(100)], partition=1, headers=[("h", b"1")])
    commit(broker.address, topic, 1, 60, "note")
    gone = cluster.make_topic("gone")
    cluster.admin.delete_topics([gone])[gone].result(10)
    broker.stop()

    broker = start_broker(data_dir=str(tmp_path / "data"))
    cluster = Cluster(broker.address)
    assert cluster.topics() == {topic}
    assert cluster.ends(topic) == {0: 0, 1: 100, 2: 0}
    got = cluster.consume(topic, 100)
    assert [one.value for one in got] == [b"%d" % i for i in range(100)]
    assert got[0].headers == (("h", b"1"),)
    assert cluster.committed("g", topic) == {1: 60}
    cluster.produce(topic, [b"more"], partition=1)
    assert cluster.ends(topic)[1] == 101


def test_a_directory_has_one_broker_at_a_time(start_broker: StartBroker, tmp_path: Path) -> None:
    first = start_broker(data_dir=str(tmp_path))
    with pytest.raises(ConfigError, match="is used by another broker"):
        EmbeddedBroker(data_dir=str(tmp_path))
    first.stop()
    start_broker(data_dir=str(tmp_path))


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"data directory .*file/data"):
        EmbeddedBroker(data_dir=str(tmp_path / "file" / "data"))


class BrokerProcess:
    """A broker in a process of its own, which can be killed and started again."""

    PROGRAM = """
import sys
from turbine import EmbeddedBroker
broker = EmbeddedBroker(port=int(sys.argv[1]), data_dir=sys.argv[2])
print(broker.address, flush=True)
sys.stdin.read()
"""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._process: subprocess.Popen[str] | None = None
        self.address = "127.0.0.1:0"

    def start(self) -> None:
        port = self.address.split(":")[1]
        self._process = subprocess.Popen(
            [sys.executable, "-c", self.PROGRAM, port, self._data],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        with self._process:
            pass  # closes the pipes and waits


def test_no_acknowledged_record_or_commit_is_lost_when_the_broker_is_killed(
    tmp_path: Path,
) -> None:
    broker = BrokerProcess(tmp_path)
    broker.start()
    topic = Cluster(broker.address).make_topic(partitions=2)
    producer = Producer(
        {
            "bootstrap.servers": broker.address,
            "enable.idempotence": True,
            "linger.ms": 1,
            "log_level": 0,
            "reconnect.backoff.max.ms": 100,
        }
    )
    acked: list[tuple[int | None, int | None, bytes | None]] = []
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failed.append(error)
        else:
            acked.append((message.partition(), message.offset(), message.value()))

    sent = 0
    for kill in range(5):
        aim = len(acked) + 2000
        while len(acked) < aim:
            for _ in range(200 if len(producer) < 5000 else 0):
                producer.produce(topic, b"%d" % sent, partition=sent % 2, on_delivery=delivered)
                sent += 1
            producer.poll(0.001)
        commit(broker.address, topic, 0, kill + 1, f"kill {kill}")
        broker.kill()
        broker.start()
    assert producer.flush(30) == 0

    assert failed == []
    cluster = Cluster(broker.address)
    got = {(one.partition, one.offset): one.value for one in cluster.consume(topic, sent)}
    assert [record for record in acked if got[record[0], record[1]] != record[2]] == []  # type: ignore[index]
    assert sorted(int(value or b"") for value in got.values()) == list(range(sent))
    assert cluster.committed("g", topic) == {0: 5}
    broker.kill()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_members_of_a_group_go_on_after_the_broker_was_killed(
    tmp_path: Path, protocol: str
) -> None:
    """Generations, epochs and assignments are there again: nobody has to join anew."""
    broker = BrokerProcess(tmp_path)
    broker.start()
    topic = Cluster(broker.address).make_topic(partitions=4)
    moves: list[str] = []
    members = []
    for _ in range(2):
        settings: dict[str, Any] = {"group.protocol": protocol}
        if protocol == "classic":
            settings |= {"session.timeout.ms": 6000, "heartbeat.interval.ms": 100}
        member = Consumer(
            {
                "bootstrap.servers": broker.address,
                "group.id": "g",
                "log_level": 0,
                "enable.auto.commit": False,
                "reconnect.backoff.max.ms": 100,
                **settings,
            }
        )
        member.subscribe(
            [topic],
            on_assign=lambda *_: moves.append("assigned"),
            on_revoke=lambda *_: moves.append("revoked"),
            on_lost=lambda *_: moves.append("lost"),
        )
        members.append(member)

    def polled() -> list[int]:
        for member in members:
            member.poll(0.02)
        return [len(member.assignment()) for member in members]

    eventually(lambda: polled() == [2, 2])
    for round_ in range(3):
        moves.clear()
        broker.kill()
        broker.start()
        polled()
        for member in members:
            first = member.assignment()[0]
            member.commit(
                offsets=[TopicPartition(topic, first.partition, round_)], asynchronous=False
            )
        committed = Cluster(broker.address).committed("g", topic)
        assert sorted(committed.values()) == [round_, round_]
        # Long enough for members of the classic protocol to be told by a heartbeat.
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert polled() == [2, 2]
        assert moves == []
    for member in members:
        member.close()
    broker.kill()


def commit(address: str, topic: str, partition: int, offset: int, metadata: str) -> None:
    member = Consumer({"bootstrap.servers": address, "group.id": "g", "log_level": 0})
    offsets = [TopicPartition(topic, partition, offset, metadata)]
    member.commit(offsets=offsets, asynchronous=False)
    member.close()


# -- clients that misbehave ------------------------------------------------------------------


@pytest.mark.parametrize(
    "bytes_sent",
    [
        pytest.param(struct.pack(">i", -1), id="a negative length"),
        pytest.param(struct.pack(">i", 2_000_000_000), id="two gigabytes"),
        pytest.param(struct.pack(">ihhih", 10, 18, 0, 77, 100), id="a client id that is not there"),
        pytest.param(request(999, 0), id="an unknown request"),
        pytest.param(request(1, 3), id="a version that is not served"),
        pytest.param(request(3, 1, struct.pack(">i", 2**31 - 1)), id="a huge array"),
        pytest.param(request(0, 3, b"\xff" * 40), id="nonsense in a produce request"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", id="HTTP"),
    ],
)
def test_nonsense_ends_its_connection_and_no_other(
    start_broker: StartBroker, bytes_sent: bytes
) -> None:
    broker = start_broker()
    with connected(broker.address) as good, connected(broker.address) as bad:
        bad.sendall(bytes_sent)
        assert answer(bad) == b""
        good.sendall(API_VERSIONS)
        assert answer(good)[:4] == struct.pack(">i", 77)


def test_an_unknown_version_of_the_first_request_is_told_what_is_known(
    start_broker: StartBroker,
) -> None:
    with connected(start_broker().address) as sock:
        sock.sendall(request(18, 99))
        got = answer(sock)
        assert struct.unpack(">ih", got[:6]) == (77, 35)
        sock.sendall(API_VERSIONS)
        assert answer(sock)[4:6] == b"\0\0"


def test_requests_sent_together_are_answered_in_order(start_broker: StartBroker) -> None:
    with connected(start_broker().address) as sock:
        sock.sendall(API_VERSIONS + request(16, 0) + API_VERSIONS)
        answers = [answer(sock) for _ in range(3)]
    assert answers[0] == answers[2] != answers[1]
