"""Tables as their users see them: who may write, who sees what, what becomes of keys and values."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import turbine
from support.fixtures import MakeApp, MakeTopic, Produce
from support.wait import eventually_async as until


class Order(turbine.Record):
    id: int
    tags: tuple[str, ...] = ()


def counting(app: turbine.App, topic: str, **options: Any) -> tuple[Any, list[Any]]:
    """An agent that counts its values, and what it has seen."""
    seen: list[Any] = []
    counts = app.Table("counts", key_type=str, value_type=int, default=int)

    @app.agent(topic, key_type=str, value_type=str, name="counting", **options)
    async def agent(stream: Any) -> None:
        async for value in stream:
            counts[value] += 1
            seen.append(value)

    return counts, seen


async def run_in_agent(
    app_factory: MakeApp,
    topic: str,
    produce: Produce,
    use: Callable[[Any], Any],
    **declaration: Any,
) -> Any:
    """What *use* gives for a table while an agent has an event."""
    answers: list[Any] = []
    app = app_factory()
    table = app.Table("things", **declaration)

    @app.agent(topic, value_type=bytes, name="user")
    async def agent(stream: Any) -> None:
        async for _ in stream:
            try:
                answers.append(use(table))
            except Exception as exc:  # noqa: BLE001 - given to the test
                answers.append(exc)

    produce(topic, [b"go"], partition=0)
    async with app.running():
        await until(lambda: len(answers) == 1)
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]


# -- who sees what -----------------------------------------------------------------------------


async def test_an_agent_counts_and_everybody_reads(
    app_factory: MakeApp, topic: str, produce: Produce
) -> None:
    app = app_factory()
    counts, seen = counting(app, topic)
    words = ["a", "b", "a", "c", "a"] * 200
    produce(topic, [word.encode() for word in words], keys=words)
    async with app.running():
        await until(lambda: len(seen) == 1_000)
        # Outside of a stream: over all partitions.
        assert {key: counts[key] for key in "abcd"} == {"a": 600, "b": 200, "c": 200, "d": 0}
        assert dict(counts.items()) == Counter(words)
        assert sorted(counts) == ["a", "b", "c"]
        assert sorted(counts.values()) == [200, 200, 600]
        assert len(counts) == 3
        assert "a" in counts
        assert "d" not in counts
        assert counts.get("d") == 0
        assert counts.get("d", 7) == 7
        assert counts.get_many(["a", "d"], 0) == [600, 0]
        assert "600" in counts.as_ansitable(title="{table.name}!", sort=True)
        assert counts.to_arrow().num_rows == 3
        assert "<td>a</td><td>600</td>" in counts._repr_html_()


async def test_keys_of_one_partition_are_invisible_to_events_of_another(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    topic, seen = make_topic(partitions=2), []
    app = app_factory()
    totals = app.Table("totals", key_type=str, value_type=int, default=int)

    @app.agent(topic, name="adds")
    async def agent(stream: Any) -> None:
        async for event in stream.events():
            totals["all"] += event.value
            seen.append((event.partition, totals["all"], len(totals), list(totals.items())))

    produce(topic, [1, 2], partition=0)
    produce(topic, [10, 20], partition=1)
    async with app.running():
        await until(lambda: len(seen) == 4)
        # Which partitions a worker has does not change what an event sees.
        assert [row for row in seen if row[0] == 0] == [
            (0, 1, 1, [("all", 1)]),
            (0, 3, 1, [("all", 3)]),
        ]
        assert [row[1] for row in seen if row[0] == 1] == [10, 30]
        assert sorted(totals.items()) == [("all", 3), ("all", 30)]


async def test_agents_of_other_topics_read_a_table_and_cannot_write_it(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    # With the same number of partitions they would share it.
    users, orders = make_topic("users", partitions=4), make_topic("orders", partitions=2)
    seen: list[Any] = []
    known: list[Any] = []
    app = app_factory()
    names = app.Table("names", key_type=str, value_type=str)

    @app.agent(users, key_type=str, value_type=str, name="users")
    async def keep(stream: Any) -> None:
        async for key, value in stream.items():
            names[key] = value
            known.append(key)

    @app.agent(orders, value_type=str, name="orders")
    async def look(stream: Any) -> None:
        async for user in stream:
            try:
                names["other"] = "x"
            except turbine.StateError as exc:
                seen.append((names[user], str(exc)))

    produce(users, [b"Ann"], key="ann")
    async with app.running():
        await until(lambda: known == ["ann"])
        produce(orders, [b"ann"], key="whatever")
        await until(lambda: len(seen) == 1)
    name, refusal = seen[0]
    assert name == "Ann"
    assert refusal.startswith(
        f"table names is written by agents of topic {users}, so an agent of topic {orders} cannot"
    )


async def test_a_table_is_there_again_after_a_restart(
    app_factory: MakeApp, topic: str, produce: Produce
) -> None:
    app = app_factory()
    counts, seen = counting(app, topic)
    produce(topic, [b"a"] * 50, key="a")
    async with app.running():
        await until(lambda: len(seen) == 50)
    produce(topic, [b"a"] * 5, key="a")
    async with app.running():
        await until(lambda: len(seen) == 55)
        assert dict(counts.items()) == {"a": 55}


# -- who may write -----------------------------------------------------------------------------


async def test_what_is_written_outside_of_a_stream_is_refused(
    app_factory: MakeApp, topic: str
) -> None:
    app = app_factory()
    counts, _ = counting(app, topic)
    async with app.running():
        for write in (
            lambda: counts.__setitem__("a", 1),
            lambda: counts.__delitem__("a"),
            lambda: counts.pop("a", None),
            lambda: counts.update(a=1),
            lambda: counts.setdefault("a", 1),
            counts.clear,
        ):
            with pytest.raises(turbine.StateError, match="Cannot modify table counts outside of"):
                write()
        assert len(counts) == 0
        assert not counts


async def test_a_task_that_outlives_its_event_cannot_write_any_more(
    app_factory: MakeApp, topic: str, produce: Produce
) -> None:
    app = app_factory(broker_commit_interval=0.01)
    table = app.Table("late", key_type=str, value_type=int)
    go, answers = asyncio.Event(), []

    async def late() -> None:
        await go.wait()
        try:
            table["late"] = 1
        except turbine.StateError as exc:
            answers.append(str(exc))

    tasks: list[Any] = []

    @app.agent(topic, value_type=bytes, name="starts")
    async def agent(stream: Any) -> None:
        async for _ in stream:
            table["now"] = 1
            tasks.append(asyncio.create_task(late()))

    produce(topic, [b"x"], partition=0)
    async with app.running():
        native = app._runtime.native  # type: ignore[union-attr]
        await until(lambda: any(row["committed"] == 1 for row in native.assignments()))
        go.set()
        await until(lambda: len(answers) == 1)
        assert answers[0].startswith("Cannot modify table late any more: the event that this")
        assert dict(table.items()) == {"now": 1}


async def test_a_table_needs_a_worker(app_factory: MakeApp) -> None:
    table = app_factory().Table("things")
    with pytest.raises(turbine.NotRunning, match="the table things is read and written where"):
        _ = table["a"]


# -- as a dictionary ---------------------------------------------------------------------------


async def test_it_is_a_dictionary(app_factory: MakeApp, topic: str, produce: Produce) -> None:
    def use(table: Any) -> Any:
        table.update({"a": 1, "b": 2}, c=3)
        del table["a"]
        with pytest.raises(KeyError):
            del table["a"]
        with pytest.raises(KeyError):
            table["a"]
        with pytest.raises(KeyError):
            table.pop("a")
        popped = table.pop("b"), table.pop("b", None)
        given = table.setdefault("d", 4), table.setdefault("d", 5)
        rest = dict(table)
        table.clear()
        return popped, given, rest, len(table), bool(table), table.get("c")

    answer = await run_in_agent(app_factory, topic, produce, use, key_type=str, value_type=int)
    assert answer == ((2, None), (4, 4), {"c": 3, "d": 4}, 0, False, None)


async def test_a_default_is_fresh_and_not_stored_until_it_is_assigned(
    app_factory: MakeApp, topic: str, produce: Produce
) -> None:
    def use(table: Any) -> Any:
        table["a"].append(1)
        unchanged = table["a"], "a" in table
        mine = table["a"]
        mine.append(2)
        table["a"] = mine
        mine.append(3)
        return unchanged, table["a"]

    answer = await run_in_agent(app_factory, topic, produce, use, key_type=str, default=list)
    assert answer == (([], False), [2])


async def test_iterating_goes_by_pages_and_sees_what_was_written_just_now(
    app_factory: MakeApp, topic: str, produce: Produce
) -> None:
    def use(table: Any) -> Any:
        table.update({n: n for n in range(3_000)})
        for n in range(0, 3_000, 2):
            del table[n]
        return sorted(table), len(table), sum(table.values())

    odd = list(range(1, 3_000, 2))
    answer = await run_in_agent(app_factory, topic, produce, use, key_type=int, value_type=int)
    assert answer == (odd, 1_500, sum(odd))


# -- keys and values ---------------------------------------------------------------------------

ORDER = Order(id=7, tags=("a", "b"))
MOMENT = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        (str, "grüß", "grüß".encode()),
        (bytes, b"\x00\xff", b"\x00\xff"),
        (int, -(10**30), b"-1" + b"0" * 30),
        (float, 0.1, b"0.1"),
        (bool, True, b"true"),
        (None, {"a": [1, 2.5, None, "x"]}, b'{"a":[1,2.5,null,"x"]}'),
        (None, None, b"null"),
        (list, [1, [2]], b"[1,[2]]"),
        (Order, ORDER, b'{"id":7,"tags":["a","b"]}'),
        (datetime, MOMENT, b'"2024-02-29T12:30:00Z"'),
        (date, MOMENT.date(), b'"2024-02-29"'),
        (Decimal, Decimal("1.10"), b'"1.10"'),
        (UUID, UUID(int=5), b'"00000000-0000-0000-0000-000000000005"'),
        (set[int], {3}, b"[3]"),
    ],
)
def test_a_value_comes_back_as_it_was(kind: Any, value: Any, stored: bytes) -> None:
    codec = turbine.App("types").Table("things", value_type=kind).codec
    assert codec.encode_value(value) == stored
    back = codec.decode_value(stored)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        (int, "5", "it holds int, not str ('5')"),
        (str, 5, "it holds str, not int (5)"),
        (bytes, "b", "it holds bytes, not str ('b')"),
        (bool, 1, "it holds bool, not int (1)"),
        (None, {1, 2}, "it holds what JSON can hold, not set ({1, 2})"),
        (None, {1: 2}, "names in a dict are str there, not int (1)"),
        (None, float("nan"), "JSON has no NaN"),
        (None, ORDER, "it holds what JSON can hold, not Order"),
        (Order, {"id": "x"}, "1 validation error for Order"),
    ],
)
def test_a_value_that_would_not_come_back_is_refused(kind: Any, value: Any, why: str) -> None:
    codec = turbine.App("types").Table("things", value_type=kind).codec
    with pytest.raises(turbine.EncodeError) as refused:
        codec.encode_value(value)
    message = str(refused.value)
    assert message.startswith("table things: the value cannot be stored: ")
    assert why in message


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(codec="utf-8")),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner)
        ),
        max_leaves=10,
    )
)
def test_whatever_json_holds_comes_back(value: Any) -> None:
    codec = turbine.App("types").Table("things").codec
    assert codec.decode_value(codec.encode_value(value)) == value


@given(st.floats())
def test_every_float_comes_back(value: float) -> None:
    codec = turbine.App("types").Table("things", value_type=float).codec
    back = codec.decode_value(codec.encode_value(value))
    assert repr(back) == repr(value)


def test_keys_that_are_tuples_come_back_as_tuples() -> None:
    codec = turbine.App("types").Table("things").codec
    assert codec.decode_key(codec.encode_key(("a", (1, 2)))) == ("a", (1, 2))


def test_bytes_of_another_declaration_are_told_from_values() -> None:
    codec = turbine.App("types").Table("things", value_type=int).codec
    with pytest.raises(turbine.DecodeError, match="table things: a stored value is not of its"):
        codec.decode_value(b"[1]")


# -- coming back -------------------------------------------------------------------------------


async def test_who_waits_for_a_table_is_told_once_all_of_an_assignment_is_there(
    app_factory: MakeApp, topic: str, produce: Produce
) -> None:
    words = [f"w{n}" for n in range(40)]
    produce(topic, [word.encode() for word in words], keys=words)
    first, second = Told(app_factory("told"), topic), Told(app_factory("told"), topic)
    async with first.app.running():
        await until(lambda: len(first.seen) == 40)
        await until(lambda: len(first.told) == 2)
    async with second.app.running():
        await until(lambda: len(second.told) == 2)
    assert second.told == [40, "plain"]


class Told:
    """An app with a table, and what it was told of it."""

    def __init__(self, app: turbine.App, topic: str) -> None:
        self.app, self.told = app, list[Any]()
        self.counts, self.seen = counting(app, topic)
        self.counts.on_recover(self.recovered)
        self.counts.on_recover(lambda: self.told.append("plain"))

    async def recovered(self) -> None:
        await asyncio.sleep(0)
        self.told.append(len(self.counts))


# -- declarations ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"default": 5}, "write a function that makes the value, as default=int"),
        ({"default": set}, "does not fit: table things: the value cannot be stored"),
        ({"value_type": 5}, "value_type=5 is not a type"),
        ({"use_partitioner": True}, "use_partitioner=True is not possible"),
        ({"window": 1}, "app.Table takes no window=: write app.Table"),
        ({"defualt": int}, "app.Table has no option defualt=: did you mean default=?"),
        ({"partitions": 0}, "partitions=0 is not possible"),
        ({"changelog_topic": "a b"}, "'a b' is not a topic name"),
        ({"on_recover": 5}, "on_recover takes a function without arguments, not 5"),
        ({"on_recover": lambda table: table}, "write 'async def recovered(): ...'"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(turbine.DeclarationError) as refused:
        turbine.App("declared").Table("things", **options)
    assert why in str(refused.value)


def test_two_tables_of_one_name_are_refused() -> None:
    app = turbine.App("declared")
    app.Table("things")
    with pytest.raises(turbine.DeclarationError, match="a table has the name 'things' already"):
        app.Table("things")


async def test_an_agent_is_tested_without_a_broker(app_factory: MakeApp) -> None:
    app = app_factory()
    counts = app.Table("counts", key_type=str, value_type=int, default=int)

    @app.agent("words", value_type=str)
    async def agent(stream: Any) -> Any:
        async for word in stream:
            counts[word] += 1
            yield counts[word]

    async with agent.test_context() as context:
        for word in ("a", "b", "a"):
            await context.put(word)
        assert context.yielded == [1, 1, 2]
        assert dict(counts.items()) == {"a": 2, "b": 1}
        with pytest.raises(turbine.StateError, match="outside of a stream"):
            counts["a"] = 5
