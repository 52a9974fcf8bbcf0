"""Windows of tables that no record closes: by the clock, and by silence, each once."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from support.wait import eventually_async as eventually
from turbine import App
from turbine.testing import Clock, Sent, StartWorker, TopicHandle
from turbine.testing import MakeApp as NewApp
from turbine.testing import MakeTopic as NewTopic

MINUTE = 1_700_000_040
"""Start of a minute, in seconds."""

Closed = list[tuple[str, float, int]]
BOTH = pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])


def counting(app: App, words: Any, out: TopicHandle, size_s: float = 10, **options: Any) -> Any:
    """Count words a window, and send each window that closes."""
    sink = app.topic(out)
    table: Any = app.Table(
        "counts",
        key_type=str,
        value_type=int,
        default=int,
        on_window_close=lambda key, value: sink.send_soon(value=[*key, value]),
    ).tumbling(size_s, expires=size_s / 2)

    @app.agent(words, value_type=str, name="count", **options)
    async def count(stream: Any) -> None:
        async for word in stream:
            table[word] += 1

    return table


def closed(out: TopicHandle) -> Closed:
    """Give what was sent for windows."""
    values = [event.value for event in out.records()]
    return sorted((key, start, value) for key, (start, _), value in values)


def closed_by_now(out: TopicHandle) -> int:
    """How many windows it was sent for, where a worker was killed and will have been replaced."""
    try:
        return len(closed(out))
    except TimeoutError:
        # Its transaction is open until somebody has its partition.
        return 0


@BOTH
async def test_silence_closes_a_window_once_and_what_comes_then_is_late(
    turbine_app: NewApp,
    turbine_topics: NewTopic,
    turbine_worker: StartWorker,
    turbine_clock: Clock,
    guarantee: str,
) -> None:
    words, out = turbine_topics("words", partitions=1, value_type=str), turbine_topics("out")
    app = turbine_app(processing_guarantee=guarantee, table_cleanup_interval=4)
    table = counting(app, words, out)
    await words.put(Sent("a", None, MINUTE), Sent("a", None, MINUTE + 3))
    worker = await turbine_worker(app)
    # Twelve seconds behind the last event it is over; the third look finds it.
    await turbine_clock.advance(11)
    assert closed(out) == []
    assert dict(table.windows()) == {("a", (MINUTE, MINUTE + 10.0)): 2}
    await turbine_clock.advance(2)
    assert closed(out) == [("a", MINUTE, 2)]
    assert dict(table.windows()) == {}
    await words.put(Sent("a", None, MINUTE + 9), Sent("b", None, MINUTE + 11))
    await turbine_clock.advance(60)
    assert closed(out) == [("a", MINUTE, 2), ("b", MINUTE + 10, 1)]
    assert table.table.expiry.late == 1
    worker = await worker.replace()
    await turbine_clock.advance(60)
    assert len(closed(out)) == 2
    await worker.stop()


@BOTH
async def test_the_clock_closes_windows_that_are_relative_to_it(
    turbine_app: NewApp,
    turbine_topics: NewTopic,
    turbine_worker: StartWorker,
    turbine_clock: Clock,
    guarantee: str,
) -> None:
    words, out = turbine_topics("words", partitions=1, value_type=str), turbine_topics("out")
    app = turbine_app(processing_guarantee=guarantee, table_cleanup_interval=1)
    sink, start = app.topic(out), float(turbine_clock.time() // 10 * 10)
    table: Any = app.Table(
        "counts",
        default=int,
        on_window_close=lambda key, value: sink.send_soon(value=[*key, value]),
    )
    table = table.tumbling(10, expires=5).relative_to_now()

    @app.agent(words, value_type=str, name="count")
    async def count(stream: Any) -> None:
        async for word in stream:
            table[word] += 1

    await words.put(Sent("a", None, MINUTE))
    worker = await turbine_worker(app)
    await turbine_clock.advance(start + 14 - turbine_clock.time())
    assert closed(out) == []
    # Nobody has the partition while its time comes.
    await worker.stop()
    await turbine_clock.advance(20)
    await turbine_worker(app)
    await turbine_clock.advance(1)
    assert closed(out) == [("a", start, 1)]


async def test_marks_of_transactions_behind_the_last_record_are_silence_too(
    turbine_app: NewApp,
    turbine_topics: NewTopic,
    turbine_worker: StartWorker,
    turbine_clock: Clock,
) -> None:
    texts, words = turbine_topics("texts", partitions=1), turbine_topics("words", partitions=1)
    out = turbine_topics("out")
    first = turbine_app(processing_guarantee="exactly_once")

    @first.agent(texts, value_type=str, name="copy", sink=[first.topic(words, value_type=str)])
    async def copy(stream: Any) -> Any:
        async for word in stream:
            yield word

    app = turbine_app(table_cleanup_interval=10)
    counting(app, words, out)
    await texts.put("a")
    await turbine_worker(first)
    await turbine_worker(app)
    await turbine_clock.advance(60)
    assert [value for *_, value in closed(out)] == [1]


# An open transaction leaves no clock of tests idle: this one runs by the world's.
async def test_one_silent_topic_of_two_closes_nothing_while_the_other_has_records_to_come(
    turbine_app: NewApp, turbine_topics: NewTopic, turbine_worker: StartWorker
) -> None:
    def topic(name: str) -> TopicHandle:
        return turbine_topics(name, partitions=1, value_type=str)

    words, others, out = topic("a-words"), topic("b-words"), turbine_topics("out")
    app, control = (turbine_app(table_cleanup_interval=0.02) for _ in range(2))
    table = counting(app, words, out, size_s=0.1)

    @app.agent(others, value_type=str, name="others")
    async def count(stream: Any) -> None:
        async for word in stream:
            table[word] += 1

    alone, told = topic("alone"), turbine_topics("told")
    counting(control, alone, told, size_s=0.1)
    writer = Producer(
        {"bootstrap.servers": app.conf.bootstrap, "transactional.id": f"late-{others.name}"}
    )
    writer.init_transactions(10)
    writer.begin_transaction()
    writer.produce(others.name, b"b", timestamp=MINUTE * 1_000)
    assert writer.flush(10) == 0
    await words.put(Sent("a", None, MINUTE))
    workers = [await turbine_worker(app), await turbine_worker(control)]
    await eventually(lambda: table.table.newest == MINUTE)
    for n in (1, 2):
        # As long as it takes to close two windows, one after the other.
        await alone.put(Sent("a", None, MINUTE + n))
        await eventually(partial(lambda n: len(closed(told)) == n, n))
    assert closed(out) == []
    writer.commit_transaction(10)
    await eventually(lambda: closed(out) == [("a", MINUTE, 1), ("b", MINUTE, 1)])
    for worker in workers:
        await worker.stop()


async def test_an_owner_that_comes_back_learns_what_was_closed_meanwhile(
    turbine_app: NewApp,
    turbine_topics: NewTopic,
    turbine_worker: StartWorker,
    turbine_clock: Clock,
    tmp_path: Path,
) -> None:
    words, out = turbine_topics("words", partitions=1, value_type=str), turbine_topics("out")
    app = turbine_app(table_cleanup_interval=5, datadir=tmp_path / "one", store="rocksdb://")
    table = counting(app, words, out)
    await words.put(Sent("a", None, MINUTE))
    worker = await turbine_worker(app)
    await turbine_clock.idle()
    await worker.stop()
    # At-least-once, and nothing is read: the offset is the same before and after.
    app.conf.datadir = tmp_path / "two"
    worker = await turbine_worker(app)
    await turbine_clock.advance(30)
    assert closed(out) == [("a", MINUTE, 1)]
    await worker.stop()
    app.conf.datadir = tmp_path / "one"
    await turbine_worker(app)
    await turbine_clock.advance(60)
    assert closed(out) == [("a", MINUTE, 1)]
    assert dict(table.windows()) == {}


@pytest.mark.parametrize("policy", ["fail", "skip"])
async def test_a_function_that_raises_without_a_record_stops_the_partition_or_is_left_out(
    turbine_app: NewApp,
    turbine_topics: NewTopic,
    turbine_worker: StartWorker,
    turbine_clock: Clock,
    policy: str,
) -> None:
    words = turbine_topics("words", partitions=2, value_type=str)
    app = turbine_app(table_cleanup_interval=5)
    calls = list[Any]()

    def fails(key: Any, value: int) -> None:
        calls.append(key)
        raise ZeroDivisionError("no")

    table: Any = app.Table("counts", key_type=str, default=int, on_window_close=fails)
    table = table.tumbling(10, expires=0)

    @app.agent(words, value_type=str, name="count", on_error=policy)
    async def count(stream: Any) -> None:
        async for word in stream:
            table[word] += 1

    await words.put(Sent("a", None, MINUTE), partition=0)
    worker = await turbine_worker(app)
    worker.expect_error("on_window_close")
    if policy == "fail":
        worker.expect_error("could not be closed")
    await turbine_clock.advance(60)
    assert calls == [("a", (MINUTE, MINUTE + 10.0))]
    if policy == "fail":
        await worker.stop()
        # Nothing of it was committed: who has the partition next calls the function again.
        worker = await turbine_worker(app)
        worker.expect_error("on_window_close")
        worker.expect_error("could not be closed")
        await turbine_clock.advance(60)
        assert len(calls) == 2
    else:
        assert dict(table.windows()) == {}


# On Kafka each takeover waits for a session's timeout.
@pytest.mark.embedded
async def test_windows_close_exactly_once_around_crashes_without_records(
    turbine_app: NewApp, turbine_topics: NewTopic, turbine_worker: StartWorker, tmp_path: Path
) -> None:
    words, out = turbine_topics("words", partitions=3, value_type=str), turbine_topics("out")
    app = turbine_app(
        processing_guarantee="exactly_once", datadir=tmp_path, table_cleanup_interval=0.05
    )
    sink = app.topic(out)

    async def close(key: Any, value: int) -> None:
        await asyncio.sleep(0.002)
        await sink.send(value=[*key, value])

    table: Any = app.Table("counts", key_type=str, default=int, on_window_close=close)
    table = table.hopping(1, 0.1, expires=0).relative_to_now()

    @app.agent(words, value_type=str, name="count")
    async def count(stream: Any) -> None:
        async for word in stream:
            table[word] += 1

    for partition in range(3):
        await words.put(*(f"{letter}{partition}" for letter in "abcde"), partition=partition)
    worker = await turbine_worker(app)
    for at_least in (1, 40, 90):
        await eventually(partial(lambda n: closed_by_now(out) >= n, at_least))
        worker = await worker.replace()
    # Each of 15 words is in ten windows.
    await eventually(lambda: closed_by_now(out) >= 150 and not dict(table.windows()))
    await worker.stop()
    got = closed(out)
    assert len(got) == len(set(got)) == 150
    assert {value for *_, value in got} == {1}
