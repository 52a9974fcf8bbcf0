"""The input: keys in random order, without an end, now and then a record that nobody can read."""

import json
import random
import threading
import time
import zlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, Message, Producer

KEYS = 400
POISON = 0.004
SLICE_S = 0.05
BROKEN = b'{"key": '


class Load:
    """
    Writes from a thread of its own, from entry to `stop`.

    Args:
        address: Broker.
        topic: Topic to write, which is empty.
        partitions: Its partitions.
        rate: Records a second.
        seed: Of its random numbers.
        is_behind: While it says so, nothing is written: the workers have enough.
    """

    def __init__(
        self,
        address: str,
        topic: str,
        partitions: int,
        *,
        rate: int,
        seed: int,
        is_behind: Callable[[], bool],
    ) -> None:
        # A broker that is gone for a while loses nothing of it.
        self._producer = Producer(
            {
                "bootstrap.servers": address,
                "log_level": 0,
                "enable.idempotence": True,
                "linger.ms": 5,
                "message.timeout.ms": 0,
            }
        )
        self._topic = topic
        self._ends = [0] * partitions
        self._rate = rate
        self._random = random.Random(seed)
        self._is_behind = is_behind
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")
        self.written = 0
        self.problem: str | None = None

    def _run(self) -> None:
        began = time.monotonic()
        while not self._ended.wait(SLICE_S):
            now = time.monotonic()
            if not self._is_behind():
                self.write(int((now - began) * self._rate))
            began = now
        if self._producer.flush(60):
            self.problem = "the broker does not take the last records of the input"

    def write(self, count: int) -> None:
        """Write *count* records more."""
        for _ in range(count):
            key = f"k{self._random.randrange(KEYS)}"
            to = zlib.crc32(key.encode()) % len(self._ends)
            # A record knows its place: one that is written on has no other word of it.
            place = {"partition": to, "offset": self._ends[to]}
            row = {"key": key, "value": self._random.randrange(1000), **place}
            value = json.dumps(row).encode()
            if self._random.random() < POISON:
                value = BROKEN
            self._producer.produce(self._topic, value, key, to, on_delivery=self._acknowledged)
            self._ends[to] += 1
            self.written += 1
        self._producer.poll(0)

    def _acknowledged(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self.problem = f"the input was not written: {error}"

    def stop(self) -> None:
        """Write nothing more; everything is acknowledged when this returns."""
        self._ended.set()
        self._thread.join()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()
