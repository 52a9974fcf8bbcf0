"""Every type of a record's field comes back as it was, whatever its value is."""

# ruff: noqa: UP007, UP045 - programs write these types in the old way too

import enum
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, Optional, Union
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turbine import faust
from turbine.faust.serializers.codecs import get_codec


class Side(enum.Enum):
    BUY = "buy"
    SELL = "sell"


class Inner(faust.Record, namespace="types.Inner"):
    n: int
    text: str = ""


class Other(faust.Record, namespace="types.Other"):
    word: str


QUICK = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])

_TEXT = st.text(max_size=8)
_INTS = st.integers(-(2**60), 2**60)
_DATES = st.datetimes(timezones=st.none() | st.just(UTC))
_DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=3)
_INNER = st.builds(Inner, _INTS, _TEXT)

TYPES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, _INTS),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (str, _TEXT),
    (bool, st.booleans()),
    (datetime, _DATES),
    (Decimal, _DECIMALS),
    (Inner, _INNER),
    (Optional[Inner], st.none() | _INNER),
    (Union[Inner, Other], _INNER | st.builds(Other, _TEXT)),
    (Union[str, int, None], st.none() | _TEXT | _INTS),
    (Literal["a", "b"], st.sampled_from(["a", "b"])),
    (list[Inner], st.lists(_INNER, max_size=3)),
    (set[str], st.sets(_TEXT, max_size=3)),
    (frozenset[int], st.frozensets(_INTS, max_size=3)),
    (set[Inner], st.sets(_INNER, max_size=3)),
    (tuple[int, str], st.tuples(_INTS, _TEXT)),
    (tuple[datetime, ...], st.lists(_DATES, max_size=3).map(tuple)),
    (dict[str, list[Decimal]], st.dictionaries(_TEXT, st.lists(_DECIMALS, max_size=2))),
    (dict[str, Inner | None], st.dictionaries(_TEXT, st.none() | _INNER, max_size=3)),
    (list[dict[str, set[datetime]]], st.lists(st.just({"a": {datetime(2026, 1, 1, tzinfo=UTC)}}))),
]
"""Types that records convert whatever their options are, but for dates and decimals alone."""

COERCED: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (Side, st.sampled_from(Side)),
    (UUID, st.uuids()),
    (date, st.dates()),
    (timedelta, st.timedeltas(timedelta(-1_000), timedelta(1_000))),
    (bytes, st.text(max_size=4).map(str.encode)),
    (list[Side], st.lists(st.sampled_from(Side), max_size=3)),
]
"""Types that need ``coerce=True``: without it a value stays what JSON has."""


def _record(kind: Any, **options: Any) -> type[Any]:
    body = {"__annotations__": {"value": kind}, "__module__": __name__}
    return type("Holder", (faust.Record,), body, serializer="json", **options)


def _name(case: Any) -> str | None:
    return str(case) if not isinstance(case, st.SearchStrategy) else ""


@pytest.mark.parametrize(("kind", "values"), TYPES, ids=_name)
def test_a_value_comes_back(kind: Any, values: st.SearchStrategy[Any]) -> None:
    holder = _record(kind, isodates=True, decimals=True)

    @QUICK
    @given(values)
    def check(value: Any) -> None:
        record = holder(value)
        assert record.value == value
        assert holder.loads(record.dumps()).value == value
        assert holder.__pydantic_validator__.validate_json(record.dumps()) == record
        assert holder.__pydantic_serializer__.to_json(record) == record.dumps()

    check()


@pytest.mark.parametrize(("kind", "values"), [*TYPES, *COERCED], ids=_name)
def test_a_value_comes_back_in_a_class_that_coerces(
    kind: Any, values: st.SearchStrategy[Any]
) -> None:
    holder = _record(kind, coerce=True)

    @QUICK
    @given(values)
    def check(value: Any) -> None:
        assert holder.loads(holder(value).dumps()).value == value

    check()


@pytest.mark.parametrize("codec", ["json", "json|binary", "yaml", "yaml | binary"])
def test_codecs_give_back_what_they_were_given(codec: str) -> None:
    plain = st.none() | st.booleans() | _INTS | st.text("abc é\n", max_size=5)

    @QUICK
    @given(st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(_WORD, inner)))
    def check(value: Any) -> None:
        made = get_codec(codec)
        assert made.loads(made.dumps(value)) == value

    check()


_WORD = st.text("abc", min_size=1, max_size=3)
