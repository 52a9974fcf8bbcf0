"""Tables of sets: a record of the changelog for each member, and what a restart brings back."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from support.fixtures import Consume, MakeApp, Produce
from support.wait import eventually as at_once
from support.wait import eventually_async as eventually
from turbine import App, DeclarationError, StateError
from turbine.set_tables import SetTable

Do = Callable[[SetTable[str, str]], Any]


def declare(app: App, topic: str, seen: list[Any]) -> SetTable[str, str]:
    """Run what events ask for, on the table."""
    people: SetTable[str, str] = app.SetTable("people", value_type=str, help="Who is where.")

    @app.agent(topic, key_type=str, value_type=dict, name="keep")
    async def keep(events: Any) -> None:
        async for key, ask in events.items():
            getattr(people[key], ask["do"])(*ask["args"])
            seen.append((key, sorted(people[key]), len(people[key])))

    return people


def test_sets_do_what_sets_do_and_come_back_after_a_restart(
    app_factory: MakeApp, topic: str, produce: Produce, consume: Consume, app_id: str
) -> None:
    asks: list[tuple[str, str, list[Any], list[str]]] = [
        ("b", "add", ["ada"], ["ada"]),
        ("b", "add", ["bob"], ["ada", "bob"]),
        ("b", "add", ["bob"], ["ada", "bob"]),
        ("bb", "update", [["x", "y"]], ["x", "y"]),
        ('b"', "add", ["quoted"], ["quoted"]),
        ("b", "discard", ["nobody"], ["ada", "bob"]),
        ("b", "remove", ["ada"], ["bob"]),
        ("bb", "intersection_update", [["y", "z"]], ["y"]),
        ("bb", "symmetric_difference_update", [["y", "q", "r"]], ["q", "r"]),
        ("bb", "difference_update", [["q"]], ["r"]),
        ("c", "add", ["gone"], ["gone"]),
        ("c", "clear", [], []),
    ]
    for key, do, args, _ in asks:
        produce(topic, [json.dumps({"do": do, "args": args}).encode()], key=key, partition=1)
    expected = [(key, after, len(after)) for key, _, _, after in asks]

    async def run(*, again: bool) -> None:
        seen: list[Any] = []
        app = app_factory(app_id)
        people = declare(app, topic, seen)
        async with app.running():
            if not again:
                await eventually(lambda: seen == expected)
            await eventually(lambda: {key: set(people[key]) for key in people} == CONTENT)
            assert sorted(people) == sorted(CONTENT)
            assert len(people) == 3
            assert "c" not in people
            assert "b" in people
            assert not people["c"]
            assert people["b"] | {"z"} == {"bob", "z"}
            assert repr(people["b"]) == "{'bob'}"
            assert "bb" in people.as_ansitable(sort=True)
            with pytest.raises(StateError):
                people["b"].add("from outside")

    asyncio.run(run(again=False))
    asyncio.run(run(again=True))

    def left() -> set[tuple[str, str]]:
        kept = {got.key: got.value for got in consume(f"{app_id}-people-changelog", 1)}
        return {tuple(json.loads(key or b"")) for key, value in kept.items() if value is not None}

    at_once(lambda: left() == {("b", "bob"), ("bb", "r"), ('b"', "quoted")})


CONTENT = {"b": {"bob"}, 'b"': {"quoted"}, "bb": {"r"}}


async def test_a_set_can_be_assigned_and_deleted_and_keys_have_types(
    app_factory: MakeApp, topic: str, produce: Produce
) -> None:
    app = app_factory()
    table: SetTable[int, int] = app.SetTable("numbers", key_type=int, value_type=int)
    seen: list[Any] = []

    @app.agent(topic, value_type=int, name="keep")
    async def keep(events: Any) -> None:
        async for number in events:
            table[number] = {number, number + 1, number + 2}
            table[number] = {number + 1}
            seen.append(sorted(table[number]))
            if number == 12:
                del table[number]
                with pytest.raises(KeyError):
                    del table[number]
            seen.append(sorted(table))

    for number in (1, 12, 2):
        produce(topic, [str(number).encode()], partition=0)
    async with app.running():
        await eventually(lambda: len(seen) == 6)
    assert seen == [[2], [1], [13], [1], [3], [1, 2]]


async def test_a_set_with_more_members_than_a_page_is_whole(
    app_factory: MakeApp, topic: str, produce: Produce
) -> None:
    app = app_factory()
    table: SetTable[str, int] = app.SetTable("numbers", value_type=int)
    seen: list[int] = []

    @app.agent(topic, value_type=int, name="keep")
    async def keep(events: Any) -> None:
        async for number in events:
            table["a"].add(0)
            table["all"].update(range(number))
            table["b"].add(0)
            seen.append(len(table["all"]))

    produce(topic, [b"2500"], partition=0)
    async with app.running():
        await eventually(lambda: seen == [2500])
        assert set(table["all"]) == set(range(2500))


def test_what_cannot_be_declared_says_what_to_write() -> None:
    app = App("sets")
    app.SetTable("people")
    with pytest.raises(DeclarationError, match="already"):
        app.SetTable("people")
    with pytest.raises(DeclarationError, match="start_manager"):
        app.SetTable("others", start_manager=True)
    with pytest.raises(TypeError, match="frozenset"):
        hash(app.SetTable("more")["x"])
