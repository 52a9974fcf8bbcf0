"""One sequence on one broker: its names, its clients, and what later operations need to know."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from support.conformance.wire import Connection, Fields, message

Operation = list[Any]
"""Name of the operation and its arguments by name: ``["produce", {...}]``; what JSON can hold."""

Versions = Mapping[str, tuple[int, int]]
"""Oldest and newest version of each request that both brokers and the schemas have."""

# The coordinator moves or loads; a transaction before is still being finished.
NOT_YET = {14, 15, 16, 51}
# A partition that was created a moment ago.
NOT_THERE_YET = {3, 5, 6}
REBALANCE_IN_PROGRESS = 27
# The first version of EndTxn in the second protocol of transactions (KIP-890).
SECOND_PROTOCOL = 5
DEADLINE_S = 20.0
# Records are not later than this behind the start of their sequence.
LONGEST_MS = 60_000

# What may differ: words for people, ids, addresses, and what only a busy broker answers.
DROPPED = {
    "error_message",
    "batch_index_error_message",
    "throttle_time_ms",
    "topic_id",
    "session_id",
    "node_endpoints",
    "coordinator_epoch",
    "txn_start_timestamp",
    "transaction_start_time_ms",
    "diverging_epoch",
    "current_leader",
    "snapshot_id",
    "preferred_read_replica",
    "protocol_metadata",
    "log_append_time_ms",
}
# What orders a list of the protocol, whose order means nothing.
KEYS = ("name", "partition_index", "partition", "topic", "group_id", "member_id", "producer_id")


@dataclass
class Identity:
    """
    A producer as its client knows it.

    Attributes:
        id: Producer id, -1 before its first answer.
        epoch: Epoch.
        next: Next sequence number of each topic and partition.
        added: Topics and partitions that the open transaction has.
    """

    id: int = -1
    epoch: int = -1
    next: dict[tuple[str, int], int] = field(default_factory=dict)
    added: set[tuple[str, int]] = field(default_factory=set)


@dataclass
class Member:
    """
    A member of a group as its client knows it.

    Attributes:
        id: Member id.
        generation: Generation, or epoch of the member.
        leader: Does it share the partitions?
        topics: Its subscription.
        instance: ``group.instance.id``, if it is a static one.
    """

    id: str = ""
    generation: int = -1
    leader: bool = False
    topics: list[str] = field(default_factory=list)
    instance: str | None = None


class World:
    """
    What one sequence sees of one broker.

    Args:
        clients: A connection for each client.
        versions: What may be asked.
        prefix: Begins the names of this sequence, so that it meets no other one.
        start_ms: Time of the first record, ms since the Unix epoch.
    """

    def __init__(
        self, clients: list[Connection], versions: Versions, prefix: str, start_ms: int
    ) -> None:
        self.clients = clients
        self.prefix = prefix
        self.start_ms = start_ms
        self.topics: dict[str, int] = {}
        self.cut: set[tuple[str, int]] = set()
        # Groups of which a producer has put offsets into its transaction.
        self.pending: dict[str, set[str]] = {}
        self.producers: dict[tuple[int, str], Identity] = {}
        self.members: dict[tuple[int, str], Member] = {}
        self._versions = versions
        self._labels: dict[Any, str] = {}

    def name(self, short: str) -> str:
        """Return the name on the broker for a name of the sequence."""
        return f"{self.prefix}{short}" if short else short

    def version(self, api: str, share: float, *, least: int = 0, most: int = 99) -> int | None:
        """Choose a version: 0 the oldest that is allowed, 1 the newest; None if there is none."""
        if api not in self._versions:
            return None
        oldest, newest = self._versions[api]
        oldest, newest = max(oldest, least), min(newest, most)
        if oldest > newest:
            return None
        return min(newest, oldest + int(share * (newest - oldest + 1)))

    @property
    def transactional(self) -> bool:
        """Are transactions served?"""
        return "EndTxn" in self._versions

    @property
    def has_second(self) -> bool:
        """Is the second protocol of transactions served?"""
        return self._versions.get("EndTxn", (0, 0))[1] >= SECOND_PROTOCOL

    def newest(self, api: str) -> int:
        """Return the newest version of a request that has to be there."""
        return self._versions[api][1]

    def ask(self, client: int, api: str, version: int, fields: Fields) -> Fields:
        """Ask, and again as long as the broker says that it is not ready yet."""
        end = time.monotonic() + DEADLINE_S
        while True:
            answer = self.clients[client].ask(api, version, fields)
            if not codes(answer) & NOT_YET or time.monotonic() > end:
                return answer
            time.sleep(0.002)

    def label(self, key: Any, text: str) -> None:
        """Call an id that the broker chose by a name that is the same on every broker."""
        self._labels.setdefault(key, text)

    def label_of(self, key: Any) -> str:
        """Return that name."""
        return self._labels.get(key, "unknown")

    def tidy(self, value: Any) -> Any:
        """Leave of an answer what two brokers have to agree about."""
        if isinstance(value, dict):
            left = {name: one for name, one in value.items() if name not in DROPPED}
            return {name: self._field(name, one) for name, one in left.items()}
        if isinstance(value, list):
            items = [self.tidy(one) for one in value]
            if items and isinstance(items[0], dict):
                items.sort(key=lambda one: ([str(one.get(key)) for key in KEYS], json.dumps(one)))
            return items
        if isinstance(value, str):
            return value.replace(self.prefix, "")
        if isinstance(value, bytes):
            return self.tidy(value.decode("utf-8", "backslashreplace"))
        return value

    def _field(self, name: str, value: Any) -> Any:
        if name == "producer_id":
            return "none" if value == -1 else self.label_of(("producer", value))
        if name in {"member_id", "leader"} and isinstance(value, str) and value:
            return self.label_of(("member", value))
        if name == "config_source":
            # Which settings of its own a broker was started with is its own business.
            return "topic" if value == 1 else "broker"
        if name in {"timestamp", "last_timestamp", "max_timestamp"} and value > 0:
            # Markers have the time at which the broker wrote them.
            return value - self.start_ms if value < self.start_ms + LONGEST_MS else "now"
        if name == "topics" and value and "topic" in value[0]:
            # Where a broker keeps the offsets of groups is its own business.
            value = [one for one in value if one["topic"] != "__consumer_offsets"]
        return self.tidy(value)

    def until(self, check: Callable[[], bool]) -> bool:
        """Wait for the broker to do what it has accepted; False if it never does."""
        end = time.monotonic() + DEADLINE_S
        while not check():
            if time.monotonic() > end:
                return False
            time.sleep(0.002)
        return True

    def wait_partitions(self, topic: str, count: int, *, gone: bool = False) -> bool:
        """Wait until every partition of a topic is served, or none is any more."""
        partitions = [
            {"partition_index": p, "current_leader_epoch": -1, "timestamp": -2}
            for p in range(count)
        ]
        fields = {
            "replica_id": -1,
            "isolation_level": 0,
            "topics": [{"name": self.name(topic), "partitions": partitions}],
        }

        def check() -> bool:
            answer = self.clients[0].ask("ListOffsets", 7, fields)
            found = {p["error_code"] for t in answer["topics"] for p in t["partitions"]}
            return found == {3} if gone else not found & NOT_THERE_YET

        return self.until(check)

    def clean_up(self) -> None:
        """Delete the topics of the sequence and leave its groups; nothing waits for it."""
        for (client, group), member in self.members.items():
            if member.id:
                self.clients[client].ask(
                    "LeaveGroup",
                    3,
                    {
                        "group_id": self.name(group),
                        "members": [{"member_id": member.id, "group_instance_id": member.instance}],
                    },
                )
        names = [self.name(topic) for topic in self.topics]
        if names:
            self.clients[0].ask("DeleteTopics", 5, {"topic_names": names, "timeout_ms": 0})


def codes(answer: Any) -> set[int]:
    """Every error code in an answer."""
    if isinstance(answer, dict):
        found: set[int] = set()
        for name, value in answer.items():
            if name == "error_code":
                found.add(value)
            elif isinstance(value, (dict, list)):
                found |= codes(value)
        return found
    if isinstance(answer, list):
        return set().union(*(codes(one) for one in answer))
    return set()


def common_versions(addresses: list[str]) -> Versions:
    """Ask brokers what they serve; return what all of them and the schemas have."""
    ranges: list[dict[int, tuple[int, int]]] = []
    for address in addresses:
        connection = Connection(address, "conformance")
        fields = {"client_software_name": "conformance", "client_software_version": "1"}
        answer = connection.ask("ApiVersions", 3, fields)
        connection.close()
        ranges.append(
            {api["api_key"]: (api["min_version"], api["max_version"]) for api in answer["api_keys"]}
        )
    found = {}
    for name in APIS:
        kind = message(f"{name}Request")
        if not all(kind.API_KEY in served for served in ranges):
            continue
        oldest = max(served[kind.API_KEY][0] for served in ranges)
        newest = min(kind.max_version, *(served[kind.API_KEY][1] for served in ranges))
        if oldest <= newest:
            found[name] = (oldest, newest)
    return found


APIS = (
    "AddOffsetsToTxn",
    "AddPartitionsToTxn",
    "AlterConfigs",
    "CreatePartitions",
    "CreateTopics",
    "DeleteGroups",
    "DeleteRecords",
    "DeleteTopics",
    "DescribeConfigs",
    "DescribeGroups",
    "DescribeProducers",
    "DescribeTopicPartitions",
    "DescribeTransactions",
    "EndTxn",
    "Fetch",
    "FindCoordinator",
    "Heartbeat",
    "IncrementalAlterConfigs",
    "InitProducerId",
    "JoinGroup",
    "LeaveGroup",
    "ListGroups",
    "ListOffsets",
    "ListTransactions",
    "Metadata",
    "OffsetCommit",
    "OffsetDelete",
    "OffsetFetch",
    "OffsetForLeaderEpoch",
    "Produce",
    "SyncGroup",
    "TxnOffsetCommit",
)
