"""The Java clients inside Apache Kafka's tools and in the programs of its own system tests."""

import json
import uuid
from pathlib import Path

from support.fixtures import MakeTopic, Produce
from support.java import MARKS, tool
from support.kafka import Cluster

pytestmark = MARKS

TOOLS = "org.apache.kafka.tools."


def name(kind: str) -> str:
    return f"java-{kind}-{uuid.uuid4().hex[:8]}"


def test_the_java_client_finds_every_feature_that_it_asks_a_broker_for(
    cluster: Cluster, broker: str, make_topic: MakeTopic
) -> None:
    """Kafka's test of clients against brokers of other versions, with all that this one has."""
    printed = tool(
        f"{TOOLS}ClientCompatibilityTest",
        *("--bootstrap-server", broker, "--topic", make_topic("compat", partitions=1)),
        *("--offsets-for-times-supported", "true", "--cluster-id-supported", "true"),
        *("--expect-record-too-large-exception", "false", "--num-cluster-nodes", "1"),
        *("--create-topics-supported", "true", "--describe-acls-supported", "true"),
        *("--describe-configs-supported", "true"),
        *("--idempotent-producer-supported", "true"),
    )
    assert "SUCCESS" in printed
    # Its name for the topic that it makes is always the same.
    cluster.admin.delete_topics(["newtopic"])["newtopic"].result(10)


def test_a_message_copier_moves_records_exactly_once(
    cluster: Cluster, broker: str, make_topic: MakeTopic, produce: Produce
) -> None:
    """The consume-transform-produce loop of Kafka's system tests, with aborts in between."""
    source, target = make_topic("from", partitions=1), make_topic("to", partitions=1)
    produce(source, [b"%d" % i for i in range(2000)])
    group, transactional_id = name("copy"), name("tx")
    printed = tool(
        f"{TOOLS}TransactionalMessageCopier",
        *("--broker-list", broker, "--input-topic", source, "--input-partition", "0"),
        *("--output-topic", target, "--transactional-id", transactional_id),
        *("--consumer-group", group, "--max-messages", "2000", "--transaction-size", "200"),
        *("--enable-random-aborts", "--use-group-metadata", "--group-mode"),
    )
    last = [json.loads(line) for line in printed.splitlines() if line.startswith("{")][-1]
    assert last["totalProcessed"] == 2000
    assert [int(one.value or b"") for one in cluster.consume(target, 2000)] == list(range(2000))
    assert cluster.committed(group, source) == {0: 2000}


def test_a_java_consumer_of_the_new_protocol_reads_everything(
    cluster: Cluster, broker: str, make_topic: MakeTopic, produce: Produce
) -> None:
    topic, group = make_topic("kip848", partitions=3), name("group")
    produce(topic, [b"%d" % i for i in range(600)], keys=[b"%d" % i for i in range(600)])
    printed = tool(
        f"{TOOLS}VerifiableConsumer",
        *("--bootstrap-server", broker, "--topic", topic, "--group-id", group),
        *("--group-protocol", "consumer", "--max-messages", "600", "--reset-policy", "earliest"),
    )
    events = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert sum(e["count"] for e in events if e["name"] == "records_consumed") == 600
    assert sum(cluster.committed(group, topic).values()) == 600
    listed = tool(f"{TOOLS}GroupsCommand", "--bootstrap-server", broker, "--list")
    (row,) = [line.split() for line in listed.splitlines() if group in line]
    assert row == [group, "Consumer", "consumer"]


def test_settings_of_a_topic_are_changed_and_shown(broker: str, make_topic: MakeTopic) -> None:
    topic = make_topic("configs", partitions=1)

    def configs(*args: str) -> str:
        entity = ("--entity-type", "topics", "--entity-name", topic)
        return tool("kafka.admin.ConfigCommand", "--bootstrap-server", broker, *entity, *args)

    configs("--alter", "--add-config", "retention.ms=5000000,cleanup.policy=[compact,delete]")
    shown = configs("--describe")
    assert "retention.ms=5000000" in shown
    assert "cleanup.policy=compact,delete" in shown
    configs("--alter", "--delete-config", "retention.ms")
    assert "retention.ms" not in configs("--describe")


def test_records_are_deleted_up_to_an_offset(
    cluster: Cluster, broker: str, make_topic: MakeTopic, produce: Produce, tmp_path: Path
) -> None:
    topic = make_topic("cut", partitions=1)
    produce(topic, [b"%d" % i for i in range(10)])
    plan = {"partitions": [{"topic": topic, "partition": 0, "offset": 7}], "version": 1}
    (tmp_path / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    printed = tool(
        f"{TOOLS}DeleteRecordsCommand",
        *("--bootstrap-server", broker, "--offset-json-file", str(tmp_path / "plan.json")),
    )
    assert "low_watermark: 7" in printed
    assert [one.value for one in cluster.consume(topic, 3)] == [b"7", b"8", b"9"]


def test_what_the_broker_serves_is_within_what_the_java_client_knows(broker: str) -> None:
    printed = tool(f"{TOOLS}BrokerApiVersionsCommand", "--bootstrap-server", broker)
    rows = [line.strip() for line in printed.splitlines() if line.startswith("\t")]
    served = {row.split("(")[0]: row for row in rows if "usable" in row}
    for kind in ["Produce", "Fetch", "EndTxn", "ConsumerGroupHeartbeat", "OffsetCommit"]:
        assert kind in served, printed
