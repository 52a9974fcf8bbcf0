"""Exactly-once agents: tables, what they send, dead letters and offsets take effect together."""

import asyncio
from typing import Any

import pytest

import turbine
from support.counting import Counting
from support.fixtures import Consume, MakeApp, MakeTopic, MakeWorker, Produce
from support.kafka import Cluster
from support.wait import eventually_async as until

EXACT: dict[str, Any] = {"processing_guarantee": "exactly_once"}


@pytest.fixture
def topics(make_topic: MakeTopic) -> tuple[str, str]:
    """An input and an output with one partition each."""
    return make_topic("in", partitions=1), make_topic("out", partitions=1)


async def test_what_agents_send_and_write_is_committed_with_their_rows(
    app_factory: MakeApp,
    topics: tuple[str, str],
    produce: Produce,
    consume: Consume,
    cluster: Cluster,
) -> None:
    app = app_factory()
    sums = app.Table("sums", key_type=str, value_type=int, default=int)
    other = app.topic(topics[1])
    metas: list[Any] = []

    @app.agent(topics[0], name="sums", sink=[topics[1]], **EXACT)
    async def agent(stream: Any) -> Any:
        async for n in stream:
            sums["all"] += n
            metas.append(await (await other.send(value=-n, headers={"h": "1"})))
            yield sums["all"]

    produce(topics[0], range(1, 101))
    async with app.running():
        got = await asyncio.to_thread(consume, topics[1], 200)
        assert [one.json for one in got] == [
            value for n in range(1, 101) for value in (-n, n * (n + 1) // 2)
        ]
        # Where the record is, nobody knows before the commit.
        assert {meta.offset for meta in metas} == {-1}
        group = app.conf.id
        await until(lambda: cluster.committed(group, topics[0]) == {0: 100})
        changes = await asyncio.to_thread(consume, f"{group}-sums-changelog", 1)
        assert changes[-1].value == b"5050"


async def test_nothing_of_a_row_that_fails_is_seen(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, cluster: Cluster
) -> None:
    app = app_factory(broker_commit_interval=0.01)
    sums = app.Table("sums", key_type=str, value_type=int, default=int)
    out = app.topic(topics[1])

    @app.agent(topics[0], name="sums", **EXACT)
    async def agent(stream: Any) -> None:
        async for n in stream:
            await out.send(value=n)
            sums["all"] += n
            raise ValueError(n)

    produce(topics[0], [1])
    with pytest.raises(turbine.HandlerError, match="ValueError: 1"):
        async with app.running():
            await until(lambda: app._runtime.failures)  # type: ignore[union-attr]
    assert cluster.count(topics[1]) == 0
    assert cluster.committed(app.conf.id, topics[0]) == {}


async def test_dead_letters_are_part_of_it(  # noqa: PLR0917 - fixtures
    app_factory: MakeApp,
    make_topic: MakeTopic,
    topics: tuple[str, str],
    produce: Produce,
    consume: Consume,
    cluster: Cluster,
) -> None:
    app, dead = app_factory(), make_topic("dead", partitions=1)

    @app.agent(topics[0], name="dead", on_error="dlq", dlq=dead, sink=[topics[1]], **EXACT)
    async def agent(stream: Any) -> Any:
        async for n in stream:
            if n == 2:
                raise ValueError("two")
            yield n

    produce(topics[0], ["1", "no json", "2", "3"])
    async with app.running():
        await until(lambda: cluster.committed(app.conf.id, topics[0]) == {0: 4})
        letters = await asyncio.to_thread(consume, dead, 2)
        assert [one.value for one in letters] == [b"no json", b"2"]
        got = await asyncio.to_thread(consume, topics[1], 2)
        assert [one.json for one in got] == [1, 3]


async def test_a_record_that_a_background_task_sends_too_late_is_refused(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, cluster: Cluster
) -> None:
    app = app_factory(broker_commit_interval=0.01)
    out, go = app.topic(topics[1]), asyncio.Event()
    answers: list[str] = []
    tasks: list[Any] = []

    async def late() -> None:
        await go.wait()
        try:
            await out.send(value="late")
        except turbine.SendError as exc:
            answers.append(str(exc))

    @app.agent(topics[0], name="starts", **EXACT)
    async def agent(stream: Any) -> None:
        async for _ in stream:
            task = asyncio.create_task(late())
            tasks.append(task)

    produce(topics[0], [1])
    async with app.running():
        await until(lambda: cluster.committed(app.conf.id, topics[0]) == {0: 1})
        go.set()
        await until(lambda: len(answers) == 1)
        assert answers[0].startswith(f"the record to {topics[1]} comes too late")
        # Outside of a stream the plain producer sends.
        await (await out.send(value="plain"))
    assert cluster.count(topics[1]) == 1


async def test_a_restart_goes_on_behind_the_last_commit(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    counts = app.Table("counts", key_type=str, value_type=int, default=int)

    @app.agent(topics[0], name="counts", value_type=str, sink=[topics[1]], **EXACT)
    async def agent(stream: Any) -> Any:
        async for word in stream:
            counts[word] += 1
            yield counts[word]

    for round_ in range(3):
        produce(topics[0], [b"a"] * 10)
        async with app.running():
            got = await asyncio.to_thread(consume, topics[1], 10 * (round_ + 1))
    assert [one.json for one in got] == list(range(1, 31))


def test_killed_workers_repeat_nothing(
    worker_process: MakeWorker, make_topic: MakeTopic, cluster: Cluster
) -> None:
    counting = Counting(worker_process, make_topic, cluster, "exactly_once")
    counting.kill_while_it_works(3)
    counting.finish()
    counting.check_exact_outputs()
    counting.check_tables()


def test_tables_come_back_on_another_machine(
    worker_process: MakeWorker, make_topic: MakeTopic, cluster: Cluster
) -> None:
    counting = Counting(worker_process, make_topic, cluster, "exactly_once")
    counting.kill_while_it_works(1)
    counting.lose_the_disk()
    for _ in range(2):
        counting.finish(2_000)
        counting.lose_the_disk()
    counting.check_exact_outputs()
