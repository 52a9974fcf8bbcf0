"""Joins give what SQL gives for the same rows: in memory, and in a worker that fails."""

import asyncio
import random
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import turbine
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from support.wait import eventually_async as until
from turbine import DeclarationError, joins

HOUR_MS = 3_600_000


class Left(turbine.Record):
    k: str | None
    l: int  # noqa: E741 - as SQL has it below


class Right(turbine.Record):
    k: str | None
    r: float
    word: str


def some_rows(seed: int, count: int) -> list[dict[str, Any]]:
    """Rows of both sides: out of order by up to 50 ms, some twice, some without a key."""
    random_ = random.Random(seed)
    rows = []
    for n in range(count):
        key = None if random_.random() < 0.05 else f"k{random_.randrange(8)}"
        row = {"k": key, "ts": max(0, n * 10 - random_.randrange(50)), "right": n % 2 == 1}
        rows.append({**row, "l": n, "r": n / 4, "word": f"word {n}"})
        if random_.random() < 0.1:
            rows.append(rows[-1])
    return rows


def sides(rows: list[dict[str, Any]]) -> tuple[pa.Table, pa.Table]:
    """What SQL reads: the rows of each side, with their event time as ``ts``."""
    left = [{"k": row["k"], "l": row["l"], "ts": row["ts"]} for row in rows if not row["right"]]
    right = [
        {"k": row["k"], "r": row["r"], "word": row["word"], "ts": row["ts"]}
        for row in rows
        if row["right"]
    ]
    return pa.Table.from_pylist(left), pa.Table.from_pylist(right)


def by_sql(query: str, rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Rows of *query* over ``lefts`` and ``rights``, sorted."""
    lefts, rights = sides(rows)
    with duckdb.connect() as db:
        db.register("lefts", lefts)
        db.register("rights", rights)
        return by_text(db.sql(query).fetchall())


def by_text(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=repr)


def feed(join: joins.Join, rows: list[dict[str, Any]], seed: int) -> list[tuple[Any, ...]]:
    """Give *rows* to *join* in random cuts, until time has passed them all."""
    random_ = random.Random(seed)
    found: list[pa.Table] = []
    at = 0
    while at < len(rows):
        part = rows[at : at + random_.randrange(1, 90)]
        at += len(part)
        batch = pa.RecordBatch.from_pylist([{**row, "_event_time": row["ts"]} for row in part])
        batch = batch.select(["k", "l", "r", "word", "_event_time", "right"])
        found.append(join.update(None, batch, is_right=batch["right"]).rows)
    found += [join.advance(2**50, is_right=right).rows for right in (False, True)]
    rows_ = pa.concat_tables(found).drop_columns(["_event_time"]).to_pylist()
    return by_text([tuple(row.values()) for row in rows_])


@pytest.mark.parametrize("how", ["inner", "left", "right", "full"])
def test_an_interval_join_gives_what_sql_gives(how: joins.How) -> None:
    """With a grace that covers the disorder nothing is missing, and nothing comes twice."""
    rows = some_rows(7, 800)
    join = joins.interval(
        name="j", left=Left, right=Right, on="k", before=0.04, after=0.1, grace=0.1, how=how
    )
    found = feed(join, rows, 3)
    expected = by_sql(
        f"""select coalesce(lefts.k, rights.k), l, r, word from lefts {how} join rights
        on lefts.k = rights.k and rights.ts between lefts.ts - 40 and lefts.ts + 100""",
        rows,
    )
    assert found == expected
    assert join.counters["late_rows"] == 0
    assert len(expected) > 300


@pytest.mark.parametrize("how", ["inner", "left"])
def test_an_as_of_join_gives_what_sql_gives(how: Any) -> None:
    """The version is the newest at or before the row; of two at one time the one that came last."""
    rows = some_rows(11, 800)
    # SQL says nothing of two versions at one time.
    seen = {(row["k"], row["ts"]): row for row in rows if row["right"]}
    rows = [row for row in rows if not row["right"] or seen[row["k"], row["ts"]] is row]
    join = joins.asof(name="j", left=Left, right=Right, on="k", grace=0.1, how=how)
    expected = by_sql(
        f"""select lefts.k, l, r, word from lefts asof {how} join rights
        on lefts.k = rights.k and lefts.ts >= rights.ts""",
        rows,
    )
    assert feed(join, rows, 5) == expected


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: joins.interval(name="j", left=Left, right=Right, on="k"), "say within="),
        (
            lambda: joins.interval(name="j", left=Left, right=Right, on="k", within=1, after=1),
            "leave out before= and after=",
        ),
        (lambda: joins.asof(name="j", left=Left, right=Right, on="x"), 'no column "x"'),
        (lambda: joins.with_table(name="j", left=1, right=Right, on="k"), "says no columns"),
        (
            lambda: joins.tables(name="j", left=Left, right=Right, on="k", how="outer"),  # type: ignore[arg-type]
            "how='outer' is not possible",
        ),
    ],
)
def test_a_join_that_cannot_work_is_refused(declare: Any, said: str) -> None:
    """The message says what to write instead."""
    with pytest.raises(DeclarationError, match="^.*" + said.replace("(", "[(]")):
        declare()


def paid(fails_at: int | None = None) -> type:
    """A handler with a left join of rows of one topic; it fails once, at the row of a number."""
    armed = [fails_at]

    class Paid:
        def __init__(self) -> None:
            self.join = joins.interval(
                name="paid",
                left=Left,
                right=Right,
                on="k",
                within="100ms",
                grace="100ms",
                how="left",
            )

        def process(self, batch: pa.RecordBatch, state: turbine.State) -> pa.Table:
            found = self.join.update(state, batch, is_right=batch["right"])
            assert found.late is None
            if armed[0] is not None and armed[0] in batch["l"].to_pylist():
                armed[0] = None
                raise RuntimeError("once")
            return found.rows

    return Paid


async def test_a_join_of_a_handler_is_exact_over_failures_and_restarts(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    """What a failed batch did to the join is taken back, and a restart finds what was kept."""
    source, target = make_topic("in", partitions=1), make_topic("out", partitions=1)
    rows = some_rows(3, 300)
    last = {"l": 0, "r": 0.0, "word": "", "k": None, "ts": HOUR_MS}
    # The first of them moves time, the second one comes after that.
    rows += [{**last, "right": False}] * 2

    def app(handler: type) -> turbine.App:
        made = app_factory("joins-" + source)
        made.subscribe(
            source,
            publish_to=target,
            name="paid",
            event_time="ts",
            batch_size=40,
            # One that fails is called again with parts of its rows.
            on_error="skip",
            processing_guarantee="exactly_once",
        )(handler)
        return made

    async def run(handler: type, part: list[dict[str, Any]], done: int) -> None:
        produce(source, part, partition=0)
        made = app(handler)
        async with made.running():
            native = made._runtime.native  # type: ignore[union-attr] # it runs
            await until(
                lambda: [row["committed"] for row in native.assignments()] == [done],
                why="the rows are through",
            )

    await run(paid(), rows[:120], 120)
    await run(paid(fails_at=150), rows[120:200], 200)
    await run(paid(), rows[200:], len(rows))

    expected = by_sql(
        """select lefts.k, l, r, word from lefts left join rights
        on lefts.k = rights.k and abs(rights.ts - lefts.ts) <= 100""",
        rows,
    )
    records = await asyncio.to_thread(consume, target, len(expected))
    found = [tuple(one.json.get(name) for name in ("k", "l", "r", "word")) for one in records]
    assert by_text(found) == expected
