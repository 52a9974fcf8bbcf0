"""Agents that read every topic whose name fits a pattern."""

# ruff: noqa: PERF401 - a comprehension over a stream would never have a value

import uuid
from typing import Any

import pytest

import turbine
from support.fixtures import MakeApp, Produce
from support.kafka import Cluster
from support.wait import eventually_async as until
from turbine._native import Admin
from turbine.exceptions import DeclarationError


def _create(broker: str, topic: str, partitions: int = 1) -> None:
    Admin(broker, {}).create_topics({topic: partitions}, -1, None)


async def test_an_agent_reads_the_topics_that_are_there_and_those_that_come_later(
    app_factory: MakeApp, broker: str, produce: Produce, cluster: Cluster
) -> None:
    prefix = f"orders-{uuid.uuid4().hex[:6]}"
    seen: list[tuple[str, int]] = []
    app = app_factory(consumer_metadata_max_age_ms=50)

    @app.agent(app.topic(pattern=rf"{prefix}-\d+", value_type=int))
    async def agent(stream: Any) -> None:
        async for event in stream.events():
            seen.append((event.topic, event.value))

    for name in (f"{prefix}-1", f"{prefix}-x", f"a{prefix}-1"):
        _create(broker, name)
        produce(name, [1])
    async with app.running():
        await until(lambda: seen == [(f"{prefix}-1", 1)])
        _create(broker, f"{prefix}-2", 2)
        produce(f"{prefix}-2", [2, 3, 4])
        produce(f"{prefix}-1", [5])
        await until(lambda: len(seen) == 5)
        assert sorted(seen)[2:] == [(f"{prefix}-2", n) for n in (2, 3, 4)]
        await until(lambda: sum(cluster.committed(app.conf.id, f"{prefix}-2").values()) == 3)


async def test_a_pattern_that_nothing_fits_yet_waits_and_its_worker_is_ready(
    app_factory: MakeApp, broker: str, produce: Produce
) -> None:
    name, seen = f"late-{uuid.uuid4().hex[:6]}", []
    app = app_factory(consumer_metadata_max_age_ms=50)

    @app.agent(app.topic(pattern=name))
    async def agent(stream: Any) -> None:
        async for value in stream:
            seen.append(value)

    async with app.running():
        runtime: Any = app._attached
        assert runtime.native.ready() == []
        _create(broker, name)
        produce(name, [{"n": 1}])
        await until(lambda: seen == [{"n": 1}])


async def test_a_topic_with_more_partitions_than_the_tables_is_named_and_not_read(
    app_factory: MakeApp, broker: str, produce: Produce, caplog: pytest.LogCaptureFixture
) -> None:
    prefix = f"words-{uuid.uuid4().hex[:6]}"
    seen: list[str] = []
    app = app_factory(consumer_metadata_max_age_ms=50)
    app.Table("counts", default=int, partitions=1)

    @app.agent(app.topic(pattern=f"{prefix}-.*", value_type=str))
    async def agent(stream: Any) -> None:
        async for word in stream:
            seen.append(word)

    async with app.running():
        _create(broker, f"{prefix}-wide", 2)
        produce(f"{prefix}-wide", ["x", "y"])
        await until(lambda: f"{prefix}-wide fits a pattern and has 2 partitions" in caplog.text)
        _create(broker, f"{prefix}-fits", 1)
        produce(f"{prefix}-fits", ["z"])
        await until(lambda: seen == ["z"])


def test_what_cannot_be_a_pattern_is_refused_where_it_is_written(app_factory: MakeApp) -> None:
    app = app_factory()
    with pytest.raises(DeclarationError, match="is no regular expression"):
        app.topic(pattern="orders-(")
    with pytest.raises(DeclarationError, match="names or a pattern"):
        app.topic("orders", pattern="orders-.*")
    topic = app.topic(pattern="orders-.*")
    with pytest.raises(DeclarationError, match="can only be read"):
        topic.get_topic_name()
    with pytest.raises(DeclarationError, match="which only agents can"):
        app.subscribe(topic, name="all")(lambda batch: None)
    assert turbine.Topic.__name__ in repr(topic)
    assert str(topic) == "~orders-.*"


def test_what_the_app_writes_itself_fits_no_pattern(app_factory: MakeApp) -> None:
    from turbine._patterns import find_topics

    app = app_factory("own")
    app.Table("counts", default=int)

    @app.agent(app.topic(pattern=".*"), sink=["out"])
    async def agent(stream: Any) -> Any:
        async for value in stream:
            yield value

    names = ["in", "out", "own-counts-changelog", "__consumer_offsets", "f-reply-1", "own-other"]
    found = find_topics(app, dict.fromkeys(names, 3))
    assert found == {agent.name: {"in": 3, "own-other": 3}}
    assert find_topics(app, dict.fromkeys(names, 3)) == {agent.name: {}}
