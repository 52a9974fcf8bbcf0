"""`Agent.test_context`: an agent in a test without a broker."""

from typing import Any

import pyarrow as pa
import pytest

import turbine
from turbine import App, DecodeError, HandlerError


class Order(turbine.Record):
    user: str
    amount: float = 1.0


def make_app() -> App:
    return App("context", broker="kafka://nowhere.invalid:1")


async def test_what_an_agent_yields_is_found_by_the_offset_of_its_event() -> None:
    @make_app().agent("numbers")
    async def double(stream: Any) -> Any:
        async for number in stream:
            yield number * 2

    async with double.test_context() as agent:
        events = [await agent.put(number) for number in (1, 2, 21)]
        assert [event.offset for event in events] == [0, 1, 2]
        assert agent.results == {0: 2, 1: 4, 2: 42}
        assert agent.yielded == [2, 4, 42]


async def test_an_agent_that_yields_nothing_does_not_hang() -> None:
    seen: list[Any] = []

    @make_app().agent("numbers")
    async def agent(stream: Any) -> None:
        async for number in stream:
            seen.append(number)  # noqa: PERF401 - a comprehension over a stream would never end

    async with agent.test_context() as context:
        await context.put(1)
        assert seen == [1]
    assert context.results == {}


async def test_values_go_through_the_types_of_the_topic() -> None:
    app, seen = make_app(), []

    @app.agent(app.topic("orders", key_type=str, value_type=Order))
    async def agent(stream: Any) -> None:
        async for event in stream.events():
            seen.append((event.key, event.value, event.headers, event.timestamp))  # noqa: PERF401

    async with agent.test_context() as context:
        await context.put({"user": "ada"}, key="k", headers={"a": "1"}, timestamp=5.5)
        await context.put(Order(user="bob", amount=2), timestamp=6)
        await context.put(None)
        with pytest.raises(DecodeError, match="is not Order"):
            await context.put({"name": "eve"})
    ada, bob = Order(user="ada"), Order(user="bob", amount=2)
    assert seen == [("k", ada, {"a": b"1"}, 5.5), (None, bob, {}, 6.0), (None, None, {}, 0.0)]


async def test_what_an_agent_raises_is_raised_by_put() -> None:
    @make_app().agent("numbers")
    async def agent(stream: Any) -> Any:
        async for number in stream:
            yield 1 / number

    async with agent.test_context() as context:
        await context.put(2)
        with pytest.raises(ZeroDivisionError):
            await context.put(0)
        with pytest.raises(RuntimeError, match="has ended"):
            await context.put(1)


async def test_an_error_that_nobody_waited_for_is_raised_at_the_end() -> None:
    @make_app().agent("numbers")
    async def agent(stream: Any) -> Any:
        async for number in stream:
            yield 1 / number

    with pytest.raises(ZeroDivisionError):
        async with agent.test_context() as context:
            await context.put(0, wait=False)


async def test_with_skip_the_agent_goes_on() -> None:
    @make_app().agent("numbers", on_error="skip")
    async def agent(stream: Any) -> Any:
        async for number in stream:
            yield 1 / number

    async with agent.test_context() as context:
        await context.put(0)
        await context.put(4)
        assert context.yielded == [0.25]
        [(event, reason)] = context.refused
        assert (event.value, reason) == (0, "ZeroDivisionError: division by zero")


async def test_throw_raises_inside_the_agent() -> None:
    caught: list[str] = []

    @make_app().agent("numbers")
    async def agent(stream: Any) -> None:
        while True:
            try:
                async for _ in stream:
                    pass
            except KeyError as exc:
                caught.append(repr(exc))
            else:
                return

    async with agent.test_context() as context:
        await context.throw(KeyError("a"))
        await context.put(1)
        assert caught == ["KeyError('a')"]
        with pytest.raises(ValueError, match="not caught"):
            await context.throw(ValueError("not caught"))


async def test_sinks_and_topics_get_what_is_sent_and_no_broker_is_asked() -> None:
    app = make_app()
    called: list[Any] = []
    out = app.topic("out")

    @app.agent("numbers", sink=["sunk", called.append])
    async def agent(stream: Any) -> Any:
        async for number in stream:
            meta = await (await out.send(key="k", value={"n": number}, timestamp=1.0))
            assert meta.topic == "out"
            yield number + 1

    async with agent.test_context() as context:
        await context.put(1, key="in")
    assert [(e.topic, e.key, e.value) for e in context.sent] == [
        ("out", "k", {"n": 1}),
        ("sunk", b"in", 2),
    ]
    assert called == [2]


async def test_an_agent_that_collects_is_fed_until_it_has_enough() -> None:
    @make_app().agent("numbers")
    async def agent(stream: Any) -> Any:
        async for numbers in stream.take(3, within=60):
            yield sum(numbers)

    async with agent.test_context() as context:
        for number in (1, 2, 3, 10):
            await context.put(number)
        assert context.yielded == [6]
    # The stream has ended: what was collected is handed over, as in a worker that drains.
    assert context.yielded == [6, 10]


async def test_an_agent_of_batches_gets_arrow() -> None:
    seen: list[pa.RecordBatch] = []

    @make_app().agent("orders", value_type=Order)
    async def agent(stream: Any) -> None:
        async for batch in stream.batches():
            seen.append(batch)  # noqa: PERF401 - a comprehension over a stream would never end

    async with agent.test_context() as context:
        await context.put({"user": "ada", "amount": 3})
    assert [batch.to_pylist() for batch in seen] == [[{"user": "ada", "amount": 3.0}]]


async def test_an_agent_of_a_channel_gets_objects_as_they_are() -> None:
    app, value, seen = make_app(), object(), []

    @app.agent(app.channel())
    async def agent(stream: Any) -> None:
        async for one in stream:
            seen.append(one)  # noqa: PERF401 - a comprehension over a stream would never end

    async with agent.test_context() as context:
        await context.put(value)
    assert seen == [value]


async def test_an_agent_that_returns_is_told_so() -> None:
    @make_app().agent("numbers")
    async def agent(stream: Any) -> None:
        async for _ in stream:
            return

    async with agent.test_context() as context:
        with pytest.raises(HandlerError, match="returned while its stream goes on"):
            await context.put(1)


async def test_outside_of_the_block_put_says_what_to_write() -> None:
    from turbine.testing import AgentContext

    @make_app().agent("numbers")
    async def agent(stream: Any) -> None:
        async for _ in stream:
            pass

    with pytest.raises(RuntimeError, match=r"async with agent\.test_context\(\) as"):
        await AgentContext(agent).put(1)
