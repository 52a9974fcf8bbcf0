"""Joins of two topics whose worker is killed at any moment: nothing is lost; exactly-once, once."""

import random
import shutil
import signal
import time
from collections import Counter
from typing import Any

import pytest

from support.apps import source
from support.fixtures import MakeTopic, MakeWorker, Produce
from support.joining import LAST_MS, duck, end_of, rows_of
from support.kafka import Cluster
from support.wait import eventually

APP = source("join_topics")
FULL = (
    "SELECT coalesce(a.order, b.order) AS order, amount, a.ts, method, b.ts AS ts_right "
    "FROM a FULL JOIN b ON a.order = b.order AND abs(b.ts - a.ts) <= 50"
)
PARTITIONS = 2
KILLS = 5


def counted(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(repr(sorted(row.items())) for row in rows)


def wait_for_more(cluster: Cluster, topic: str) -> None:
    before = cluster.count(topic)
    eventually(lambda: cluster.count(topic) > before, 30.0)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_a_join_whose_worker_is_killed_again_and_again_gives_what_duckdb_gives(
    worker_process: MakeWorker,
    make_topic: MakeTopic,
    produce: Produce,
    cluster: Cluster,
    guarantee: str,
) -> None:
    orders, payments = (make_topic(name, PARTITIONS) for name in ("orders", "payments"))
    out = make_topic("out", 1)
    env = {"ORDERS": orders, "PAYMENTS": payments, "OUT": out, "GUARANTEE": guarantee}
    worker = worker_process(APP, env=env, web=False)
    a, b = rows_of(11, 1_000, amount=lambda n: n), rows_of(12, 600, method=lambda n: f"m{n}")
    parts = KILLS + 1
    dice = random.Random(guarantee)
    for part in range(parts):
        worker.start()
        for topic, rows in ((orders, a), (payments, b)):
            share = rows[part * len(rows) // parts : (part + 1) * len(rows) // parts]
            produce(topic, share, keys=[row["order"] for row in share])
        if part < KILLS:
            wait_for_more(cluster, out)
            # Any moment will do: this is not a wait for something.
            time.sleep(dice.uniform(0, 0.3))
            worker.signal(signal.SIGKILL)
            worker.wait()
        if part == KILLS // 2:
            # Another machine: the state comes from the changelog.
            (state,) = worker.directory.glob("*-data")
            shutil.rmtree(state)
    for partition in range(PARTITIONS):
        produce(orders, [end_of("orders", amount=0)], partition=partition)
        produce(payments, [end_of("payments", method="")], partition=partition)
    wanted = counted(duck(FULL, a=a, b=b))

    def missing() -> Counter[str]:
        return wanted - found()

    def found() -> Counter[str]:
        rows = [one.json for one in cluster.consume(out, 1)]
        return counted([row for row in rows if LAST_MS not in (row["ts"], row["ts_right"])])

    eventually(lambda: not missing(), 40.0, "every row of the join is there")
    got = found()
    assert set(got) == set(wanted), "no row is there besides its match"
    if guarantee == "exactly_once":
        assert got == wanted
    assert worker.terminate() == 0
