"""Partitions that move between workers, and those that stay."""

import asyncio
import random
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pyarrow as pa

import turbine
from support.apps import source
from support.churn import Load
from support.failing import runtime_of
from support.fixtures import MakeApp, MakeTopic, MakeWorker, Produce
from support.kafka import Cluster, Got
from support.wait import eventually, eventually_async
from support.workers import WorkerProcess

BOTH = source("copy_both")
PARTITIONS = 6
# A fetcher that sleeps through the end of a pause takes a second more.
LONGEST_GAP_MS = 1_000


def held(worker: WorkerProcess, name: str) -> set[int]:
    """Partitions of the reader *name* that *worker* has."""
    return {row["partition"] for row in worker.assignments() if row["name"] == name}


def settled(workers: list[WorkerProcess], name: str) -> list[set[int]] | None:
    """What each worker has, once everything is somebody's and shared as evenly as possible."""
    shares = [held(worker, name) for worker in workers]
    even = {PARTITIONS // len(workers)} == {len(share) for share in shares}
    return shares if even and set.union(*shares) == set(range(PARTITIONS)) else None


def longest_gap_ms(records: list[Got], partition: int) -> int:
    """Longest time between two outputs of *partition*."""
    times = sorted(got.timestamp_ms for got in records if got.json["partition"] == partition)
    return max(b - a for a, b in pairwise(times))


def test_partitions_that_stay_flow_while_another_worker_joins_and_leaves(
    worker_process: MakeWorker, make_topic: MakeTopic, cluster: Cluster
) -> None:
    env = {
        "IN": make_topic("in", partitions=PARTITIONS),
        "OUT_EVENTS": make_topic("events"),
        "OUT_BATCHES": make_topic("batches"),
    }
    outputs = {"app.events": env["OUT_EVENTS"], "batches": env["OUT_BATCHES"]}
    first = worker_process(BOTH, env=env).start().wait_ready()
    second = worker_process(BOTH, env=env)
    with Load(cluster.address, env["IN"], rate=3_000, partitions=PARTITIONS) as load:
        for name in outputs:
            eventually(lambda n=name: settled([first], n))  # type: ignore[misc]
        eventually(lambda: all(cluster.count(topic) > 1_000 for topic in outputs.values()))
        second.start().wait_ready()
        stayed = {}
        for name in outputs:
            shares = eventually(lambda n=name: settled([first, second], n))  # type: ignore[misc]
            assert shares is not None
            stayed[name] = shares[0]
        before = load.written
        eventually(lambda: load.written > before + 3_000)
        assert second.terminate() == 0
        for name in outputs:
            eventually(lambda n=name: settled([first], n))  # type: ignore[misc]
        before = load.written
        eventually(lambda: load.written > before + 1_000)
    for name, topic in outputs.items():
        records = cluster.consume(topic, load.written)
        for partition in stayed[name]:
            assert longest_gap_ms(records, partition) < LONGEST_GAP_MS, (name, partition)
        # A worker that leaves by itself hands over: nothing is missing, nothing is done twice.
        numbers = Counter(got.json["n"] for got in records)
        assert len(numbers) == load.written
        assert numbers.total() == load.written
    assert first.terminate() == 0


class Watch:
    """What handlers of two workers have in hand and have finished, by the name of the reader."""

    def __init__(self, cluster: Cluster, topic: str, app_id: str) -> None:
        self._cluster = cluster
        self._topic = topic
        self._groups = {"agent": app_id, "rows": f"{app_id}-rows"}
        self._in_hand: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
        self.finished: dict[str, set[tuple[int, int]]] = defaultdict(set)

    async def handle(self, name: str, partition: int, offsets: range, mean_s: float) -> None:
        """Be a handler that takes its time."""
        places = {(partition, offset) for offset in offsets}
        self._in_hand[name].update(places)
        await asyncio.sleep(random.expovariate(1 / mean_s))
        self._in_hand[name].subtract(places)
        self.finished[name] |= places

    async def check(self) -> int:
        """
        Assert that only finished records are committed; return how many are.

        The offsets are read first: what is in hand after that was not finished before.
        """
        total = 0
        for name, group in self._groups.items():
            committed = await asyncio.to_thread(self._cluster.committed, group, self._topic)
            for partition, offset in committed.items():
                behind = {(partition, at) for at in range(offset)}
                assert behind <= self.finished[name], (name, sorted(behind - self.finished[name]))
                in_hand = {place for place, n in self._in_hand[name].items() if n > 0}
                assert not behind & in_hand, (name, behind & in_hand)
            total += sum(committed.values())
        return total

    async def check_until(self, committed: int) -> None:
        """Go on checking until so many records are committed."""
        while await self.check() < committed:
            pass

    def declare(self, app: turbine.App) -> None:
        """Let both kinds of reader handle the topic."""

        @app.agent(self._topic, concurrency=5, name="agent")
        async def agent(stream: Any) -> None:
            async for event in stream.events():
                offsets = range(event.offset, event.offset + 1)
                await self.handle("agent", event.partition, offsets, 0.005)

        metadata = ["partition", "offset"]

        @app.subscribe(self._topic, batch_size=50, with_metadata=metadata, name="rows")
        async def rows(batch: pa.RecordBatch) -> None:
            place = batch.select(["_partition", "_offset"]).to_pylist()
            first = int(place[0]["_offset"])
            offsets = range(first, first + batch.num_rows)
            await self.handle("rows", int(place[0]["_partition"]), offsets, 0.02)


async def test_what_is_committed_never_passes_what_is_unfinished(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    topic, total = make_topic(partitions=4), 3_000
    watch = Watch(cluster, topic, "app-" + topic)
    first, second = (app_factory("app-" + topic, broker_commit_interval=0.01) for _ in range(2))
    watch.declare(first)
    watch.declare(second)
    produce(topic, [{"n": n} for n in range(total)], keys=[str(n) for n in range(total)])

    async with first.running():
        await watch.check_until(total // 2)
        # The second one takes half of the partitions, and gives them back.
        async with second.running():
            assignments = runtime_of(second).native.assignments
            while len({row["partition"] for row in assignments()}) < 2:
                await watch.check()
            await watch.check_until(min(await watch.check() + 400, 2 * total))
        await watch.check_until(2 * total)
    everything = {(p, o) for p, end in cluster.ends(topic).items() for o in range(end)}
    assert watch.finished == {"agent": everything, "rows": everything}


async def test_who_has_read_a_partition_to_its_end_stays_there_over_a_rebalance(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    topic, total = make_topic(partitions=4), 400
    rows: list[Any] = []

    def make() -> turbine.App:
        app = app_factory("app-" + topic, broker_commit_interval=0.01)

        # With idle_close the reader is told of the ends of its partitions.
        @app.subscribe(topic, name="rows", event_time="ts", idle_close=60)
        def note(batch: pa.RecordBatch) -> None:
            rows.extend(batch["n"].to_pylist())

        return app

    def partitions(app: turbine.App) -> int:
        return len(runtime_of(app).native.assignments())

    first, second = make(), make()
    for partition in range(4):
        mine = [{"n": n, "ts": n} for n in range(partition, total, 4)]
        produce(topic, mine, partition=partition)
    async with first.running():
        await eventually_async(lambda: len(rows) == total)
        async with second.running():
            await eventually_async(lambda: partitions(first) == partitions(second) == 2)
        await eventually_async(lambda: partitions(first) == 4)
        for partition in range(4):
            produce(topic, [{"n": total + partition, "ts": total}], partition=partition)
        await eventually_async(lambda: len(rows) >= total + 4)
    assert sorted(rows) == list(range(total + 4))
