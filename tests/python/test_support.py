"""The helpers of the tests themselves: a helper that cannot fail would hide what it should show."""

import asyncio
import threading

import pytest

from support.kafka import Cluster
from support.leftovers import Threads, tasks_left
from support.wait import eventually, eventually_async


def test_records_come_back_as_they_were_written(cluster: Cluster) -> None:
    topic = cluster.make_topic("echo", partitions=3)
    headers = [("a", b"1"), ("a", None), ("b", b"\xff")]
    cluster.produce(topic, [{"n": 1}], key="k", partition=1, headers=headers, timestamp_ms=1234)
    cluster.produce(topic, [None, "text", b"\x00"], partition=2)

    got = {(one.partition, one.offset): one for one in cluster.consume(topic, 4)}

    assert got[1, 0].key == b"k"
    assert got[1, 0].json == {"n": 1}
    assert got[1, 0].headers == tuple(headers)
    assert got[1, 0].timestamp_ms == 1234
    assert [got[2, i].value for i in range(3)] == [None, b"text", b"\x00"]
    assert cluster.ends(topic) == {0: 0, 1: 1, 2: 3}
    assert cluster.count(topic) == 4


def test_reading_too_few_records_fails(cluster: Cluster) -> None:
    topic = cluster.make_topic(partitions=1)
    cluster.produce(topic, [b"only"])
    with pytest.raises(AssertionError, match="1 of 2 records"):
        cluster.consume(topic, 2, deadline_s=0.5)


def test_topics_of_one_name_differ(cluster: Cluster) -> None:
    assert cluster.make_topic("same") != cluster.make_topic("same")


def test_a_condition_that_stays_false_fails_with_its_reason() -> None:
    with pytest.raises(AssertionError, match="pigs fly"):
        eventually(lambda: False, 0.05, "pigs fly")


def test_a_condition_may_fail_before_it_holds() -> None:
    tries = iter(range(10))

    def third() -> bool:
        assert next(tries) == 2, "too early"
        return True

    assert eventually(third, 5)


async def test_an_async_condition_lets_the_loop_run() -> None:
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, done.set)
    assert await eventually_async(done.is_set, 5)


def test_a_thread_that_stays_is_found() -> None:
    before, end = Threads(patience_s=0.05), threading.Event()
    thread = threading.Thread(target=end.wait, name="forgotten")
    thread.start()
    try:
        assert before.left() == ["forgotten"]
    finally:
        end.set()
        thread.join()
    assert before.left() == []


async def test_a_task_that_stays_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("support.leftovers.PATIENCE_S", 0.05)
    task = asyncio.create_task(asyncio.Event().wait(), name="forgotten")
    found = await tasks_left()
    task.cancel()
    assert len(found) == 1
    assert found[0].startswith("forgotten")
