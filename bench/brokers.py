"""The brokers that a measurement can run on: Apache Kafka, and Turbine's own in its own process."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Protocol

KAFKA_SH = Path(__file__).resolve().parent.parent / "scripts" / "kafka.sh"

NAMES = {"kafka": "Apache Kafka", "embedded": "the embedded broker"}
"""What ``--broker`` calls them, and what a heading does."""


class RunningBroker(Protocol):
    """A broker with its address; it ends with `stop`."""

    address: str

    def stop(self) -> None:
        """End it; its data may go."""


class Given:
    """A broker that somebody else started, and that stays."""

    def __init__(self, address: str) -> None:
        self.address = address

    def stop(self) -> None:
        """Leave it alone."""


class Kafka:
    """A real Apache Kafka with its data in *work*."""

    def __init__(self, work: Path) -> None:
        self._env = os.environ | {"KAFKA_DIR": str(work / "kafka"), "KAFKA_PORT": "19392"}
        self.address = self._run("start")

    def stop(self) -> None:
        """End it and delete its data."""
        self._run("stop")

    def _run(self, what: str) -> str:
        command = [KAFKA_SH, what]
        done = subprocess.run(
            command, env=self._env, stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.returncode)
        return done.stdout.strip()


class Embedded:
    """``turbine broker`` in memory, with room for the whole queue: nothing of it may go."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "turbine", "--json", "broker", "--port", "0"]
        command += ["--memory-bytes", str(16 << 30)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("turbine broker did not start")
        self.address = json.loads(line)["address"]

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(15)


def start(name: str, work: Path) -> RunningBroker:
    """Start the broker that ``--broker`` calls *name*."""
    return Kafka(work) if name == "kafka" else Embedded()
