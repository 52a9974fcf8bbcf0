"""
Run librdkafka's own integration tests against a broker and compare with what is expected.

Usage, by ``scripts/librdkafka_tests.sh``, which builds the test program::

    librdkafka_tests.sh [--broker memory|HOST:PORT] [--jobs 3] [--slow] [--only 0081,0103]

``tests/librdkafka/expected.txt`` says of each test what it does on a real Apache Kafka of one node.
On the embedded broker all that pass there have to pass, unless the file says why not. Tests that
talk to no broker, or to librdkafka's own imitation of one, are not run: they would prove nothing.

Each number runs in a process and a directory of its own; a test that takes longer than its time is
killed and has failed.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXPECTED = ROOT / "tests" / "librdkafka" / "expected.txt"
# One test as test.c declares it: name, flags and the rest.
DECLARED = re.compile(
    r"^    _TEST\(\s*(?P<name>\w+),(?P<rest>(?:(?!^    _TEST\().)*)", re.MULTILINE | re.DOTALL
)
SCENARIO = re.compile(r"\.scenario = \"(?P<names>[\w,]+)\"")
BROKER_VERSION = "4.1.0"
# A test that takes longer than this on Kafka is left to ``--slow``.
QUICK_S = 60
QUICK_TIME_S = 120
SLOW_TIME_S = 600


@dataclass(frozen=True)
class Declared:
    """A test of the suite that needs a broker."""

    name: str
    scenario: str

    @property
    def number(self) -> str:
        """Its number, by which the program chooses tests."""
        return self.name[:4]


@dataclass(frozen=True)
class Expected:
    """
    A line of ``expected.txt``.

    Attributes:
        kafka: ``pass``, ``fail`` or ``skip`` on a real Kafka of one node.
        seconds: How long it takes there; one that takes long runs only with ``--slow``.
        reason: Why the embedded broker need not pass it, or why Kafka does not; may be empty.
    """

    kafka: str
    seconds: int
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What a test did."""

    state: str
    seconds: float
    log: Path


def declared(tests: Path) -> list[Declared]:
    """Read the tests of the suite from its table; those without a broker are left out."""
    found = []
    for match in DECLARED.finditer((tests / "test.c").read_text(encoding="utf-8")):
        alone = "TEST_F_LOCAL" in match["rest"] or "TEST_F_MANUAL" in match["rest"]
        if alone or match["name"].endswith("_mock"):
            continue
        scenario = SCENARIO.search(match["rest"])
        names = scenario["names"].split(",") if scenario else ["default"]
        found.append(Declared(match["name"], names[0]))
    return found


def expected() -> dict[str, Expected]:
    """Read ``expected.txt``."""
    rows: dict[str, Expected] = {}
    for line in EXPECTED.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, kafka, seconds, *reason = line.split(maxsplit=3)
            rows[name] = Expected(kafka, int(seconds), reason[0] if reason else "")
    return rows


class Suite:
    """
    The built tests.

    Args:
        runner: The test program.
        work: Directory for what the tests write.
        time_s: Longest time of one number, in seconds.
    """

    def __init__(self, runner: Path, work: Path, time_s: float) -> None:
        self._runner = runner
        self._work = work
        self._time_s = time_s
        self.tests = declared(runner.parent)

    def run(self, number: str, scenario: str, broker: str) -> Iterator[tuple[str, Outcome]]:
        """Run the tests of a number; yield name and outcome of each."""
        place = Path(tempfile.mkdtemp(prefix=f"{number}-", dir=self._work))
        # Topics have a random part: tests run beside each other and again on one broker.
        (place / "test.conf").write_text(
            f"bootstrap.servers={broker}\ntest.topic.random=true\n", encoding="utf-8"
        )
        root = self._runner.parent.parent
        env = {
            **{k: v for k, v in os.environ.items() if k not in {"CI", "TESTS"}},
            "LD_LIBRARY_PATH": f"{root / 'src'}:{root / 'src-cpp'}",
            "TESTS": number,
            "TEST_KAFKA_VERSION": BROKER_VERSION,
            "TEST_REPORT": str(place / "report.json"),
        }
        log = place / "log"
        start = time.monotonic()
        with log.open("wb") as out:
            command = [self._runner, "-L", "-p1", "-s", scenario]
            process = subprocess.Popen(
                command, cwd=place, env=env, stdout=out, stderr=out, start_new_session=True
            )
            try:
                code: int | None = process.wait(self._time_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                code = None
        seconds = time.monotonic() - start
        states = _states(place / "report.json")
        for test in self.tests:
            if test.number != number or test.scenario != scenario:
                continue
            state = "fail" if code is None else states.get(test.name, "fail")
            yield test.name, Outcome(state, seconds, log)


def _states(report: Path) -> dict[str, str]:
    """Read the report that the program leaves behind; nothing if it ended before."""
    try:
        # It writes a comma behind the last test.
        text = re.sub(r",\s*}", "}", report.read_text(encoding="utf-8"))
        tests = json.loads(text)["tests"]
    except (OSError, ValueError, KeyError):
        return {}
    words = {"PASSED": "pass", "SKIPPED": "skip"}
    return {name: words.get(test["state"], "fail") for name, test in tests.items()}


class Brokers:
    """
    The broker under test, one for each scenario; embedded ones are started when asked for.

    Args:
        choice: ``memory`` or the address of a broker that runs.
        scenario: What the tests need to know of that broker.
    """

    def __init__(self, choice: str, scenario: str) -> None:
        self._choice = choice
        self._started: list[subprocess.Popen[str]] = []
        self._addresses = {} if self.embedded else {scenario: choice}

    @property
    def embedded(self) -> bool:
        """Is it the embedded broker?"""
        return self._choice == "memory"

    def address(self, scenario: str) -> str | None:
        """Return where the broker of a scenario listens; None if there is none."""
        if self.embedded and scenario not in self._addresses:
            self._start(scenario)
        return self._addresses.get(scenario)

    def _start(self, scenario: str) -> None:
        # The tests expect that members who start together share their first generation.
        program = (
            "import sys, turbine; broker = turbine.EmbeddedBroker(initial_rebalance_delay_ms=300, "
            f"auto_create_topics={scenario != 'noautocreate'}); "
            "print(broker.address, flush=True); sys.stdin.read()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert process.stdout is not None
        self._started.append(process)
        self._addresses[scenario] = process.stdout.readline().strip()

    def stop(self) -> None:
        """End those that were started."""
        for process in self._started:
            process.communicate("")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="librdkafka's integration tests")
    parser.add_argument("runner", type=Path)
    parser.add_argument("--broker", default="memory", help="memory or HOST:PORT of an Apache Kafka")
    parser.add_argument("--scenario", default="default", help="what that Apache Kafka is set to")
    parser.add_argument("--jobs", type=int, default=6)
    parser.add_argument("--slow", action="store_true", help="also those that take long")
    parser.add_argument("--only", help="numbers of tests, separated by commas")
    parser.add_argument("--record", type=Path, help="write what the tests did, compare nothing")
    return parser.parse_args()


def choose(tests: list[Declared], given: argparse.Namespace) -> list[tuple[str, str]]:
    """Return number and scenario of the tests to run, those that take longest first."""
    rows = expected()

    def chosen(test: Declared) -> bool:
        row = rows.get(test.name)
        if given.only:
            return test.number in given.only.split(",")
        if given.record is not None or row is None:
            return True
        return row.kafka == "pass" and (row.seconds <= QUICK_S or given.slow)

    found = {(test.number, test.scenario): 0 for test in tests if chosen(test)}
    for test in tests:
        job = (test.number, test.scenario)
        if job in found and test.name in rows:
            found[job] = max(found[job], rows[test.name].seconds)
    return sorted(found, key=lambda job: (-found[job], job))


def main() -> int:
    """Run the tests, print a line a test, compare, and return the exit code."""
    given = parse()
    work = Path(tempfile.mkdtemp(prefix="turbine-librdkafka-"))
    suite = Suite(given.runner.resolve(), work, SLOW_TIME_S if given.slow else QUICK_TIME_S)
    brokers = Brokers(given.broker, given.scenario)
    outcomes: dict[str, Outcome] = {}

    def run(job: tuple[str, str, str]) -> None:
        for name, outcome in suite.run(*job):
            outcomes[name] = outcome
            print(f"{outcome.state:4} {outcome.seconds:6.1f} s  {name}", flush=True)

    jobs = [
        (number, scenario, address)
        for number, scenario in choose(suite.tests, given)
        if (address := brokers.address(scenario)) is not None
    ]
    with ThreadPoolExecutor(given.jobs) as pool:
        list(pool.map(run, jobs))
    if given.record is None:
        # Some measure time: what failed beside others gets a second chance alone.
        failed = {name[:4] for name in wrong(outcomes, embedded=brokers.embedded)}
        for job in jobs:
            if job[0] in failed:
                run(job)
    brokers.stop()
    if given.record is None:
        return report(outcomes, work, embedded=brokers.embedded)
    with given.record.open("a", encoding="utf-8") as out:
        for name, outcome in sorted(outcomes.items()):
            out.write(f"{name} {outcome.state} {outcome.seconds:.0f}\n")
    print(f"logs: {work}")
    return 0


def wrong(outcomes: dict[str, Outcome], *, embedded: bool) -> list[str]:
    """Return the names of the tests that did not pass, and have no reason for that."""
    rows = expected()
    found = []
    for name, outcome in sorted(outcomes.items()):
        row = rows.get(name, Expected("pass", 0, ""))
        may_fail = embedded and bool(row.reason)
        if outcome.state != "pass" and row.kafka == "pass" and not may_fail:
            found.append(name)
    return found


def report(outcomes: dict[str, Outcome], work: Path, *, embedded: bool) -> int:
    """Print what is not as expected and the count of what passed; return the exit code."""
    names = wrong(outcomes, embedded=embedded)
    passed = sum(outcome.state == "pass" for outcome in outcomes.values())
    for name in names:
        print(f"\n=== {name}: {outcomes[name].state}; the end of its log:")
        lines = outcomes[name].log.read_text(encoding="utf-8", errors="replace").splitlines()
        print("\n".join(lines[-40:]))
    on = "the embedded broker" if embedded else "Apache Kafka"
    print(f"\n{passed} of {len(outcomes)} librdkafka tests passed on {on}")
    if names:
        print(f"not as expected: {' '.join(names)}; logs: {work}")
        return 1
    shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
