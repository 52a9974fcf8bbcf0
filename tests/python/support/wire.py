"""Requests of Kafka's protocol, byte by byte, where no client asks what a test wants to ask."""

import socket
import struct
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Self, TypeVar

T = TypeVar("T")
Owned = set[tuple[str, int]]

OFFSET_COMMIT = 8
CONSUMER_GROUP_HEARTBEAT = 68
DESCRIBE_TOPIC_PARTITIONS = 75


class Writer:
    """The body of a request in a flexible version."""

    def __init__(self) -> None:
        self.body = bytearray()

    def number(self, layout: str, value: int) -> Self:
        """A number: ``b``, ``h``, ``i`` or ``q``, as in `struct`."""
        self.body += struct.pack(">" + layout, value)
        return self

    def length(self, value: int) -> Self:
        """A length or count, 7 bits a byte."""
        while value >= 0x80:
            self.body.append(value & 0x7F | 0x80)
            value >>= 7
        self.body.append(value)
        return self

    def text(self, value: str | None) -> Self:
        """A text, or null."""
        if value is None:
            return self.length(0)
        self.length(len(value.encode()) + 1)
        self.body += value.encode()
        return self

    def array(self, values: Iterable[T] | None, write: Callable[[T], object]) -> Self:
        """An array, or null."""
        if values is None:
            return self.length(0)
        values = list(values)
        self.length(len(values) + 1)
        for value in values:
            write(value)
        return self

    def end(self) -> Self:
        """No tagged fields."""
        return self.length(0)


class Reader:
    """The body of a response in a flexible version."""

    def __init__(self, body: bytes) -> None:
        self._body = BytesIO(body)

    def number(self, layout: str) -> int:
        """A number: ``b``, ``h``, ``i`` or ``q``, as in `struct`."""
        value: int = struct.unpack(">" + layout, self._body.read(struct.calcsize(layout)))[0]
        return value

    def length(self) -> int:
        """A length or count."""
        value = shift = 0
        while (byte := self._body.read(1)[0]) >= 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
        return value | byte << shift

    def text(self) -> str | None:
        """A text, or null."""
        length = self.length()
        return self._body.read(length - 1).decode() if length else None

    def id(self) -> uuid.UUID:
        """An id of 16 bytes."""
        return uuid.UUID(bytes=self._body.read(16))

    def array(self, read: Callable[[], T]) -> list[T]:
        """An array; null is an empty one."""
        return [read() for _ in range(self.length() - 1)]

    def end(self) -> None:
        """Skip tagged fields."""
        for _ in range(self.length()):
            self.length()
            self._body.read(self.length())


@dataclass(frozen=True)
class Beat:
    """
    The answer to a heartbeat of the ``consumer`` protocol.

    Attributes:
        error: Its number; 0 for none.
        epoch: Epoch of the member.
        owned: Topics and partitions it may read; None is as before.
    """

    error: int
    epoch: int = 0
    owned: Owned | None = None


@dataclass
class Wire:
    """
    One connection.

    Attributes:
        address: ``host:port`` of the broker.
        topics: Topics that were asked for, with their ids.
    """

    address: str
    topics: dict[str, uuid.UUID] = field(default_factory=dict)

    def __post_init__(self) -> None:
        host, port = self.address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), timeout=30)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def ask(self, key: int, version: int, request: Writer) -> Reader:
        """Send a request and read its response, whose throttle time is skipped."""
        head = struct.pack(">hhih", key, version, 1, 4) + b"wire\0"
        frame = head + request.body
        self._socket.sendall(struct.pack(">i", len(frame)) + frame)
        response = Reader(self._read(struct.unpack(">i", self._read(4))[0]))
        response.number("i")
        response.end()
        response.number("i")
        return response

    def _read(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            part = self._socket.recv(count - len(got))
            assert part, "the broker has closed the connection"
            got += part
        return got

    def describe(
        self, topics: Iterable[str], limit: int, cursor: tuple[str, int] | None = None
    ) -> tuple[list[tuple[str | None, int, list[int]]], tuple[str | None, int] | None]:
        """
        Ask for partitions of topics.

        Returns:
            Name, error and partitions of each topic, and where to go on.
        """
        request = Writer()
        request.array(topics, lambda topic: request.text(topic).end()).number("i", limit)
        if cursor is None:
            request.number("b", -1)
        else:
            request.number("b", 1).text(cursor[0]).number("i", cursor[1]).end()
        response = self.ask(DESCRIBE_TOPIC_PARTITIONS, 0, request.end())

        def partition() -> int:
            error, number, *_ = (response.number(x) for x in "hiii")
            assert error == 0
            for _ in range(5):
                response.array(lambda: response.number("i"))
            response.end()
            return number

        def topic() -> tuple[str | None, int, list[int]]:
            error, name, topic_id = response.number("h"), response.text(), response.id()
            response.number("b")
            partitions = response.array(partition)
            response.number("i")
            response.end()
            if name is not None and not error:
                self.topics[name] = topic_id
            return name, error, partitions

        described = response.array(topic)
        if response.number("b") < 0:
            return described, None
        return described, (response.text(), response.number("i"))

    def heartbeat(
        self,
        group: str,
        member: str,
        epoch: int,
        *,
        topics: Iterable[str] | None = None,
        owned: Owned | None = None,
        instance: str | None = None,
        assignor: str | None = None,
        pattern: str | None = None,
    ) -> Beat:
        """Speak for a member of the ``consumer`` protocol; its topics have to be known."""
        by_topic: dict[str, list[int]] = {}
        for topic, partition in owned or ():
            by_topic.setdefault(topic, []).append(partition)
        request = Writer().text(group).text(member).number("i", epoch).text(instance).text(None)
        request.number("i", 60_000 if epoch == 0 else -1)
        request.array(topics, request.text).text(pattern).text(assignor)

        def part(topic: str) -> None:
            request.body += self.topics[topic].bytes
            request.array(by_topic[topic], lambda n: request.number("i", n)).end()

        # Null is "as before", and a member that joins has nothing.
        has = by_topic if owned is not None or epoch == 0 else None
        response = self.ask(CONSUMER_GROUP_HEARTBEAT, 1, request.array(has, part).end())
        error = response.number("h")
        response.text(), response.text()
        if error:
            return Beat(error)
        epoch, _ = response.number("i"), response.number("i")
        if response.number("b") < 0:
            return Beat(0, epoch)
        names = {topic_id: name for name, topic_id in self.topics.items()}

        def assigned() -> Owned:
            name = names[response.id()]
            partitions = response.array(lambda: response.number("i"))
            response.end()
            return {(name, partition) for partition in partitions}

        return Beat(0, epoch, set().union(*response.array(assigned)))

    def commit(
        self, group: str, member: str, epoch: int, place: tuple[str, int], offset: int
    ) -> int:
        """Commit an offset of one partition; the number of the error."""
        request = Writer().text(group).number("i", epoch).text(member).text(None)

        def partition(number: int) -> None:
            request.number("i", number).number("q", offset).number("i", -1).text("").end()

        def topic(name: str) -> None:
            request.text(name).array([place[1]], partition).end()

        response = self.ask(OFFSET_COMMIT, 9, request.array([place[0]], topic).end())

        def answer() -> int:
            response.number("i")
            error = response.number("h")
            response.end()
            return error

        def answers() -> list[int]:
            response.text()
            errors = response.array(answer)
            response.end()
            return errors

        return response.array(answers)[0][0]
