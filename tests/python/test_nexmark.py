"""Nexmark: what plans compute on the way is what DuckDB computes from all events at once."""

import asyncio
import importlib
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import turbine
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from support.kafka import Cluster

pytestmark = pytest.mark.any_broker

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
nexmark: Any = importlib.import_module("nexmark.events")
queries: Any = importlib.import_module("nexmark.queries")
batch: Any = importlib.import_module("nexmark.batch")

EVENTS = 3_000


def bids_of(seed: int) -> tuple[list[dict[str, Any]], int]:
    """All bids, with those that close windows, and a time behind the others."""
    bids = [row for kind, row in nexmark.events(EVENTS, seed=seed) if kind == "bid"]
    last_ms = bids[-1]["date_time"]
    return [*bids, *nexmark.ends(last_ms)], last_ms + 2 * 86_400_000


def everything_of(seed: int) -> tuple[dict[str, list[dict[str, Any]]], int]:
    """Rows of each kind, with those that close windows, and a time behind the others."""
    rows: dict[str, list[dict[str, Any]]] = {"bid": [], "auction": [], "person": []}
    for kind, row in nexmark.events(EVENTS, seed=seed):
        rows[kind].append(row)
    last_ms = max(mine[-1]["date_time"] for mine in rows.values())
    rows["side"] = nexmark.side()
    for kind, mine in rows.items():
        mine.extend(nexmark.ends(last_ms, kind=kind))
    return rows, last_ms + 2 * 86_400_000


def computed(bids: list[dict[str, Any]], sql: str, **others: Any) -> list[dict[str, Any]]:
    connection = duckdb.connect()
    for kind, rows in {"bid": bids, **others}.items():
        connection.register(kind, pa.Table.from_pylist(rows))
    relation = connection.sql(sql)
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def sorted_rows(rows: list[dict[str, Any]]) -> list[str]:
    """In an order and a form that do not depend on who made them."""
    return sorted(repr(sorted(row.items())) for row in rows)


def before(rows: list[dict[str, Any]], end_ms: int) -> list[dict[str, Any]]:
    """Without the windows of what only closes others."""
    return [row for row in rows if row.get("end", 0) < end_ms]


def settled(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as they are, of a table the last of each key."""
    keys = batch.KEYS.get(name)
    return (
        rows if keys is None else list({tuple(row[k] for k in keys): row for row in rows}.values())
    )


def test_events_are_those_of_their_seed_in_the_proportions_of_the_benchmark() -> None:
    first = list(nexmark.events(500, seed=1))
    assert first == list(nexmark.events(500, seed=1))
    assert first != list(nexmark.events(500, seed=2))
    kinds = [kind for kind, _ in first]
    assert [kinds.count(kind) for kind in ("person", "auction", "bid")] == [10, 30, 460]
    times = [row["date_time"] for _, row in first]
    assert times == sorted(set(times))


@pytest.mark.parametrize("name", ["q0", "q1", "q2", "q10", "q14", "q21", "q22"])
def test_queries_of_rows_are_the_same_text_for_duckdb_and_for_a_plan(name: str) -> None:
    bids, _ = bids_of(seed=3)
    plan = turbine.App("a").stream("bid", model=nexmark.Bid).sql(batch.BATCH[name])
    found = plan.rows(pa.RecordBatch.from_pylist(bids, schema=plan.source_schema)).to_pylist()
    wanted = computed(bids, batch.BATCH[name])
    assert len(found) > 5
    assert sorted_rows(found) == sorted_rows(wanted)


@pytest.mark.timeout(120)
async def test_every_query_without_a_join_gives_what_duckdb_gives(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    app = app_factory()
    source = make_topic("bids", partitions=2, config={"retention.ms": "-1"})
    outs = {name: make_topic(name, partitions=1) for name in queries.QUERIES}
    for name, out in outs.items():
        queries.declare(app, name, source, out)
    bids, end_ms = bids_of(seed=11)
    # By the second, so that the times of records fall into the same ten seconds as those of bids.
    together: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for n, row in enumerate(bids):
        together.setdefault((row["date_time"] // 1_000 * 1_000, n % 2), []).append(row)
    for (time_ms, partition), rows in together.items():
        produce(source, rows, partition=partition, timestamp_ms=time_ms)
    wrong = {}
    async with app.running():
        for name, out in outs.items():
            wanted = computed(bids, batch.BATCH[name])
            wanted = before(wanted, end_ms)
            least = len(bids) if name in batch.KEYS else len(wanted)
            got = await asyncio.to_thread(consume, out, least)
            found = before(settled(name, [one.json for one in got]), end_ms)
            if sorted_rows(found) != sorted_rows(wanted) or len(wanted) < 2:
                wrong[name] = (found[:3], wanted[:3])
    assert not wrong


@pytest.mark.timeout(120)
async def test_every_query_with_a_join_gives_what_duckdb_gives(
    cluster: Cluster,
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    consume: Consume,
) -> None:
    app = app_factory()
    source = make_topic("bids", partitions=2, config={"retention.ms": "-1"})
    topics = {"bid": source}
    for kind, name in {"auction": "auctions", "person": "people", "side": "side"}.items():
        topics[kind] = f"{source}-{name}"
    for topic in list(topics.values())[1:]:
        cluster.make_topic_named(topic, 2, {"retention.ms": "-1"})
    outs = {name: make_topic(name, partitions=1) for name in queries.JOINED}
    for name, out in outs.items():
        queries.declare(app, name, source, out)
    rows, end_ms = everything_of(seed=11)
    for kind, mine in rows.items():
        for partition in (0, 1):
            produce(topics[kind], mine[partition::2], partition=partition)
    wrong = {}
    async with app.running():
        for name, out in outs.items():
            others = {kind: mine for kind, mine in rows.items() if kind != "bid"}
            wanted = before(computed(rows["bid"], batch.BATCH[name], **others), end_ms)
            changes = computed(rows["bid"], batch.BATCH[batch.CHANGES.get(name, name)], **others)
            got = await asyncio.to_thread(consume, out, len(before(changes, end_ms)))
            found = before(settled(name, [one.json for one in got]), end_ms)
            if sorted_rows(found) != sorted_rows(wanted) or len(wanted) < 2:
                wrong[name] = (found[:3], wanted[:3])
    assert not wrong
