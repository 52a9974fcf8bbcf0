"""What tests say to a broker themselves, through a client that has no code of ours."""

import json
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

CLIENT_TIMEOUT_S = 10.0
# A partition whose leader is about to change, or about to be there.
MOVING = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE}
# Brokers come and go in tests; what matters shows in the results.
QUIET: dict[str, Any] = {"log_level": 0}
Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True)
class Got:
    """
    One record that was read.

    Attributes:
        partition: Partition number.
        offset: Offset in it.
        key: Key bytes, if any.
        value: Value bytes; None is a tombstone.
        headers: Headers in order.
        timestamp_ms: ms since the Unix epoch; -1 if it has none.
    """

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int

    @property
    def json(self) -> Any:
        """The value, parsed."""
        assert self.value is not None, f"a tombstone at {self.partition}@{self.offset}"
        return json.loads(self.value)

    @property
    def header(self) -> dict[str, str]:
        """Headers as text; of a name that repeats the last one."""
        return {name: (value or b"").decode() for name, value in self.headers}

    @classmethod
    def of(cls, message: Message) -> "Got":
        """Copy what the client read."""
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        # Typed for both directions; what was read is a list of bytes.
        headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
        return cls(
            partition=partition,
            offset=offset,
            key=message.key(),
            value=message.value(),
            headers=tuple(headers),
            timestamp_ms=message.timestamp()[1],
        )


def as_bytes(value: Any) -> bytes | None:
    """Return what a test wrote as the bytes of a record: bytes and text as they are, else JSON."""
    if value is None or isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


class Cluster:
    """
    Topics, records and offsets of one broker.

    Args:
        address: ``host:port`` of the broker.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.admin = AdminClient({"bootstrap.servers": address, **QUIET})
        self._producer: Producer | None = None

    # -- topics ----------------------------------------------------------------------------

    def make_topic(
        self, name: str = "t", partitions: int = 4, config: Mapping[str, str] | None = None
    ) -> str:
        """Create a topic whose name starts with *name* and is not used twice; return its name."""
        topic = f"{name}-{uuid.uuid4().hex[:8]}"
        self.make_topic_named(topic, partitions, config)
        return topic

    def remake_topic(self, topic: str) -> None:
        """Delete a topic, and create one of the same name and size."""
        partitions = self.partitions(topic)
        self.admin.delete_topics([topic])[topic].result(CLIENT_TIMEOUT_S)
        end = time.monotonic() + CLIENT_TIMEOUT_S
        while topic in self.topics():
            assert time.monotonic() < end, f"{topic} is still there"
        self.make_topic_named(topic, partitions)

    def make_topic_named(
        self, topic: str, partitions: int, config: Mapping[str, str] | None = None
    ) -> None:
        """Create *topic* and wait until each of its partitions has a leader."""
        new = NewTopic(topic, partitions, 1, config=dict(config or {}))
        self.admin.create_topics([new])[topic].result(CLIENT_TIMEOUT_S)
        end = time.monotonic() + CLIENT_TIMEOUT_S
        while self.partitions(topic) != partitions:
            assert time.monotonic() < end, f"{topic} has no {partitions} partitions"
        # Metadata name a leader a moment before it leads.
        self.ends(topic)

    def partitions(self, topic: str) -> int:
        """Count the partitions of *topic* that have a leader; 0 if there is no such topic."""
        meta = self.admin.list_topics(topic, CLIENT_TIMEOUT_S).topics[topic]
        if meta.error is not None:
            return 0
        return sum(p.leader >= 0 and p.error is None for p in meta.partitions.values())

    def topics(self) -> set[str]:
        """Names of all topics."""
        return set(self.admin.list_topics(timeout=CLIENT_TIMEOUT_S).topics)

    # -- writing ---------------------------------------------------------------------------

    def produce(
        self,
        topic: str,
        values: Iterable[Any],
        *,
        key: Any = None,
        keys: Sequence[Any] | None = None,
        partition: int | None = None,
        headers: Headers = (),
        timestamp_ms: int = 0,
    ) -> None:
        """
        Write one record a value and wait until all are acknowledged.

        Args:
            topic: Topic to write.
            values: bytes and str go as they are, None is a tombstone, the rest becomes JSON.
            key: Key of every record.
            keys: Or a key for each value.
            partition: Partition; chosen by the key, as Java's client does, if None.
            headers: Headers of every record.
            timestamp_ms: Timestamp of every record; 0 is now.
        """
        if self._producer is None:
            self._producer = Producer(
                {
                    "bootstrap.servers": self.address,
                    **QUIET,
                    "partitioner": "murmur2_random",
                    "linger.ms": 1,
                    "queue.buffering.max.messages": 1_000_000,
                    "message.max.bytes": 2_000_000,
                }
            )
        errors: list[KafkaError] = []

        def acknowledged(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                errors.append(error)

        place: dict[str, Any] = {} if partition is None else {"partition": partition}
        for i, value in enumerate(values):
            self._producer.produce(
                topic,
                as_bytes(value),
                as_bytes(keys[i] if keys is not None else key),
                headers=list(headers),
                timestamp=timestamp_ms,
                on_delivery=acknowledged,
                **place,
            )
            if i % 10_000 == 0:
                self._producer.poll(0)
        unsent = self._producer.flush(60)
        assert not errors, f"{topic}: {errors[0]}"
        assert unsent == 0, f"{topic}: {unsent} records not acknowledged"

    # -- reading ---------------------------------------------------------------------------

    def ends(self, topic: str) -> dict[int, int]:
        """End offset of each partition."""
        with _Reader(self.address) as consumer:
            return {p: _bounds(consumer, topic, p)[1] for p in range(self.partitions(topic))}

    def start(self, topic: str, partition: int = 0) -> int:
        """Offset of the oldest record that a partition has."""
        with _Reader(self.address) as consumer:
            return _bounds(consumer, topic, partition)[0]

    def count(self, topic: str) -> int:
        """End offsets, summed: the number of records of a topic that nobody compacts."""
        return sum(self.ends(topic).values())

    def consume(self, topic: str, at_least: int, deadline_s: float = 30.0) -> list[Got]:
        """
        Read *topic* from its start until *at_least* records were there and its end is reached.

        Args:
            topic: Topic to read.
            at_least: Fail with fewer than this many.
            deadline_s: Longest time to wait for them, in seconds.

        Returns:
            All records, those of a partition in their order.
        """
        got: list[Got] = []
        end = time.monotonic() + deadline_s
        with _Reader(self.address) as consumer:
            consumer.assign([TopicPartition(topic, p, 0) for p in range(self.partitions(topic))])
            at_end: set[int] = set()
            while len(got) < at_least or len(at_end) < len(consumer.assignment()):
                assert time.monotonic() < end, (
                    f"{topic}: {len(got)} of {at_least} records in {deadline_s} s"
                )
                for message in consumer.consume(10_000, 0.05):
                    _take(message, got, at_end)
        return got

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Committed offset of each partition that has one."""
        wanted = [TopicPartition(topic, p) for p in range(self.partitions(topic))]
        with _Reader(self.address, group) as consumer:
            found = consumer.committed(wanted, CLIENT_TIMEOUT_S)
        return {tp.partition: tp.offset for tp in found if tp.offset >= 0}


def _bounds(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """First offset of a partition, and its end; asks again while its leader changes."""
    end = time.monotonic() + CLIENT_TIMEOUT_S
    while True:
        try:
            place = TopicPartition(topic, partition)
            low, high = consumer.get_watermark_offsets(place, CLIENT_TIMEOUT_S)
            return int(low), int(high)
        except KafkaException as exc:
            if exc.args[0].code() not in MOVING or time.monotonic() > end:
                raise
            time.sleep(0.02)


def _take(message: Message, got: list[Got], at_end: set[int]) -> None:
    error = message.error()
    partition = message.partition()
    assert partition is not None
    if error is None:
        at_end.discard(partition)
        got.append(Got.of(message))
    elif error.code() == KafkaError._PARTITION_EOF:
        at_end.add(partition)
    else:
        raise AssertionError(f"consume: {error}")


class _Reader:
    """A consumer without a membership, closed at the end of the block."""

    def __init__(self, address: str, group: str = "turbine-tests") -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": address,
                **QUIET,
                "group.id": group,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 10,
                "isolation.level": "read_committed",
            }
        )

    def __enter__(self) -> Consumer:
        return self._consumer

    def __exit__(self, *exc: object) -> None:
        self._consumer.close()
