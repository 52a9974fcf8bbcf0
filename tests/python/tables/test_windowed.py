"""Tables with windows: which values there are, when windows close, and that they close once."""

import asyncio
import json
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.fixtures import Consume, MakeApp, Produce
from support.wait import eventually as at_once
from support.wait import eventually_async as eventually
from turbine import App, DeclarationError, Record, StateError
from turbine._table_windows import Hopping, Sliding
from turbine._turns import TURN
from turbine.events import Event
from turbine.testing import MakeApp as NewApp
from turbine.testing import MakeTopic as NewTopic
from turbine.testing import Sent, StartWorker
from turbine.testing._tables import MemoryTable, TestTurn
from turbine.windowed_tables import WindowedTable

Windowed = WindowedTable[str, int]
Closings = list[tuple[tuple[str, tuple[float, float]], int]]
MINUTE = 1_700_000_040
"""Start of a minute, in seconds."""


# -- which windows, as pure functions ----------------------------------------------------------

MS = st.integers(min_value=1, max_value=20_000)
TIMES = st.integers(min_value=0, max_value=4_000_000_000_000)


@given(size=MS, step=MS, at=TIMES)
def test_the_windows_of_a_time_are_all_that_hold_it(size: int, step: int, at: int) -> None:
    step = max(min(step, size), -(-size // 20))
    got = Hopping(size / 1_000, step / 1_000).ranges(at / 1_000)
    starts = [start for start in range(0, at + 1, step) if start + size > at] if at < 10**5 else []
    first = (at - size) // step * step + step
    starts = starts or list(range(first, at + 1, step))
    wanted = [(start / 1_000, (start + size) / 1_000) for start in starts if start >= first]
    assert got[-len(wanted) :] == wanted
    assert all(start <= at / 1_000 < end for start, end in got)
    assert Hopping(size / 1_000, step / 1_000).current(at / 1_000) == got[-1]


def test_sizes_are_numbers_or_timedeltas_and_below_a_second_too() -> None:
    assert Hopping(0.25, 0.25).current(10.3) == (10.25, 10.5)
    assert Hopping(timedelta(minutes=1), 30).ranges(70) == [(30, 90), (60, 120)]
    assert Hopping(10, 10).delta(25, timedelta(seconds=10)) == (10, 20)
    assert Sliding(5, 2).ranges(10.1) == [(5.1, 12.1)]


@pytest.mark.parametrize(
    ("size", "step", "says"),
    [(0, 1, "too short"), (1, 2, "longer than"), (-1, 1, "not negative"), ("x", 1, "seconds")],
)
def test_lengths_that_cannot_be_are_refused(size: Any, step: Any, says: str) -> None:
    table = App("windows").Table("counts")
    with pytest.raises(DeclarationError, match=says):
        table.hopping(size, step)


def test_a_table_gets_windows_once_and_only_windows() -> None:
    table = App("windows").Table("counts")
    with pytest.raises(DeclarationError, match="write a window"):
        table.using_window(Sliding)  # type: ignore[arg-type] # that is what is tested
    windowed = table.tumbling(1)
    with pytest.raises(DeclarationError, match="has windows already"):
        table.tumbling(1)
    with pytest.raises(DeclarationError, match=r"Model\.date"):
        windowed.relative_to([])
    with pytest.raises(DeclarationError, match="topic_route"):
        App("windows").table_route(windowed.table, "key")


def test_keys_are_stored_as_faust_writes_them() -> None:
    # What orjson, which Faust prefers, makes of (key, (start, end)).
    stored = ["a", (1_700_000_040.0, 1_700_000_099.9)], b'["a",[1700000040.0,1700000099.9]]'
    for key_type in (None, str):
        table = App("windows").Table("counts", key_type=key_type).tumbling(60).table
        assert table.codec.encode_key(tuple(stored[0])) == stored[1]
        key, (start, end) = table.codec.decode_key(stored[1])
        assert (key, (start, end)) == tuple(stored[0])


# -- against a model ---------------------------------------------------------------------------


@contextmanager
def in_memory(app: App) -> Iterator[dict[str, MemoryTable]]:
    """Let tables of *app* be written, as if an agent had an event of a topic."""
    kept: dict[str, MemoryTable] = {}

    def find(table: Any) -> MemoryTable:
        return kept.setdefault(table.name, MemoryTable(table.name, table.codec))

    app._runtime = SimpleNamespace(keeps_producer=True, table=find)
    token = TURN.set(TestTurn("t", 0))
    try:
        yield kept
    finally:
        TURN.reset(token)
        app._runtime = None


EVENTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 120), st.integers(1, 9), st.booleans()),
    max_size=40,
)


@given(events=EVENTS, hop=st.sampled_from([(10, 10), (10, 5), (7, 3)]))
def test_values_are_those_of_a_dict_of_key_and_window(
    events: list[tuple[str, int, int, bool]], hop: tuple[int, int]
) -> None:
    app, model = App("windows"), dict[Any, int]()
    table: Windowed = app.Table("counts", key_type=str, value_type=int, default=int).hopping(*hop)
    with in_memory(app):
        for key, at, amount, is_set in events:
            event = Event(app, key, amount, timestamp=float(at))
            for window in Hopping(*hop).ranges(at):
                before = 0 if is_set else model.get((key, window), 0)
                model[key, window] = before + amount
            if is_set:
                table[key][event] = amount
            else:
                table[key].apply(operator.add, amount, event)
            assert table[key].value(event) == model[key, Hopping(*hop).current(at)]
            assert table[key][event].current() == table[key].current(event)
            before = model.get((key, Hopping(*hop).delta(at, 8)), 0)
            assert table[key].delta(8, event) == before
        assert dict(table.windows()) == model
        assert set(table.keys()) == {key for key, _ in model}


@given(events=EVENTS, expires=st.sampled_from([0, 5, 30]))
async def test_windows_close_once_in_order_whenever_a_partition_begins_anew(
    events: list[tuple[str, int, int, bool]], expires: int
) -> None:
    app, closed, wanted = App("windows"), Closings(), Closings()
    model, newest, late = dict[Any, int](), -1.0, 0
    table: Windowed = app.Table(
        "counts",
        key_type=str,
        value_type=int,
        default=int,
        on_window_close=lambda key, value: closed.append((key, value)),
    ).tumbling(10, expires=expires)
    expiry = table.table.expiry
    assert expiry is not None
    with in_memory(app):
        for key, at, amount, is_restart in events:
            window = Hopping(10, 10).current(at)
            if window[1] + expires <= newest:
                late += 1
            else:
                model[key, window] = model.get((key, window), 0) + amount
            newest = max(newest, at)
            due = [one for one in model if one[1][1] + expires <= newest]
            wanted += [(one, model.pop(one)) for one in sorted(due, key=lambda one: one[::-1])]
            table[key].apply(operator.add, amount, Event(app, key, amount, timestamp=float(at)))
            await expiry.handled(float(at), skips=False)
            if is_restart:
                expiry.forget()
            assert closed == wanted
        assert dict(table.windows()) == model
        assert expiry.late == late
    assert len({key for key, _ in closed}) == len(closed)


async def closings_of(
    events: list[tuple[str, int, int, bool]], crashes: list[int]
) -> tuple[Closings, dict[Any, int]]:
    """What closes and what stays, if the partition goes back to its last commit at *crashes*."""
    app, closed = App("windows"), Closings()
    table: Windowed = app.Table(
        "counts",
        key_type=str,
        value_type=int,
        default=int,
        on_window_close=lambda key, value: closed.append((key, value)),
    ).hopping(10, 5, expires=5)
    assert table.table.expiry is not None
    with in_memory(app) as kept:
        at_commit, parts, told, index = 0, dict[str, Any](), 0, 0
        crashes = sorted(crashes, reverse=True)
        while index < len(events):
            if crashes and crashes[-1] <= index:
                crashes.pop()
                index = at_commit
                del closed[told:]
                for name, one in kept.items():
                    one._parts = deepcopy(parts.get(name, {}))
                continue
            key, at, amount, is_committed = events[index]
            TURN.set(TestTurn("t", 0))
            table[key].apply(operator.add, amount, Event(app, key, amount, timestamp=float(at)))
            await table.table.expiry.handled(float(at), skips=False)
            index += 1
            if is_committed:
                at_commit, told = index, len(closed)
                parts = {name: deepcopy(one._parts) for name, one in kept.items()}
        return closed, dict(table.windows())


@given(events=EVENTS, crashes=st.lists(st.integers(0, 39), max_size=3))
async def test_a_partition_that_begins_anew_in_the_same_worker_closes_the_same_windows(
    events: list[tuple[str, int, int, bool]], crashes: list[int]
) -> None:
    assert await closings_of(events, crashes) == await closings_of(events, [])


# -- through a broker --------------------------------------------------------------------------


def counting(
    app: App, topic: str, closings: Closings, **options: Any
) -> tuple[Windowed, list[Any]]:
    """Count values a minute, and note what closes and what is seen."""
    seen: list[Any] = []

    async def close(key: Any, value: int) -> None:
        await asyncio.sleep(0)
        closings.append((key, value))

    table: Windowed = app.Table(
        "counts", key_type=str, value_type=int, default=int, on_window_close=close
    ).tumbling(60, expires=10)

    @app.agent(topic, value_type=str, name="count")
    async def count(stream: Any) -> None:
        async for word in stream:
            table[word] += 1
            seen.append((word, table[word].value(), table[word].delta(60)))

    return table, seen


def send(produce: Produce, topic: str, *records: tuple[str, int], partition: int = 0) -> None:
    for word, second in records:
        at_ms = (MINUTE + second) * 1_000
        produce(topic, [word.encode()], partition=partition, timestamp_ms=at_ms)


def minute(number: int) -> tuple[float, float]:
    return MINUTE + number * 60.0, MINUTE + number * 60.0 + 60


@pytest.mark.parametrize("store", ["memory://", "rocksdb://"])
async def test_windows_close_once_across_a_restart(
    app_factory: MakeApp, topic: str, produce: Produce, consume: Consume, store: str
) -> None:
    closings, app_id = Closings(), f"app-{topic}"
    send(produce, topic, ("a", 0), ("b", 1), ("a", 59), ("a", 60), ("c", 69))
    app = app_factory(app_id, store=store)
    table, seen = counting(app, topic, closings)
    async with app.running():
        await eventually(lambda: len(seen) == 5)
        # Nobody is in a stream here: the newest time is that of the last write.
        assert table["a"].value() == 1
        assert table["a"][minute(0)] == 2
        assert sorted(table.items()) == [("a", 1), ("b", 0), ("c", 1)]
        assert sorted(table.items().delta(60)) == [("a", 2), ("b", 1), ("c", 0)]
        assert sorted(table.values().current()) == [0, 1, 1]
        assert "a" in table
        assert "b" not in table
        assert len(table.keys()) == 3
        with pytest.raises(StateError):
            table["a"] += 1
    assert seen[2:4] == [("a", 2, 0), ("a", 1, 2)]
    assert closings == []
    # The first is late enough for the minute to close, the second comes too late for it.
    send(produce, topic, ("d", 70), ("a", 30), ("a", 200))
    app = app_factory(app_id, store=store)
    table, seen = counting(app, topic, closings)
    async with app.running():
        await eventually(lambda: len(seen) == 3 and len(closings) == 5)
        assert dict(table.windows()) == {("a", minute(3)): 1}
        assert table["a"].value() == 1
    assert closings == [
        (("a", minute(0)), 2),
        (("b", minute(0)), 1),
        (("a", minute(1)), 1),
        (("c", minute(1)), 1),
        (("d", minute(1)), 1),
    ]
    changelog = f"{app_id}-counts-changelog"

    def left() -> dict[bytes | None, Any]:
        kept = {got.key: got.value for got in consume(changelog, 1)}
        return {key: value for key, value in kept.items() if value is not None}

    start, end = minute(3)
    key = json.dumps(["a", [start, end]], separators=(",", ":")).encode()
    at_once(lambda: left() == {key: b"1"})


async def test_what_closes_is_sent_exactly_once_and_take_writes_windows(
    app_factory: MakeApp, topic: str, produce: Produce, consume: Consume, app_id: str
) -> None:
    out = f"{topic}-out"
    app = app_factory(app_id, processing_guarantee="exactly_once")
    sink, lists = app.topic(out), list[list[str]]()
    table: Windowed = app.Table(
        "counts",
        key_type=str,
        value_type=int,
        default=int,
        on_window_close=lambda key, value: sink.send_soon(key=key[0], value=value),
    ).tumbling(60, expires=0)

    @app.agent(topic, value_type=str, name="count")
    async def count(stream: Any) -> None:
        async for words in stream.take(2, within=5):
            lists.append(words)
            for word in words:
                table[word] += 1

    send(produce, topic, ("a", 0), ("a", 1), ("a", 60), ("a", 61))
    async with app.running():
        await eventually(lambda: sum(map(len, lists)) == 4)
        got = await asyncio.to_thread(consume, out, 1)
    assert [(one.key, one.json) for one in got] == [(b"a", 2)]


async def test_a_function_that_raises_stops_the_partition_or_is_left_out(
    app_factory: MakeApp, topic: str, produce: Produce, app_id: str
) -> None:
    from turbine import HandlerError

    send(produce, topic, ("a", 0), ("a", 100))
    calls = list[Any]()

    def fails(key: Any, value: int) -> None:
        calls.append((key, value))
        raise ZeroDivisionError("no")

    def declare(**options: Any) -> tuple[App, Windowed, list[str]]:
        app, seen = app_factory(app_id), list[str]()
        table: Windowed = app.Table(
            "counts", key_type=str, value_type=int, default=int, on_window_close=fails
        ).tumbling(60, expires=0)

        @app.agent(topic, value_type=str, name="count", **options)
        async def count(stream: Any) -> None:
            async for word in stream:
                table[word] += 1
                seen.append(word)

        return app, table, seen

    app, *_ = declare()
    with pytest.raises(HandlerError, match="no"):
        async with app.running():
            await eventually(lambda: len(calls) == 1)
    app, table, seen = declare(on_error="skip")
    async with app.running():
        await eventually(lambda: len(seen) >= 1 and dict(table.windows()) == {("a", minute(1)): 1})
    assert calls == [(("a", minute(0)), 1)] * 2


class Sale(Record):
    at: datetime
    amount: float


async def test_a_field_the_clock_or_a_function_can_be_the_time(
    app_factory: MakeApp, topic: str, produce: Produce
) -> None:
    app = app_factory()
    seen: list[Any] = []
    plain = app.Table("by_field", key_type=str, value_type=float, default=float).tumbling(60)
    by_field = plain.relative_to_field("at")
    by_clock = app.Table("by_clock", default=int).tumbling(60).relative_to_now()
    by_hand = app.Table("by_hand", default=int).tumbling(60).relative_to(lambda event: event.offset)

    @app.agent(topic, value_type=Sale, name="sales")
    async def sales(stream: Any) -> None:
        async for sale in stream:
            by_field["all"] += sale.amount
            by_clock["all"] += 1
            by_hand["all"] += 1
            seen.append((by_field["all"].value(), by_clock["all"].now(), by_hand["all"].value()))

    at = datetime.fromtimestamp(MINUTE + 30, UTC)
    body = Sale(at=at, amount=2.5).model_dump_json().encode()
    produce(topic, [body, body], partition=0)
    async with app.running():
        await eventually(lambda: len(seen) == 2)
        assert dict(by_field.windows()) == {("all", minute(0)): 5.0}
        assert dict(by_hand.windows()) == {("all", (0.0, 60.0)): 2}
    assert seen[0] == (2.5, 1, 1)


async def test_windows_close_exactly_once_around_crashes(
    turbine_app: NewApp, turbine_topics: NewTopic, turbine_worker: StartWorker, tmp_path: Path
) -> None:
    words, out = turbine_topics("words", partitions=2, value_type=str), turbine_topics("out")
    app = turbine_app(processing_guarantee="exactly_once", datadir=tmp_path)
    sink = app.topic(out)
    table: Windowed = app.Table(
        "counts",
        key_type=str,
        value_type=int,
        default=int,
        on_window_close=lambda key, value: sink.send_soon(value=[*key, value]),
    ).tumbling(10, expires=0)

    @app.agent(words, value_type=str, name="count")
    async def count(stream: Any) -> None:
        async for word in stream:
            await asyncio.sleep(0.0005)
            table[word] += 1

    def has_closed(windows: int) -> bool:
        try:
            return len(out.records()) >= windows
        except TimeoutError:
            # A killed worker's transaction is open until somebody has its partition.
            return False

    # In each window one "c" at its beginning, ten "b" and nine "a".
    text = "c" + "ba" * 9 + "b"
    for partition in (0, 1):
        sent = [Sent(text[n % 20], None, MINUTE + n / 2) for n in range(200)]
        await words.put(*sent, partition=partition)
    worker = await turbine_worker(app)
    for at_least in (1, 10, 30):
        await eventually(partial(has_closed, at_least))
        worker = await worker.replace()
    await eventually(partial(has_closed, 54))
    await worker.idle()
    values = [event.value for event in out.records()]
    got = sorted((key, start, value) for key, (start, _), value in values)
    counts = {"a": 9, "b": 10, "c": 1}
    wanted = [(key, MINUTE + 10.0 * n, counts[key]) for key in "abc" for n in range(9)]
    assert got == sorted(wanted * 2)
