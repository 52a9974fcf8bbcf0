"""Sensors and the monitor: what they are told, and what the monitor knows without being told."""

# ruff: noqa: PERF401 - a comprehension over a stream would never have a value

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest

from support.fixtures import Consume, MakeTopic, Produce
from support.wait import eventually_async as until
from turbine import faust
from turbine.exceptions import DeclarationError
from turbine.types import TP

MakeFaust = Callable[..., faust.App]


class Heard(faust.Sensor):
    """Writes down what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []
        self.ends: list[Any] = []

    def on_message_in(self, tp: Any, offset: int, message: Any) -> None:
        self.calls.append(("in", offset, message.value))

    def on_stream_event_in(self, tp: Any, offset: int, stream: Any, event: Any) -> Any:
        self.calls.append(("event in", offset, event.value))
        return {"offset": offset}

    def on_stream_event_out(
        self, tp: Any, offset: int, stream: Any, event: Any, state: Any = None
    ) -> None:
        self.calls.append(("event out", offset, state["offset"]))

    def on_message_out(self, tp: Any, offset: int, message: Any) -> None:
        self.calls.append(("out", offset, message.value))

    def on_send_initiated(
        self, producer: Any, topic: str, message: Any, keysize: int, valsize: int
    ) -> Any:
        self.calls.append(("send", topic, keysize, valsize))
        return topic

    def on_send_completed(self, producer: Any, state: Any, metadata: Any) -> None:
        self.ends.append((state, metadata.offset))

    def on_web_request_end(
        self, app: Any, request: Any, response: Any, state: Any, *, view: Any = None
    ) -> None:
        self.ends.append((request.url.path, response and response.status))


async def test_a_sensor_is_told_of_events_and_of_what_is_sent_in_their_order(
    faust_app: MakeFaust, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    topic, out = make_topic(partitions=1), make_topic(partitions=1)
    app, heard = faust_app(), Heard()
    app.sensors.add(heard)
    target = app.topic(out, value_type=str)

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for value in stream:
            if value == 1:
                raise ValueError("on purpose")
            await target.send(key="k", value="12345")

    produce(topic, [0, 1, 2])
    async with app.running():
        await until(lambda: len(heard.calls) == 14 and len(heard.ends) == 2)
    one = [("in", 0, 0), ("event in", 0, 0), ("send", out, 1, 5), ("event out", 0, 0)]
    assert heard.calls[:5] == [*one, ("out", 0, 0)]
    # The agent raised: the event is over all the same.
    kinds = ["in", "event in", "event out", "out"]
    assert heard.calls[5:9] == [(kind, 1, 1) for kind in kinds]
    assert heard.ends == [(out, 0), (out, 1)]


async def test_a_sensor_is_told_of_the_keys_of_tables(
    faust_app: MakeFaust, make_topic: MakeTopic, produce: Produce
) -> None:
    told: list[Any] = []

    class Tables(faust.Sensor):
        def on_table_get(self, table: Any, key: Any) -> None:
            told.append(("get", table.name, key))

        def on_table_set(self, table: Any, key: Any, value: Any) -> None:
            told.append(("set", key, value))

        def on_table_del(self, table: Any, key: Any) -> None:
            told.append(("del", key))

    topic, app, seen = make_topic(partitions=1), faust_app(), []
    app.sensors.add(Tables())
    counts = app.Table("counts", default=int)
    members = app.SetTable("members")

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for value in stream:
            name = value["name"]
            counts[name] += 1
            counts.update(b=2)
            counts.pop("b")
            members[name].add("x")
            seen.append((counts.get(name), list(counts), set(members[name])))

    produce(topic, [{"name": "a"}])
    async with app.running():
        await until(lambda: seen)
    assert seen == [(1, ["a"], {"x"})]
    own = [one for one in told if one[1] == "counts" or one[0] != "get"]
    assert own[:2] == [("get", "counts", "a"), ("set", "a", 1)]
    assert own[2:5] == [("set", "b", 2), ("get", "counts", "b"), ("del", "b")]
    assert own[-1] == ("get", "counts", "a")


async def test_events_of_a_list_are_over_when_the_next_list_is_asked_for(
    faust_app: MakeFaust, make_topic: MakeTopic, produce: Produce
) -> None:
    topic, app, heard, lists = make_topic(partitions=1), faust_app(), Heard(), []
    app.sensors.add(heard)

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for values in stream.take(2, within=10):
            lists.append((values, [call[0] for call in heard.calls].count("out")))

    produce(topic, [0, 1, 2, 3])
    async with app.running():
        await until(lambda: len(lists) == 2 and len(heard.calls) == 16)
    assert lists == [([0, 1], 0), ([2, 3], 2)]


async def test_a_sensor_that_raises_is_named_once_and_disturbs_nobody(
    faust_app: MakeFaust,
    make_topic: MakeTopic,
    produce: Produce,
    caplog: pytest.LogCaptureFixture,
) -> None:
    topic, app, seen = make_topic(partitions=1), faust_app(), []

    class Broken(faust.Sensor):
        def on_message_in(self, tp: Any, offset: int, message: Any) -> None:
            raise RuntimeError("on purpose")

    app.sensors.add(Broken())

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for value in stream:
            seen.append(value)

    produce(topic, range(20))
    async with app.running():
        await until(lambda: seen == list(range(20)))
    assert caplog.text.count("raised, and is not called again") == 1


async def test_the_monitor_knows_what_the_worker_has_done(
    faust_app: MakeFaust, make_topic: MakeTopic, produce: Produce
) -> None:
    topic, out = make_topic(partitions=1), make_topic(partitions=1)
    app, done = faust_app(), Counter[str]()

    @app.agent(topic, sink=[app.topic(out)])
    async def agent(stream: Any) -> Any:
        async for value in stream:
            done["values"] += 1
            app.monitor.count("big" if value >= 5 else "small")
            yield value

    assert app.monitor.asdict()["messages_received_total"] == 0
    produce(topic, range(10))
    async with app.running():
        await until(lambda: done["values"] == 10 and app.monitor.messages_sent == 10)
        await until(lambda: sum(app.monitor.tp_committed_offsets.values()) == 10)
        known = app.monitor.asdict()
        assert known["messages_received_by_topic"] == {topic: 10}
        assert known["events_total"] == known["messages_received_total"] == 10
        assert known["events_by_stream"] == {agent.name: 10}
        assert known["metric_counts"] == {"big": 5, "small": 5}
        assert known["topic_end_offsets"] == known["topic_committed_offsets"]
        assert known["commit_latency"][0] > 0
        assert known["rebalances"] >= 1
        await until(lambda: len(app.monitor.rebalance_end_latency) > 0)


async def test_a_monitor_of_ones_own_is_the_apps_and_has_its_tasks_run(
    faust_app: MakeFaust, make_topic: MakeTopic
) -> None:
    class Mine(faust.Monitor):
        ticks = 0

        @faust.Service.timer(0.01)
        async def tick(self) -> None:
            self.ticks += 1

    app = faust_app(Monitor=Mine)
    monitor = app.monitor
    assert isinstance(monitor, Mine)
    assert list(app.sensors) == [monitor]

    @app.agent(make_topic(partitions=1))
    async def agent(stream: Any) -> None:
        async for _ in stream:
            pass

    async with app.running():
        await until(lambda: monitor.ticks > 2)


async def test_sensors_hear_of_pages(faust_app: MakeFaust) -> None:
    app, heard = faust_app(), Heard()
    app.sensors.add(heard)
    assert app.monitor.http_response_codes == {}

    @app.page("/ok")
    async def ok(web: Any, request: Any) -> Any:
        return web.json({})

    @app.page("/bad")
    async def bad(web: Any, request: Any) -> Any:
        raise ValueError("on purpose")

    transport = httpx.ASGITransport(app=app.asgi, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        for path in ("/ok", "/none", "/bad"):
            await client.get(path)
    assert heard.ends == [("/ok", 200), ("/none", 404), ("/bad", None)]
    assert app.monitor.http_response_codes == {200: 1, 404: 1, 500: 1}
    assert len(app.monitor.http_response_latency) == 3


async def test_headers_can_be_put_on_whatever_is_sent(
    faust_app: MakeFaust, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    topic, out = make_topic(partitions=1), make_topic(partitions=1)
    app, seen = faust_app(), []
    target = app.topic(out)

    @app.on_produce_message.connect()
    def trace(
        sender: Any, key: Any = None, value: Any = None, headers: Any = None, **_: Any
    ) -> None:
        assert sender is app
        seen.append((key, value))
        headers.append(("trace", b"7"))

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for event in stream.events():
            await target.send(key="k", value={"n": event.value}, headers={"own": "1"})
            await event.forward(target)
            target.send_soon(value=event.value)

    produce(topic, [1])
    async with app.client():
        pass
    async with app.running():
        await until(lambda: len(seen) == 3)
        records = consume(out, 3)
    assert seen == [(b"k", b'{"n":1}'), (None, b"1"), (None, b"1")]
    assert [dict(one.headers)["trace"] for one in records] == [b"7"] * 3
    assert dict(records[0].headers)["own"] == b"1"


class Moved(faust.Sensor):
    """Writes down what becomes of partitions and their offsets."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, Any]] = []

    def on_commit_initiated(self, consumer: Any) -> Any:
        self.calls.append(("commit", None))
        return len(self.calls)

    def on_commit_completed(self, consumer: Any, state: Any) -> None:
        self.calls.append(("committed", state))

    def on_assignment_start(self, assignor: Any) -> Any:
        self.calls.append(("given", None))
        return "state"

    def on_assignment_completed(self, assignor: Any, state: Any) -> None:
        self.calls.append(("run", state))

    def on_assignment_error(self, assignor: Any, state: Any, exc: BaseException) -> None:
        self.calls.append((str(exc), state))


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_sensor_is_told_of_partitions_that_come_and_of_commits(
    faust_app: MakeFaust, make_topic: MakeTopic, produce: Produce, guarantee: str
) -> None:
    topic = make_topic(partitions=1)
    app, heard = faust_app(processing_guarantee=guarantee, broker_commit_interval=0.01), Moved()
    app.sensors.add(heard)
    counts = app.Table("counts", default=int, partitions=1)

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for value in stream:
            counts[value] += 1

    def committed() -> int:
        return sum(app.monitor.tp_committed_offsets.values())

    def grown(before: int) -> bool:
        return committed() > before

    async with app.running():
        await until(lambda: ("run", "state") in heard.calls)
        for number in range(3):
            before = committed()
            produce(topic, [number])
            await until(partial(grown, before))
        commits = [call for call in heard.calls if call[0].startswith("commit")]
        await until(lambda: [name for name, _ in heard.calls].count("committed") >= 3)
    assert heard.calls[:1] == [("given", None)]
    assert commits[0] == ("commit", None)
    begun = [n for n, (name, _) in enumerate(heard.calls, 1) if name == "commit"]
    # Each end has what its own beginning gave.
    assert [state for name, state in heard.calls if name == "committed"] == begun
    known = app.monitor.asdict()
    assert (known["assignments_completed"], known["assignments_failed"]) == (1, 0)
    assert len(known["assignment_latency"]) == 1


async def test_a_sensor_is_told_of_a_partition_that_cannot_run(faust_app: MakeFaust) -> None:
    app, heard, tp = faust_app(), Moved(), TP("orders", 3)
    app.sensors.add(heard)
    assert app.monitor.assignments_failed == 0
    await app.on_partitions_assigned.send(app, {tp})
    await app.on_partition_failed.send(app, tp, "its tables cannot be read")
    # The others run, which is no answer to what was given.
    await app.on_rebalance_complete.send(app)
    # Nothing is under way now.
    await app.on_partition_failed.send(app, tp, "on purpose")
    assert heard.calls == [("given", None), ("orders[3]: its tables cannot be read", "state")]
    assert (app.monitor.assignments_completed, app.monitor.assignments_failed) == (0, 1)


async def test_without_a_sensor_for_it_the_core_tells_of_no_commit(
    faust_app: MakeFaust, make_topic: MakeTopic, produce: Produce, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, app, told = make_topic(partitions=1), faust_app(), []
    monkeypatch.setattr(app, "commit_heard", lambda *args: told.append(args))

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for _ in stream:
            pass

    produce(topic, [1])
    async with app.running():
        await until(lambda: sum(app.monitor.tp_committed_offsets.values()) == 1)
    assert told == []


def test_what_is_no_sensor_is_refused(faust_app: MakeFaust) -> None:
    app = faust_app()
    with pytest.raises(DeclarationError, match="is no sensor"):
        app.sensors.add(object())  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match="is no monitor"):
        _ = faust_app(Monitor=int).monitor
    with pytest.raises(DeclarationError, match="cannot be imported"):
        _ = faust_app(Monitor="nowhere.Mine").monitor
