"""What tables and their changelogs have after commits, lists and crashes."""

import asyncio
from collections import Counter, defaultdict
from typing import Any

from support.counting import Counting
from support.fixtures import Consume, MakeApp, MakeTopic, MakeWorker, Produce
from support.kafka import Cluster
from support.wait import eventually_async as until


async def committed(app: Any, rows: int) -> None:
    """Wait until so many rows are committed."""
    native = app._runtime.native
    await until(lambda: sum(row["committed"] or 0 for row in native.assignments()) == rows)


async def test_the_changelog_has_one_record_a_changed_key_and_commit(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    topic = make_topic(partitions=2)
    app = app_factory()
    counts = app.Table("counts", key_type=str, value_type=int, default=int)
    seen: list[str] = []

    @app.agent(topic, value_type=str, name="counts")
    async def agent(stream: Any) -> None:
        async for value in stream:
            if value == "gone":
                counts.pop("a")
            else:
                counts[value] += 1
            seen.append(value)

    produce(topic, [b"a"] * 1_000 + [b"b"] * 500, partition=1)
    async with app.running():
        await until(lambda: len(seen) == 1_500)
        await committed(app, 1_500)
        produce(topic, [b"gone"], partition=1)
        await committed(app, 1_501)
    changelog = f"{app.conf.id}-counts-changelog"
    records = consume(changelog, 3)
    by_commit: dict[bytes | None, list[Any]] = defaultdict(list)
    for record in records:
        assert record.partition == 1
        headers = dict(record.headers)
        assert headers["turbine.source"] == topic.encode()
        by_commit[headers["turbine.cut"]].append(record.key)
    assert all(len(keys) == len(set(keys)) for keys in by_commit.values())
    # Far fewer commits than writes.
    assert len(records) < 60
    last = {record.key: record.value for record in records}
    assert last == {b"a": None, b"b": b"500"}


async def test_a_list_has_values_of_one_partition_which_is_written_to(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    topic, lists = make_topic(partitions=3), []
    app = app_factory()
    sums = app.Table("sums", key_type=str, value_type=int, default=int)

    @app.agent(topic, name="sums")
    async def agent(stream: Any) -> None:
        async for values in stream.take(50, within=0.2):
            sums["all"] += sum(values)
            lists.append(values)

    for partition in range(3):
        produce(topic, [partition + 1] * 120, partition=partition)
    async with app.running():
        await until(lambda: sum(map(len, lists)) == 360)
        assert all(len(set(values)) == 1 for values in lists)
        assert max(map(len, lists)) == 50
        assert sorted(sums.items()) == [("all", 120), ("all", 240), ("all", 360)]
        await committed(app, 360)
    records = consume(f"{app.conf.id}-sums-changelog", 3)
    last = {record.partition: record.value for record in records}
    assert last == {0: b"120", 1: b"240", 2: b"360"}


async def test_a_list_that_waits_long_does_not_keep_a_commit_from_coming(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    topic, lists = make_topic(partitions=1), []
    app = app_factory()
    sums = app.Table("sums", key_type=str, value_type=int, default=int)

    @app.agent(topic, name="sums")
    async def agent(stream: Any) -> None:
        async for values in stream.take(1_000, within=60):
            sums["all"] += sum(values)
            lists.append(values)

    produce(topic, [1] * 10)
    async with app.running():
        await until(lambda: lists == [[1] * 10], 15)
        await committed(app, 10)


async def test_instances_and_agents_of_one_topic_are_committed_at_one_offset(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    topic = make_topic(partitions=2)
    app = app_factory(broker_commit_interval=0.01)
    seen: Counter[str] = Counter()
    tables = [app.Table(name, key_type=str, value_type=int, default=int) for name in ("x", "y")]

    def declare(table: Any, pause: float) -> None:
        @app.agent(topic, key_type=str, concurrency=3, name=f"agent-{table.name}")
        async def agent(stream: Any) -> None:
            async for key, n in stream.items():
                if n % 50 == 0:
                    await asyncio.sleep(pause)
                table[key] += 1
                seen[table.name] += 1

    declare(tables[0], 0.02)
    declare(tables[1], 0.0)
    keys = [f"k{n % 20}" for n in range(2_000)]
    produce(topic, list(range(2_000)), keys=keys)
    async with app.running():
        await until(lambda: seen == {"x": 2_000, "y": 2_000}, 30)
        await committed(app, 2_000)
        for table in tables:
            assert dict(table.items()) == Counter(keys)


async def test_a_handler_that_takes_long_keeps_no_other_partition_from_its_commits(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    slow, quick = make_topic("slow", partitions=1), make_topic("quick", partitions=1)
    app = app_factory()
    table = app.Table("seen", key_type=str, value_type=int, default=int)
    go = asyncio.Event()

    @app.agent(slow, name="waits")
    async def waits(stream: Any) -> None:
        async for _ in stream:
            await go.wait()

    @app.agent(quick, name="goes")
    async def goes(stream: Any) -> None:
        async for _ in stream:
            table["rows"] += 1

    produce(slow, [1])
    async with app.running():
        native = app._runtime.native  # type: ignore[union-attr]
        produce(quick, [1] * 100)

        def at() -> dict[str, Any]:
            return {row["name"]: row["committed"] for row in native.assignments()}

        await until(lambda: at().get("goes") == 100)
        assert at()["waits"] is None
        go.set()
        await until(lambda: at()["waits"] == 1)


def check_repeated_outputs(counting: Counting) -> None:
    """Outputs come at least once, and each row's count is always the same one."""
    counts: dict[int, set[int]] = defaultdict(set)
    for one in counting.outputs():
        counts[one["n"]].add(one["count"])
    assert counts.keys() == set(range(counting.total))
    assert all(len(one) == 1 for one in counts.values())


def test_killed_workers_lose_nothing_and_count_nothing_twice(
    worker_process: MakeWorker, make_topic: MakeTopic, cluster: Cluster
) -> None:
    counting = Counting(worker_process, make_topic, cluster, "at_least_once")
    counting.kill_while_it_works(3)
    counting.finish()
    counting.check_tables()
    check_repeated_outputs(counting)


def test_tables_come_back_from_their_changelogs_after_a_lost_disk(
    worker_process: MakeWorker, make_topic: MakeTopic, cluster: Cluster
) -> None:
    counting = Counting(worker_process, make_topic, cluster, "at_least_once")
    for _ in range(2):
        counting.finish(2_000)
        counting.lose_the_disk()
    # After a clean stop the changelogs have everything: nothing is counted again.
    counting.check_exact_outputs()
    counting.kill_while_it_works(1)
    counting.lose_the_disk()
    counting.finish()
    counting.check_tables()
