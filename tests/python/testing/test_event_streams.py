"""The Hypothesis strategy of event streams: what it promises, and what it shrinks to."""

from collections.abc import Callable

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from turbine.testing import Sent, event_streams

START_S = 1_000.0


def newest_before(events: list[Sent]) -> list[float]:
    """Of each event, the newest time before it."""
    newest, result = START_S, []
    for event in events:
        result.append(newest)
        newest = max(newest, event.timestamp)
    return result


@given(event_streams(start=START_S))
def test_without_options_streams_are_in_order_on_time_and_without_repeats(
    events: list[Sent],
) -> None:
    times = [event.timestamp for event in events]
    assert times == sorted(times)
    assert not any(event.is_late or event.is_repeat for event in events)
    assert len(events) <= 30
    assert {event.key for event in events} <= {"a", "b", "c"}


@given(event_streams(start=START_S, out_of_order_s=20))
def test_events_are_out_of_order_by_so_much_and_no_more(events: list[Sent]) -> None:
    for event, newest in zip(events, newest_before(events), strict=True):
        assert newest - event.timestamp <= 20
        assert not event.is_late


@given(event_streams(start=START_S, out_of_order_s=20, late_s=100, repeats=True))
def test_late_events_and_repeats_are_marked(events: list[Sent]) -> None:
    seen: list[tuple[object, ...]] = []
    for event, newest in zip(events, newest_before(events), strict=True):
        assert event.timestamp >= START_S
        assert event.is_late == (newest - event.timestamp > 20)
        if event.is_repeat:
            assert event[:3] in seen
        seen.append(event[:3])


@given(event_streams(st.text(max_size=3), keys=st.none(), max_size=4, start=START_S))
def test_values_and_keys_are_those_of_the_caller(events: list[Sent]) -> None:
    assert all(isinstance(event.value, str) and event.key is None for event in events)
    assert len(events) <= 4


@pytest.mark.parametrize(
    "wanted",
    [
        lambda events: len(events) == 2,
        lambda events: any(event.is_repeat for event in events),
        lambda events: any(event.is_late for event in events),
    ],
    ids=["two", "repeat", "late"],
)
def test_streams_shrink_to_little(wanted: Callable[[list[Sent]], bool]) -> None:
    strategy = event_streams(start=START_S, out_of_order_s=5, late_s=50, repeats=True)
    found = find(strategy, wanted, settings=settings(max_examples=500, database=None))
    assert len(found) <= 3
    assert {(event.value, event.key) for event in found} == {(0, "a")}


def test_streams_shrink_to_events_at_one_time_in_order() -> None:
    strategy = event_streams(start=START_S, out_of_order_s=5, late_s=50)
    chosen = settings(max_examples=1_000, database=None)
    found = find(strategy, lambda events: len(events) == 2, settings=chosen)
    assert found == [Sent(0, "a", START_S), Sent(0, "a", START_S)]
