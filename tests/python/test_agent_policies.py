"""Agents that fail, agents of every shape, and agents with an instance for each partition."""

# ruff: noqa: PERF401 - a comprehension over a stream would never have a value

import asyncio
import functools
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest

import turbine
from support.fixtures import Consume, MakeApp, MakeTopic, MakeWorker, Produce
from support.kafka import Cluster
from support.wait import eventually_async as until
from turbine.types import TP

pytestmark = pytest.mark.any_broker

# -- again -------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["retry(2, 0.01, skip)", turbine.Retry(2, 0.01, "skip")])
async def test_a_failing_record_is_tried_again_and_then_left_out(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, cluster: Cluster, *, policy: Any
) -> None:
    topic = make_topic(partitions=1)
    app, tries = app_factory(), defaultdict[int, int](int)
    seen: list[int] = []

    @app.agent(topic, on_error=policy)
    async def agent(stream: Any) -> None:
        async for value in stream.filter(lambda value: value != 4):
            tries[value] += 1
            if value == 2 or (value == 6 and tries[6] < 3):
                raise ValueError(value)
            seen.append(value)

    produce(topic, range(8))
    async with app.running():
        await until(lambda: cluster.committed(app.conf.id, topic) == {0: 8})
    assert seen == [0, 1, 3, 5, 6, 7]
    assert tries == {0: 1, 1: 1, 2: 3, 3: 1, 5: 1, 6: 3, 7: 1}


async def test_lists_batches_and_channels_are_tried_again_as_they_were(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    lists, rows = make_topic(partitions=1), make_topic(partitions=1)
    app, channel = app_factory(), None
    channel = app.channel()
    seen: dict[str, list[Any]] = defaultdict(list)

    def fail_once(name: str, value: Any) -> None:
        seen[name].append(value)
        if len(seen[name]) == 1:
            raise ValueError(value)

    @app.agent(lists, on_error="retry(3, 0.01)")
    async def of_lists(stream: Any) -> None:
        async for values in stream.take(3, within=5):
            fail_once("lists", values)

    @app.agent(rows, on_error="retry(3, 0.01)")
    async def of_batches(stream: Any) -> None:
        async for batch in stream.batches():
            fail_once("batches", batch.to_pylist())

    @app.agent(channel, on_error="retry(3, 0.01)")
    async def of_channel(stream: Any) -> None:
        async for values in stream.take(2):
            fail_once("channel", values)

    produce(lists, range(6))
    produce(rows, [{"n": 1}])
    async with app.running():
        for n in range(4):
            await channel.send(value=n)
        await until(lambda: len(seen["lists"]) == 3 and len(seen["channel"]) == 3)
        await until(lambda: len(seen["batches"]) == 2)
    assert seen["lists"] == [[0, 1, 2], [0, 1, 2], [3, 4, 5]]
    assert seen["channel"] == [[0, 1], [0, 1], [2, 3]]
    assert seen["batches"] == [[{"n": 1}]] * 2


async def test_what_fails_every_time_becomes_a_dead_letter_when_nobody_waits_any_more(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    topic, dead = make_topic(partitions=1), make_topic(partitions=1)
    app, failed = app_factory(), asyncio.Event()

    @app.agent(topic, on_error="retry(5, 60, dlq)", dlq=dead)
    async def agent(stream: Any) -> None:
        async for value in stream:
            failed.set()
            raise ValueError(value)

    produce(topic, [1])
    async with app.running():
        # The first try has failed and the next is a minute away: the end does not wait for it.
        await failed.wait()
    [letter] = consume(dead, 1)
    assert letter.json == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_error": "retry"}, "write 'retry"),
        ({"on_error": "retry(0)"}, "from 1"),
        ({"on_error": turbine.Retry(1, -1)}, "negative"),
        ({"on_error": "retry(1, 1.2.3)"}, "not a number"),
        ({"on_error": "retry(1, 1, dlq)"}, "dead letters"),
        ({"on_error": "retry(1, 1, sleep)"}, "sleep"),
        ({"on_error": "stop"}, "crash"),
        ({"on_error": "retry(1)", "processing_guarantee": "exactly_once"}, "exactly_once"),
        ({"isolated_partitions": True, "concurrency": 2}, "leave one out"),
    ],
)
def test_a_policy_that_cannot_work_is_refused_where_it_is_declared(
    app_factory: MakeApp, *, options: dict[str, Any], message: str
) -> None:
    app = app_factory()
    with pytest.raises(turbine.DeclarationError, match=message):

        @app.agent("orders", **options)
        async def agent(stream: Any) -> None:
            async for _ in stream:
                pass


CRASHING = """
    import os
    import turbine

    app = turbine.App(os.environ["APP_ID"], broker=f"kafka://{os.environ['KAFKA']}")

    @app.agent(os.environ["IN"], on_error="crash", value_type=int)
    async def agent(stream):
        async for value in stream:
            if value == 3:
                raise ValueError("this one")

    @app.agent(os.environ["OTHER"])
    async def healthy(stream):
        async for value in stream:
            pass
"""


@pytest.mark.parametrize("poison", [3, "not a number"])
def test_an_agent_that_crashes_ends_its_worker_with_an_exit_code(
    worker_process: MakeWorker, make_topic: MakeTopic, cluster: Cluster, app_id: str, *, poison: Any
) -> None:
    env = {"IN": make_topic(partitions=1), "OTHER": make_topic(partitions=1)}
    cluster.produce(env["IN"], [1, 2, poison, 4])
    worker = worker_process(CRASHING, env=env, web=False).start()
    assert worker.wait() == 1, worker.output()
    assert "on_error='crash'" in worker.output()
    # Nothing is lost: the next worker begins in front of the record.
    assert cluster.committed(app_id, env["IN"]) == {0: 2}


# -- shapes ------------------------------------------------------------------------------------


class Counting:
    """An actor: each instance has its own fields."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1
        self.seen = 0

    async def __call__(self, stream: Any) -> AsyncIterator[int]:
        async for _ in stream:
            self.seen += 1
            yield self.seen


async def test_classes_objects_and_partials_are_agents(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    topic, seen = make_topic(partitions=1), defaultdict[str, list[int]](list)
    app = app_factory()
    results = app.channel()

    async def by_partial(into: list[int], stream: Any) -> None:
        async for value in stream:
            into.append(value)

    Counting.made = 0
    app.agent(topic, name="class", sink=[seen["class"].append, results])(Counting)
    app.agent(topic, name="object", sink=seen["object"].append)(Counting())
    app.agent(topic, name="partial")(functools.partial(by_partial, seen["partial"]))
    assert Counting.made == 1
    produce(topic, [7, 8, 9])
    async with app.running():
        await until(lambda: all(len(seen[name]) == 3 for name in ("class", "object", "partial")))
        assert (await results.get(timeout=5)).value == 1
    assert Counting.made == 2
    assert seen == {"class": [1, 2, 3], "object": [1, 2, 3], "partial": [7, 8, 9]}


def test_a_class_without_a_call_is_refused(app_factory: MakeApp) -> None:
    class Nothing:
        pass

    with pytest.raises(turbine.DeclarationError, match=r"async def __call__\(self, stream\)"):
        app_factory().agent("orders")(Nothing)


# -- a partition each --------------------------------------------------------------------------


async def test_an_isolated_partition_waits_for_no_other_and_sees_no_other(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    topic, hold = make_topic(partitions=3), asyncio.Event()
    app = app_factory()
    counts = app.Table("counts", default=int)
    seen: dict[int, list[int]] = defaultdict(list)
    ended: list[int] = []

    @app.agent(topic, isolated_partitions=True)
    async def agent(stream: Any) -> None:
        mine: set[TP] = stream.active_partitions
        [tp] = mine
        try:
            async for value in stream:
                event = stream.current_event
                assert event.tp in stream.active_partitions
                if tp.partition == 1:
                    await hold.wait()
                seen[tp.partition].append(value)
                counts[tp.partition] += 1
        finally:
            ended.append(tp.partition)

    for partition in range(3):
        produce(topic, range(10), partition=partition)
    async with app.running():
        await until(lambda: len(seen[0]) == 10 and len(seen[2]) == 10)
        assert seen[1] == []
        hold.set()
        await until(lambda: cluster.committed(app.conf.id, topic) == {0: 10, 1: 10, 2: 10})
    assert seen == {partition: list(range(10)) for partition in range(3)}
    assert sorted(ended) == [0, 1, 2]


async def test_isolated_instances_come_and_go_with_their_partitions(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    topic = make_topic(partitions=4)
    running: dict[str, set[int]] = {"a": set(), "b": set()}
    values: list[int] = []

    def declare(name: str, app: turbine.App) -> turbine.App:
        @app.agent(topic, isolated_partitions=True, name="one")
        async def agent(stream: Any) -> None:
            [tp] = stream.active_partitions
            running[name].add(tp.partition)
            try:
                async for value in stream:
                    assert stream.current_event.tp == tp
                    values.append(value)
            finally:
                running[name].discard(tp.partition)

        return app

    first = declare("a", app_factory())
    second = declare("b", app_factory(id=first.conf.id))
    async with first.running():
        await until(lambda: running["a"] == {0, 1, 2, 3}, deadline_s=60)
        async with second.running():
            await until(lambda: len(running["a"]) == 2 == len(running["b"]), deadline_s=60)
            assert not running["a"] & running["b"]
            for partition in range(4):
                produce(topic, range(25), partition=partition)
            await until(lambda: len(values) == 100, why="all values were seen")
        await until(lambda: running["a"] == {0, 1, 2, 3}, deadline_s=60)
        assert running["b"] == set()
    assert sorted(values) == sorted(list(range(25)) * 4)
