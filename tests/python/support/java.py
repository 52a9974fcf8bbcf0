"""Apache Kafka's own tools and test programs, run from its jars."""

import subprocess

import pytest

from support.brokers import KAFKA_SH

MARKS = [
    pytest.mark.slow,
    pytest.mark.xdist_group("java"),  # one at a time: they work more than they wait
    pytest.mark.timeout(300),  # the first call may fetch the jars
    pytest.mark.skipif(
        subprocess.run([KAFKA_SH, "check"], capture_output=True, check=False).returncode != 0,
        reason="needs Java and Maven: scripts/kafka.sh check says what is missing",
    ),
]


def tool(name: str, *args: str, stdin: str = "") -> str:
    """Run a tool to its end; return its output."""
    done = subprocess.run(
        [KAFKA_SH, "tool", name, *args],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
