"""Exactly-once subscriptions: outputs, dead letters and offsets take effect together, once."""

import asyncio
import signal
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

import turbine
from support.apps import source
from support.churn import Load
from support.failing import failure_of
from support.fixtures import Consume, MakeApp, MakeTopic, MakeWorker, Produce
from support.kafka import Cluster
from support.wait import eventually
from support.wait import eventually_async as until
from turbine._native import FaultProxy
from turbine.context import Context

EXACT: dict[str, Any] = {"processing_guarantee": "exactly_once"}
COPY = source("exact_copy")
POINTS = ("boot::initialised", "commit::mid_produce", "commit::offsets_sent", "commit::committed")


@pytest.fixture
def topics(make_topic: MakeTopic) -> tuple[str, str]:
    """An input and an output with one partition each."""
    return make_topic("in", partitions=1), make_topic("out", partitions=1)


async def numbers(consume: Consume, topic: str, at_least: int) -> list[int]:
    """The column ``n`` of the committed records of *topic*."""
    return [one.json["n"] for one in await asyncio.to_thread(consume, topic, at_least)]


# -- what is promised --------------------------------------------------------------------------


async def test_outputs_and_offset_take_effect_together(
    app_factory: MakeApp,
    topics: tuple[str, str],
    produce: Produce,
    consume: Consume,
    cluster: Cluster,
) -> None:
    app = app_factory()

    @app.subscribe(topics[0], publish_to=topics[1], name="copy", batch_size=100, **EXACT)
    def copy(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    produce(topics[0], [{"n": n} for n in range(1_000)])
    async with app.running():
        assert await numbers(consume, topics[1], 1_000) == list(range(1_000))
        group = app.subscriptions["copy"].group
        await until(lambda: cluster.committed(group, topics[0]) == {0: 1_000})
        # The markers of transactions take offsets, so there is at least one.
        assert cluster.count(topics[1]) > 1_000


async def test_what_a_handler_leaves_out_is_committed_too(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, cluster: Cluster
) -> None:
    app = app_factory()

    @app.subscribe(topics[0], publish_to=topics[1], name="none", **EXACT)
    def nothing(batch: pa.RecordBatch) -> None:
        pass

    produce(topics[0], [{"n": n} for n in range(10)])
    async with app.running():
        group = app.subscriptions["none"].group
        await until(lambda: cluster.committed(group, topics[0]) == {0: 10})


async def test_dead_letters_and_side_outputs_are_part_of_it(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    topics: tuple[str, str],
    produce: Produce,
    consume: Consume,
) -> None:
    app, dead, odd = app_factory(), make_topic("dead", partitions=1), make_topic("odd")

    @app.subscribe(
        topics[0],
        publish_to=topics[1],
        on_error="dlq",
        dlq=dead,
        side_outputs={"odd": odd},
        **EXACT,
    )
    def split(batch: pa.RecordBatch, ctx: Context) -> pa.RecordBatch:
        ctx.emit("odd", batch.filter(pa.array([n == 1 for n in batch["n"].to_pylist()])))
        return batch

    produce(topics[0], [{"n": 0}, "not json", {"n": 1}])
    async with app.running():
        assert await numbers(consume, topics[1], 2) == [0, 1]
        assert await numbers(consume, odd, 1) == [1]
        letters = await asyncio.to_thread(consume, dead, 1)
    assert [one.value for one in letters] == [b"not json"]


async def test_a_handler_that_fails_leaves_nothing_of_its_batch(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, cluster: Cluster
) -> None:
    app = app_factory()

    @app.subscribe(topics[0], publish_to=topics[1], name="fails", batch_size=10, **EXACT)
    def fails(batch: pa.RecordBatch) -> pa.RecordBatch:
        if 55 in batch["n"].to_pylist():
            raise ValueError("no 55, please")
        return batch

    produce(topics[0], [{"n": n} for n in range(100)])
    assert "no 55, please" in await failure_of(app)
    got = [one.json["n"] for one in cluster.consume(topics[1], 1)]
    assert got == list(range(len(got)))
    assert len(got) <= 55
    assert cluster.committed(app.subscriptions["fails"].group, topics[0]) == {0: len(got)}


async def test_a_commit_of_many_requests_is_one_transaction(
    app_factory: MakeApp,
    topics: tuple[str, str],
    produce: Produce,
    consume: Consume,
    cluster: Cluster,
) -> None:
    last, proxy = cluster.make_topic("last", 1), FaultProxy(cluster.address)
    app = app_factory(broker=f"kafka://{proxy.address}", kafka={"batch.size": "4000"})

    @app.subscribe(
        topics[0], publish_to=topics[1], side_outputs={"last": last}, batch_size=1_000, **EXACT
    )
    def fill(batch: pa.RecordBatch, ctx: Context) -> pa.RecordBatch:
        ids: list[Any] = batch["n"].to_pylist()
        ctx.emit("last", batch.filter(pa.array([n == 999 for n in ids])))
        text = ["x" * (9_000 if n == 500 else n % 90) for n in ids]
        return batch.append_column("text", pa.array(text))

    # What is sent last is refused once, when everything before it is there: all of it comes again.
    refused = proxy.fail("Produce", "MESSAGE_TOO_LARGE", topic=last)
    produce(topics[0], [{"n": n} for n in range(1_000)])
    async with app.running():
        assert await numbers(consume, topics[1], 1_000) == list(range(1_000))
        assert await numbers(consume, last, 1) == [999]
    assert refused.hits == 1
    assert cluster.count(topics[1]) > 1_100, "what was taken back has offsets, too"
    proxy.close()


async def test_guarantees_mix_in_one_app(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    topics: tuple[str, str],
    produce: Produce,
    consume: Consume,
) -> None:
    app, other = app_factory(processing_guarantee="exactly_once"), make_topic("other", partitions=1)

    @app.subscribe(topics[0], publish_to=topics[1])
    def once(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    @app.subscribe(topics[0], publish_to=other, processing_guarantee="at_least_once")
    def again(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    assert [one.guarantee for one in app.subscriptions.values()] == [
        "exactly_once",
        "at_least_once",
    ]
    produce(topics[0], [{"n": n} for n in range(10)])
    async with app.running():
        assert await numbers(consume, topics[1], 10) == list(range(10))
        assert await numbers(consume, other, 10) == list(range(10))


async def test_a_restart_goes_on_behind_the_last_commit(
    app_factory: MakeApp, topics: tuple[str, str], produce: Produce, consume: Consume
) -> None:
    for start in (0, 50):
        app = app_factory("exact-restart")

        @app.subscribe(topics[0], publish_to=topics[1], **EXACT)
        def copy(batch: pa.RecordBatch) -> pa.RecordBatch:
            return batch

        produce(topics[0], [{"n": n} for n in range(start, start + 50)])
        async with app.running():
            assert await numbers(consume, topics[1], start + 50) == list(range(start + 50))


# -- crashes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_killed_in_a_commit_neither_loses_nor_repeats(
    point: str,
    worker_process: MakeWorker,
    make_topic: MakeTopic,
    produce: Produce,
    cluster: Cluster,
) -> None:
    env = {"IN": make_topic("in", partitions=2), "OUT": make_topic("out", partitions=1)}
    for partition in range(2):
        rows = [{"n": 1_000 * partition + n} for n in range(400)]
        produce(env["IN"], rows, partition=partition)
    # The second time, for what waits behind a commit goes into the next one together.
    failpoints = {"TURBINE_FAILPOINTS": f"{point}=1*off->kill"}
    first = worker_process(COPY, env=env | failpoints, web=False)
    assert first.start().wait(30.0) == -signal.SIGKILL
    second = worker_process(COPY, env=env, web=False).start()
    second.wait_output("assigned by group")
    got = Counter(one.json["n"] for one in cluster.consume(env["OUT"], 800))
    assert got == Counter({1_000 * p + n: 1 for p in range(2) for n in range(400)})
    assert second.terminate() == 0


def test_a_worker_that_slept_through_a_takeover_commits_nothing(
    worker_process: MakeWorker, make_topic: MakeTopic, cluster: Cluster
) -> None:
    env = {"IN": make_topic("in", partitions=2), "OUT": make_topic("out", partitions=1)}
    zombie = worker_process(COPY, env=env).start().wait_ready()
    with Load(cluster.address, env["IN"], rate=2_000, partitions=2) as load:
        eventually(lambda: cluster.count(env["OUT"]) > 500)
        zombie.signal(signal.SIGSTOP)
        heir = worker_process(COPY, env=env, web=False).start()
        before = cluster.count(env["OUT"])
        eventually(lambda: cluster.count(env["OUT"]) > before + 2_000)
        zombie.signal(signal.SIGCONT)
        before = cluster.count(env["OUT"])
        eventually(lambda: cluster.count(env["OUT"]) > before + 2_000)
    got = Counter(one.json["n"] for one in cluster.consume(env["OUT"], load.written))
    assert set(got.values()) == {1}
    assert len(got) == load.written
    assert heir.terminate() == 0
    assert zombie.terminate() == 0


def test_partitions_that_move_under_load_are_exact(
    worker_process: MakeWorker, make_topic: MakeTopic, cluster: Cluster
) -> None:
    env = {"IN": make_topic("in", partitions=4), "OUT": make_topic("out", partitions=1)}
    first = worker_process(COPY, env=env).start().wait_ready()
    with Load(cluster.address, env["IN"], rate=3_000, partitions=4) as load:
        eventually(lambda: cluster.count(env["OUT"]) > 500)
        second = worker_process(COPY, env=env).start().wait_ready()
        eventually(lambda: len(second.assignments()) == 2)
        before = cluster.count(env["OUT"])
        eventually(lambda: cluster.count(env["OUT"]) > before + 1_000)
        assert second.terminate() == 0
        eventually(lambda: len(first.assignments()) == 4)
    got = Counter(one.json["n"] for one in cluster.consume(env["OUT"], load.written))
    assert set(got.values()) == {1}
    assert len(got) == load.written
    assert first.terminate() == 0


# -- declarations ------------------------------------------------------------------------------


def same(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch


@pytest.mark.parametrize(
    ("app", "options", "says"),
    [
        (turbine.App(), {"publish_to": "out"}, r"turbine\.App\('orders'"),
        (turbine.App("a"), {}, "a database is not part of the transaction"),
    ],
)
def test_a_promise_that_cannot_be_kept_is_refused(
    app: turbine.App, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(turbine.DeclarationError, match=says):
        app.subscribe("in", **EXACT, **options)(same)
