"""A worker as a program: signals, draining, exit codes, what it prints."""

import json
import re
import signal
import subprocess
import sys

import pytest

from support.apps import source
from support.fixtures import Consume, MakeTopic, MakeWorker, Produce
from support.kafka import Cluster
from support.wait import eventually
from support.workers import WorkerProcess

PATIENT = source("patient")


@pytest.fixture
def env(make_topic: MakeTopic) -> dict[str, str]:
    """An input and an output with one partition each."""
    return {"IN": make_topic("in", partitions=1), "OUT": make_topic("out", partitions=1)}


def busy(worker: WorkerProcess) -> WorkerProcess:
    """Wait until its agent has an event in hand."""
    worker.wait_output("begin {")
    return worker


# -- draining ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_the_event_in_hand_finish_and_commits_it(
    worker_process: MakeWorker,
    produce: Produce,
    cluster: Cluster,
    app_id: str,
    env: dict[str, str],
    *,
    number: int,
) -> None:
    produce(env["IN"], [{"wait": 0.7}, {"wait": 60}])
    worker = busy(worker_process(PATIENT, env=env).start())
    worker.signal(number)
    assert worker.wait() == 0
    said = worker.output()
    assert said.count("begin {") == said.count("end {") == 1
    assert "Traceback" not in said
    assert cluster.count(env["OUT"]) == 1
    # The next one was not begun: it is left for the next worker, and only that.
    assert cluster.committed(app_id, env["IN"]) == {0: 1}


def test_a_stop_waits_for_a_handler_that_blocks_the_loop(
    worker_process: MakeWorker,
    produce: Produce,
    cluster: Cluster,
    app_id: str,
    env: dict[str, str],
) -> None:
    produce(env["IN"], [{"block": 1.5}])
    worker = busy(worker_process(PATIENT, env=env).start())
    assert worker.terminate() == 0
    assert cluster.committed(app_id, env["IN"]) == {0: 1}


@pytest.mark.embedded
@pytest.mark.parametrize("how", ["wait", "block"])
def test_what_hangs_beyond_the_deadline_is_named_and_comes_again(
    worker_process: MakeWorker,
    produce: Produce,
    cluster: Cluster,
    app_id: str,
    env: dict[str, str],
    *,
    how: str,
) -> None:
    produce(env["IN"], [{how: 60}])
    worker = busy(worker_process(PATIENT, env=env | {"DRAIN": "0.5"}).start())
    assert worker.terminate() == 1
    said = worker.output()
    # The handler, or the line that blocks.
    assert re.search(r"did not end in time: \S*patient" if how == "wait" else r"time\.sleep", said)
    assert cluster.committed(app_id, env["IN"]).get(0, 0) == 0


def test_a_second_int_ends_at_once(
    worker_process: MakeWorker, produce: Produce, env: dict[str, str]
) -> None:
    produce(env["IN"], [{"wait": 60}])
    worker = busy(worker_process(PATIENT, env=env).start())
    worker.signal(signal.SIGINT)
    worker.wait_output("draining")
    assert worker.interrupt(5) == 130
    assert "Traceback" not in worker.output()


@pytest.mark.embedded
@pytest.mark.parametrize("how", ["wait", "block"])
def test_quit_ends_at_once_even_if_a_handler_blocks(
    worker_process: MakeWorker, produce: Produce, env: dict[str, str], *, how: str
) -> None:
    # A blocking call of C returns to Python only for signals, which sleep does.
    produce(env["IN"], [{how: 60}])
    worker = busy(worker_process(PATIENT, env=env).start())
    worker.signal(signal.SIGQUIT)
    assert worker.wait(5) == 128 + signal.SIGQUIT


def test_an_idle_worker_stops_quickly(worker_process: MakeWorker, env: dict[str, str]) -> None:
    worker = worker_process(PATIENT, env=env).start().wait_ready()
    assert worker.terminate(5) == 0


def test_a_stop_before_the_group_is_joined_is_clean(
    worker_process: MakeWorker, env: dict[str, str]
) -> None:
    worker = worker_process(PATIENT, env=env).start()
    worker.wait_output("broker")
    assert worker.terminate(8) == 0
    assert "Traceback" not in worker.output()


# -- what it says ------------------------------------------------------------------------------


@pytest.mark.embedded
@pytest.mark.parametrize("how", ["wait", "block"])
def test_usr1_shows_where_every_task_and_partition_is(
    worker_process: MakeWorker, produce: Produce, env: dict[str, str], *, how: str
) -> None:
    produce(env["IN"], [{"wait": 0}, {how: 20}])
    worker = busy(worker_process(PATIENT, env=env).start())
    worker.wait_output("20}")
    eventually(
        lambda: worker.assignments()[0]["committed"] == 1, why="the first event is committed"
    )
    worker.signal(signal.SIGUSR1)
    said = worker.wait_output("partitions:")
    said = worker.wait_output("thread MainThread")
    assert re.search(rf"patient {env['IN']}\[0\] running committed=1 .*in_flight=1", said)
    assert re.search(r"task \S*patient:", said)
    assert "app.py" in said
    assert {"wait": "asyncio.sleep", "block": "time.sleep"}[how] in said
    assert worker.is_alive()


@pytest.mark.embedded
def test_the_banner_shows_what_runs(
    worker_process: MakeWorker, broker: str, app_id: str, env: dict[str, str]
) -> None:
    worker = worker_process(PATIENT, env=env).start().wait_ready()
    said = worker.wait_output("agent ")
    for line in (
        rf"turbine .*pid {worker.pid}",
        rf"app +{app_id}",
        rf"broker +{broker}",
        rf"http +http://127.0.0.1:{worker.port}",
        rf"topic +{env['IN']}, 1 partition",
        rf"agent +\S*patient: {env['IN']}",
    ):
        assert re.search(line, said), (line, said)


@pytest.mark.embedded
def test_the_banner_can_be_json(
    worker_process: MakeWorker, app_id: str, env: dict[str, str]
) -> None:
    worker = worker_process(PATIENT, env=env)
    command = [sys.executable, "-m", "turbine", "--json", "-A", str(worker.app_file), "worker"]
    program = subprocess.Popen(
        [*command, "--without-web"],
        cwd=worker.directory,
        env={**worker.env, "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert program.stdout is not None
        shown = json.loads(program.stdout.readline())
    finally:
        program.terminate()
        code = program.wait(20)
        assert program.stdout is not None
        program.stdout.close()
    assert code == 0
    assert (shown["app"], shown["topics"][0]["name"]) == (app_id, env["OUT"])


@pytest.mark.embedded
def test_an_app_can_be_its_own_program(
    worker_process: MakeWorker, produce: Produce, consume: Consume, env: dict[str, str]
) -> None:
    worker = worker_process(PATIENT, env=env)
    program = subprocess.Popen(
        [sys.executable, str(worker.app_file), "worker", "--without-web"],
        cwd=worker.directory,
        env={**worker.env, "PATH": "/usr/bin:/bin"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        produce(env["IN"], [{"n": 1}])
        assert consume(env["OUT"], 1)[0].json == {"n": 1}
    finally:
        program.terminate()
        assert program.wait(20) == 0


@pytest.mark.embedded
def test_a_broker_that_is_not_there_is_one_line_and_a_failure(
    worker_process: MakeWorker, env: dict[str, str]
) -> None:
    worker = worker_process(PATIENT, env=env | {"KAFKA": "127.0.0.1:1"}).start()
    assert worker.wait(30) != 0
    said = worker.output()
    assert "127.0.0.1:1" in said
    assert "Traceback" not in said
