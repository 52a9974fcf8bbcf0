"""Bad records and failing handlers: nothing is lost silently, whatever the policy."""

# ruff: noqa: PERF401 - a comprehension over a stream would never have a value

import asyncio
import math
from typing import Any

import pyarrow as pa
import pytest

import turbine
from support.failing import failure_of, runtime_of
from support.fixtures import Consume, MakeApp, MakeTopic, MakeWorker, Produce
from support.kafka import Cluster, Got
from support.wait import eventually
from support.wait import eventually_async as until


class Order(turbine.Record):
    id: int
    amount: float = 0.0
    note: str | None = None


class Deep(Order):
    more: Any = None


DEEP = b'{"id": 1, "more": ' + b"[" * 300 + b"]" * 300 + b"}"
BAD = {
    "second object": (b'{"id": 1}{"id": 2}', "second JSON object"),
    "tombstone": (None, "tombstone"),
    "cut UTF-8": (b'{"id": 1, "note": "gr\xc3"}', "UTF-8"),
    "300 levels": (DEEP, "deep"),
    "20-digit integer": (b'{"id": 12345678901234567890}', "12345678901234567890"),
    "NaN": (b'{"id": 1, "amount": NaN}', "NaN"),
    "infinity": (b'{"id": 1, "amount": -Infinity}', "amount"),
    "fraction for an integer": (b'{"id": 1.5}', "1.5"),
    "text for a number": (b'{"id": "5"}', "id"),
    "missing field": (b'{"amount": 1}', "id"),
    "cut record": (b'{"id": 1', "end"),
    "bleed": (b',"id": 3}', "object"),
    "no object": (b"[1]", "object"),
    "empty": (b"", "empty"),
    "too large a number": (b'{"id": 1, "amount": 1e999}', "1e999"),
}
GOOD = [{"id": 10}, {"id": 11}, {"id": 12}]
PARTS = ["turbine.source.topic", "turbine.source.partition", "turbine.source.offset"]


@pytest.fixture
def one(make_topic: MakeTopic) -> str:
    """A topic with one partition."""
    return make_topic("in", partitions=1)


def with_bad(bad: bytes | None) -> list[Any]:
    """Two good records, a bad one, and another good one."""
    return [*GOOD[:2], bad, GOOD[2]]


def is_dead_letter(letter: Got, source: str, offset: int, phase: str) -> None:
    """Assert that *letter* is the record at *offset* of partition 0 of *source*."""
    head = letter.header
    assert [head[part] for part in PARTS] == [source, "0", str(offset)]
    assert head["turbine.phase"] == phase


# -- records that cannot be decoded ------------------------------------------------------------


def are_dead_letters(letters: list[Got], source: str, kinds: list[str], phase: str) -> None:
    """Assert that *letters* are the records of *kinds*, whole; a good one stood between any two."""
    assert len(letters) == len(kinds)
    letters = sorted(letters, key=lambda letter: int(letter.header["turbine.source.offset"]))
    for i, (kind, letter) in enumerate(zip(kinds, letters, strict=True)):
        is_dead_letter(letter, source, 2 * i + 1, phase)
        assert (letter.key, letter.value) == (b"k", BAD[kind][0]), kind
        assert letter.headers[:2] == (("trace", b"1"), ("trace", None))
        assert letter.header["turbine.source.timestamp"] == "1700000000123"
        assert letter.timestamp_ms > 1_700_000_000_123
        assert letter.header["turbine.error"], kind


def write_between_good_ones(produce: Produce, topic: str, kinds: list[str]) -> list[int]:
    """Write bad records of *kinds*, each between two good ones; return the ids of the good ones."""
    values: list[Any] = [{"id": 0}]
    for i, kind in enumerate(kinds):
        values += [BAD[kind][0], {"id": i + 1}]
    headers = [("trace", b"1"), ("trace", None)]
    produce(topic, values, key="k", headers=headers, timestamp_ms=1_700_000_000_123)
    return list(range(len(kinds) + 1))


async def test_a_subscription_goes_on_without_bad_records_which_are_kept(
    app_factory: MakeApp, one: str, produce: Produce, consume: Consume
) -> None:
    app, rows, kinds = app_factory(), [], list(BAD)

    @app.subscribe(one, model=Order, on_error="dlq", dlq=f"{one}-dead")
    def handle(batch: pa.RecordBatch) -> None:
        rows.extend(batch["id"].to_pylist())

    good = write_between_good_ones(produce, one, kinds)
    async with app.running():
        letters = await asyncio.to_thread(consume, f"{one}-dead", len(kinds), 10)
        await until(lambda: len(rows) == len(good))
    assert rows == good
    are_dead_letters(letters, one, kinds, "decode")
    error_of = {letter.value: letter.header["turbine.error"] for letter in letters}
    unsaid = [kind for kind, (value, reason) in BAD.items() if reason not in error_of[value]]
    assert not unsaid, error_of


# What pydantic makes of them, in its own reading of JSON, and what Python can hold.
AGENTS_TAKE = {"tombstone", "20-digit integer", "NaN", "infinity", "text for a number"} | {
    "too large a number"
}


async def test_an_agent_goes_on_without_bad_records_which_are_kept(
    app_factory: MakeApp, one: str, produce: Produce, consume: Consume
) -> None:
    app, seen, kinds = app_factory(), [], [kind for kind in BAD if kind not in AGENTS_TAKE]

    @app.agent(one, value_type=Deep, on_error="dlq", dlq=f"{one}-dead")
    async def agent(stream: Any) -> None:
        async for order in stream:
            seen.append(order.id)

    good = write_between_good_ones(produce, one, kinds)
    async with app.running():
        letters = await asyncio.to_thread(consume, f"{one}-dead", len(kinds), 10)
        await until(lambda: len(seen) == len(good))
    assert seen == good
    are_dead_letters(letters, one, kinds, "decode")


async def test_what_pydantic_and_python_can_hold_an_agent_sees(
    app_factory: MakeApp, one: str, produce: Produce
) -> None:
    app, seen = app_factory(), []

    @app.agent(one, value_type=Order)
    async def agent(stream: Any) -> None:
        async for value in stream:
            seen.append(value)

    wanted = {
        "tombstone": None,
        "20-digit integer": Order(id=12345678901234567890),
        "NaN": Order(id=1, amount=math.nan),
        "infinity": Order(id=1, amount=-math.inf),
        "text for a number": Order(id=5),
        "too large a number": Order(id=1, amount=math.inf),
    }
    assert wanted.keys() == AGENTS_TAKE
    produce(one, [BAD[kind][0] for kind in wanted])
    async with app.running():
        await until(lambda: len(seen) == len(wanted))
    # By their text: NaN is not equal to itself.
    assert list(map(repr, seen)) == list(map(repr, wanted.values()))


async def test_an_agent_without_a_type_refuses_what_is_not_json(
    app_factory: MakeApp, one: str, produce: Produce
) -> None:
    app, seen = app_factory(), []

    @app.agent(one, on_error="skip")
    async def agent(stream: Any) -> None:
        async for value in stream:
            seen.append(value)

    produce(one, [b'{"a": NaN}', b'{"a": 1}{"a": 2}', b'"\xc3"', b"", DEEP, b"1"])
    async with app.running():
        await until(lambda: seen)
        metrics = runtime_of(app).native.metrics()
    assert seen == [1]
    assert 'turbine_bad_records_total{worker="tests.python.test_errors.agent-p0"} 5' in metrics


async def test_a_tombstone_may_be_a_row_of_nulls(
    app_factory: MakeApp, one: str, produce: Produce
) -> None:
    app, rows = app_factory(), []

    @app.subscribe(one, tombstones="null", with_metadata=["key"])
    def handle(batch: pa.RecordBatch) -> None:
        rows.extend(batch.to_pylist())

    produce(one, [{"a": 1}], key="k")
    produce(one, [None], key="gone")
    async with app.running():
        await until(lambda: len(rows) == 2)
    assert rows == [{"a": 1, "_key": b"k"}, {"a": None, "_key": b"gone"}]


async def test_skipped_records_are_counted_and_logged(
    app_factory: MakeApp, one: str, produce: Produce, caplog: pytest.LogCaptureFixture
) -> None:
    app, rows = app_factory(), []

    @app.subscribe(one, model=Order, on_error="skip")
    def handle(batch: pa.RecordBatch) -> None:
        rows.extend(batch["id"].to_pylist())

    bad = [bytes_ for bytes_, _ in BAD.values()]
    produce(one, [*GOOD, *bad, *GOOD])
    async with app.running():
        await until(lambda: len(rows) == 6)
        metrics = runtime_of(app).native.metrics()
    assert rows == [10, 11, 12] * 2
    assert f'turbine_bad_records_total{{worker="handle-p0"}} {len(bad)}' in metrics
    assert "left out, the first at offset" in caplog.text


@pytest.mark.parametrize("reader", ["subscription", "agent", "agent of lists", "agent of batches"])
async def test_fail_stops_in_front_of_the_bad_record_and_only_its_partition(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    cluster: Cluster,
    *,
    reader: str,
) -> None:
    topic = make_topic("in", partitions=2)
    app, seen = app_factory(), []
    group = app.conf.id

    async def values(stream: Any) -> None:
        async for order in stream:
            seen.append(order.id)

    async def lists(stream: Any) -> None:
        async for orders in stream.take(2, within=0.05):
            seen.extend(order.id for order in orders)

    async def batches(stream: Any) -> None:
        async for batch in stream.batches(2):
            seen.extend(batch["id"].to_pylist())

    if reader == "subscription":
        group += "-handle"

        @app.subscribe(topic, model=Order)
        def handle(batch: pa.RecordBatch) -> None:
            seen.extend(batch["id"].to_pylist())
    else:
        agents = {"agent": values, "agent of lists": lists, "agent of batches": batches}
        app.agent(topic, value_type=Order)(agents[reader])

    produce(topic, with_bad(b'{"id": 1}{'), partition=0)

    async def go() -> None:
        async with app.running():
            runtime = runtime_of(app)
            await until(lambda: runtime.failures)
            # The other partition goes on, now and later.
            produce(topic, [{"id": n} for n in range(100, 150)], partition=1)
            await until(lambda: {n for n in seen if n >= 100} == set(range(100, 150)))
            await until(lambda: cluster.committed(group, topic).get(1) == 50)
            (row,) = [r for r in runtime.native.assignments() if r["state"] == "failed"]
            assert row["partition"] == 0
            assert any(f"{topic}[0]" in why for why in runtime.native.health())

    with pytest.raises(turbine.HandlerError) as caught:
        await go()
    assert f"{topic}[0] at offset 2 cannot be decoded" in str(caught.value)
    assert 'on_error="dlq"' in str(caught.value)
    assert set(seen) == {10, 11, *range(100, 150)}
    # Behind the good ones, or at their start; never behind the bad one.
    assert cluster.committed(group, topic).get(0, 0) <= 2


@pytest.mark.parametrize("reader", ["agent", "subscription"])
async def test_a_flood_of_dead_letters_waits_for_room(
    app_factory: MakeApp, one: str, produce: Produce, cluster: Cluster, *, reader: str
) -> None:
    app, seen = app_factory(produce_buffer_bytes=100_000), []

    async def agent(stream: Any) -> None:
        async for value in stream:
            seen.append(value)

    def rows(batch: pa.RecordBatch) -> None:
        seen.extend(batch.to_pylist())

    if reader == "agent":
        app.agent(one, on_error="dlq", dlq=f"{one}-dead")(agent)
    else:
        app.subscribe(one, on_error="dlq", dlq=f"{one}-dead")(rows)
    produce(one, [*[b"{" + b"x" * 200] * 10_000, {"n": 1}])
    async with app.running():
        await until(lambda: seen == [{"n": 1}])
        await until(lambda: cluster.count(f"{one}-dead") == 10_000)


# -- handlers that fail ------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
async def test_the_rows_that_make_a_function_fail_are_found_and_the_rest_goes_out(
    app_factory: MakeApp, one: str, produce: Produce, consume: Consume, *, is_async: bool
) -> None:
    app = app_factory()
    poison = {3, 4, 70, 99}

    def check(batch: pa.RecordBatch) -> pa.RecordBatch:
        bad = poison & set(batch["id"].to_pylist())
        if bad:
            raise ValueError(f"cannot handle {min(bad)}")
        return batch

    async def check_async(batch: pa.RecordBatch) -> pa.RecordBatch:
        await asyncio.sleep(0)
        return check(batch)

    declare = app.subscribe(
        one, publish_to=f"{one}-out", on_error="dlq", dlq=f"{one}-dead", name="check"
    )
    declare(check_async if is_async else check)
    app.topic(f"{one}-out", partitions=1)
    produce(one, [{"id": n} for n in range(100)], key="k", headers=[("h", b"1")])
    async with app.running():
        out = await asyncio.to_thread(consume, f"{one}-out", 96)
        letters = await asyncio.to_thread(consume, f"{one}-dead", 4)
    assert [record.json["id"] for record in out] == [n for n in range(100) if n not in poison]
    assert sorted(letter.json["id"] for letter in letters) == sorted(poison)
    for letter in letters:
        number = letter.json["id"]
        is_dead_letter(letter, one, number, "process")
        assert letter.header["turbine.error"] == f"ValueError: cannot handle {number}"
        assert (letter.key, letter.headers[0]) == (b"k", ("h", b"1"))


async def test_a_failing_event_becomes_a_dead_letter_and_the_agent_goes_on(
    app_factory: MakeApp, one: str, produce: Produce, consume: Consume, cluster: Cluster
) -> None:
    app, seen = app_factory(), []

    @app.agent(one, on_error="dlq", dlq=f"{one}-dead")
    async def agent(stream: Any) -> None:
        async for value in stream:
            if value % 10 == 5:
                raise ValueError(f"no {value}")
            seen.append(value)

    produce(one, range(50), key="k")
    async with app.running():
        letters = await asyncio.to_thread(consume, f"{one}-dead", 5)
        await until(lambda: len(seen) == 45)
        await until(lambda: cluster.committed(app.conf.id, one) == {0: 50})
    assert seen == [n for n in range(50) if n % 10 != 5]
    assert sorted(letter.json for letter in letters) == [5, 15, 25, 35, 45]
    for letter in letters:
        is_dead_letter(letter, one, letter.json, "process")
        assert letter.header["turbine.error"] == f"ValueError: no {letter.json}"


async def test_all_values_of_a_failing_list_become_dead_letters(
    app_factory: MakeApp, one: str, produce: Produce, consume: Consume
) -> None:
    app, seen = app_factory(), []

    @app.agent(one, on_error="dlq", dlq=f"{one}-dead")
    async def agent(stream: Any) -> None:
        async for values in stream.take(5, within=0.05):
            if 7 in values:
                raise ValueError("seven")
            seen.extend(values)

    produce(one, range(20))
    async with app.running():
        letters = await asyncio.to_thread(consume, f"{one}-dead", 1, 10)
        await until(lambda: len(seen) + len(letters) == 20)
    assert sorted([*seen, *(letter.json for letter in letters)]) == list(range(20))
    assert 7 in {letter.json for letter in letters}


@pytest.mark.parametrize("how", ["sync", "async", "agent"])
async def test_a_handler_that_raises_stops_in_front_of_what_it_had(
    app_factory: MakeApp, one: str, produce: Produce, cluster: Cluster, *, how: str
) -> None:
    app, group = app_factory(), "-handle"

    def plain(batch: pa.RecordBatch) -> None:
        raise KeyError("lost")

    async def coroutine(batch: pa.RecordBatch) -> None:
        raise KeyError("lost")

    async def agent(stream: Any) -> None:
        async for value in stream:
            if value["id"] == 11:
                raise KeyError("lost")

    if how == "agent":
        app.agent(one)(agent)
        group = ""
    else:
        app.subscribe(one, name="handle")(plain if how == "sync" else coroutine)
    produce(one, GOOD)
    reason = await failure_of(app)
    assert "KeyError: 'lost'" in reason
    assert "Nothing is lost" in reason
    assert cluster.committed(f"{app.conf.id}{group}", one).get(0, 0) == (how == "agent")


@pytest.mark.parametrize("how", ["sync", "async", "agent"])
async def test_a_handler_that_exits_or_is_cancelled_fails_like_any_other(
    app_factory: MakeApp, one: str, produce: Produce, *, how: str
) -> None:
    app = app_factory()

    def plain(batch: pa.RecordBatch) -> None:
        raise SystemExit(3)

    async def coroutine(batch: pa.RecordBatch) -> None:
        raise asyncio.CancelledError("by itself")

    async def agent(stream: Any) -> None:
        async for _ in stream:
            raise asyncio.CancelledError("by itself")

    if how == "agent":
        app.agent(one)(agent)
    else:
        app.subscribe(one)(plain if how == "sync" else coroutine)
    produce(one, GOOD)
    wanted = "SystemExit: 3" if how == "sync" else "CancelledError: by itself"
    assert wanted in await failure_of(app)


async def test_an_agent_that_returns_says_so(
    app_factory: MakeApp, one: str, produce: Produce
) -> None:
    app = app_factory()

    @app.agent(one)
    async def agent(stream: Any) -> None:
        async for _ in stream:
            return

    produce(one, GOOD)
    assert "returned while its stream goes on" in await failure_of(app)


# -- the worker around it ----------------------------------------------------------------------

STRICT = """
import os
import turbine

class Order(turbine.Record):
    id: int

app = turbine.App(os.environ["APP_ID"], broker="kafka://" + os.environ["KAFKA"])

@app.subscribe(os.environ["IN"], publish_to=os.environ["OUT"], model=Order)
def same(batch):
    return batch
"""


def test_health_names_the_reason_and_the_worker_ends_when_nothing_can_go_on(
    worker_process: MakeWorker, make_topic: MakeTopic, produce: Produce, cluster: Cluster
) -> None:
    env = {"IN": make_topic("in", partitions=2), "OUT": make_topic("out")}
    worker = worker_process(STRICT, env=env).start().wait_ready()
    produce(env["IN"], [b'{"id": 1', {"id": 2}], partition=0)

    def reasons() -> list[str]:
        status, body = worker.get("/health")
        return body["reasons"] if status == 503 else []

    (reason,) = eventually(reasons, why="health says why")
    assert f"{env['IN']}[0]" in reason
    assert "offset 0" in reason
    produce(env["IN"], [{"id": 3}], partition=1)
    eventually(lambda: cluster.count(env["OUT"]) == 1, why="the other partition goes on")

    produce(env["IN"], [b"nothing"], partition=1)
    assert worker.wait() == 1
    said = worker.output()
    assert "no partition is left that can go on" in said
    assert "Traceback" not in said

    # A version of the app that can live with such records takes up where this one stood.
    mended = STRICT.replace("model=Order)", "model=Order, on_error='skip')")
    worker_process(mended, env=env).start().wait_ready()
    eventually(lambda: cluster.count(env["OUT"]) == 2, why="the rest is handled")
