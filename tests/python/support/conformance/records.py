"""Record batches, written and read with kafka-python's code."""

import struct
from dataclasses import dataclass
from typing import Any

from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

# Offset, then the length of what follows it.
HEAD = struct.Struct(">qi")
GZIP = 1


@dataclass(frozen=True)
class Producer:
    """
    Who writes a batch.

    Attributes:
        id: Producer id; -1 for none.
        epoch: Its epoch.
        sequence: Sequence number of the first record.
        transactional: Does the batch belong to a transaction?
    """

    id: int = -1
    epoch: int = -1
    sequence: int = -1
    transactional: bool = False


def write(rows: list[list[Any]], producer: Producer, *, gzip: bool) -> bytes:
    """Encode a batch; a row is key, value, timestamp and headers, texts or None."""
    builder = DefaultRecordBatchBuilder(
        2,
        GZIP if gzip else 0,
        producer.transactional,
        producer.id,
        producer.epoch,
        producer.sequence,
        1 << 20,
    )
    for offset, (key, value, timestamp_ms, headers) in enumerate(rows):
        pairs = [(name, encoded(text)) for name, text in headers]
        builder.append(offset, timestamp_ms, encoded(key), encoded(value), pairs)
    return bytes(builder.build())


def encoded(text: str | None) -> bytes | None:
    """Encode a text as the bytes of a key or value."""
    return None if text is None else text.encode()


def decoded(data: bytes | None) -> str | None:
    """Turn bytes of a record into text that can be printed."""
    return None if data is None else data.decode("utf-8", "backslashreplace")


def read(data: bytes | None) -> list[DefaultRecordBatch]:
    """Split what a fetch returned into batches; one that is cut off at the end is left out."""
    batches = []
    at = 0
    data = data or b""
    while at + HEAD.size <= len(data):
        _, length = HEAD.unpack_from(data, at)
        end = at + HEAD.size + length
        if end > len(data):
            break
        batches.append(DefaultRecordBatch(data[at:end]))
        at = end
    return batches
