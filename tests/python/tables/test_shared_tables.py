"""Tables that agents of several topics write: one task and one commit for each partition."""

import asyncio
from typing import Any

import pytest

import turbine
from support.counting import Counting
from support.fixtures import MakeApp, MakeTopic, MakeWorker, Produce
from support.kafka import Cluster
from support.wait import eventually_async as until
from support.workers import WorkerProcess

GUARANTEES = ("at_least_once", "exactly_once")


def joining(app: turbine.App, topics: list[str], **options: Any) -> Any:
    """Declare a table, and for each topic an agent that adds to it; the table."""
    table: Any = app.Table("counts", key_type=str, value_type=int, default=int)

    def declare(topic: str) -> None:
        @app.agent(topic, name=f"of-{topic}", key_type=str, value_type=int, **options)
        async def add(stream: Any) -> None:
            async for key, n in stream.items():
                table[key] += n

    for topic in topics:
        declare(topic)
    return table


# -- one task --------------------------------------------------------------------------------------


@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_agents_of_two_topics_write_one_table_and_a_restart_goes_on(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    cluster: Cluster,
    guarantee: str,
) -> None:
    topics = [make_topic("in", partitions=2) for _ in range(3)]
    app = app_factory(broker_commit_interval=0.02)
    table = joining(app, topics, processing_guarantee=guarantee)
    keys = [f"k{n % 7}" for n in range(70)]
    for round_ in range(1, 4):
        for n, topic in enumerate(topics):
            produce(topic, [10**n] * len(keys), keys=keys)
        async with app.running():
            await until(lambda: dict(table.items()) == dict.fromkeys(keys, 1110 * round_))  # noqa: B023 - at once
            rows = app._runtime.native.assignments()  # type: ignore[union-attr]
            assert sorted((row["topic"], row["partition"]) for row in rows) == [
                (topic, partition) for topic in sorted(topics) for partition in (0, 1)
            ]
        for topic in topics:
            assert sum(cluster.committed(app.conf.id, topic).values()) == 70 * round_


async def test_a_slow_handler_of_one_topic_does_not_fill_the_place_of_the_other(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    slow, quick = make_topic("slow", partitions=1), make_topic("quick", partitions=1)
    app = app_factory(broker_commit_interval=10)
    table = app.Table("rows", key_type=str, value_type=int, default=int)
    go = asyncio.Event()

    @app.agent(slow, value_type=int)
    async def waits(stream: Any) -> None:
        async for _ in stream:
            await go.wait()
            table["slow"] += 1

    @app.agent(quick, value_type=int)
    async def goes(stream: Any) -> None:
        async for _ in stream:
            table["quick"] += 1

    produce(slow, range(5_000))
    produce(quick, range(5_000))
    async with app.running():
        await until(lambda: table["quick"] == 5_000)
        assert table["slow"] == 0
        go.set()
        await until(lambda: table["slow"] == 5_000)


async def test_offsets_of_one_topic_alone_move_the_commit(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    first, second = sorted(make_topic("in", partitions=1) for _ in range(2))
    app = app_factory(broker_commit_interval=0.02)
    table = joining(app, [first, second])
    async with app.running():
        for round_ in range(1, 4):
            produce(second, [1], key="k")
            await until(lambda: cluster.committed(app.conf.id, second) == {0: round_})  # noqa: B023 - at once
        assert table["k"] == 3
        produce(first, [1], key="k")
        await until(lambda: cluster.committed(app.conf.id, first) == {0: 1})


async def test_topics_with_other_numbers_of_partitions_are_refused_when_written(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    caplog: pytest.LogCaptureFixture,
) -> None:
    two, four = make_topic("two", partitions=2), make_topic("four", partitions=4)
    app = app_factory()
    table = joining(app, [two])
    refusals: list[str] = []

    @app.agent(four, key_type=str, value_type=int)
    async def also(stream: Any) -> None:
        async for key, n in stream.items():
            try:
                table[key] += n
            except turbine.StateError as exc:
                refusals.append(str(exc))

    produce(two, [1], key="k")
    async with app.running():
        await until(lambda: table["k"] == 1)
        produce(four, [1], key="k")
        await until(lambda: refusals)
    assert f"{two} has 2 partitions, {four} has 4 partitions" in caplog.text
    assert refusals[0].startswith(f"table counts is written by agents of topic {two}, so an agent")
    assert "the same number of partitions" in refusals[0]


# -- around crashes --------------------------------------------------------------------------------


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_killed_workers_count_each_record_of_both_topics_once(
    worker_process: MakeWorker, make_topic: MakeTopic, cluster: Cluster, guarantee: str
) -> None:
    counting = Counting(worker_process, make_topic, cluster, guarantee, inputs=2)
    counting.kill_while_it_works(3)
    counting.finish()
    counting.check_tables()
    if guarantee == "exactly_once":
        counting.check_exact_outputs()


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_shared_tables_come_back_after_a_lost_disk(
    worker_process: MakeWorker, make_topic: MakeTopic, cluster: Cluster, guarantee: str
) -> None:
    counting = Counting(worker_process, make_topic, cluster, guarantee, inputs=2)
    counting.kill_while_it_works(1)
    counting.lose_the_disk()
    counting.finish()
    counting.lose_the_disk()
    counting.finish()
    counting.check_tables()


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_partitions_of_both_topics_move_together_between_two_workers(
    worker_process: MakeWorker, make_topic: MakeTopic, cluster: Cluster, guarantee: str
) -> None:
    counting = Counting(worker_process, make_topic, cluster, guarantee, inputs=2)
    counting.write(3_000)
    counting.worker.start()
    counting.wait_committed(500)
    for leaves in (WorkerProcess.terminate, WorkerProcess.kill):
        second = counting.another().start()
        second.wait_output("restored by group")
        counting.write(3_000)
        counting.wait_committed(counting.total - 2_000)
        leaves(second)
    counting.wait_committed(counting.total)
    assert counting.worker.terminate() == 0
    counting.finish()
    counting.check_tables()
    if guarantee == "exactly_once":
        counting.check_exact_outputs()
