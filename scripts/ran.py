"""
Say how many tests ran on which broker, from what the Makefile's targets left behind.

Usage: ran.py DIRECTORY. In there: ``rust`` (output of cargo test), ``memory.xml`` and ``kafka.xml``
(pytest's JUnit reports), ``rust.alone``, ``memory.alone`` and ``kafka.alone`` (tests that passed
only when run a second time, see cargo_test.sh and pytest.sh), ``conformance`` and ``librdkafka``
(output of the two programs).
"""

import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parent.parent


def output(path: Path) -> str:
    """Read what a target printed; nothing if it did not run."""
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def passed(report: Path) -> int | None:
    """Count the tests of a JUnit report that passed; None if it is not there."""
    if not report.exists():
        return None
    suites = ET.parse(report).getroot().iter("testsuite")
    left_out = ("failures", "errors", "skipped")
    return sum(
        int(suite.get("tests", 0)) - sum(int(suite.get(word, 0)) for word in left_out)
        for suite in suites
    )


def report(directory: Path) -> str:
    """Put the counts together, and name what passed only by itself."""
    alone = [
        f"passed only by itself ({kind}): {test}"
        for kind in ("rust", "memory", "kafka")
        for test in output(directory / f"{kind}.alone").splitlines()
    ]
    return "\n".join([line(directory), *alone])


def line(directory: Path) -> str:
    """Count what ran."""
    kafka = re.search(r"<kafka.version>(.*)<", output(ROOT / "scripts" / "kafka-pom.xml"))
    version = kafka[1] if kafka else ""
    rust = re.findall(r"^test result: \w+\. (\d+) passed", output(directory / "rust"), re.MULTILINE)
    sequences = re.search(r"^(\d+) sequences, ", output(directory / "conformance"), re.MULTILINE)
    suite = re.search(r"^(\d+) of \d+ librdkafka", output(directory / "librdkafka"), re.MULTILINE)
    counts = [
        (sum(map(int, rust)) if rust else None, "Rust"),
        (passed(directory / "memory.xml"), "Python on the embedded broker"),
        (passed(directory / "kafka.xml"), f"Python on Apache Kafka {version}"),
        (int(sequences[1]) if sequences else None, "sequences on both brokers"),
        (int(suite[1]) if suite else None, "of librdkafka on the embedded broker"),
    ]
    return "ran: " + ", ".join(
        f"no {what}" if count is None else f"{count:,} {what}" for count, what in counts
    )


if __name__ == "__main__":
    print(report(Path(sys.argv[1])))
