"""Subscriptions that read their topic by another column than its key."""

import asyncio
import json
import random
from typing import Any

import pyarrow as pa
import pytest

import turbine
from support.failing import failure_of
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from support.kafka import Cluster
from support.wait import eventually_async as until
from turbine import ConfigError, DeclarationError, _native, aggregates, windows
from turbine._repartition import stages

REPARTITION_TOPIC = "{app}-{topic}-{column}-repartition"


class Click(turbine.Record):
    id: int
    user: str | None
    ts: int = 0


def clicks(count: int, *, users: int = 7) -> list[dict[str, Any]]:
    return [{"id": n, "user": f"u{n % users}", "ts": n} for n in range(count)]


async def read(consume: Consume, topic: str, at_least: int) -> list[Any]:
    return await asyncio.to_thread(consume, topic, at_least)


def internal(app: turbine.App, topic: str, column: str = "user") -> str:
    return REPARTITION_TOPIC.format(app=app.conf.id, topic=topic, column=column)


# -- declaration -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"repartition_by": ""}, "write the name of one"),
        ({"repartition_by": "usr", "model": Click}, "it has id, user, ts"),
        ({"repartition_by": "a b"}, "whose name has letters, digits"),
        ({"repartition_partitions": 3}, "without repartition_by="),
        ({"repartition_by": "user", "repartition_partitions": 0}, "whole number from 1"),
    ],
)
def test_what_cannot_work_is_refused_with_the_next_step(
    options: dict[str, Any], reason: str
) -> None:
    app = turbine.App("clicks")
    with pytest.raises(DeclarationError, match=reason):
        app.subscribe("clicks", name="s", **options)(lambda batch: None)


def test_two_subscriptions_share_a_stage_and_have_to_agree() -> None:
    app = turbine.App("clicks")

    @app.subscribe("clicks", repartition_by="user", model=Click)
    def first(batch: pa.RecordBatch) -> None: ...

    @app.subscribe("clicks", repartition_by="user", model=Click)
    def second(batch: pa.RecordBatch) -> None: ...

    assert [stage["to"] for stage in stages(app)] == ["clicks-clicks-user-repartition"]
    with pytest.raises(DeclarationError, match=r"first and third share .* differ in on_error"):

        @app.subscribe("clicks", repartition_by="user", model=Click, on_error="skip")
        def third(batch: pa.RecordBatch) -> None: ...


# -- event time --------------------------------------------------------------------------------

SIZE_MS = 1_000


def model(rows: list[dict[str, Any]]) -> dict[tuple[str, int], int]:
    """Rows of each user in each window of a second."""
    found: dict[tuple[str, int], int] = {}
    for row in rows:
        pane = (row["user"], row["ts"] // SIZE_MS * SIZE_MS)
        found[pane] = found.get(pane, 0) + 1
    return found


@pytest.mark.parametrize("batch_size", [7, 10_000])
async def test_windows_are_those_of_the_model_although_four_partitions_interleave(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    consume: Consume,
    batch_size: int,
) -> None:
    app = app_factory()
    source, out = make_topic("in", partitions=4), make_topic("out")

    @app.subscribe(
        source,
        publish_to=out,
        model=Click,
        batch_size=batch_size,
        event_time="ts",
        out_of_orderness=0.8,
        repartition_by="user",
        repartition_partitions=3,
        window=windows.tumbling("1s", key="user", value={"n": aggregates.Count()}),
    )
    def counts(panes: pa.RecordBatch) -> pa.RecordBatch:
        return panes

    chance = random.Random(5)
    rows = []
    for partition, count in enumerate([400, 300, 3, 200]):
        times = [n * 10_000 // count + chance.randrange(-400, 400) for n in range(count)]
        mine = [
            {"id": n, "user": f"u{chance.randrange(9)}", "ts": max(time, 0)}
            for n, time in enumerate(times)
        ]
        rows += mine
        # Far ahead, so that the windows of all rows close.
        produce(source, [*mine, {"id": -1, "user": "end", "ts": 99_999}], partition=partition)
    expected = model(rows)
    async with app.running():
        got = await read(consume, out, len(expected))
    found = [(one.json["user"], one.json["window_start_ms"], one.json["n"]) for one in got]
    assert sorted(found) == sorted((user, start, n) for (user, start), n in expected.items())


async def test_a_silent_source_is_waited_for_until_it_has_been_silent_for_idle_close(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    source, out = make_topic("in", partitions=3), make_topic("out")

    @app.subscribe(
        source,
        publish_to=out,
        model=Click,
        event_time="ts",
        idle_close=0.3,
        repartition_by="user",
        window=windows.tumbling("1s", key="user", value={"n": aggregates.Count()}),
    )
    def counts(panes: pa.RecordBatch) -> pa.RecordBatch:
        return panes

    # The other partitions of the source are empty.
    ahead = {"id": 2, "user": "b", "ts": 10_000_000}
    produce(
        source,
        [{"id": 0, "user": "a", "ts": 10}, {"id": 1, "user": "a", "ts": 20}, ahead],
        partition=1,
    )
    async with app.running():
        (first, *_) = await read(consume, out, 1)
    row = first.json
    assert (row["user"], row["n"], row["window_start_ms"]) == ("a", 2, 0)


# -- records -----------------------------------------------------------------------------------


async def test_a_record_is_written_on_as_it_came_with_the_column_as_its_key(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app, source = app_factory(), make_topic("in", partitions=2)
    seen: list[dict[str, Any]] = []

    @app.subscribe(
        source,
        repartition_by="user",
        repartition_partitions=3,
        with_metadata=["headers", "partition"],
    )
    def note(batch: pa.RecordBatch) -> None:
        seen.extend(batch.to_pylist())

    texts = [b'{"id": %d,  "user": "u%d"}' % (n, n % 5) for n in range(50)]
    for partition in range(2):
        produce(source, texts, partition=partition, headers=[("trace", b"t")], timestamp_ms=1_234)
    async with app.running():
        await until(lambda: len(seen) == 100)
        got = await read(consume, internal(app, source), 100)
    assert sorted(one.value for one in got) == sorted(texts * 2)
    for one in got:
        assert one.key == json.loads(one.value)["user"].encode()
        assert one.partition == _native.partition_for(one.key, 3)
        assert one.timestamp_ms == 1_234
        assert one.headers[0] == ("trace", b"t")
    # The handler sees what was there before, and each user in one partition.
    assert all(row["_headers"] == [{"name": "trace", "value": b"t"}] for row in seen)
    assert len({(row["user"], row["_partition"]) for row in seen}) == 5


async def test_numbers_are_keys_as_decimal_text_and_rows_without_a_value_go_to_the_first_partition(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app, source = app_factory(), make_topic("in", partitions=1)

    @app.subscribe(source, repartition_by="n", repartition_partitions=4)
    def note(batch: pa.RecordBatch) -> None: ...

    produce(source, [{"n": -17}, {"n": None}, {"n": 2**53}])
    async with app.running():
        got = await read(consume, internal(app, source, "n"), 3)
    keys = {one.key: one.partition for one in got}
    assert keys.keys() == {b"-17", None, b"%d" % 2**53}
    assert keys[None] == 0
    assert keys[b"-17"] == _native.partition_for(b"-17", 4)


async def test_records_of_one_key_keep_their_order(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    app, source = app_factory(), make_topic("in", partitions=2)
    seen: dict[tuple[str, int], list[int]] = {}

    @app.subscribe(source, model=Click, repartition_by="user")
    def note(batch: pa.RecordBatch) -> None:
        for row in batch.to_pylist():
            seen.setdefault((row["user"], row["id"] % 2), []).append(row["id"])

    for partition in range(2):
        produce(source, clicks(1_000)[partition::2], partition=partition)
    async with app.running():
        await until(lambda: sum(map(len, seen.values())) == 1_000)
    assert all(ids == sorted(ids) for ids in seen.values())


async def test_a_bad_record_is_a_dead_letter_of_its_first_topic(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app, source, dead = app_factory(), make_topic("in", partitions=1), make_topic("dead")

    @app.subscribe(source, model=Click, repartition_by="user", on_error="dlq", dlq=dead)
    def picky(batch: pa.RecordBatch) -> None:
        if 3 in batch["id"].to_pylist():
            raise ValueError("three")

    produce(
        source, [{"id": 0, "user": "a"}, b"no json", {"id": 2, "user": "a"}, {"id": 3, "user": "b"}]
    )
    async with app.running():
        letters = await read(consume, dead, 2)
    found = {}
    for letter in letters:
        headers = dict(letter.headers)
        assert headers["turbine.source.topic"] == source.encode()
        assert headers["turbine.source.partition"] == b"0"
        assert "turbine.origin" not in headers
        found[headers["turbine.phase"]] = headers["turbine.source.offset"]
    assert found == {b"decode": b"1", b"process": b"3"}


async def test_on_error_fail_stops_the_stage_in_front_of_a_bad_record(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    app, source = app_factory(), make_topic("in", partitions=1)
    seen: list[int] = []

    @app.subscribe(source, model=Click, repartition_by="user")
    def note(batch: pa.RecordBatch) -> None:
        seen.extend(row["id"] for row in batch.to_pylist())

    produce(source, [{"id": 0, "user": "a"}, b"no json", {"id": 2, "user": "a"}])
    reason = await failure_of(app, lambda: seen == [0])
    assert f"{source}[0] at offset 1 cannot be decoded" in reason


async def test_a_topic_with_another_number_of_partitions_is_refused(
    app_factory: MakeApp, make_topic: MakeTopic, cluster: Cluster
) -> None:
    app, source = app_factory(), make_topic("in", partitions=2)
    admin = _native.Admin(cluster.address, {})
    admin.create_topics({internal(app, source): 5})

    @app.subscribe(source, repartition_by="user")
    def note(batch: pa.RecordBatch) -> None: ...

    with pytest.raises(ConfigError, match="declare repartition_partitions=5, or stop the app"):
        async with app.running():
            pass
