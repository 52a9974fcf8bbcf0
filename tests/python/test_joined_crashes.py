"""Joins of two topics whose worker is killed at any moment: nothing is lost; exactly-once, once."""

import json
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


class Joining:
    """Two topics that are joined in full, their rows, and what came of them."""

    def __init__(
        self, cluster: Cluster, make_topic: MakeTopic, produce: Produce, guarantee: str
    ) -> None:
        self._cluster, self._produce = cluster, produce
        self._orders, self._payments = (
            make_topic(name, PARTITIONS) for name in ("orders", "payments")
        )
        self.out = make_topic("out", 1)
        self.env = {
            "ORDERS": self._orders,
            "PAYMENTS": self._payments,
            "OUT": self.out,
            "GUARANTEE": guarantee,
        }
        self._a = rows_of(11, 1_000, amount=lambda n: n)
        self._b = rows_of(12, 600, method=lambda n: f"m{n}")
        self._before = 0
        self._wanted = counted(duck(FULL, a=self._a, b=self._b))

    def produce(self, part: int, parts: int) -> None:
        """Write the rows of one of so many parts."""
        self._before = self._cluster.count(self.out)
        for topic, rows in ((self._orders, self._a), (self._payments, self._b)):
            share = rows[part * len(rows) // parts : (part + 1) * len(rows) // parts]
            self._produce(topic, share, keys=[row["order"] for row in share])

    def finish(self) -> None:
        """Write rows behind all others in time."""
        for partition in range(PARTITIONS):
            self._produce(self._orders, [end_of("orders", amount=0)], partition=partition)
            self._produce(self._payments, [end_of("payments", method="")], partition=partition)

    def wait_for_more(self) -> None:
        """Wait until something is written that was not there before the last rows."""
        eventually(lambda: self._cluster.count(self.out) > self._before, 30.0)

    def check(self, *, is_exact: bool) -> None:
        """What is written is what DuckDB computes; each row once, if that is promised."""
        eventually(lambda: not self._wanted - self._found(), 60.0, "every joined row is there")
        found = self._found()
        assert set(found) == set(self._wanted), "no row is there besides its match"
        assert not is_exact or found == self._wanted

    def _found(self) -> Counter[str]:
        rows = [one.json for one in self._cluster.consume(self.out, 1)]
        return counted([row for row in rows if LAST_MS not in (row["ts"], row["ts_right"])])


CASES = {
    "exact": {"GUARANTEE": "exactly_once"},
    "exact-repartitioned": {"GUARANTEE": "exactly_once", "REPARTITION": "1"},
    "at-least-once": {"GUARANTEE": "at_least_once"},
}


@pytest.mark.timeout(180)
def test_joins_whose_worker_is_killed_again_and_again_give_what_duckdb_gives(
    worker_process: MakeWorker, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    """All of them in one worker, as most of the time goes into its starts."""
    joinings = {
        name: Joining(cluster, make_topic, produce, case["GUARANTEE"])
        for name, case in CASES.items()
    }
    cases = {name: joining.env | CASES[name] for name, joining in joinings.items()}
    # It is back before it is missed: what it had begun is at stake, not who has its partitions.
    env = {"CASES": json.dumps(cases), "STATIC": "one"}
    worker = worker_process(APP, env=env, web=False)
    dice = random.Random(5)
    for part in range(KILLS + 1):
        worker.start()
        for joining in joinings.values():
            joining.produce(part, KILLS + 1)
        if part < KILLS:
            # One of them is in the middle of it, whichever that is.
            dice.choice(list(joinings.values())).wait_for_more()
            # Any moment will do: this is not a wait for something.
            time.sleep(dice.uniform(0, 0.3))
            worker.signal(signal.SIGKILL)
            worker.wait()
        if part == KILLS // 2:
            # Another machine: the state comes from the changelog.
            (state,) = worker.directory.glob("*-data")
            shutil.rmtree(state)
    for joining in joinings.values():
        joining.finish()
    for name, joining in joinings.items():
        joining.check(is_exact=CASES[name]["GUARANTEE"] == "exactly_once")
    assert worker.terminate() == 0


@pytest.mark.timeout(120)
def test_partitions_of_a_join_move_between_workers_with_what_they_keep(
    worker_process: MakeWorker, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    joining = Joining(cluster, make_topic, produce, "exactly_once")
    first = worker_process(APP, env=joining.env).start().wait_ready()
    joining.produce(0, 3)
    joining.wait_for_more()
    second = worker_process(APP, env=joining.env).start().wait_ready()
    # One partition of both topics each.
    eventually(lambda: [len(one.assignments()) for one in (first, second)] == [2, 2], 30.0)
    joining.produce(1, 3)
    joining.wait_for_more()
    first.signal(signal.SIGKILL)
    first.wait()
    joining.produce(2, 3)
    joining.finish()
    joining.check(is_exact=True)
    assert second.terminate() == 0
