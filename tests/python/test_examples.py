"""The examples run, and show what they claim."""

import os
import pty
import subprocess
import sys

import pytest

from support.brokers import ROOT, free_port
from support.fixtures import MakeWorker
from support.kafka import Cluster

EXAMPLES = ROOT / "examples"
TESTED = {"flights.py", "hello.py", "dead_letters.py"}
DEMO_S = 60.0


def run_example(name: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLES / name, *args],
        capture_output=True,
        text=True,
        timeout=DEMO_S,
        check=False,
    )


def test_every_example_has_a_test() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == TESTED


@pytest.mark.slow
@pytest.mark.timeout(DEMO_S + 30)
def test_the_demo_matches_the_batch_result_and_leaves_nothing_behind(cluster: Cluster) -> None:
    """On a broker that goes on, the topics and groups of the run are deleted."""
    from confluent_kafka.admin import AdminClient

    done = run_example("flights.py", "--kafka", cluster.address)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "matches batch result: 2,228 sums of 20,000 flights" in done.stdout
    assert "\x1b" not in done.stdout, "plain output where nobody looks"
    admin = AdminClient({"bootstrap.servers": cluster.address})
    groups = [one.group_id for one in admin.list_consumer_groups().result(10).valid or ()]
    assert not [
        name
        for name in [*admin.list_topics(timeout=10).topics, *groups]
        if name.startswith("flights-")
    ]


@pytest.mark.embedded
@pytest.mark.slow
@pytest.mark.timeout(DEMO_S + 30)
def test_the_demo_shows_a_live_table_on_a_terminal() -> None:
    """Without a broker given it brings its own; the table is drawn again and again."""
    outer, inner = pty.openpty()
    with os.fdopen(outer, "rb", buffering=0) as terminal:
        process = subprocess.Popen(
            [sys.executable, EXAMPLES / "flights.py"],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"},
        )
        os.close(inner)
        shown = b""
        try:
            # Linux reports the end of a terminal as an error of input.
            while chunk := terminal.read(65_536):
                shown += chunk
        except OSError:
            pass
    assert process.wait(DEMO_S) == 0, shown.decode()
    text = shown.decode()
    assert text.count("latest airports") > 10
    assert "John F Kennedy Intl" in text
    assert "matches batch result" in text


@pytest.mark.slow
def test_the_demo_names_a_broker_that_does_not_answer() -> None:
    address = f"127.0.0.1:{free_port()}"
    done = run_example("flights.py", "--kafka", address)
    assert done.returncode == 1
    assert f"no broker at {address}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_program_of_the_readme_handles_a_record(
    cluster: Cluster, app_id: str, worker_process: MakeWorker
) -> None:
    """Its agent prints the order, its subscription publishes it with the tax."""
    orders, taxed = cluster.make_topic("orders"), cluster.make_topic("taxed")
    source = (EXAMPLES / "hello.py").read_text(encoding="utf-8")
    for name, unique in (("shop", app_id), ("orders", orders), ("taxed", taxed)):
        source = source.replace(f'"{name}"', f'"{unique}"')

    with worker_process(source, env={"TURBINE_BROKER": cluster.address}) as worker:
        cluster.produce(orders, [b'{"user": "ada", "amount": 120}'])
        worker.wait_output("ada orders for 120")
        assert cluster.consume(taxed, 1)[0].value == b'{"user":"ada","amount":120,"tax":24.0}'
        assert worker.terminate() == 0


@pytest.mark.embedded
def test_the_example_of_dead_letters_names_each_reason() -> None:
    """Three readings, two letters from decoding and one from the handler."""
    done = run_example("dead_letters.py")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sorted(line for line in lines if line.startswith("the agent saw")) == [
        "the agent saw attic",
        "the agent saw cellar",
        "the agent saw oven",
    ]
    assert [line.split(":")[0].strip() for line in lines if line.startswith("  offset")] == [
        "offset 1, decode",
        "offset 2, decode",
        "offset 3, process",
    ]
