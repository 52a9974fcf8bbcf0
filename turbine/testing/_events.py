"""
Event streams for Hypothesis: keys, times out of order, late events, repeats.

Hypothesis is imported when a strategy is made, so that nothing else needs it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["Sent", "event_streams"]

_START_S = 1_700_000_000.0
_LONGEST_REPEAT = 5


class Sent(NamedTuple):
    """
    One event on its way to a topic; `Topic.put` takes it.

    Attributes:
        value: Its value.
        key: Its key.
        timestamp: Event time, in seconds since the Unix epoch.
        is_late: An event that came before is newer by more than *out_of_order_s*.
        is_repeat: The same event has come before, as a sender that tries again makes it.
    """

    value: Any
    key: str | None
    timestamp: float
    is_late: bool = False
    is_repeat: bool = False


def event_streams(
    values: "SearchStrategy[Any] | None" = None,
    *,
    keys: "SearchStrategy[str | None] | Sequence[str | None]" = ("a", "b", "c"),
    max_size: int = 30,
    start: float = _START_S,
    max_gap_s: int = 60,
    out_of_order_s: int = 0,
    late_s: int = 0,
    repeats: bool = False,
) -> "SearchStrategy[list[Sent]]":
    """
    Streams of events in the order of their arrival.

    They shrink to few events, with the first key, in order, on time and without repeats.

    Args:
        values: Strategy of the values; integers from 0 to 9 if None.
        keys: Keys, or a strategy of them.
        max_size: Most events, repeats not counted.
        start: Least event time, in seconds since the Unix epoch.
        max_gap_s: Longest time between two neighbours.
        out_of_order_s: How far an event may be behind the newest one before it.
        late_s: Some events are behind by more than *out_of_order_s*, by up to this much more.
        repeats: Whether events may come twice.

    Raises:
        ImportError: Hypothesis is not installed.
    """
    try:
        from hypothesis import strategies as st
    except ImportError:
        raise ImportError(
            "event_streams() needs Hypothesis: pip install 'turbine-stream[testing]'"
        ) from None

    value = st.integers(0, 9) if values is None else values
    key = st.sampled_from(list(keys)) if isinstance(keys, Sequence) else keys
    # Forward by a gap, or back behind the newest one. Few draws an event: Hypothesis deletes
    # only short runs of draws when it shrinks.
    moves = st.integers(0, max_gap_s)
    if out_of_order_s or late_s:
        moves |= st.integers(-out_of_order_s - late_s, 0)
    events = st.lists(st.tuples(value, key, moves), max_size=max_size)
    again = st.tuples(st.integers(0, max(max_size - 1, 0)), st.integers(1, _LONGEST_REPEAT))
    repeated = st.lists(again, max_size=max_size if repeats else 0)
    return st.builds(_arrivals, events, repeated, st.just(start), st.just(out_of_order_s))


def _arrivals(
    drawn: list[tuple[Any, str | None, int]],
    repeats: list[tuple[int, int]],
    start: float,
    out_of_order_s: int,
) -> list[Sent]:
    """Put events in the order of their arrival; a repeat comes some events later."""
    newest = start
    slots: list[list[Sent]] = [[] for _ in range(len(drawn) + _LONGEST_REPEAT)]
    for i, (value, key, move_s) in enumerate(drawn):
        event = Sent(value, key, max(newest + move_s, start))
        newest = max(newest, event.timestamp)
        slots[i].append(event)
    for at, later in repeats:
        if at < len(drawn):
            slots[at + later].append(slots[at][0]._replace(is_repeat=True))
    arrived: list[Sent] = []
    newest = start
    for event in (event for slot in slots for event in slot):
        newest = max(newest, event.timestamp)
        arrived.append(event._replace(is_late=newest - event.timestamp > out_of_order_s))
    return arrived
