"""What `topic.expect` accepts, and what it says otherwise."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbine import Event
from turbine.testing import ANY, record
from turbine.testing._match import Expected, Match, match


def event(value: Any, *, partition: int = 0, offset: int = 0, key: Any = None) -> Event:
    return Event(None, key, value, (), "t", partition, offset, 0.0)


def matched(
    wanted: Sequence[Any], came: Sequence[Event], order: Any = "partition", *, repeats: bool = False
) -> Match:
    expected = [one if isinstance(one, Expected) else Expected(one) for one in wanted]
    return match(expected, came, order=order, repeats=repeats)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12), st.randoms())
def test_any_interleaving_of_the_partitions_is_in_order(
    rows: list[tuple[int, int]], random: Any
) -> None:
    came = [event(value, partition=p, offset=i) for i, (value, p) in enumerate(rows)]
    by_partition = [e for p in range(3) for e in came if e.partition == p]
    assert matched([e.value for e in came], by_partition).is_whole
    shuffled = [e.value for e in came]
    random.shuffle(shuffled)
    assert matched(shuffled, by_partition, "any").is_whole


def test_the_order_within_a_partition_counts() -> None:
    came = [event(1), event(2, offset=1)]
    assert matched([2, 1], came).disorder == [0]
    assert matched([2, 1], came, "any").is_whole
    assert matched([2, 1], [event(1), event(2, partition=1)]).is_whole


@given(st.lists(st.integers(0, 3), max_size=8), st.lists(st.integers(0, 3), max_size=8))
def test_missing_and_surplus_are_the_difference_of_the_two(
    wanted: list[int], there: list[int]
) -> None:
    found = matched(wanted, [event(v, offset=i) for i, v in enumerate(there)], "any")
    missing, surplus = sorted(one.value for one in found.missing), [e.value for e in found.surplus]
    for number in range(4):
        assert missing.count(number) == max(wanted.count(number) - there.count(number), 0)
        assert surplus.count(number) == max(there.count(number) - wanted.count(number), 0)


def test_what_is_vague_leaves_the_exact_ones_to_the_exact() -> None:
    assert matched([ANY, 1], [event(1), event(2, offset=1)], "any").is_whole
    assert matched([{"n": ANY}, {"n": 1}], [event({"n": 1}), event({"n": 2})], "any").is_whole


def test_repeats_are_accepted_where_the_test_says_so() -> None:
    came = [event(v, offset=i, key="k") for i, v in enumerate([1, 2, 1, 2, 3])]
    assert matched([1, 2, 3], came, repeats=True).is_whole
    assert len(matched([1, 2, 3], came).surplus) == 2
    assert matched([1, 2, 3, 4], came, repeats=True).missing
    back = [event(v, offset=i, key="k") for i, v in enumerate([2, 1, 2, 3])]
    assert matched([1, 2, 3], back, repeats=True).disorder == [0]


def test_a_record_is_more_than_its_value() -> None:
    came = [event(1, key=b"a", partition=2)]
    assert matched([record(1, key=b"a", partition=2)], came).is_whole
    assert matched([record(key=b"a")], came).is_whole
    assert matched([record(1, key=b"b")], came).missing


def test_the_message_shows_what_came_what_is_missing_and_what_else_is_there() -> None:
    came = [event({"n": 1}, key=b"k"), event("odd", partition=3, offset=7)]
    wanted = [Expected({"n": 1}), record({"n": 2}, key=b"k")]
    text = match(wanted, came, order="any", repeats=False).text(wanted, came)
    assert text.splitlines() == [
        "expected 2 records, 2 came",
        "missing:",
        "  - {'n': 2} key=b'k'",
        "not expected:",
        "  + 'odd' (3@7)",
        "as expected:",
        "    {'n': 1} key=b'k' (0@0)",
    ]


def test_the_message_shows_another_order_and_how_to_accept_it() -> None:
    came, wanted = [event(1), event(2, offset=1)], [Expected(2), Expected(1)]
    text = match(wanted, came, order="partition", repeats=False).text(wanted, came)
    assert "in another order" in text
    assert 'order="any"' in text


@pytest.mark.parametrize("rows", [25, 400])
def test_long_differences_are_cut(rows: int) -> None:
    wanted = [Expected(n) for n in range(rows)]
    text = match(wanted, [], order="any", repeats=False).text(wanted, [])
    assert len(text.splitlines()) == 23
    assert f"and {rows - 20} more" in text
