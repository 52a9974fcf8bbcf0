"""What agents do to their streams: filters, processors, lists, other keys."""

# ruff: noqa: PERF401 - a comprehension over a stream would never have a value

import asyncio
import json
from typing import Any

import pytest

import turbine
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from support.kafka import Cluster
from support.wait import eventually_async as until


class Order(turbine.Record):
    user: str
    n: int


# -- values on their way -----------------------------------------------------------------------


async def test_filters_and_processors_sync_and_async_act_in_their_order(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    topic, seen = make_topic(partitions=1), []
    app = app_factory()

    async def is_small(value: int) -> bool:
        await asyncio.sleep(0)
        return value < 200

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        stream.filter(lambda value: value % 2 == 0)
        stream.add_processor(lambda value: value * 10)
        async for value in stream.filter(is_small):
            seen.append(value)

    produce(topic, range(100))
    async with app.running():
        await until(lambda: len(seen) == 10)
        # What a filter keeps back is done too.
        await until(lambda: cluster.committed(app.conf.id, topic) == {0: 100})
    assert seen == [n * 10 for n in range(0, 20, 2)]


async def test_operators_go_with_every_way_to_iterate(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    topic = make_topic(partitions=1)
    seen: list[Any] = []
    app = app_factory()

    def even(stream: Any) -> Any:
        return stream.filter(lambda value: value["n"] % 2 == 0)

    @app.agent(app.topic(topic, key_type=str))
    async def agent(stream: Any) -> None:
        async for number, value in even(stream).enumerate(start=5):
            seen.append((number, value["n"]))
            if number == 6:
                break
        async for key, value in stream.items():
            seen.append((key, value["n"]))
            break
        async for event in stream.events():
            seen.append((event.offset, event.value["n"]))
            break
        async for values in stream.take_with_timestamp(2, 5, "at"):
            seen.append([(value["n"], value["at"]) for value in values])
            break
        async for events in stream.take_events(2):
            seen.append([event.value["n"] for event in events])

    produce(topic, [{"n": n} for n in range(16)], key="k", timestamp_ms=1_500)
    async with app.running():
        await until(lambda: len(seen) == 6)
    assert seen == [(5, 0), (6, 2), ("k", 4), (6, 6), [(8, 1.5), (10, 1.5)], [12, 14]]


async def test_an_iteration_inside_of_an_iteration_goes_on_with_the_same_rows(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    topic, seen = make_topic(partitions=2), []
    app = app_factory()

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for _header in stream:
            inner = []
            async for value in stream:
                inner.append(value)
                if len(inner) == 9:
                    break
            seen.append(inner)

    async with app.running():
        for part in range(4):
            # Rows of several cursors, so that the inner loop ends inside of another one.
            produce(topic, range(part * 10, part * 10 + 10), partition=part % 2)
            await until(lambda: len(seen) == part + 1)  # noqa: B023 - awaited at once
    assert seen == [list(range(part * 10 + 1, part * 10 + 10)) for part in range(4)]


async def test_take_without_a_time_waits_for_all_it_wants_also_more_than_is_polled_at_once(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    topic, seen = make_topic(partitions=1), []
    app = app_factory()

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for values in stream.take(5_000):
            seen.append(values)

    produce(topic, range(5_000))
    async with app.running():
        await until(lambda: len(seen) == 1)
        await until(lambda: cluster.committed(app.conf.id, topic) == {0: 5_000})
    assert seen == [list(range(5_000))]


async def test_an_echo_sends_every_value_with_its_key_to_other_topics_too(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    topic, copy = make_topic(partitions=1), make_topic(partitions=1)
    app, seen = app_factory(), []
    channel = app.channel()

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for value in stream.echo(copy, channel):
            seen.append(value)

    produce(topic, [{"n": 1}], key="k")
    async with app.running():
        await until(lambda: len(seen) == 1)
        event = await channel.get(timeout=5)
    assert event.value == {"n": 1}
    [record] = consume(copy, 1)
    assert (record.key, record.json) == (b"k", {"n": 1})


async def test_the_current_event_has_key_value_and_the_bytes_that_are_forwarded(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    topic, other, seen = make_topic(partitions=1), make_topic(partitions=1), []
    app = app_factory()

    async def helper() -> None:
        event = turbine.current_event()
        assert event is not None
        seen.append((event.key, event.value, event.offset))
        await event.forward(other)

    @app.agent(topic, value_type=Order)
    async def agent(stream: Any) -> None:
        async for _ in stream:
            await helper()

    # Spaces and the order of fields are those of the sender, and stay.
    raw = b'{ "n":1,  "user": "ann" }'
    assert turbine.current_event() is None
    produce(topic, [raw], key="k", headers=[("h", b"1")], timestamp_ms=77_000)
    async with app.running():
        await until(lambda: len(seen) == 1)
    assert seen == [(b"k", Order(user="ann", n=1), 0)]
    [record] = consume(other, 1)
    assert (record.key, record.value, record.timestamp_ms) == (b"k", raw, 77_000)
    assert record.headers == (("h", b"1"),)


# -- other keys --------------------------------------------------------------------------------


async def test_group_by_brings_equal_fields_together_behind_the_filters_in_front_of_it(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    topic = make_topic(partitions=3)
    app = app_factory()
    places: dict[str, set[int]] = {}
    counts = app.Table("counts", default=int)

    @app.agent(topic, value_type=Order, name="by-user")
    async def by_user(stream: Any) -> None:
        orders = stream.filter(lambda order: order.n < 60)
        async for order in orders.group_by("user"):
            event = turbine.current_event()
            assert event is not None
            places.setdefault(order.user, set()).add(event.partition)
            counts[order.user] += order.n

    for partition in range(3):
        produce(
            topic,
            [{"user": f"u{n % 5}", "n": n} for n in range(partition, 90, 3)],
            partition=partition,
        )
    wanted = {f"u{u}": sum(n for n in range(60) if n % 5 == u) for u in range(5)}
    async with app.running():
        await until(lambda: {user: counts[user] for user in wanted} == wanted)
        between = f"by-user-{topic}-user-repartition"
        await until(lambda: cluster.count(between) == 60)
        assert len(cluster.ends(between)) == 3
        assert all(len(where) == 1 for where in places.values())


async def test_group_by_a_function_and_through_make_several_stages(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    topic, middle = make_topic(partitions=1), make_topic(partitions=1)
    app, seen = app_factory(), []

    async def first_letter(value: dict[str, str]) -> str:
        return value["word"][0]

    @app.agent(topic, name="letters")
    async def letters(stream: Any) -> Any:
        grouped = stream.through(middle).group_by(first_letter, name="letter", partitions=2)
        async for event in grouped.events():
            seen.append((event.key, event.value["word"]))
            yield event.value

    produce(topic, [{"word": word} for word in ("ant", "bee", "ape")])
    async with app.running():
        await until(lambda: len(seen) == 3)
    assert sorted(seen) == [(b"a", "ant"), (b"a", "ape"), (b"b", "bee")]
    assert [json.loads(record.value or b"")["word"] for record in consume(middle, 3)] == [
        "ant",
        "bee",
        "ape",
    ]


@pytest.mark.parametrize(
    ("operate", "message"),
    [
        (lambda stream: stream.group_by(len), r"write group_by\(fn, name='user'\)"),
        (lambda stream: stream.group_by(5), "needs a field"),
        (lambda stream: stream.noack().group_by("user"), "in front of group_by"),
        (lambda stream: stream.through("orders"), "every record would come back"),
    ],
)
async def test_what_cannot_be_grouped_is_refused_before_the_start(
    app_factory: MakeApp, *, operate: Any, message: str
) -> None:
    app = app_factory()

    @app.agent("orders")
    async def agent(stream: Any) -> None:
        _names = (stream.group_by, stream.through, stream.noack)
        async for _ in operate(stream):
            pass

    with pytest.raises(turbine.DeclarationError, match=message):
        async with app.running():
            pass


async def test_an_agent_that_waits_in_front_of_its_group_by_is_refused(
    app_factory: MakeApp,
) -> None:
    app = app_factory()

    @app.agent("orders")
    async def agent(stream: Any) -> None:
        await asyncio.sleep(1)
        async for _ in stream.group_by("user"):
            pass

    with pytest.raises(turbine.DeclarationError, match="say it first"):
        async with app.running():
            pass


def test_a_group_by_outside_of_an_agent_says_where_it_belongs(app_factory: MakeApp) -> None:
    stream = app_factory().channel().stream()
    with pytest.raises(turbine.DeclarationError, match="agent's own function"):
        stream.group_by("user")


# -- acknowledged by hand ----------------------------------------------------------------------


@pytest.mark.parametrize("with_table", [False, True])
async def test_what_is_not_acknowledged_comes_again_after_a_restart(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    cluster: Cluster,
    *,
    with_table: bool,
) -> None:
    topic, seen = make_topic(partitions=1), []
    app = app_factory()
    if with_table:
        app.Table("unused")

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for event in stream.noack().events():
            seen.append(event.value)
            if event.value % 1_000 != 700:
                assert event.ack()
            elif len(seen) > 3_000:
                async with event:
                    pass

    produce(topic, range(3_000))
    async with app.running():
        # More than is in memory at once: what waits for its acknowledgement stops nobody.
        await until(lambda: len(seen) == 3_000)
        await until(lambda: cluster.committed(app.conf.id, topic) == {0: 700})
    assert cluster.committed(app.conf.id, topic) == {0: 700}
    async with app.running():
        await until(lambda: cluster.committed(app.conf.id, topic) == {0: 3_000})
    assert seen[3_000:] == list(range(700, 3_000))


async def test_an_event_may_be_acknowledged_late_and_by_somebody_else(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    topic = make_topic(partitions=1)
    app, events = app_factory(), []

    @app.agent(topic, on_error="skip")
    async def agent(stream: Any) -> None:
        async for event in stream.noack().events():
            events.append(event)
            async with event:
                if event.value % 10 == 5:
                    raise ValueError(event.value)

    produce(topic, range(30))
    async with app.running():
        await until(lambda: len(events) == 30)
        await until(lambda: cluster.committed(app.conf.id, topic) == {0: 5})
        events[15].ack()
        events[5].ack()
        await until(lambda: cluster.committed(app.conf.id, topic) == {0: 25})
        events[25].ack()
        await until(lambda: cluster.committed(app.conf.id, topic) == {0: 30})


def test_noack_and_exactly_once_do_not_go_together(app_factory: MakeApp) -> None:
    from turbine.worker import Runtime

    app = app_factory(processing_guarantee="exactly_once")

    @app.agent("orders")
    async def agent(stream: Any) -> None:
        async for event in stream.noack().events():
            event.ack()

    with pytest.raises(turbine.DeclarationError, match="noack"):
        Runtime(app)


# -- streams of nobody, and several at once ------------------------------------------------------


async def test_a_task_reads_a_stream_and_goes_on_there_after_a_restart(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    topic, seen = make_topic(partitions=1), []
    app = app_factory(drain_timeout=20)
    stream = app.stream(topic)

    @app.task
    async def read() -> None:
        async for value in stream:
            seen.append(value)
            if value == 4:
                await asyncio.Event().wait()

    produce(topic, range(10))
    with pytest.raises(turbine.NotRunning, match="while a worker runs"):
        await anext(aiter(stream))
    async with app.running():
        with pytest.raises(turbine.DeclarationError, match="too late"):
            app.stream(topic)
        await until(lambda: len(seen) == 5)
        began = asyncio.get_running_loop().time()
    # Nobody waits for a task that was cancelled with a row in its hands.
    assert asyncio.get_running_loop().time() - began < 15
    assert cluster.committed(app.conf.id, topic) == {0: 4}
    async with app.running():
        await until(lambda: len(seen) == 6)
    assert seen == [0, 1, 2, 3, 4, 4]


async def test_an_agent_reads_two_topics_as_one_each_behind_its_own_filter(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    first, second = make_topic(partitions=1), make_topic(partitions=1)
    app = app_factory()
    seen: list[int] = []
    sunk: list[int] = []
    other = app.stream(second)

    @app.agent(first, on_error="skip", sink=sunk.append)
    async def agent(stream: Any) -> Any:
        odd = stream.filter(lambda value: value % 2)
        async for value in odd & other:
            if value == 5:
                raise ValueError(value)
            seen.append(value)
            yield value

    produce(first, range(10))
    produce(second, range(100, 110))
    async with app.running():
        await until(lambda: len(sunk) == 14)
        await until(lambda: cluster.committed(app.conf.id, first) == {0: 10})
        await until(lambda: cluster.committed(app.conf.id, second) == {0: 10})
    assert sorted(seen) == [1, 3, 7, 9, *range(100, 110)]
    assert [value for value in seen if value >= 100] == list(range(100, 110))


def test_channels_are_not_combined(app_factory: MakeApp) -> None:
    app = app_factory()
    stream = app.stream(app.channel())
    with pytest.raises(turbine.DeclarationError, match="only streams of topics"):
        stream & app.stream("orders")
