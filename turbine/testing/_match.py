"""
Whether the records of a topic are the expected ones, and what to say if not. No I/O.

| order | holds if |
| --- | --- |
| ``"any"`` | the same values came, each as often |
| ``"partition"`` | and each partition has its part of them in the expected order |
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from turbine.events import Event

__all__ = ["ANY", "Expected", "Match", "Order", "match", "record"]

Order: TypeAlias = Literal["partition", "any"]

_LONGEST_TEXT = 160
_MOST_STEPS = 20_000
"""Looking for an order ends in favour of the records after so many steps."""
_DEEPEST = 200


class _Any:
    """Equal to everything."""

    def __eq__(self, _other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "ANY"


ANY: Any = _Any()
"""Equal to everything: ``expect([{"user": "ada", "id": ANY}])``."""


@dataclass(frozen=True)
class Expected:
    """A record that is to come; made by `record`."""

    value: Any
    key: Any = ANY
    headers: Any = ANY
    partition: Any = ANY
    timestamp: Any = ANY

    def fits(self, event: Event) -> bool:
        """Whether *event* is such a record."""
        return bool(
            self.value == event.value
            and self.key == event.key
            and self.headers == event.headers
            and self.partition == event.partition
            and self.timestamp == event.timestamp
        )

    def __str__(self) -> str:
        parts = {name: part for name, part in vars(self).items() if part is not ANY}
        said = "".join(f" {name}={part!r}" for name, part in parts.items() if name != "value")
        return _short(repr(self.value)) + said


def record(
    value: Any = ANY,
    *,
    key: Any = ANY,
    headers: Any = ANY,
    partition: Any = ANY,
    timestamp: Any = ANY,
) -> Expected:
    """
    Expect more of a record than its value: ``expect([record({"n": 1}, key="ada")])``.

    Args:
        value: Its value, decoded as the type of the topic says.
        key: Its key, decoded in the same way.
        headers: Its headers: a dict of bytes.
        partition: Its partition.
        timestamp: Its time, in seconds since the Unix epoch.
    """
    return Expected(value, key, headers, partition, timestamp)


@dataclass
class Match:
    """
    What came, beside what was expected.

    Attributes:
        missing: Expected and not there.
        surplus: There and not expected.
        disorder: Partitions whose records are the expected ones in another order.
    """

    missing: list[Expected] = field(default_factory=list)
    surplus: list[Event] = field(default_factory=list)
    disorder: list[int] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether exactly the expected records are there."""
        return not (self.missing or self.surplus or self.disorder)

    def text(self, expected: Sequence[Expected], came: Sequence[Event]) -> str:
        """Describe the difference, a line a record."""
        lines = [f"expected {len(expected)} records, {len(came)} came"]
        for mark, title, rows in (
            ("-", "missing", [str(one) for one in self.missing]),
            ("+", "not expected", [_line(event) for event in self.surplus]),
        ):
            if rows:
                lines.append(f"{title}:")
                lines += [f"  {mark} {row}" for row in _some(rows)]
        if self.disorder:
            lines.append("the right records, in another order:")
            for partition in self.disorder:
                rows = [_line(event) for event in came if event.partition == partition]
                lines += [f"    {row}" for row in _some(rows)]
            lines.append('    (order="any" accepts that)')
        strangers = {id(event) for event in self.surplus}
        good = [_line(event) for event in came if id(event) not in strangers]
        if good and not self.disorder:
            lines.append("as expected:")
            lines += [f"    {row}" for row in _some(good)]
        return "\n".join(lines)


def match(
    expected: Sequence[Expected], came: Sequence[Event], *, order: Order, repeats: bool
) -> Match:
    """
    Compare.

    Args:
        expected: Records that are to be there.
        came: Records that are there; of one partition in their order.
        order: See the module.
        repeats: Whether a record may come more often than expected, as after a crash.
    """
    taken = _pair(expected, came)
    missing = [one for i, one in enumerate(expected) if i not in taken.values()]
    left = [event for i, event in enumerate(came) if i not in taken]
    surplus = [e for e in left if not (repeats and any(one.fits(e) for one in expected))]
    found = Match(missing, surplus)
    if order == "partition" and not (missing or surplus):
        found.disorder = _disorder(expected, came, repeats=repeats)
    return found


def _pair(expected: Sequence[Expected], came: Sequence[Event]) -> dict[int, int]:
    """Pair as many as possible: index of a record to index of what it was expected as."""
    fits = [[i for i, event in enumerate(came) if one.fits(event)] for one in expected]
    taken: dict[int, int] = {}

    def place(one: int, tried: set[int]) -> bool:
        # A record that something vaguer has is handed over, if that finds another one.
        free = next((i for i in fits[one] if i not in taken), None)
        if free is not None:
            taken[free] = one
            return True
        for i in fits[one]:
            if i not in tried:
                tried.add(i)
                if len(tried) < _DEEPEST and place(taken[i], tried):
                    taken[i] = one
                    return True
        return False

    for one in range(len(expected)):
        place(one, set())
    return taken


def _disorder(expected: Sequence[Expected], came: Sequence[Event], *, repeats: bool) -> list[int]:
    """Partitions that are not in order; none if the partitions can be read as one in order."""
    lanes: dict[int, list[Event]] = {}
    for event in came:
        lane = lanes.setdefault(event.partition, [])
        # What is handled again comes again: of a repeat only the first record has its place.
        known = repeats and any(_same(event, other) for other in lane)
        if not known:
            lane.append(event)
    wanted = list(expected)
    if repeats:
        wanted = [one for i, one in enumerate(wanted) if one not in wanted[:i]]
    if _interleaves(wanted, list(lanes.values())):
        return []
    wrong = [number for number, lane in sorted(lanes.items()) if not _in_order(wanted, lane)]
    return wrong or sorted(lanes)


def _same(one: Event, other: Event) -> bool:
    return bool(one.key == other.key and one.value == other.value)


def _in_order(wanted: Sequence[Expected], lane: Sequence[Event]) -> bool:
    """Whether *lane* is a part of *wanted*, in its order."""
    rest = iter(wanted)
    return all(any(one.fits(event) for one in rest) for event in lane)


def _interleaves(wanted: Sequence[Expected], lanes: list[list[Event]]) -> bool:
    """Whether *wanted* can be read off the fronts of *lanes*."""
    seen: set[tuple[int, ...]] = set()
    todo = [tuple(0 for _ in lanes)]
    steps = 0
    while todo:
        at = todo.pop()
        steps += 1
        if sum(at) == len(wanted) or steps > _MOST_STEPS:
            return True
        one = wanted[sum(at)]
        for i, lane in enumerate(lanes):
            if at[i] < len(lane) and one.fits(lane[at[i]]):
                following = (*at[:i], at[i] + 1, *at[i + 1 :])
                if following not in seen:
                    seen.add(following)
                    todo.append(following)
    return False


def _line(event: Event) -> str:
    key = "" if event.key is None else f" key={event.key!r}"
    return f"{_short(repr(event.value))}{key} ({event.partition}@{event.offset})"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."


def _some(rows: list[str], most: int = 20) -> list[str]:
    return rows if len(rows) <= most else [*rows[:most], f"... and {len(rows) - most} more"]
