"""Lookups of async functions: what they are asked, what is remembered, and what a failure does."""

import asyncio
import datetime as dt
import random
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import turbine
from support.fixtures import Consume, MakeApp, MakeTopic, Produce
from support.wait import eventually_async as until
from turbine import DeclarationError, HandlerError
from turbine._handlers import RowsFailed
from turbine._lookup_cache import UNKNOWN, Cache
from turbine._lookup_run import LookedUp
from turbine._topology import topology
from turbine.flows import Flow, col
from turbine.policies import Retry
from turbine.testing import Clock

ONCE = Retry(0)


class Order(turbine.Record):
    order: int
    customer: str | None
    region: int = 0
    tags: tuple[str, ...] = ()


class Customer(turbine.Record):
    customer: str
    tier: str
    since: dt.date | None = None


class Directory:
    """A service that counts what it is asked; names that begin with ``no`` are unknown to it."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.failing: dict[Any, int] = {}
        self.running = self.most = 0

    async def fetch(self, customer: str) -> Customer | None:
        self.asked.append(customer)
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        if self.failing.get(customer, 0) > 0:
            self.failing[customer] -= 1
            raise ConnectionError("refused")
        return None if customer.startswith("no") else Customer(customer=customer, tier=customer * 2)

    async def by_both(self, customer: str, region: int) -> dict[str, Any]:
        self.asked.append((customer, region))
        return {"tier": f"{customer}-{region}"}


def running(flow: Flow, clock: Any = None) -> LookedUp:
    """What a worker would call with the batches of *flow*."""
    app = flow.app
    if clock is not None:
        app.clock = clock
    return LookedUp(flow.compiled(), app, "plan")


def orders() -> Any:
    return turbine.App("a").stream("orders", model=Order).flow()


def batch(*customers: str | None, **more: list[Any]) -> pa.RecordBatch:
    count_ = len(customers)
    columns = {"order": list(range(count_)), "customer": list(customers)}
    columns |= {"region": [0] * count_, "tags": [[]] * count_, **more}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return pa.RecordBatch.from_pylist(rows, schema=orders().source_schema)


# -- rows ------------------------------------------------------------------------------------------


async def test_each_key_is_asked_for_once_and_rows_keep_their_order() -> None:
    there = Directory()
    flow = orders().lookup(there.fetch, by="customer", model=Customer).select("order", "tier")
    run = running(flow)
    one, other = await asyncio.gather(run(batch("b", "a", None, "no", "b")), run(batch("a", "c")))
    assert one.column("tier").to_pylist() == ["bb", "aa", None, None, "bb"]
    assert one.column("order").to_pylist() == [0, 1, 2, 3, 4]
    assert other.column("tier").to_pylist() == ["aa", "cc"]
    await run(batch("no", "a"))
    assert sorted(there.asked) == ["a", "b", "c", "no"]


async def test_an_inner_lookup_leaves_out_what_has_no_answer_and_steps_go_on_behind() -> None:
    there = Directory()
    flow = (
        orders()
        .filter(col("order") > 0)
        .explode("tags")
        .lookup(there.fetch, by="customer", model=Customer, how="inner")
        .with_columns(gold=col("tier") == "aa")
        .lookup(there.by_both, by=["customer", "region"], columns={"tier": pa.string()})
        .filter(col("gold"))
    )
    assert flow.schema.names[-3:] == ["since", "gold", "tier_right"]
    tags = [["x"], ["x", "y"], ["z"], ["w"]]
    found = await running(flow)(batch("a", "a", None, "b", tags=tags, region=[1, 2, 3, 4]))
    assert found.schema.names == flow.schema.names
    rows = [(row["order"], row["tags"], row["tier_right"]) for row in found.to_pylist()]
    assert rows == [(1, "x", "a-2"), (1, "y", "a-2")]


@settings(max_examples=25, deadline=None)
@given(
    keys=st.lists(
        st.lists(st.tuples(st.sampled_from(["a", "b", "no", None]), st.integers(0, 2)), max_size=9),
        max_size=4,
    ),
    size=st.integers(0, 3),
    how=st.sampled_from(["inner", "left"]),
)
def test_any_batches_give_what_asking_for_every_row_gives(
    keys: list[list[tuple[str | None, int]]], size: int, how: Any
) -> None:
    async def answer(customer: str, region: int) -> dict[str, Any] | None:
        return None if customer == "no" else {"n": f"{customer}{region}"}

    by = ("customer", "region")
    columns = {"n": pa.string()}
    run = running(orders().lookup(answer, by=by, columns=columns, cache_size=size, how=how))

    async def check() -> None:
        for part in keys:
            rows = await run(batch(*[k for k, _ in part], region=[r for _, r in part]))
            every = [None if k in {None, "no"} else f"{k}{r}" for k, r in part]
            wanted = [one for one in every if one or how == "left"]
            assert rows.column("n").to_pylist() == wanted

    asyncio.run(check())


# -- memory ----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(0, 4),
    steps=st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans(), st.integers(0, 3))),
)
def test_the_cache_has_the_newest_answers_and_never_more_than_its_size(
    size: int, steps: list[tuple[str, bool, int]]
) -> None:
    cache = Cache(size, 5, 2)
    # Oldest use first, as a list.
    model: list[tuple[str, Any, float]] = []
    now = 0.0
    for key, has_answer, passed in steps:
        now += passed
        known = [one for one in model if one[0] == key and now < one[2]]
        model = [one for one in model if one[0] != key]
        found = cache.get(key, now)
        if known:
            assert found == known[0][1]
            model.append(known[0])
            continue
        assert found is UNKNOWN
        answer = {"n": key} if has_answer else None
        cache.put(key, answer, now)
        model = [*model, (key, answer, now + (5 if has_answer else 2))][-size or len(model) + 1 :]
        assert len(cache) == len(model) <= size


async def test_what_is_remembered_is_asked_again_after_its_time_of_the_workers_clock() -> None:
    there, clock = Directory(), Clock()
    flow = orders().lookup(there.fetch, by="customer", model=Customer, ttl="10s", ttl_of_none="1s")
    run = running(flow, clock)

    async def asked(*customers: str) -> list[str]:
        there.asked.clear()
        await run(batch(*customers))
        return sorted(there.asked)

    assert await asked("a", "no") == ["a", "no"]
    await clock.advance(0.9)
    assert await asked("a", "no") == []
    await clock.advance(0.2)
    assert await asked("a", "no") == ["no"]
    await clock.advance(9)
    assert await asked("a") == ["a"]


# -- calls -----------------------------------------------------------------------------------------


async def test_no_more_calls_run_at_once_than_are_allowed() -> None:
    there = Directory()
    run = running(orders().lookup(there.fetch, by="customer", model=Customer, concurrency=3))
    names = [f"c{n}" for n in range(20)]
    await asyncio.gather(run(batch(*names)), run(batch(*names[::-1])))
    assert there.most == 3
    assert sorted(there.asked) == sorted(names)


async def test_a_call_that_fails_is_tried_again_and_a_failure_is_not_remembered() -> None:
    there = Directory()
    there.failing = {"a": 2, "b": 9}
    retry = Retry(2, 0.001)
    flow = orders().lookup(there.fetch, by="customer", model=Customer, retry=retry)
    run = running(flow.select("order", "tier"))
    with pytest.raises(RowsFailed) as raised:
        await run(batch("a", "b", None, "b"))
    said = "fetch('b') failed after 3 tries: ConnectionError: refused"
    assert raised.value.bad == [(1, said), (3, said)]
    assert raised.value.rest.to_pylist() == [
        {"order": 0, "tier": "aa"},
        {"order": 2, "tier": None},
    ]
    there.failing.clear()
    assert (await run(batch("b"))).column("tier").to_pylist() == ["bb"]


async def test_a_call_without_an_answer_in_time_and_a_wrong_answer_fail() -> None:
    async def hangs(_: str) -> None:
        await asyncio.Event().wait()

    async def wrong(_: str) -> Any:
        return {"n": "text"}

    async def no_row(_: str) -> Any:
        return [1]

    columns = {"n": pa.int64()}
    for fn, said in (
        (hangs, "TimeoutError: no answer in 0.01 s"),
        (wrong, "does not fit its columns"),
        (no_row, "it returned list: return a model, a dict or None"),
    ):
        flow = orders().lookup(fn, by="customer", columns=columns, retry=ONCE, timeout=0.01)
        with pytest.raises(RowsFailed, match=said):
            await running(flow)(batch("a"))


async def test_nulls_may_stand_for_a_key_that_failed_and_it_is_asked_for_next_time() -> None:
    there = Directory()
    there.failing = {"a": 1}
    flow = orders().lookup(there.fetch, by="customer", model=Customer, retry=ONCE, on_error="null")
    run = running(flow)
    assert (await run(batch("a", "b"))).column("tier").to_pylist() == [None, "bb"]
    assert (await run(batch("a", "b"))).column("tier").to_pylist() == ["aa", "bb"]


async def test_a_batch_that_is_given_up_ends_calls_that_nobody_else_waits_for() -> None:
    began, ended = asyncio.Event(), []

    async def waits(customer: str) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(customer)

    run = running(orders().lookup(waits, by="customer", model=Customer, timeout=None))
    task = asyncio.create_task(run(batch("a")))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert ended == ["a"]


# -- declaration -----------------------------------------------------------------------------------


async def some(_: Any) -> None:
    return None


CANNOT: list[tuple[Callable[[Any], Any], str]] = [
    (lambda s: s.lookup(lambda k: k, by="customer", model=Customer), "needs an async function"),
    (lambda s: s.lookup(some, by="x", model=Customer), "name columns that are there"),
    (lambda s: s.lookup(some, by="tags", model=Customer), "by up to 4 columns of plain values"),
    (lambda s: s.lookup(some, by="customer"), "has to know what the function returns"),
    (lambda s: s.lookup(some, by="customer", model=int), "derives from turbine.Record"),
    (lambda s: s.lookup(some, by="customer", columns={}), "no column besides its key"),
    (lambda s: s.lookup(some, by="customer", columns={"a": "text?"}), "write Arrow types"),
    (
        lambda s: s.lookup(some, by="customer", columns={"order": pa.int64()}, suffix=""),
        "two columns would be called 'order'",
    ),
    (lambda s: s.lookup(some, by="customer", model=Customer, how="full"), "how='full'"),
    (lambda s: s.lookup(some, by="customer", model=Customer, concurrency=0), "concurrency=0"),
    (lambda s: s.lookup(some, by="customer", model=Customer, ttl=0), "ttl=0 is not possible"),
    (lambda s: s.lookup(some, by="customer", model=Customer, retry=3), r"write Retry\(3, 0.1\)"),
    (
        lambda s: s.lookup(some, by="customer", model=Customer, on_error="dlq"),
        r"\.to\(on_error='dlq'\)",
    ),
    (
        lambda s: s.lookup(some, by="customer", model=Customer, how="inner", on_error="null"),
        "would lose rows",
    ),
    (lambda s: s.group_by("region").lookup(some, by="region", model=Customer), "grouped or joined"),
    (
        lambda s: s.lookup(some, by="customer", model=Customer).rows(batch("a")),
        "no result for one batch",
    ),
]


@pytest.mark.parametrize(("write", "reason"), CANNOT, ids=range(len(CANNOT)))
def test_a_lookup_that_cannot_work_is_refused_where_it_is_written(
    write: Callable[[Any], Any], reason: str
) -> None:
    with pytest.raises(DeclarationError, match=reason):
        write(orders())


def test_explain_says_who_is_asked_for_what() -> None:
    app = turbine.App("a")
    flow = app.stream("orders", model=Order).lookup(
        Directory().fetch, by="customer", model=Customer
    )
    told = flow.filter(col("tier") == "gold").to("out").explain()
    assert (
        "lookup        left fetch(customer): tier string, since date32[day]; at most 16 calls at "
        "once, 10000 keys for 60000 ms"
    ) in told
    assert told.index("lookup") < told.index("filter")
    assert "plan:orders-to-out" in topology(app).parts


# -- in a worker -----------------------------------------------------------------------------------


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_plan_with_a_lookup_writes_every_row_and_buries_what_cannot_be_looked_up(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume, guarantee: str
) -> None:
    app = app_factory(processing_guarantee=guarantee)
    there = Directory()
    there.failing = {"bad": 100}
    source, out, dead = (make_topic(name, 2) for name in ("orders", "out", "dead"))
    (
        app.stream(source, model=Order)
        .filter(col("order") % 2 == 0)
        .lookup(there.fetch, by="customer", model=Customer, retry=Retry(1, 0.001))
        .select("order", "customer", "tier")
        .to(out, name="tiers", on_error="dlq", dlq=dead)
    )
    dice = random.Random(1)
    names = ["a", "b", "c", "no", "bad", None]
    rows: list[dict[str, Any]] = [{"order": n, "customer": dice.choice(names)} for n in range(200)]
    produce(source, rows)
    wanted = {
        row["order"]: None if row["customer"] in {"no", None} else row["customer"] * 2
        for row in rows
        if row["order"] % 2 == 0 and row["customer"] != "bad"
    }
    buried = {r["order"] for r in rows if r["order"] % 2 == 0 and r["customer"] == "bad"}
    async with app.running():
        found = await asyncio.to_thread(consume, out, len(wanted))
        letters = await asyncio.to_thread(consume, dead, len(buried))
        told = app._runtime.native.metrics()  # type: ignore[union-attr] # it runs
    assert {one.json["order"]: one.json["tier"] for one in found} == wanted
    assert {one.json["order"] for one in letters} == buried
    reason = dict(letters[0].headers)["turbine.error"]
    assert reason is not None
    assert b"fetch('bad') failed after 2 tries" in reason
    assert sorted(set(there.asked)) == ["a", "b", "bad", "c", "no"]
    assert 'turbine_lookup_misses_total{lookup="tiers-fetch"}' in told


async def test_a_partition_stops_in_front_of_a_key_that_cannot_be_looked_up(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, consume: Consume
) -> None:
    source, out = make_topic("orders", 1), make_topic("out", 1)
    there = Directory()
    there.failing = {"a": 1}

    def app() -> turbine.App:
        made = app_factory("stops-" + source)
        stream = made.stream(source, model=Order)
        stream.lookup(there.fetch, by="customer", model=Customer, retry=ONCE).to(out)
        return made

    produce(source, [{"order": 1, "customer": "a"}])
    with pytest.raises(HandlerError, match=r"fetch\('a'\) failed after 1 try.*Nothing is lost"):
        async with app().running() as one_:
            await until(lambda: one_._runtime.failures)  # type: ignore[union-attr] # it runs
    async with app().running():
        (one,) = await asyncio.to_thread(consume, out, 1)
    assert one.json["tier"] == "aa"
