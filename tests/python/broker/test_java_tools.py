"""Apache Kafka's own command-line tools, unchanged: the Java client and its administration."""

import json
import uuid

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from support.fixtures import MakeTopic, Produce
from support.java import MARKS, tool
from support.kafka import Cluster
from support.wait import eventually

GROUP_COMMAND = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
CONSOLE_CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"

pytestmark = MARKS


def test_topics_are_made_described_changed_and_deleted(cluster: Cluster, broker: str) -> None:
    topic = f"java-{uuid.uuid4().hex[:8]}"

    def topics(*args: str) -> str:
        command = "org.apache.kafka.tools.TopicCommand"
        return tool(command, "--bootstrap-server", broker, "--topic", topic, *args)

    topics("--create", "--partitions", "3", "--config", "retention.ms=1000000")
    assert cluster.partitions(topic) == 3
    topics("--alter", "--partitions", "5")
    described = topics("--describe")
    assert "PartitionCount: 5" in described
    assert "retention.ms=1000000" in described
    topics("--delete")
    assert topic not in cluster.topics()


def test_the_console_writes_and_reads_as_a_group(
    cluster: Cluster, broker: str, make_topic: MakeTopic
) -> None:
    topic, group = make_topic("console", partitions=1), f"java-{uuid.uuid4().hex[:8]}"
    server = ("--bootstrap-server", broker)
    lines = [f"k{i}:line {i}" for i in range(20)]
    tool(
        "org.apache.kafka.tools.ConsoleProducer",
        *server,
        *("--topic", topic, "--compression-codec", "snappy"),
        *("--property", "parse.key=true", "--property", "key.separator=:"),
        stdin="\n".join(lines) + "\n",
    )
    got = cluster.consume(topic, 20)
    assert [one.key for one in got] == [b"k%d" % i for i in range(20)]

    read = tool(
        CONSOLE_CONSUMER,
        *server,
        *("--topic", topic, "--group", group, "--from-beginning", "--max-messages", "20"),
        *("--property", "print.key=true", "--property", "key.separator=:"),
    )
    assert read.split("\n")[:20] == lines
    assert cluster.committed(group, topic) == {0: 20}

    described = tool(GROUP_COMMAND, *server, "--describe", "--group", group)
    row = next(line.split() for line in described.splitlines() if line.startswith(group))
    assert row[1:6] == [topic, "0", "20", "20", "0"]
    tool(
        GROUP_COMMAND,
        *server,
        *("--group", group, "--topic", topic, "--reset-offsets", "--to-offset", "5", "--execute"),
    )
    assert cluster.committed(group, topic) == {0: 5}
    tool(GROUP_COMMAND, *server, "--delete", "--group", group)
    assert group not in tool(GROUP_COMMAND, *server, "--list")


def test_offsets_are_listed_by_time(broker: str, make_topic: MakeTopic, produce: Produce) -> None:
    topic = make_topic("times", partitions=1)
    for timestamp_ms in [3000, 9000, 5000]:
        produce(topic, [b"x"], timestamp_ms=timestamp_ms)

    def offset(time: str) -> str:
        command = "org.apache.kafka.tools.GetOffsetShell"
        printed = tool(command, "--bootstrap-server", broker, "--topic", topic, "--time", time)
        return printed.strip()

    assert offset("-1") == f"{topic}:0:3"
    assert offset("max-timestamp") == f"{topic}:0:1"
    assert offset("4000") == f"{topic}:0:1"


def test_a_verifiable_consumer_reads_what_a_verifiable_producer_wrote(
    cluster: Cluster, broker: str, make_topic: MakeTopic
) -> None:
    topic, group = make_topic("verify", partitions=4), f"java-{uuid.uuid4().hex[:8]}"
    server = ("--bootstrap-server", broker, "--topic", topic)
    written = tool(
        "org.apache.kafka.tools.VerifiableProducer",
        *server,
        "--max-messages",
        "5000",
        "--acks",
        "-1",
    )
    last = json.loads(written.strip().splitlines()[-1])
    assert (last["sent"], last["acked"]) == (5000, 5000)
    assert cluster.count(topic) == 5000

    read = tool(
        "org.apache.kafka.tools.VerifiableConsumer",
        *server,
        *("--group-id", group, "--max-messages", "5000", "--reset-policy", "earliest"),
    )
    events = [json.loads(line) for line in read.splitlines() if line.startswith("{")]
    consumed = sum(e["count"] for e in events if e["name"] == "records_consumed")
    assert consumed == 5000
    assert sum(cluster.committed(group, topic).values()) == 5000


@pytest.mark.parametrize("assignor", ["uniform", "range"])
def test_java_consumers_share_what_the_broker_assigns(
    cluster: Cluster, broker: str, make_topic: MakeTopic, produce: Produce, assignor: str
) -> None:
    topic, group = make_topic("verify", partitions=4), f"java-{uuid.uuid4().hex[:8]}"
    produce(topic, [b"%d" % i for i in range(1000)])
    read = tool(
        "org.apache.kafka.tools.VerifiableConsumer",
        *("--bootstrap-server", broker, "--topic", topic, "--group-id", group),
        *("--max-messages", "1000", "--reset-policy", "earliest"),
        *("--group-protocol", "consumer", "--group-remote-assignor", assignor),
    )
    events = [json.loads(line) for line in read.splitlines() if line.startswith("{")]
    assert sum(e["count"] for e in events if e["name"] == "records_consumed") == 1000
    assigned = next(e for e in events if e["name"] == "partitions_assigned")
    assert sorted(p["partition"] for p in assigned["partitions"]) == [0, 1, 2, 3]
    assert sum(cluster.committed(group, topic).values()) == 1000


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_groups_are_described_and_changed_in_both_protocols(
    cluster: Cluster, broker: str, make_topic: MakeTopic, produce: Produce, protocol: str
) -> None:
    topic, group = make_topic("groups", partitions=2), f"java-{uuid.uuid4().hex[:8]}"
    produce(topic, [b"x"] * 10)
    member = Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": group,
            "log_level": 0,
            "client.id": "the-client",
            "group.protocol": protocol,
            "enable.auto.commit": False,
        }
    )
    member.subscribe([topic])
    eventually(lambda: member.poll(0.05) or len(member.assignment()) == 2)
    member.commit(offsets=[TopicPartition(topic, 0, 4)], asynchronous=False)

    def groups(*args: str) -> list[list[str]]:
        printed = tool(GROUP_COMMAND, "--bootstrap-server", broker, *args)
        return [line.split() for line in printed.splitlines() if line.strip()]

    one = ("--group", group)
    listed = groups("--list", "--type", protocol, "--state", "stable")
    assert group in {row[0] for row in listed}
    state = groups("--describe", *one, "--state")[-1]
    assert (state[0], state[-2:]) == (group, ["Stable", "1"])
    members = groups("--describe", *one, "--members", "--verbose")[-1]
    assert "the-client" in members
    assert any(word.startswith(f"{topic}(0,1)") or word == f"{topic}:0,1" for word in members)
    rows = {row[2]: row[3:6] for row in groups("--describe", *one) if row[:2] == [group, topic]}
    assert rows["0"][0] == "4"
    assert sum(int(end) for _, end, _ in rows.values()) == 10

    refused = groups("--delete", *one)
    assert any("GroupNotEmptyException:" in word for row in refused for word in row), refused
    member.close()

    empty = groups("--describe", *one, "--state")[-1]
    assert empty[-2:] == ["Empty", "0"]
    groups(*one, "--topic", topic, "--reset-offsets", "--to-earliest", "--execute")
    assert cluster.committed(group, topic) == {0: 0, 1: 0}
    groups("--delete-offsets", *one, "--topic", f"{topic}:1")
    assert cluster.committed(group, topic) == {0: 0}
    groups("--delete", *one)
    assert [group] not in groups("--list")


def test_the_performance_tools_move_their_records(
    cluster: Cluster, broker: str, make_topic: MakeTopic
) -> None:
    topic = make_topic("perf", partitions=4)
    report = tool(
        "org.apache.kafka.tools.ProducerPerformance",
        *("--topic", topic, "--num-records", "50000", "--record-size", "100"),
        *("--throughput", "-1", "--producer-props", f"bootstrap.servers={broker}"),
        "compression.type=lz4",
    )
    assert "50000 records sent" in report
    assert cluster.count(topic) == 50_000


def test_transactions_are_listed_and_described(
    broker: str, make_topic: MakeTopic, request: pytest.FixtureRequest
) -> None:
    topic, name = make_topic("tx", partitions=1), f"java-{uuid.uuid4().hex[:8]}"
    producer = Producer({"bootstrap.servers": broker, "transactional.id": name, "log_level": 0})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(topic, b"x")
    assert producer.flush(10) == 0

    def transactions(*args: str) -> list[dict[str, str]]:
        command = "org.apache.kafka.tools.TransactionsCommand"
        lines = tool(command, "--bootstrap-server", broker, *args).splitlines()
        header, *rows = [[cell.strip() for cell in line.split("\t")] for line in lines if line]
        return [dict(zip(header, row, strict=True)) for row in rows]

    def state() -> str:
        listed = {row["TransactionalId"]: row for row in transactions("list")}
        return listed[name]["TransactionState"]

    assert state() == "Ongoing"
    (described,) = transactions("describe", "--transactional-id", name)
    assert described["TransactionState"] == "Ongoing"
    assert described["TransactionTimeoutMs"] == "60000"
    assert described["ProducerEpoch"] == "0"
    assert described["TopicPartitions"] == f"{topic}-0"
    (writer,) = transactions("describe-producers", "--topic", topic, "--partition", "0")
    assert writer["ProducerId"] == described["ProducerId"]
    assert (writer["LatestCoordinatorEpoch"], writer["LastSequence"]) == ("-1", "0")
    assert writer["CurrentTransactionStartOffset"] == "0"

    producer.commit_transaction(10)
    eventually(lambda: state() == "CompleteCommit", deadline_s=60)
    (writer,) = transactions("describe-producers", "--topic", topic, "--partition", "0")
    # It goes up whenever a broker is started anew, which other tests do with Apache Kafka.
    epoch = int(writer["LatestCoordinatorEpoch"])
    assert epoch == 0 if request.config.getoption("--broker") == "memory" else epoch >= 0
    assert writer["LastSequence"] == "0"
    assert writer["CurrentTransactionStartOffset"] == "None"


def test_javas_client_writes_in_transactions(
    cluster: Cluster, broker: str, make_topic: MakeTopic
) -> None:
    topic = make_topic("tx", partitions=2)
    report = tool(
        "org.apache.kafka.tools.ProducerPerformance",
        *("--topic", topic, "--num-records", "2000", "--record-size", "100"),
        *("--throughput", "2000", "--transaction-duration-ms", "50"),
        *("--producer-props", f"bootstrap.servers={broker}"),
    )
    assert "2000 records sent" in report
    assert len(cluster.consume(topic, 2000)) == 2000, "readers of committed records see all"
    assert cluster.count(topic) > 2002, "several transactions, each with its markers"
