"""Sending to topics and channels."""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from turbine import App, DeclarationError, SendError
from turbine.channels import Channel, drain


class Order(BaseModel):
    id: int
    amount: float


# -- channels ----------------------------------------------------------------------------------


@pytest.fixture
def channel() -> Channel:
    return App("topics").channel(name="inside", maxsize=3)


async def test_a_channel_keeps_order_keys_and_headers(channel: Channel) -> None:
    meta = await (await channel.send(key="a", value=1, headers={"h": "x"}, timestamp=5.0))
    channel.send_soon(key="b", value=2)
    assert (meta.topic, meta.offset, meta.timestamp) == ("inside", 0, 5.0)
    first, second = await channel.get(), await channel.get()
    assert (first.key, first.value, first.headers, first.timestamp) == ("a", 1, {"h": b"x"}, 5.0)
    assert (second.key, second.value, second.offset) == ("b", 2, 1)
    assert second.timestamp == pytest.approx(time.time(), abs=30)
    assert channel.empty()


async def test_a_sender_waits_while_the_channel_is_full(channel: Channel) -> None:
    for value in range(3):
        await channel.send(value=value)
    with pytest.raises(SendError, match=r"await channel\.send"):
        channel.send_soon(value=3)
    waiting = asyncio.create_task(channel.send(value=3))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert (await channel.get()).value == 0
    assert (await waiting).done()
    assert [(await channel.get()).value for _ in range(3)] == [1, 2, 3]


async def test_streams_of_a_channel_share_its_values(channel: Channel) -> None:
    got: list[int] = []
    all_there = asyncio.Event()

    async def read(stream: Any) -> None:
        async for value in stream:
            got.append(value)
            if len(got) == 20:
                all_there.set()

    readers = [asyncio.create_task(read(channel.stream())) for _ in range(2)]
    for value in range(20):
        await channel.send(value=value)
    async with asyncio.timeout(30):
        await all_there.wait()
    assert sorted(got) == list(range(20))
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)


async def test_a_stream_gives_events_items_and_lists(channel: Channel) -> None:
    stream = channel.stream()
    channel.send_soon(key="a", value=1)
    async for event in stream.events():
        assert (event.key, stream.current_event) == ("a", event)
        break
    channel.send_soon(key="b", value=2)
    async for item in stream.items():
        assert item == ("b", 2)
        break
    for value in range(3):
        channel.send_soon(value=value)
    lists = stream.take(2, within=0.01)
    assert await anext(lists) == [0, 1]
    assert await anext(lists) == [2]


async def test_get_gives_up_and_loses_nothing(channel: Channel) -> None:
    with pytest.raises(TimeoutError):
        await channel.get(timeout=0.01)
    channel.send_soon(value=1)
    assert (await channel.get(timeout=1)).value == 1


async def test_a_value_is_finished_when_its_reader_asks_for_another() -> None:
    app = App("topics")
    first, second = app.channel(name="first"), app.channel(name="second")
    seen: list[int] = []
    go_on = asyncio.Event()

    async def forward() -> None:
        async for value in first.stream():
            await go_on.wait()
            await second.send(value=value + 1)

    async def collect() -> None:
        async for values in second.stream().take(2, within=0.01):
            seen.extend(values)

    tasks = [asyncio.create_task(forward()), asyncio.create_task(collect())]
    for value in range(3):
        await first.send(value=value)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await drain([first, second])
    go_on.set()
    async with asyncio.timeout(30):
        await drain([first, second])
    assert seen == [1, 2, 3]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_a_channel_serves_one_loop_after_another(channel: Channel) -> None:
    async def abandon() -> None:
        reader = asyncio.create_task(channel.get())
        await asyncio.sleep(0)
        reader.cancel()

    asyncio.run(abandon())
    channel.send_soon(value=1)

    async def read() -> Any:
        return (await channel.get()).value

    assert asyncio.run(read()) == 1


def test_threads_can_send_to_a_channel() -> None:
    channel = App("topics").channel(maxsize=1_000)

    def send(first: int) -> None:
        for value in range(first, first + 100):
            channel.send_soon(value=value)

    async def read() -> list[int]:
        return [(await channel.get(timeout=30)).value for _ in range(400)]

    threads = [threading.Thread(target=send, args=(first,)) for first in range(0, 400, 100)]
    for thread in threads:
        thread.start()
    assert sorted(asyncio.run(read())) == list(range(400))
    for thread in threads:
        thread.join()


def test_a_wrong_channel_is_refused() -> None:
    with pytest.raises(DeclarationError, match="maxsize=0"):
        App("topics").channel(maxsize=0)


# -- topics, on a broker -----------------------------------------------------------------------


async def test_a_sent_record_has_its_place_when_awaited_twice(
    app_factory: Callable[..., App], topic: str, consume: Any
) -> None:
    app = app_factory()
    sent_at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    async with app.client():
        pending = await app.topic(topic).send(
            key="k",
            value={"a": 1},
            partition=2,
            timestamp=sent_at,
            headers={"h": "x", "empty": None},
        )
        meta = await pending
        assert pending.done()
    assert (meta.topic, meta.partition, meta.offset) == (topic, 2, 0)
    assert meta.timestamp == sent_at.timestamp()
    (got,) = consume(topic, 1)
    assert (got.key, got.value) == (b"k", b'{"a":1}')
    assert list(got.headers) == [("h", b"x"), ("empty", None)]
    assert got.timestamp_ms == round(sent_at.timestamp() * 1_000)


@pytest.mark.cases_alike
@pytest.mark.parametrize(
    ("value_type", "value", "expected"),
    [
        (None, {"a": [1, None]}, b'{"a":[1,null]}'),
        (None, "text", b'"text"'),
        (None, b"bytes", b"bytes"),
        (None, 7, b"7"),
        (None, None, None),
        (str, "text", b"text"),
        (int, 7, b"7"),
        (bytes, b"\x00\xff", b"\x00\xff"),
        (Order, Order(id=1, amount=2.5), b'{"id":1,"amount":2.5}'),
        (Order, {"id": 1}, b'{"id":1}'),
    ],
)
async def test_values_are_written_as_the_type_of_the_topic_reads_them(
    app_factory: Callable[..., App],
    topic: str,
    consume: Any,
    *,
    value_type: Any,
    value: Any,
    expected: bytes | None,
) -> None:
    app = app_factory()
    async with app.client():
        await (await app.topic(topic, value_type=value_type).send(key=5, value=value))
    (got,) = consume(topic, 1)
    assert (got.key, got.value) == (b"5", expected)


async def test_leaving_a_client_waits_for_everything_sent(
    app_factory: Callable[..., App], topic: str, consume: Any
) -> None:
    app = app_factory()
    async with app.client():
        out = app.topic(topic, value_type=int)
        for value in range(5_000):
            out.send_soon(value=value)
    assert sorted(int(got.value) for got in consume(topic, 5_000)) == list(range(5_000))


async def test_a_full_producer_makes_senders_wait_and_loses_nothing(
    app_factory: Callable[..., App], topic: str, consume: Any
) -> None:
    app = app_factory(produce_buffer_bytes=200_000, kafka={"linger.ms": 20})
    body = b"x" * 2_000
    async with app.client():
        out = app.topic(topic, value_type=bytes)
        for number in range(500):
            await out.send(key=number, value=body)
            out.send_soon(key=number, value=body)
    assert len(consume(topic, 1_000)) == 1_000


async def test_one_process_runs_one_client_of_an_app(app_factory: Callable[..., App]) -> None:
    app = app_factory()
    async with app.client():
        with pytest.raises(RuntimeError, match="running already"):
            await app.start_client()
    async with app.client():
        pass


async def test_a_topic_with_several_names_can_only_be_read(
    app_factory: Callable[..., App],
) -> None:
    app = app_factory()
    async with app.client():
        with pytest.raises(DeclarationError, match=r"send to app\.topic\('a'\)"):
            await app.topic("a", "b").send(value=1)


async def test_a_declared_topic_exists_with_its_partitions(
    app_factory: Callable[..., App], app_id: str, cluster: Any
) -> None:
    from turbine._native import Admin

    app = app_factory()
    topic = app.topic(f"{app_id}-declared", partitions=3, retention=3_600)
    await topic.declare()
    await topic.declare()
    assert Admin(app.conf.bootstrap, {}).list_topics()[topic.name] == 3
