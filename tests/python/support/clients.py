"""Clients of librdkafka's that give trouble little time: they try again at once."""

from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, Producer

FLUSH_S = 30
AT_ONCE: dict[str, Any] = {
    "log_level": 0,
    "reconnect.backoff.ms": 1,
    "reconnect.backoff.max.ms": 20,
}


def producer(address: str, **settings: Any) -> Producer:
    """Make an idempotent producer."""
    own = {"enable.idempotence": True, "retry.backoff.ms": 1, "linger.ms": 0}
    return Producer({"bootstrap.servers": address, **AT_ONCE, **own, **settings})


def consumer(address: str, group: str, **settings: Any) -> Consumer:
    """Make a member of *group* that reads from the start and commits when it is told to."""
    own = {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    return Consumer({"bootstrap.servers": address, **AT_ONCE, **own, **settings})


def write(client: Producer, topic: str, count: int) -> list[KafkaError]:
    """Write the numbers below *count* one by one, to partition 0; the errors."""
    errors: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            errors.append(error)

    for i in range(count):
        client.produce(topic, b"%d" % i, partition=0, on_delivery=delivered)
        client.poll(0)
    assert client.flush(FLUSH_S) == 0
    return errors
