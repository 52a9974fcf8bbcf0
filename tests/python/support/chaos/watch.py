"""Reads what is committed, and the input with it, while everything goes on."""

import json
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self, cast

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from support.chaos.chains import At, AtLeastOnce, Chains, ExactlyOnce, Fault, Marks, Output
from support.chaos.load import BROKEN

MOST_FAULTS = 50
INPUT_S = 60.0


@dataclass(frozen=True)
class Topics:
    """
    Names of the topics, each with *partitions*.

    Attributes:
        source: Read by the app.
        out: Its outputs.
        audit: Its side output: every tenth record.
        dlq: Its dead letters.
        partitions: Partitions of each.
    """

    source: str
    out: str
    audit: str
    dlq: str
    partitions: int


class Watch:
    """
    A thread that reads and judges, from entry to exit.

    Args:
        address: Broker.
        topics: What is read.
        is_exact: Whether an output that comes again is a fault.
        has_state: Whether the app has state.

    Attributes:
        faults: What was found, in order.
        outputs_of: Outputs of each worker so far.
        owners: Worker of the newest output of each partition of the input.
        moved_s: When the newest output was seen, on the monotonic clock.
    """

    def __init__(self, address: str, topics: Topics, *, is_exact: bool, has_state: bool) -> None:
        self._topics = topics
        self.is_exact = is_exact
        chains: type[Chains] = ExactlyOnce if is_exact else AtLeastOnce
        self.chains = chains(has_state=has_state)
        self.audit = Marks("side output", is_exact=is_exact)
        self.dlq = Marks("dead letter", is_exact=is_exact)
        self.faults: list[Fault] = []
        self.outputs_of: dict[str, int] = {}
        self.owners: dict[int, str] = {}
        self.moved_s = time.monotonic()
        self._read = [0] * topics.partitions
        self._input = self._consumer(address, [topics.source])
        self._outputs = self._consumer(address, [topics.out, topics.audit, topics.dlq])
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")

    def _consumer(self, address: str, names: list[str]) -> Consumer:
        consumer = Consumer(
            {
                "bootstrap.servers": address,
                "log_level": 0,
                "group.id": "turbine-chaos-watch",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 20,
            }
        )
        partitions = range(self._topics.partitions)
        consumer.assign([TopicPartition(name, p, 0) for name in names for p in partitions])
        return consumer

    @property
    def is_full(self) -> bool:
        """Whether so much is wrong that nothing new can be learned."""
        return len(self.faults) >= MOST_FAULTS

    def outstanding(self) -> int:
        """Count records of the input, as far as it was read, that something is missing of."""
        marks = self.audit.outstanding() + self.dlq.outstanding()
        return self.chains.outstanding() + marks

    def read(self) -> int:
        """Count records of the input that were read."""
        return sum(self._read)

    # -- the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                self._take_input(0)
                for message in self._outputs.consume(1_000, 0.05):
                    if _is_record(message) and not self.is_full:
                        self.faults += self._judge(message)
        except Exception:  # noqa: BLE001 - told with the other faults
            self.faults.append(Fault("checker", traceback.format_exc()))
        finally:
            self._input.close()
            self._outputs.close()

    def _take_input(self, wait_s: float) -> None:
        for message in self._input.consume(2_000, wait_s):
            if not _is_record(message):
                continue
            at, key, value = _at(message), _text(message.key()), message.value()
            self._read[at.partition] = at.offset + 1
            if value == BROKEN:
                self.dlq.expect(at)
                continue
            self.chains.record(at, key, json.loads(value or b"")["value"])
            if at.offset % 10 == 0:
                self.audit.expect(at)

    def _know(self, at: At) -> None:
        """Read the input until *at* is in it: an output may be quicker than its record."""
        end = time.monotonic() + INPUT_S
        while self._read[at.partition] <= at.offset and time.monotonic() < end:
            self._take_input(0.1)

    def _judge(self, message: Message) -> Iterator[Fault]:
        topic = message.topic()
        if topic == self._topics.dlq:
            at = _source_of(message)
            self._know(at)
            yield from self.dlq.found(at)
            return
        row = json.loads(message.value() or b"")
        at = At(row.pop("partition"), row.pop("offset"))
        self._know(at)
        if topic == self._topics.audit:
            yield from self.audit.found(at)
            return
        found = Output(at=at, **row)
        self.moved_s = time.monotonic()
        self.owners[at.partition] = found.worker
        self.outputs_of[found.worker] = self.outputs_of.get(found.worker, 0) + 1
        for fault in self.chains.output(found):
            place = f"{topic}-{message.partition()}@{message.offset()}"
            yield Fault(fault.kind, f"{fault.text} [{place}]")

    # -- its life --------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()


def _is_record(message: Message) -> bool:
    error = message.error()
    # What the client meets while a broker is away it mends itself.
    if error is None:
        return True
    if error.fatal() or error.code() == KafkaError.OFFSET_OUT_OF_RANGE:
        raise RuntimeError(f"cannot read on: {error}")
    return False


def _at(message: Message) -> At:
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return At(partition, offset)


def _text(data: bytes | str | None) -> str:
    return data.decode() if isinstance(data, bytes) else data or ""


def _source_of(letter: Message) -> At:
    # Typed for both directions; what was read is a list of bytes.
    found = cast("list[tuple[str, bytes | None]]", letter.headers() or [])
    headers = {name: _text(value) for name, value in found}
    return At(int(headers["turbine.source.partition"]), int(headers["turbine.source.offset"]))
