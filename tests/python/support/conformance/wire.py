"""
One connection that speaks Kafka's protocol, one request after the other.

Requests are plain dicts. Encoding and decoding are kafka-python's, made from Apache Kafka's own
schemas, so that a mistake in the codec of the broker cannot hide in the codec of the test.
"""

import socket
import struct
from collections.abc import Mapping
from functools import cache
from typing import Any

import kafka.protocol.admin
import kafka.protocol.consumer
import kafka.protocol.metadata
import kafka.protocol.producer

Fields = dict[str, Any]

# Longest wait for a response, in seconds.
TIMEOUT_S = 30.0
PACKAGES = (
    kafka.protocol.admin,
    kafka.protocol.consumer,
    kafka.protocol.metadata,
    kafka.protocol.producer,
)


@cache
def message(name: str) -> Any:
    """Return the class of a request or response, as ``ProduceRequest``."""
    for package in PACKAGES:
        found = getattr(package, name, None)
        if found is not None:
            return found
    raise LookupError(name)


class Connection:
    """
    A connection to a broker.

    Args:
        address: ``host:port``.
        client_id: What the broker is told.
    """

    def __init__(self, address: str, client_id: str) -> None:
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client_id = client_id
        self._next_id = 0
        self._waiting: list[tuple[int, str, int]] = []

    def close(self) -> None:
        """Close it; responses that are still to come are lost."""
        self._socket.close()

    def ask(self, name: str, version: int, fields: Mapping[str, Any]) -> Fields:
        """Send a request and return its response."""
        self.send(name, version, fields)
        return self.receive()

    def send(self, name: str, version: int, fields: Mapping[str, Any]) -> None:
        """Send a request; `receive` returns its response later."""
        request = fill(message(f"{name}Request"), version, fields)
        self._next_id += 1
        request.with_header(self._next_id, self._client_id)
        self._socket.sendall(request.encode(header=True, framed=True))
        if name != "Produce" or fields["acks"] != 0:
            self._waiting.append((self._next_id, name, version))

    def receive(self) -> Fields:
        """Return the response to the oldest request that has none yet."""
        number, name, version = self._waiting.pop(0)
        (length,) = struct.unpack(">i", self._read(4))
        frame = self._read(length)
        (answered,) = struct.unpack_from(">i", frame)
        assert answered == number, f"the response to request {answered}, not {number}"
        response = message(f"{name}Response").decode(frame, version=version, header=True)
        answer = plain(response, version)
        assert isinstance(answer, dict)
        return answer

    def _read(self, count: int) -> bytes:
        got = bytearray()
        while len(got) < count:
            part = self._socket.recv(count - len(got))
            if not part:
                raise ConnectionError(f"the broker closed the connection of {self._client_id}")
            got += part
        return bytes(got)


def fill(kind: Any, version: int, fields: Mapping[str, Any]) -> Any:
    """Make a message of nested dicts; what the version does not have is left out."""
    known = kind._struct.fields
    values: Fields = {}
    for name, value in fields.items():
        field = known[name]
        if not field.for_version_q(version):
            continue
        if value is not None and field.is_struct_array():
            values[name] = [fill(field.data_class, version, one) for one in value]
        elif value is not None and field.is_struct():
            values[name] = fill(field.data_class, version, value)
        else:
            values[name] = value
    return kind(version=version, **values)


def plain(value: Any, version: int) -> Any:
    """Turn a decoded message into dicts and lists."""
    if isinstance(value, list):
        return [plain(one, version) for one in value]
    if hasattr(value, "_struct"):
        return {
            field.name: plain(getattr(value, field.name), version)
            for field in value._struct._fields
            if field.for_version_q(version)
        }
    return bytes(value) if isinstance(value, (bytearray, memoryview)) else value
