"""Brokers for tests: the embedded one, an Apache Kafka from its jars, or a running one."""

import os
import shutil
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turbine import EmbeddedBroker

ROOT = Path(__file__).resolve().parents[3]
KAFKA_SH = ROOT / "scripts" / "kafka.sh"


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Broker(ABC):
    """
    A broker on loopback.

    Attributes:
        kind: ``memory``, ``kafka`` or ``external``.
        address: ``host:port`` to give to clients, once started.
    """

    kind: str
    address: str

    @abstractmethod
    def start(self) -> None:
        """Start, and wait until clients are served."""

    @abstractmethod
    def stop(self) -> None:
        """Stop for good; data are gone."""


class Embedded(Broker):
    """The broker of the package, in this process."""

    kind = "memory"

    def __init__(self) -> None:
        self._broker: EmbeddedBroker | None = None

    def start(self) -> None:
        """Listen on a free port, with everything in memory."""
        from turbine import EmbeddedBroker

        # As quick as the Apache Kafka of the tests (scripts/kafka.sh).
        self._broker = EmbeddedBroker(
            port=0, consumer_heartbeat_interval_ms=200, consumer_session_timeout_ms=6000
        )
        self.address = self._broker.address

    def stop(self) -> None:
        """Close it."""
        if self._broker is not None:
            self._broker.stop()
            self._broker = None


class Kafka(Broker):
    """
    Apache Kafka, one node, on free ports; after `pause` or `kill`, `start` resumes it.

    Args:
        keeps_all: Keep records of all ages in topics that do not say; otherwise Kafka's default.
    """

    kind = "kafka"

    def __init__(self, *, keeps_all: bool = False) -> None:
        self._dir = tempfile.mkdtemp(prefix="turbine-kafka-")
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self._env = os.environ | {
            "KAFKA_PORT": str(port),
            "KAFKA_CONTROLLER_PORT": str(free_port()),
            "KAFKA_DIR": self._dir,
            # Tests are short: the quick compiler starts sooner and leaves the cores alone.
            "KAFKA_JIT": "1",
        }
        if keeps_all:
            self._env["KAFKA_RETENTION_MS"] = "-1"

    def start(self) -> None:
        """
        Start it, or start it again.

        Raises:
            RuntimeError: It did not come up; the message has the reason and the end of its log.
        """
        self._run("start", timeout_s=300)

    def stop(self) -> None:
        """Shut it down and delete its data."""
        self._run("stop")
        shutil.rmtree(self._dir, ignore_errors=True)

    def pause(self) -> None:
        """Shut it down and keep its data."""
        self._run("pause")

    def kill(self) -> None:
        """End it without a word; its data stay."""
        self._run("kill")

    def tool(self, name: str, *args: str, stdin: str = "") -> str:
        """Run one of Kafka's own tools, a class name, and return what it prints."""
        return self._run("tool", name, *args, stdin=stdin, timeout_s=120)

    def _run(self, *args: str, stdin: str = "", timeout_s: float = 60) -> str:
        done = subprocess.run(
            [KAFKA_SH, *args],
            env=self._env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"kafka.sh {' '.join(args)}: {done.stdout}{done.stderr}")
        return done.stdout


class External(Broker):
    """A broker that runs already and goes on running."""

    kind = "external"

    def __init__(self, address: str) -> None:
        self.address = address

    def start(self) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Nothing to do."""


def make_broker(choice: str) -> Broker:
    """
    Return the broker that ``--broker`` names, not started yet.

    Args:
        choice: ``memory``, ``kafka`` or ``HOST:PORT``.
    """
    if choice == "memory":
        return Embedded()
    if choice == "kafka":
        # Tests write records of all times; those about retention say what they want.
        return Kafka(keeps_all=True)
    return External(choice)
