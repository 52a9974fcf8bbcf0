"""
From the start of a worker to its first record: ``start.py [--rounds 10] [--kafka HOST:PORT]``.

Each round starts ``turbine -A app worker`` in a new group on a topic with records, and takes the
time until its first output is there, by the clock of the broker on this machine; and the time that
``import turbine`` takes in a new interpreter, without that of the interpreter. Goals, of medians:
1 s and 150 ms. The Kafka that is started here makes new groups at once; elsewhere a broker waits
for further members of a new group (``group.initial.rebalance.delay.ms``, 3 s by default).
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import brokers
from common import PARTITIONS, drop_topics, make_topics
from confluent_kafka import Consumer, TopicPartition
from gen import fill

GOAL_S, GOAL_IMPORT_S = 1.0, 0.15
LIMIT_S = 60.0
PROGRAM = """
import os

import turbine

app = turbine.App(
    os.environ["GROUP"], broker="kafka://" + os.environ["KAFKA"], web_enabled=False
)


@app.agent(os.environ["IN"], sink=[os.environ["OUT"]])
async def copy(stream):
    async for value in stream:
        yield value
"""
IMPORT = "import time; a = time.perf_counter(); import turbine; print(time.perf_counter() - a)"


def first_output_s(address: str, topic: str, began_s: float) -> float:
    """Wait for the first record of *topic*; give when, in seconds since *began_s*."""
    reader = Consumer({"bootstrap.servers": address, "group.id": "start", "fetch.wait.max.ms": 10})
    try:
        reader.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
        end = time.time() + LIMIT_S
        while time.time() < end:
            message = reader.poll(0.1)
            if message is not None and message.error() is None:
                return message.timestamp()[1] / 1e3 - began_s
    finally:
        reader.close()
    raise SystemExit(f"no output in {LIMIT_S} s")


def start_s(address: str, source: str, place: Path) -> float:
    """One round."""
    target = f"out-{time.time_ns() // 1_000_000}"
    make_topics(address, target)
    env = os.environ | {"KAFKA": address, "IN": source, "OUT": target, "GROUP": f"start-{target}"}
    command = [sys.executable, "-m", "turbine", "-A", "app", "worker", "-l", "warning"]
    with (place / "worker.log").open("ab") as log:
        began_s = time.time()
        worker = subprocess.Popen(command, cwd=place, env=env, stdout=log, stderr=log)
    try:
        return first_output_s(address, target, began_s)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(30)
        drop_topics(address, target)


def import_s() -> float:
    """Import the package in a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main() -> int:
    """Measure, print a JSON row; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--kafka", help="address of a broker; one is started if not given")
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="turbine-start-"))
    (place / "app.py").write_text(PROGRAM, encoding="utf-8")
    with ExitStack() as stack:
        broker = brokers.Given(given.kafka) if given.kafka else brokers.start("kafka", place)
        stack.callback(broker.stop)
        source = f"in-{time.time_ns() // 1_000_000}"
        fill(broker.address, source, 1_000)
        start_s(broker.address, source, place)  # so that files are in memory
        starts = [start_s(broker.address, source, place) for _ in range(given.rounds)]
    imports = [import_s() for _ in range(given.rounds)]
    row = {
        "first_record_p50_s": round(statistics.median(starts), 3),
        "first_record_all_s": [round(one, 3) for one in starts],
        "import_p50_s": round(statistics.median(imports), 3),
        "import_all_s": [round(one, 3) for one in imports],
    }
    print(json.dumps(row))
    reached = row["first_record_p50_s"] < GOAL_S and row["import_p50_s"] < GOAL_IMPORT_S
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
