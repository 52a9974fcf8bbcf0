"""Values of the state: what comes back is what was put, and what has no form is refused."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from support.failing import failure_of
from turbine import DeclarationError, State

from .conftest import Bench

pytestmark = pytest.mark.any_broker

# One worker runs them all; what is wrong is raised in the test.
Work = Callable[[State], Any]

PLAIN = {
    "text": "häß\n\"'",
    "empty": "",
    "int": -(2**63),
    "float": 0.1,
    "inf": float("inf"),
    "yes": True,
    "no": False,
    "none": None,
    "bytes": b"\x00\xff",
    "list": [1, [2.5, None], {"a": "b"}, []],
    "dict": {"a": {"b": [True, False]}, "": -1},
    "large": [2**70],
}


class Order(BaseModel):
    at: datetime
    price: Decimal
    tags: set[str] = set()


@dataclass
class Place:
    x: int
    y: int


@pytest.mark.parametrize("state_format", ["json", "msgpack"])
async def test_values_come_back_as_they_were_put(bench: Bench, state_format: str) -> None:
    values = dict(PLAIN)
    if state_format == "msgpack":
        values |= {"large": [2**64 - 1], "inner": [b"\x00", {"b": b""}], "nan": [float("inf")]}

    def put(state: State) -> None:
        for key, value in values.items():
            state.put(key, value)
        state.put_many({f"many-{key}": value for key, value in values.items()})
        assert {key: state.get(key) for key in values} == values

    await bench.once(put, state_format=state_format)

    def look(state: State) -> None:
        names = list(values)
        assert state.get_many(names) == list(values.values())
        assert [type(one) for one in state.get_many(names)] == list(map(type, values.values()))
        assert state.get_many([f"many-{key}" for key in names]) == list(values.values())
        # Which format a value was put with is in the value.

    await bench.once(look, state_format="json" if state_format == "msgpack" else "msgpack")


def refused(state: State, value: Any) -> str:
    try:
        state.put("k", value)
    except TypeError as exc:
        return str(exc)
    raise AssertionError(f"{value!r} was taken")


async def test_a_value_without_a_form_is_refused_with_the_path_to_it(bench: Bench) -> None:
    loop: list[Any] = []
    loop.append(loop)

    def json(state: State) -> None:
        assert refused(state, {"a": [0, b"x"]}) == (
            "state.put('k'): the value[\"a\"][1] is bytes, which JSON has no form for: write "
            'state_format="msgpack", or put them alone'
        )
        assert "the value[0] is NaN" in refused(state, [float("nan")])
        assert "the value is of type set" in refused(state, {1, 2})
        assert 'the value["d"] is of type datetime' in refused(state, {"d": datetime.now(UTC)})
        assert "state.typed(Order)" in refused(state, Order(at=datetime.now(UTC), price=Decimal(1)))
        assert "a dict with a key of type int" in refused(state, {1: 2})
        assert "nested more than 64 levels" in refused(state, loop)
        assert "half a surrogate pair" in refused(state, ["\ud800"])
        assert state.get("k") is None
        with pytest.raises(TypeError, match=r"state.put_many, value 1: .* of type object"):
            state.put_many(["a", "b"], [1, object()])
        assert state.get("a") is None, "either all or none"

    await bench.once(json)

    def msgpack(state: State) -> None:
        assert "does not fit 64 bits" in refused(state, [2**64])
        assert "the value[1] is of type complex" in refused(state, (1, 1j))

    await bench.once(msgpack, state_format="msgpack")


async def test_bytes_stay_bytes(bench: Bench) -> None:
    def work(state: State) -> None:
        state.put_bytes("b", b"\x00\x01")
        state.put("p", b"\x02")
        assert state.get("b") == state.get_bytes("b") == b"\x00\x01"
        assert state.get_bytes("p") == b"\x02"
        state.put_bytes_many({"c": b"3", b"d": b"4"})
        state.put_bytes_many(pa.array(["e"]), pa.array([b"5"]))
        assert state.get_bytes_many(["c", "d", "e", "missing"]) == [b"3", b"4", b"5", None]
        state.put("text", "no bytes")
        with pytest.raises(TypeError, match="was not put as bytes: read it with get"):
            state.get_bytes("text")
        wrong: Any = "text"
        with pytest.raises(TypeError, match="put_bytes takes bytes, and not str"):
            state.put_bytes("k", wrong)

    await bench.once(work)


async def test_keys_are_text_or_bytes(bench: Bench) -> None:
    def work(state: State) -> None:
        state.put("ä", 1)
        assert state.get("ä".encode()) == 1
        assert [key for key, _ in state.scan()] == ["ä"]
        assert [key for key, _ in state.scan(b"")] == ["ä".encode()]
        state.put(b"\xff", 2)
        assert dict(state.scan())[b"\xff"] == 2
        wrong: Any = 5
        with pytest.raises(
            TypeError, match=r"a key is str or bytes, and not int: write str\(key\)"
        ):
            state.get(wrong)
        with pytest.raises(TypeError, match=r"write \[key\]"):
            state.get_many("abc")
        with pytest.raises(DeclarationError, match="is for the library: name it differently"):
            state.put("_turbine_offset", 1)
        with pytest.raises(DeclarationError, match="a key of 70000 bytes is too long"):
            state.put("k" * 70_000, 1)
        with pytest.raises(ValueError, match="3 keys and 1 values"):
            state.put_many(["a", "b", "c"], [1])
        with pytest.raises(TypeError, match="write put_many"):
            state.put_many(["a"])  # type: ignore[call-overload]
        with pytest.raises(ValueError, match="key 1 of the column is null"):
            state.get_many(pa.array(["a", None]))

    await bench.once(work)


async def test_types_of_ones_own(bench: Bench) -> None:
    order = Order(at=datetime(2026, 1, 2, tzinfo=UTC), price=Decimal("1.10"), tags={"a"})

    def put(state: State) -> None:
        orders, places, counts = state.typed(Order), state.typed(Place), state.typed(int)
        orders.put("o", order)
        places.put("p", Place(1, 2))
        counts.put("c", 3)
        with pytest.raises(
            TypeError, match=r"the value of 'c' is str, and the state is typed as int"
        ):
            counts.put("c", "3")  # type: ignore[arg-type]
        with pytest.raises(ValidationError):
            orders.put("o", {"price": 1})  # type: ignore[arg-type]
        with pytest.raises(DeclarationError, match="pydantic knows no such type"):
            state.typed(type("Odd", (), {}))

    await bench.once(put)

    def look(state: State) -> None:
        assert state.typed(Order).get("o") == order
        assert state.typed(Place).get("p") == Place(1, 2)
        assert state.typed(int).get("c") == state.get("c") == 3
        assert state.typed(Order).get_many(["o", "missing"]) == [order, None]
        assert state.typed(Order).get("missing") is None
        with pytest.raises(TypeError, match="was not put by a typed view: read it with get"):
            state.typed(Order).get("c")
        scoped = state.typed(int).scope("u")
        scoped.put("c", 9)
        assert (scoped.get("c"), state.get("c")) == (9, 3)
        scoped.delete("c")
        assert scoped.get("c", 0) == 0

    await bench.once(look)


async def test_adding_to_many_numbers(bench: Bench) -> None:
    def work(state: State) -> None:
        keys = pa.array(["a", "b", None, "a"])
        assert state.add_many(keys).to_pylist() == [1, 1, None, 2]
        assert state.add_many(keys, pa.array([5, None, 1, 1])).to_pylist() == [7, 1, None, 8]
        assert state.get("a") == 8
        assert state.add_many(["b", b"b"], [1, 2]).to_pylist() == [2, 4]
        assert state.add_many(pa.array([7, 7]), 10).to_pylist() == [10, 20]
        assert state.get("7") == 20
        floats = state.add_many(pa.chunked_array([["b"], ["c"]]), 0.5)
        assert (floats.type, floats.to_pylist()) == (pa.float64(), [4.5, 0.5])
        state.put("text", "x")
        with pytest.raises(DeclarationError, match='the value of "text" is no number'):
            state.add_many(["a", "text"])
        state.put("most", 2**63 - 1)
        with pytest.raises(DeclarationError, match='the sum of "most" does not fit 64 bits'):
            state.add_many(["a", "most"])
        with pytest.raises(DeclarationError, match="2 keys and 3 amounts"):
            state.add_many(["a", "a"], [1, 2, 3])
        with pytest.raises(DeclarationError, match="a column of numbers, and not of Utf8"):
            state.add_many(["a"], ["1"])
        assert state.get("a") == 8, "what failed has added nothing"
        assert len(state.add_many(pa.array([], pa.string()))) == 0

    await bench.once(work)


KEYS = st.text(st.sampled_from("ab\x00é"), max_size=3)
VALUES = st.one_of(st.none(), st.integers(-9, 9), st.text(max_size=3), st.binary(max_size=3))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.dictionaries(KEYS, VALUES, max_size=4)),
        st.tuples(st.just("delete"), st.lists(KEYS, max_size=3)),
        st.tuples(st.just("scan"), KEYS),
    ),
    max_size=12,
)


async def test_many_forms_are_as_many_single_ones_and_scans_are_sorted(bench: Bench) -> None:
    def work(root: State) -> None:
        examples = 0

        @settings(max_examples=60, deadline=None, database=None)
        @given(STEPS)
        def check(steps: list[tuple[str, Any]]) -> None:
            nonlocal examples
            examples += 1
            many, single = root.scope(f"many-{examples}"), root.scope(f"single-{examples}")
            model: dict[str, Any] = {}
            for kind, what in steps:
                if kind == "put":
                    many.put_many(what)
                    for key, value in what.items():
                        single.put(key, value)
                    model |= what
                elif kind == "delete":
                    many.delete_many(what)
                    for key in what:
                        single.delete(key)
                        model.pop(key, None)
                else:
                    found = sorted(
                        ((k, v) for k, v in model.items() if k.startswith(what)),
                        key=lambda pair: pair[0].encode(),
                    )
                    assert many.scan(what) == single.scan_prefix(what) == found
                    assert many.scan(what, limit=1) == found[:1]
                    assert many.scan_many_prefixes([what, ""])[0] == found
            keys = [*model, "missing"]
            values = [*model.values(), None]
            assert many.get_many(keys) == [single.get(key) for key in keys] == values

        check()

    await bench.once(work)


async def test_a_wrong_value_stops_the_partition_with_a_sentence(bench: Bench) -> None:
    app = bench.app(bench.batch(lambda state: state.put("k", {1, 2})))
    bench.send({"n": 0})
    reason = await failure_of(app)
    assert (
        "TypeError: state.put('k'): the value is of type set, which has no form in JSON" in reason
    )
