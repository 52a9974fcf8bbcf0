"""Clients that ask for too much: memory, file descriptors, patience."""

import json
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.wait import eventually

pytestmark = pytest.mark.embedded

API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 77, -1)


class BrokerProcess:
    """``turbine broker`` in a process of its own, with room for *files* open files."""

    def __init__(self, files: int) -> None:
        broker = [sys.executable, "-m", "turbine", "--json", "broker", "--port", "0"]
        command = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *broker]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        host, port = json.loads(self._process.stdout.readline())["address"].split(":")
        self._address = (host, int(port))

    def connect(self) -> socket.socket:
        return socket.create_connection(self._address, timeout=20)

    def memory_mib(self) -> int:
        """Address space, used or only asked for."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return int(fields["VmSize"].split()[0]) >> 10

    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    def stop(self) -> None:
        self._process.terminate()
        with self._process:
            pass  # closes the pipe and waits


@pytest.fixture
def process() -> Iterator[BrokerProcess]:
    process = BrokerProcess(files=100)
    yield process
    process.stop()


def is_answered(sock: socket.socket) -> bool:
    sock.sendall(API_VERSIONS)
    head = sock.recv(4, socket.MSG_WAITALL)
    (length,) = struct.unpack(">i", head)
    return sock.recv(length, socket.MSG_WAITALL)[:4] == struct.pack(">i", 77)


def test_lengths_that_are_only_announced_take_no_memory(process: BrokerProcess) -> None:
    with ExitStack() as stack:
        good = stack.enter_context(process.connect())
        assert is_answered(good)
        before = process.memory_mib()
        for length in [2**31 - 1, 2_000_000_000, -1, 100 << 20]:
            for _ in range(15):
                bad = stack.enter_context(process.connect())
                bad.sendall(struct.pack(">i", length) + b"abc")
        assert is_answered(good)
        # 15 connections wait for the 100 MiB that they announced.
        assert process.memory_mib() - before < 100


def test_more_clients_than_files_wait_until_others_go(process: BrokerProcess) -> None:
    with process.connect() as good, ExitStack() as stack:
        assert is_answered(good)
        crowd = [stack.enter_context(process.connect()) for _ in range(120)]
        eventually(lambda: process.open_files() == 100, why="there is no file left")
        assert is_answered(good)
        for sock in crowd[:60]:
            sock.close()
        assert is_answered(crowd[-1])
