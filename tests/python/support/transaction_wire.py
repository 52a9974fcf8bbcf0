"""Requests of transactions, byte by byte, for what no client can be made to say."""

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from support.kafka import CLIENT_TIMEOUT_S

PRODUCE, INIT_PRODUCER_ID, ADD_PARTITIONS, ADD_OFFSETS, END_TXN, TXN_OFFSET_COMMIT = (
    *(0, 22, 24, 25, 26, 28),
)


def text(value: str | None) -> bytes:
    if value is None:
        return struct.pack(">h", -1)
    return struct.pack(">h", len(value.encode())) + value.encode()


def compact(value: str | None) -> bytes:
    """Text of the flexible versions, shorter than 127 bytes."""
    return b"\0" if value is None else bytes([len(value.encode()) + 1]) + value.encode()


def varint(value: int) -> bytes:
    zigzag, out = (value << 1) ^ (value >> 63), bytearray()
    while zigzag >= 0x80:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    return bytes([*out, zigzag])


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@dataclass(frozen=True)
class Owner:
    """A producer id and its epoch."""

    producer_id: int
    epoch: int

    @property
    def bytes(self) -> bytes:
        return struct.pack(">qh", self.producer_id, self.epoch)


def batch(owner: Owner, sequence: int, *, transactional: bool = True) -> bytes:
    """Build a batch of one record."""
    record = b"\0" + varint(0) + varint(0) + varint(-1) + varint(1) + b"x" + varint(0)
    record = varint(len(record)) + record
    attributes, time_ms = 0x10 if transactional else 0, 1_700_000_000_000
    body = struct.pack(">hiqq", attributes, 0, time_ms, time_ms)
    body += owner.bytes + struct.pack(">ii", sequence, 1) + record
    return struct.pack(">qiibI", 0, len(body) + 9, 0, 2, crc32c(body)) + body


class Connection:
    """
    A connection that asks one request after the other.

    Args:
        address: ``host:port``.
    """

    def __init__(self, address: str) -> None:
        host, port = address.split(",", maxsplit=1)[0].split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=CLIENT_TIMEOUT_S)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._file.close()
        self._socket.close()

    def ask(self, key: int, version: int, body: bytes, *, flexible: bool = False) -> bytes:
        """Send a request; the body of its response."""
        tags = b"\0" if flexible else b""
        head = struct.pack(">hhi", key, version, 7) + text("wire") + tags
        self._socket.sendall(struct.pack(">i", len(head + body + tags)) + head + body + tags)
        (length,) = struct.unpack(">i", self._file.read(4))
        answer = self._file.read(length)
        return answer[5:] if flexible else answer[4:]

    # -- transactions; each returns the error code -------------------------------------------

    def init(
        self,
        transactional_id: str,
        *,
        timeout_ms: int = 60_000,
        expected: Owner | None = None,
        version: int = 4,
    ) -> tuple[int, Owner]:
        """InitProducerId: error and, without one, the owner."""
        if version < 2:
            body, flexible = text(transactional_id) + struct.pack(">i", timeout_ms), False
        else:
            known = (expected or Owner(-1, -1)).bytes if version >= 3 else b""
            body = compact(transactional_id) + struct.pack(">i", timeout_ms) + known
            flexible = True
        answer = self.ask(INIT_PRODUCER_ID, version, body, flexible=flexible)
        _, error, producer_id, epoch = struct.unpack(">ihqh", answer[:16])
        return error, Owner(producer_id, epoch)

    def add_partitions(
        self, transactional_id: str, owner: Owner, places: Sequence[tuple[str, int]], version: int
    ) -> dict[tuple[str, int], int]:
        """AddPartitionsToTxn, versions 0 to 2: an error for each partition."""
        body = text(transactional_id) + owner.bytes + struct.pack(">i", len(places))
        for topic, partition in places:
            body += text(topic) + struct.pack(">ii", 1, partition)
        answer, errors = self.ask(ADD_PARTITIONS, version, body)[8:], {}
        while answer:
            (length,) = struct.unpack(">h", answer[:2])
            topic, (count,) = (
                answer[2:][:length].decode(),
                struct.unpack(">i", answer[length + 2 :][:4]),
            )
            answer = answer[length + 6 :]
            for _ in range(count):
                partition, error = struct.unpack(">ih", answer[:6])
                errors[topic, partition] = error
                answer = answer[6:]
        return errors

    def add_offsets(self, transactional_id: str, owner: Owner, group: str, version: int) -> int:
        """AddOffsetsToTxn, versions 0 to 2."""
        body = text(transactional_id) + owner.bytes + text(group)
        return int(struct.unpack(">ih", self.ask(ADD_OFFSETS, version, body))[1])

    def end(self, transactional_id: str, owner: Owner, *, commit: bool, version: int) -> int:
        """EndTxn, versions 0 to 2."""
        body = text(transactional_id) + owner.bytes + struct.pack(">?", commit)
        return int(struct.unpack(">ih", self.ask(END_TXN, version, body))[1])

    def commit_offset(
        self,
        transactional_id: str,
        owner: Owner,
        group: str,
        topic: str,
        *,
        member: tuple[str, int] = ("", -1),
    ) -> int:
        """TxnOffsetCommit of one offset, version 3."""
        member_id, generation = member
        body = compact(transactional_id) + compact(group) + owner.bytes
        body += struct.pack(">i", generation) + compact(member_id) + compact(None)
        partition = struct.pack(">iqi", 0, 5, -1) + compact("m") + b"\0"
        body += b"\2" + compact(topic) + b"\2" + partition + b"\0"
        answer = self.ask(TXN_OFFSET_COMMIT, 3, body, flexible=True)
        start = 4 + 1 + 1 + len(topic) + 1 + 4
        return int(struct.unpack(">h", answer[start : start + 2])[0])

    def produce(self, transactional_id: str | None, topic: str, records: bytes) -> int:
        """Produce one batch to partition 0, version 7."""
        body = text(transactional_id) + struct.pack(">hii", -1, 10_000, 1) + text(topic)
        body += struct.pack(">iii", 1, 0, len(records)) + records
        answer = self.ask(PRODUCE, 7, body)
        start = 4 + 2 + len(topic) + 4 + 4
        return int(struct.unpack(">h", answer[start : start + 2])[0])
