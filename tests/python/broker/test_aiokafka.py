"""aiokafka, unchanged: a client in pure Python with a protocol layer of its own."""

import asyncio
import uuid

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from support.fixtures import MakeTopic

TIMEOUT_S = 20.0


async def read(consumer: AIOKafkaConsumer, count: int) -> list[ConsumerRecord]:
    got: list[ConsumerRecord] = []
    async with asyncio.timeout(TIMEOUT_S):
        while len(got) < count:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                got.extend(records)
    return got


@pytest.mark.parametrize("codec", [None, "gzip"])
async def test_a_group_reads_what_an_idempotent_producer_wrote(
    broker: str, make_topic: MakeTopic, codec: str | None
) -> None:
    topic, group = make_topic(partitions=3), f"aio-{uuid.uuid4().hex[:8]}"
    async with AIOKafkaProducer(
        bootstrap_servers=broker, enable_idempotence=True, compression_type=codec
    ) as producer:
        for i in range(300):
            await producer.send(topic, b"%d" % i, key=b"k%d" % i, headers=[("h", b"x")])
        await producer.flush()

    async with AIOKafkaConsumer(
        topic,
        bootstrap_servers=broker,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    ) as consumer:
        got = await read(consumer, 300)
        assert sorted(int(record.value) for record in got) == list(range(300))
        assert {record.headers for record in got} == {(("h", b"x"),)}
        await consumer.commit()

    async with AIOKafkaConsumer(bootstrap_servers=broker, group_id=group) as consumer:
        committed = [await consumer.committed(TopicPartition(topic, p)) for p in range(3)]
    assert sum(committed) == 300


async def test_two_members_share_the_partitions_of_a_topic(
    broker: str, make_topic: MakeTopic
) -> None:
    topic, group = make_topic(partitions=4), f"aio-{uuid.uuid4().hex[:8]}"

    def member() -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            topic,
            bootstrap_servers=broker,
            group_id=group,
            session_timeout_ms=6000,
            heartbeat_interval_ms=200,
        )

    async with member() as first, member() as second:
        async with asyncio.timeout(TIMEOUT_S):
            while not (len(first.assignment()) == 2 and len(second.assignment()) == 2):
                await asyncio.gather(first.getmany(timeout_ms=50), second.getmany(timeout_ms=50))
        assert first.assignment() | second.assignment() == {
            TopicPartition(topic, p) for p in range(4)
        }


async def test_a_transaction_moves_records_and_offsets_together(
    broker: str, make_topic: MakeTopic
) -> None:
    source, target = make_topic(partitions=1), make_topic(partitions=1)
    group, place = f"aio-{uuid.uuid4().hex[:8]}", TopicPartition(source, 0)
    producer = AIOKafkaProducer(
        bootstrap_servers=broker, transactional_id=f"aio-{uuid.uuid4().hex[:8]}"
    )
    async with producer:
        for value, outcome in [(b"a", "commit"), (b"b", "abort"), (b"c", "commit")]:
            await producer.begin_transaction()
            await producer.send_and_wait(target, value)
            await producer.send_offsets_to_transaction({place: ord(value)}, group)
            if outcome == "commit":
                await producer.commit_transaction()
            else:
                await producer.abort_transaction()

    async with AIOKafkaConsumer(
        target,
        bootstrap_servers=broker,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        enable_auto_commit=False,
        group_id=group,
    ) as consumer:
        assert [record.value for record in await read(consumer, 2)] == [b"a", b"c"]
        assert await consumer.committed(place) == ord(b"c")
