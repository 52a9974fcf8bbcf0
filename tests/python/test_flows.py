"""Plans: expressions over a stream that run in the core, from declaration to the topic written."""

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

import turbine
from support.fixtures import Consume, MakeApp, MakeTopic, MakeWorker, Produce
from support.kafka import Cluster
from support.wait import eventually_async as until
from turbine import DeclarationError
from turbine.aggregates import CollectList, CountDistinct
from turbine.flows import col, count, max, sum, tumbling  # noqa: A004 - the words of a plan
from turbine.functions import Expr
from turbine.worker import Runtime


class Click(turbine.Record):
    user: str
    ms: int
    ts: int = 0
    tags: tuple[str, ...] = ()


def clicks(number: int, seed: int = 3) -> list[dict[str, Any]]:
    dice = random.Random(seed)
    return [
        {
            "user": f"u{dice.randrange(7)}",
            "ms": dice.randrange(-3, 9),
            "ts": n * 10 + dice.randrange(9),
            "tags": [f"t{dice.randrange(3)}" for _ in range(dice.randrange(3))],
        }
        for n in range(number)
    ]


async def read(consume: Consume, topic: str, at_least: int) -> list[Any]:
    return await asyncio.to_thread(consume, topic, at_least)


# -- declaration -----------------------------------------------------------------------------------

CANNOT: list[tuple[Callable[[Any], Any], str]] = [
    (lambda s: s.filter(col("x") > 0), r'filter\(\): there is no column "x".* user, ms, ts, tags'),
    (lambda s: s.filter(col("ms")), "no predicate"),
    (lambda s: s.select(col("ms") + 1), "add .alias"),
    (lambda s: s.select(), "names no column"),
    (lambda s: s.drop("x"), "name columns that are there"),
    (lambda s: s.explode("ms"), "makes rows of a list"),
    (lambda s: s.agg(n=count()), r"behind group_by\(\)"),
    (lambda s: s.window(tumbling("1s")), r"between group_by\(\) and agg\(\)"),
    (lambda s: s.group_by("x"), "there is no such column"),
    (lambda s: s.group_by("user").group_by("ms"), "groups once"),
    (lambda s: s.group_by("user").filter(col("ms") > 0), r"behind agg\(\)"),
    (lambda s: s.group_by("user").to("out"), r"add .agg"),
    (lambda s: s.group_by("user").agg(n=sum("user")), "it reads numbers"),
    (lambda s: s.group_by("user").agg(n=1), "is no aggregate"),
    (lambda s: s.group_by("user").agg(n=CountDistinct("ms")), "keeps every value for ever"),
    (lambda s: s.group_by("user").agg(n=CollectList("ms")), r"\.window\(tumbling"),
    (lambda s: s.group_by("user").window(tumbling("1s", key="user")), r"neither key= nor"),
    (lambda s: s.group_by("user").agg(n=count()).to("out", key="ms"), "no such column"),
    (
        lambda s: s.group_by(col("ms").alias("window_end_ms")).agg(n=count()),
        "the results have a column",
    ),
    (lambda s: s.select("ms").to("clicks"), "every record would come back"),
    (lambda s: s.select("ms").to("out", names="x"), "did you mean name="),
    (lambda s: s.explode("tags").group_by("tags").agg(n=count()).to("out"), r"write .through"),
    (lambda s: s.group_by("user").window(tumbling("1s")).agg(n=count()).to("o"), "add event_time="),
]


@pytest.mark.parametrize(("write", "reason"), CANNOT, ids=range(len(CANNOT)))
def test_what_cannot_work_is_refused_in_a_sentence_where_it_is_written(
    write: Callable[[Any], Any], reason: str
) -> None:
    stream = turbine.App("a").stream("clicks", model=Click)
    with pytest.raises(DeclarationError, match=reason) as raised:
        write(stream)
    assert "\n" not in str(raised.value)


def test_a_stream_is_iterated_over_or_planned_and_says_which() -> None:
    app = turbine.App("a")
    stream, other = app.stream("clicks", model=Click), app.stream("clicks", model=Click)
    assert len(app.agents) == 2
    stream.filter(col("ms") > 0).to("out")
    assert len(app.agents) == 1
    with pytest.raises(turbine.NotRunning, match="has become a plan"):
        asyncio.run(anext(aiter(stream)))
    with pytest.raises(DeclarationError, match="has functions, which run in Python"):
        other.filter(lambda click: click.ms > 0).select("ms")
    with pytest.raises(DeclarationError, match="to know the columns of orders"):
        app.stream("orders").select("ms")
    with pytest.raises(DeclarationError, match="streams of a topic that no agent has"):
        app.channel().stream().select("ms")
    with pytest.raises(DeclarationError, match="did you mean event_time="):
        app.stream("orders", event_tim="ts")


def test_records_are_written_once_more_only_where_they_have_another_key() -> None:
    app = turbine.App("a")
    stream = app.stream("clicks", model=Click, keyed_by="user")

    def key_of(flow: Any, to: str) -> Any:
        declared = flow.agg(n=count()).to(to).line.repartition
        return declared and (
            declared.column,
            declared.key and repr(Expr.from_json(declared.key)),
            declared.partitions,
        )

    assert key_of(stream.group_by("user", "ms"), "t1") is None
    assert key_of(stream.select("user", "ms", who=col("user")).group_by("who"), "t3") is None
    assert key_of(stream.group_by("ms"), "t4") == ("ms", None, None)
    computed = stream.with_columns(half=col("ms") // 2).group_by((col("half") + 1).alias("h"))
    assert key_of(computed, "t5") == ("h", "((col('ms') // 2) + 1).alias('h')", None)
    assert key_of(stream.group_by("ms", repartition=False), "t6") is None
    assert key_of(stream.group_by(), "t7")[2] == 1


def test_a_plan_is_tried_on_a_batch_and_explained_line_by_line() -> None:
    app = turbine.App("a")
    flow = (
        app.stream("clicks", model=Click)
        .filter(col("ms") > 0)
        .explode("tags")
        .select("user", tag=col("tags"), twice=col("ms") * 2)
    )
    rows = [
        {"user": "a", "ms": 1, "ts": 0, "tags": ["x", "y"]},
        {"user": "b", "ms": -1, "ts": 0, "tags": ["x"]},
    ]
    got = flow.rows(pa.RecordBatch.from_pylist(rows, schema=flow.source_schema)).to_pylist()
    assert got == [{"user": "a", "tag": t, "twice": 2} for t in "xy"]
    assert [line.split()[0] for line in flow.explain().splitlines()] == [
        *("source", "filter", "explode", "select", "columns")
    ]
    assert "twice = (col('ms') * 2)" in flow.to("out").explain()


# -- running ---------------------------------------------------------------------------------------


@pytest.mark.cases_alike
@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_rows_go_through_the_steps_without_python(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    consume: Consume,
    guarantee: str,
) -> None:
    app = app_factory()
    source, out = make_topic("in", partitions=1), make_topic("out", partitions=1)
    one = (
        app.stream(source, model=Click, event_time="ts")
        .filter(col("ms") > 0)
        .explode("tags")
        .select("user", "ms", tag=col("tags"))
        .to(out, key="user", processing_guarantee=guarantee, batch_size=7)
    )
    rows = clicks(200)
    produce(source, rows)
    expected = [
        {"user": row["user"], "ms": row["ms"], "tag": tag}
        for row in rows
        if row["ms"] > 0
        for tag in row["tags"]
    ]
    runtime = Runtime(app, http=False)
    await runtime.start()
    try:
        assert not [thread for thread in runtime._threads if thread.name == one.name]
        got = await read(consume, out, len(expected))
    finally:
        await runtime.stop()
    assert [record.json for record in got] == expected
    assert [record.key.decode() for record in got] == [row["user"] for row in expected]


@pytest.mark.cases_alike
@pytest.mark.parametrize("batch_size", [7, 10_000])
async def test_windows_of_a_computed_key_count_what_four_partitions_have(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    consume: Consume,
    batch_size: int,
) -> None:
    app = app_factory()
    source, out = make_topic("in", partitions=4), make_topic("out")
    (
        app.stream(source, model=Click, event_time="ts", out_of_orderness=1)
        .filter(col("ms") >= 0)
        .group_by((col("ms") % 3).alias("third"))
        .window(tumbling("1s"))
        .agg(n=count(), total=sum("ms"))
        .filter(col("n") > 1)
        .select("third", "n", "total", start=col("window_start_ms"))
        .to(out, batch_size=batch_size)
    )
    expected: dict[tuple[int, int], list[int]] = {}
    for partition in range(4):
        rows = clicks(300, seed=partition)
        produce(source, [*rows, {"user": "end", "ms": 0, "ts": 99_999}], partition=partition)
        for row in rows:
            if row["ms"] >= 0:
                one = expected.setdefault((row["ms"] % 3, row["ts"] // 1_000 * 1_000), [0, 0])
                one[0] += 1
                one[1] += row["ms"]
    wanted = sorted((*key, *value) for key, value in expected.items() if value[0] > 1)
    async with app.running():
        got = await read(consume, out, len(wanted))
    found = [(r["third"], r["start"], r["n"], r["total"]) for r in (one.json for one in got)]
    assert sorted(found) == wanted


async def test_an_aggregate_without_a_window_is_a_table_that_goes_on_after_a_restart(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    consume: Consume,
    cluster: Cluster,
) -> None:
    app = app_factory(processing_guarantee="exactly_once")
    source, out = make_topic("in", partitions=2), make_topic("out", partitions=1)
    one = (
        app.stream(source, model=Click)
        .group_by("user")
        .agg(n=count(), most=max("ms"))
        .to(out, name="totals")
    )
    assert one.keeps_state
    rows = clicks(60)
    halves = rows[:30], rows[30:]
    for half in halves:
        for n, row in enumerate(half):
            produce(source, [row], partition=n % 2)
    seen: Counter[str] = Counter()
    async with app.running():
        got = await read(consume, out, len(rows))
        await until(lambda: cluster.committed(one.group, one.reads[0]))
    for record in got:
        row = record.json
        seen[row["user"]] += 1
        assert row["n"] == seen[row["user"]]
        assert list(row) == ["user", "n", "most"]
    assert seen == Counter(row["user"] for row in rows)
    produce(source, [{"user": "u1", "ms": 100}], partition=0)
    async with app.running():
        got = await read(consume, out, len(rows) + 1)
    assert got[-1].json == {"user": "u1", "n": seen["u1"] + 1, "most": 100}


async def test_a_plan_goes_on_behind_a_topic_in_between(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    source, between, out = (make_topic(name, partitions=1) for name in ("in", "mid", "out"))
    (
        app.stream(source, model=Click, event_time="ts")
        .group_by("user")
        .window(tumbling("1s"))
        .agg(n=count())
        .select("user", "n", end=col("window_end_ms"))
        .through(between, event_time="end")
        .group_by("end")
        .window(tumbling("1s"))
        .agg(users=count(), most=max("n"))
        .select("end", "users", "most")
        .to(out)
    )
    rows = clicks(300)
    produce(
        source,
        [*rows, {"user": "end", "ms": 0, "ts": 99_000}, {"user": "e", "ms": 0, "ts": 199_000}],
    )
    per_second: dict[int, Counter[str]] = {}
    for row in [*rows, {"user": "end", "ts": 99_000}]:
        per_second.setdefault(row["ts"] // 1_000 * 1_000 + 1_000, Counter())[row["user"]] += 1
    wanted = [
        {"end": end, "users": len(users), "most": users.most_common(1)[0][1]}
        for end, users in sorted(per_second.items())
    ]
    async with app.running():
        got = await read(consume, out, len(wanted) - 1)
    assert [one.json for one in got] == wanted[:-1]


WORKER = """
import os
import turbine
from turbine.flows import col, count, max, sum, tumbling


class Click(turbine.Record):
    user: str
    ms: int
    ts: int = 0


app = turbine.App(
    os.environ["APP_ID"],
    broker=os.environ["KAFKA"],
    processing_guarantee="exactly_once",
    kafka={"session.timeout.ms": 1_500, "heartbeat.interval.ms": 300},
)
clicks = app.stream(os.environ["IN"], model=Click, event_time="ts")
clicks.filter(col("ms") >= 0).select("user", "ms").to(os.environ["ROWS"], batch_size=5)
groups = clicks.group_by("user")
groups.agg(n=count(), total=sum("ms")).to(os.environ["TOTALS"], batch_size=5)
panes = groups.window(tumbling("1s")).agg(n=count(), most=max("ms"))
panes.select("user", "n", "most", start=col("window_start_ms")).to(os.environ["PANES"])
"""


@pytest.mark.timeout(90)
def test_rows_tables_and_windows_are_exact_although_workers_are_killed(
    worker_process: MakeWorker, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    source = make_topic("in", partitions=1)
    outs = {name: make_topic(name, partitions=1) for name in ("ROWS", "TOTALS", "PANES")}
    rows = clicks(600)
    worker = worker_process(WORKER, env={"IN": source, **outs})
    # As many as make the kills fall into the middle of what is there to do.
    for part, seen in ((rows[:250], 60), (rows[250:], 300)):
        worker.start()
        produce(source, part)
        consume(outs["TOTALS"], seen)
        worker.kill()
    for state in worker.directory.glob("*-data"):
        shutil.rmtree(state)
    worker.start()
    produce(source, [{"user": "end", "ms": -1, "ts": 99_999}])
    expected = Counter((row["user"], row["ts"] // 1_000 * 1_000) for row in rows)
    panes = [one.json for one in consume(outs["PANES"], len(expected))]
    assert {(one["user"], one["start"]): one["n"] for one in panes} == expected
    assert len(panes) == len(expected)
    kept = [{"user": row["user"], "ms": row["ms"]} for row in rows if row["ms"] >= 0]
    assert [one.json for one in consume(outs["ROWS"], len(kept))] == kept
    running: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    totals = [one.json for one in consume(outs["TOTALS"], len(rows) + 1)]
    for row, total in zip(rows, totals, strict=False):
        running[row["user"]] += 1
        sums[row["user"]] += row["ms"]
        wanted = {"user": row["user"], "n": running[row["user"]], "total": sums[row["user"]]}
        assert total == wanted
    assert len(totals) == len(rows) + 1
