"""Agents and streams as Faust programs write them, in programs of the shapes that are out there."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from support.fixtures import Consume, MakeTopic, Produce
from support.kafka import Cluster
from support.wait import eventually_async as until
from turbine import faust
from turbine.exceptions import DeclarationError
from turbine.faust import mode


class Action(faust.Record, serializer="json"):
    device: str
    n: int = 0


class Failure(faust.Record):
    stage: str
    record: Action


@pytest.fixture
def app(broker: str, tmp_path: Any, app_id: str) -> faust.App:
    return faust.App(app_id, broker=f"kafka://{broker}", datadir=tmp_path, web_enabled=False)


async def test_questions_of_one_agent_to_another_with_numbers_as_text(
    app: faust.App, make_topic: MakeTopic
) -> None:
    pow_topic, mul_topic = (app.topic(make_topic(partitions=1)) for _ in range(2))

    @app.agent(pow_topic)
    async def power(stream: Any) -> AsyncIterator[float]:
        async for value in stream:
            yield await mul.ask(value=value**2)

    @app.agent(mul_topic)
    async def mul(stream: Any) -> AsyncIterator[float]:
        async for value in stream:
            yield value * 100.0

    values = [30.5, 40.5, 50.5]
    wanted = [value**2 * 100.0 for value in values]
    async with app.running():
        assert await power.join(values) == wanted
        assert sorted([one async for one in power.map(values)]) == wanted


async def test_records_are_asked_for_and_answered(app: faust.App, make_topic: MakeTopic) -> None:
    @app.agent(make_topic(partitions=1), value_type=Action)
    async def agent(stream: Any) -> AsyncIterator[Action]:
        async for action in stream:
            yield action.derive(n=action.n + 1)

    async with app.running():
        assert await agent.ask(Action(device="a", n=1)) == Action(device="a", n=2)


async def test_each_action_ends_once_in_the_second_stage_or_in_the_dead_letters(
    app: faust.App,
) -> None:
    actions, between = (app.channel(value_type=Action) for _ in range(2))
    dead = app.channel(value_type=Failure)
    ended: list[tuple[str, int]] = []

    async def stage(name: str, out: Any, stream: Any) -> AsyncIterator[Action]:
        async for action in stream:
            if action.n % 3 == (name == "second"):
                await out.send(value=Failure(stage=name, record=action))
                continue
            yield action

    async def letters(stream: Any) -> AsyncIterator[Failure]:
        async for one in stream:
            ended.append((one.stage, one.record.n))
            yield one

    async def generate(channel: Any) -> None:
        if not ended:
            for n in range(30):
                await channel.send(value=Action(device=str(n), n=n))

    app.timer(interval=0.05)(partial(generate, actions))
    app.agent(dead, name="letters")(letters)
    app.agent(actions, name="first-agent", sink=[between])(partial(stage, "first", dead))
    app.agent(between, name="second-agent", sink=lambda one: ended.append(("second", one.n)))(
        partial(stage, "second", dead)
    )
    async with app.running():
        await until(lambda: len(ended) == 30)
    stages = {0: "first", 1: "second", 2: "second"}
    assert sorted(ended, key=lambda one: one[1]) == [(stages[n % 3], n) for n in range(30)]


async def test_what_is_not_acknowledged_is_sent_again_or_comes_back(
    app: faust.App, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    topic = app.topic(make_topic(partitions=1), value_type=Action)
    app.Table("views", default=int)
    seen: list[tuple[str, int]] = []

    @app.agent(topic)
    async def agent(stream: Any) -> AsyncIterator[Any]:
        async for event in stream.noack().events():
            action = event.value
            seen.append((action.device, action.n))
            if action.device == "lost" or action.n:
                event.ack()
            elif action.device == "again":
                await topic.send(key=action.device, value=action.derive(n=1))
                await stream.ack(event)
            yield event

    produce(topic.get_topic_name(), [{"device": d} for d in ("lost", "again", "kept", "lost")])
    async with app.running():
        await until(lambda: len(seen) == 5)
        await until(lambda: cluster.committed(app.conf.id, str(topic)) == {0: 2})
    assert Counter(seen) == {("lost", 0): 2, ("again", 0): 1, ("again", 1): 1, ("kept", 0): 1}
    async with app.running():
        await until(lambda: len(seen) == 8)
    assert seen[5:] == [("kept", 0), ("lost", 0), ("again", 1)]


async def test_a_field_groups_and_the_current_event_is_forwarded_as_it_was(
    app: faust.App, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    source, copy = make_topic(partitions=2), make_topic(partitions=1)
    out = app.topic(copy, value_type=Action)
    totals: Counter[str] = Counter()

    @app.agent(app.topic(source, value_type=Action), name="totals")
    async def agent(stream: Any) -> None:
        async for action in stream.group_by(Action.device):
            totals[action.device] += action.n
            event = faust.current_event()
            assert event is not None
            assert event.key == action.device.encode()
            await event.forward(out)

    produce(source, [b'{"device":  "a", "n":1}', b'{"n":2, "device":"a"}'], key="x")
    async with app.running():
        await until(lambda: totals == {"a": 3})
    assert {one.value for one in consume(copy, 2)} == {
        b'{"device":  "a", "n":1}',
        b'{"n":2, "device":"a"}',
    }


@pytest.mark.parametrize(
    ("options", "policy", "crashes", "all_"),
    [
        ({}, "skip", False, False),
        ({"on_error": "stop_partition"}, "fail", False, False),
        ({"on_error": "crash"}, "fail", True, False),
        ({"supervisor_strategy": mode.CrashingSupervisor}, "fail", True, False),
        ({"supervisor_strategy": "mode.OneForOneSupervisor"}, "skip", False, False),
        ({"supervisor_strategy": mode.OneForAllSupervisor}, "skip", False, True),
        ({"supervisor_strategy": "mode.ForfeitOneForOneSupervisor"}, "fail", False, False),
    ],
)
def test_supervisors_and_policies_are_those_of_agents(
    app: faust.App, *, options: dict[str, Any], policy: str, crashes: bool, all_: bool
) -> None:
    @app.agent("orders", **options)
    async def agent(stream: Any) -> None:
        async for _ in stream:
            pass

    assert (agent.policy.last, agent.policy.crashes, agent.restarts_all) == (policy, crashes, all_)


def test_types_of_streams_may_be_written_down() -> None:
    for kind in (faust.StreamT, faust.EventT, faust.ChannelT, faust.TopicT, faust.Stream):
        assert kind[int].__args__ == (int,)  # type: ignore[index]


def test_options_of_agents_that_cannot_be_are_refused(app: faust.App) -> None:
    async def fn(stream: Any) -> None:
        async for _ in stream:
            pass

    with pytest.raises(DeclarationError, match="no supervisor"):
        app.agent("a", supervisor_strategy="mode.Nobody")(fn)
    # Taken, and without effect.
    assert isinstance(app.agent("b", use_reply_headers=False)(fn), faust.Agent)
    with pytest.raises(DeclarationError, match="retention"):
        app.agent(app.topic("a"), retention=5)(fn)


async def test_all_instances_are_called_again_and_who_asked_is_told_of_the_exception(
    app: faust.App, make_topic: MakeTopic, produce: Produce
) -> None:
    topic, calls = make_topic(partitions=1), Counter[int]()
    told: list[str] = []
    seen: set[int] = set()

    async def on_error(agent: Any, exc: BaseException) -> None:
        told.append(f"{agent.name}: {exc}")

    @app.agent(
        topic,
        name="pair",
        concurrency=2,
        on_error=on_error,
        supervisor_strategy=mode.OneForAllSupervisor,
    )
    async def agent(stream: Any) -> None:
        calls[stream.concurrency_index] += 1
        async for value in stream:
            if value == 5:
                raise ValueError(value)
            await asyncio.sleep(0)
            seen.add(value)

    for n in range(20):
        produce(topic, [n], key=str(n))
    async with app.running():
        await until(lambda: len(seen) == 19 and told)
        await until(lambda: calls == {0: 2, 1: 2})
    assert told == ["pair: 5"]


async def test_a_test_context_takes_what_fausts_does(app: faust.App) -> None:
    @app.agent(app.topic("actions", value_type=Action))
    async def agent(stream: Any) -> AsyncIterator[int]:
        async for action in stream.group_by(Action.device):
            yield action.n

    async with agent.test_context(on_error=None) as context:
        event = await context.put(Action(device="a", n=7), "key")
        assert context.results[event.message.offset] == 7
