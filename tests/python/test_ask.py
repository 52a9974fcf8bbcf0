"""Asking agents and waiting for what they yield."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

import turbine
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from support.kafka import Cluster


def declare(app: turbine.App, topic: str) -> turbine.Agent:
    """An agent that answers with a hundred times what it is asked, and not at all for 13."""

    @app.agent(topic, name="hundred", on_error="skip", concurrency=2)
    async def hundred(stream: Any) -> AsyncIterator[float]:
        async for value in stream:
            if value == 13:
                raise ValueError(value)
            await asyncio.sleep(0.01 if value % 2 else 0)
            yield value * 100

    return hundred


async def test_asking_works_from_a_worker_and_from_a_client_and_leaves_no_topic(
    app_factory: MakeApp, make_topic: MakeTopic, cluster: Cluster
) -> None:
    topic = make_topic(partitions=2)
    prefix = f"answers-{topic}-"
    app = app_factory(reply_to_prefix=prefix)
    hundred = declare(app, topic)
    async with app.running():
        assert await hundred.ask(3.5) == 350.0
        # In the order of the values, and as they come.
        assert await hundred.join([5, 4, 3, 2, 1]) == [500, 400, 300, 200, 100]
        assert await hundred.kvjoin([("a", 5), ("b", 4)]) == [500, 400]
        assert sorted([one async for one in hundred.map(range(1, 6))]) == [100, 200, 300, 400, 500]
        pairs = [(str(n), n) for n in range(3)]
        assert sorted([one async for one in hundred.kvmap(pairs)]) == [0, 100, 200]
        promise = await hundred.ask_nowait(7)
        assert not promise.done()
        assert await promise == 700

        other = app_factory(id=app.conf.id, reply_to_prefix=prefix)
        remote = declare(other, topic)
        async with other.client():
            assert await remote.ask(2) == 200
            with pytest.raises(TimeoutError, match="did not answer within"):
                await remote.ask(13, timeout=0.3)
            # The question without an answer keeps the topic: an answer may still be written.
    left = [name for name in cluster.topics() if name.startswith(prefix)]
    assert len(left) <= 1


async def test_an_agent_may_ask_another_one_and_answer_with_that(
    app_factory: MakeApp, make_topic: MakeTopic
) -> None:
    app = app_factory()
    hundred = declare(app, make_topic(partitions=1))

    @app.agent(make_topic(partitions=1))
    async def square(stream: Any) -> AsyncIterator[float]:
        async for value in stream:
            yield await hundred.ask(value**2)

    async with app.running():
        assert await square.join([1, 2, 3]) == [100, 400, 900]


async def test_questions_and_answers_are_those_of_faust(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app, topic, answers = app_factory(), make_topic(partitions=1), make_topic(partitions=1)
    declare(app, topic)
    headers = [("Faust-Ag-ReplyTo", answers.encode()), ("Faust-Ag-CorrelationId", b"c-1")]
    produce(topic, [4], key="k", headers=headers)
    async with app.running():
        [record] = await asyncio.to_thread(consume, answers, 1)
    assert record.json == {
        "key": "k",
        "value": 400,
        "correlation_id": "c-1",
        "__faust": {"ns": "@ReqRepResponse"},
    }

    async with app.client():
        promise = await app.agents["hundred"].ask_nowait(
            5, key="k", reply_to=answers, correlation_id="c-2"
        )
        [_, asked] = await asyncio.to_thread(consume, topic, 2)
        assert dict(asked.headers) == {
            "Faust-Ag-ReplyTo": answers.encode(),
            "Faust-Ag-CorrelationId": b"c-2",
        }
        # What is no answer is left out; the one of a Faust worker is taken.
        answer = {"key": None, "value": {"a": 1}, "correlation_id": "c-2"}
        produce(answers, [b"{", b"[]", json.dumps(answer).encode()])
        async with asyncio.timeout(10):
            assert await promise == {"a": 1}


async def test_agents_of_channels_answer_inside_of_the_process(app_factory: MakeApp) -> None:
    app = app_factory()

    @app.agent(app.channel())
    async def double(stream: Any) -> AsyncIterator[Any]:
        async for value in stream:
            yield {"twice": value * 2}

    async with app.running():
        assert await double.ask(21) == {"twice": 42}
        assert await double.join(range(3)) == [{"twice": 0}, {"twice": 2}, {"twice": 4}]


async def test_an_exactly_once_agent_asks_at_once_and_answers_with_its_commit(
    app_factory: MakeApp, make_topic: MakeTopic
) -> None:
    app = app_factory(processing_guarantee="exactly_once", broker_commit_interval=0.05)
    hundred = declare(app, make_topic(partitions=1))

    @app.agent(make_topic(partitions=1))
    async def square(stream: Any) -> AsyncIterator[float]:
        async for value in stream:
            yield await hundred.ask(value**2)

    async with app.running():
        assert await square.ask(3) == 900


async def test_a_worker_that_stops_does_not_wait_for_the_answers_that_it_would_give_itself(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("turbine._replies._LAST_WAIT_S", 0.1)
    topic, app = make_topic(partitions=1), app_factory(drain_timeout=30)
    asked, hold = asyncio.Event(), asyncio.Event()

    @app.agent(make_topic(partitions=1))
    async def slow(stream: Any) -> AsyncIterator[int]:
        async for value in stream:
            asked.set()
            await hold.wait()
            yield value

    @app.agent(topic, on_error="skip")
    async def asking(stream: Any) -> None:
        async for value in stream:
            if value < 2 or await slow.ask(value):
                continue

    produce(topic, [0, 1, 2, 3])
    began = 0.0
    async with app.running():
        await asked.wait()
        began = asyncio.get_running_loop().time()
        asyncio.get_running_loop().call_later(0.5, hold.set)
    assert asyncio.get_running_loop().time() - began < 15
    # Left as it was, and not left out.
    assert cluster.committed(app.conf.id, topic) == {0: 2}


async def test_asking_what_cannot_answer_is_refused(app_factory: MakeApp) -> None:
    app = app_factory()

    @app.agent("mute")
    async def mute(stream: Any) -> None:
        async for _ in stream:
            pass

    with pytest.raises(turbine.DeclarationError, match="yields nothing"):
        await mute.ask(1)
    with pytest.raises(turbine.NotRunning, match="ask inside"):
        await declare(app, "orders").ask(1)


@pytest.mark.parametrize("kind", ["topic", "channel"])
async def test_an_agent_that_collects_answers_everybody_in_its_list(
    app_factory: MakeApp, make_topic: MakeTopic, kind: str
) -> None:
    app = app_factory()
    source = app.channel() if kind == "channel" else app.topic(make_topic(partitions=1))
    other = app.channel() if kind == "channel" else app.topic(make_topic(partitions=1))

    @app.agent(source)
    async def total(stream: Any) -> AsyncIterator[Any]:
        async for values in stream.take(3, within=10):
            yield sum(values)

    @app.agent(other)
    async def each(stream: Any) -> AsyncIterator[Any]:
        async for values in stream.take(3, within=10):
            for value in values:
                yield value * 10

    async with app.running():
        assert await total.join([1, 2, 3]) == [6, 6, 6]
        assert await each.join([1, 2, 3]) == [10, 20, 30]
