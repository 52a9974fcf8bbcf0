"""
What must be true of the outputs of the chained app, recomputed from its input.

The state of a key is its running count and sum and a nonce, drawn anew for each record. An output
carries the nonce that was in the state before and the one that is in it now: a state that was lost,
forked or taken back cannot be made to look as if it had not been.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

NO_NONCE = 0
"""In front of the first record of a key."""


class At(NamedTuple):
    """A record of the input."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Output:
    """
    What the app wrote for one record.

    Attributes:
        at: The record.
        key: Its key.
        count: Records of the key so far, this one included.
        total: Sum of their values.
        before: Nonce that the state had.
        nonce: Nonce that it has now.
        is_odd: Whether a second entry, there for every other record, was found.
        worker: Who wrote it.
    """

    at: At
    key: str
    count: int
    total: int
    before: int
    nonce: int
    is_odd: bool
    worker: str


@dataclass(frozen=True)
class Fault:
    """
    Something that must not be.

    Attributes:
        kind: ``lost``, ``duplicate``, ``gap`` (state that is not the one before) or ``divergence``
            (state that is not what the input leads to).
        text: What was found, and where.
    """

    kind: str
    text: str


class Chains(ABC):
    """
    The records of each key, and the outputs that are missing.

    Args:
        has_state: Whether the app has any; without it, only the outputs are judged.
    """

    def __init__(self, *, has_state: bool = True) -> None:
        self.has_state = has_state
        self.records = 0
        self.outputs = 0
        self.repeats = 0

    @abstractmethod
    def record(self, at: At, key: str, value: int) -> None:
        """Note the next record of *key*."""

    def output(self, found: Output) -> Iterator[Fault]:
        """Judge the next output of its key; its record was noted."""
        self.outputs += 1
        for fault in self._judge(found):
            if self.has_state or fault.kind in {"lost", "duplicate"}:
                yield fault

    @abstractmethod
    def _judge(self, found: Output) -> Iterator[Fault]:
        """Find what is wrong with it."""

    @abstractmethod
    def outstanding(self) -> int:
        """Count records without an output."""


@dataclass
class _Exact:
    waiting: deque[tuple[At, int]] = field(default_factory=deque)
    done: int = -1
    count: int = 0
    total: int = 0
    nonce: int = NO_NONCE


class ExactlyOnce(Chains):
    """Every record has one output, in order, and the state goes on from one to the next."""

    def __init__(self, *, has_state: bool = True) -> None:
        super().__init__(has_state=has_state)
        self._keys: dict[str, _Exact] = {}

    def record(self, at: At, key: str, value: int) -> None:
        """Note the next record of *key*."""
        self.records += 1
        self._keys.setdefault(key, _Exact()).waiting.append((at, value))

    def outstanding(self) -> int:
        """Count records without an output."""
        return sum(len(chain.waiting) for chain in self._keys.values())

    def _judge(self, found: Output) -> Iterator[Fault]:
        chain = self._keys.setdefault(found.key, _Exact())
        if found.at.offset <= chain.done:
            self.repeats += 1
            yield Fault("duplicate", f"{found} was given out before")
            return
        while chain.waiting and chain.waiting[0][0].offset < found.at.offset:
            at, value = chain.waiting.popleft()
            chain.count, chain.total = chain.count + 1, chain.total + value
            yield Fault("lost", f"{at} of {found.key} has no output, the next one is {found}")
        if not chain.waiting:
            yield Fault("divergence", f"{found} has no record")
            return
        _, value = chain.waiting.popleft()
        expected = chain.count + 1, chain.total + value
        if (found.count, found.total) != expected:
            yield Fault("divergence", f"{found}: count and sum are {expected}")
        yield from _second_entry(found)
        if found.before != chain.nonce:
            yield Fault("gap", f"{found}: the state before had nonce {chain.nonce}")
        # What follows is judged from here, so that a fault is told once.
        chain.count, chain.total, chain.nonce = found.count, found.total, found.nonce
        chain.done = found.at.offset


def _second_entry(found: Output) -> Iterator[Fault]:
    if found.is_odd != (found.count % 2 == 0):
        yield Fault("divergence", f"{found}: the entry of every other record is not as it was left")


@dataclass
class _Repeating:
    """
    One key, each record with what its state must be.

    Attributes:
        expected: Count and sum at each offset.
        nonces: Nonces that outputs of each count had.
    """

    expected: dict[int, tuple[int, int]] = field(default_factory=dict)
    nonces: dict[int, set[int]] = field(default_factory=lambda: {0: {NO_NONCE}})
    count: int = 0
    total: int = 0
    reached: int = 0


class AtLeastOnce(Chains):
    """Every record has an output; those that come again go on from a state that was there."""

    KEPT = 5_000
    """Records of a key that are remembered behind the newest one: none comes again later."""

    def __init__(self, *, has_state: bool = True) -> None:
        super().__init__(has_state=has_state)
        self._keys: dict[str, _Repeating] = {}

    def record(self, at: At, key: str, value: int) -> None:
        """Note the next record of *key*."""
        self.records += 1
        chain = self._keys.setdefault(key, _Repeating())
        chain.count, chain.total = chain.count + 1, chain.total + value
        chain.expected[at.offset] = chain.count, chain.total
        if len(chain.expected) > 2 * self.KEPT:
            self._forget(chain)

    def _forget(self, chain: _Repeating) -> None:
        for offset, (count, _) in list(chain.expected.items()):
            if count > chain.reached - self.KEPT:
                break
            del chain.expected[offset]
            chain.nonces.pop(count - 1, None)

    def outstanding(self) -> int:
        """Count records without an output."""
        return sum(chain.count - chain.reached for chain in self._keys.values())

    def _judge(self, found: Output) -> Iterator[Fault]:
        chain = self._keys.setdefault(found.key, _Repeating())
        expected = chain.expected.get(found.at.offset)
        if expected is None:
            yield Fault("divergence", f"{found} has no record, or one of long ago")
            return
        count = expected[0]
        if count <= chain.reached:
            self.repeats += 1
        elif count > chain.reached + 1:
            missing = count - chain.reached - 1
            yield Fault("lost", f"{missing} records of {found.key} in front of {found}")
        chain.reached = max(chain.reached, count)
        if (found.count, found.total) != expected:
            yield Fault("divergence", f"{found}: count and sum are {expected}")
        yield from _second_entry(found)
        if found.before not in chain.nonces.get(count - 1, ()):
            yield Fault("gap", f"{found}: no output had the nonce that it found in the state")
        chain.nonces.setdefault(count, set()).add(found.nonce)


class Marks:
    """
    Records that are to appear once in a topic of their own: dead letters, a side output.

    Args:
        what: Their name in faults.
        is_exact: Whether one that comes again is a fault.
    """

    def __init__(self, what: str, *, is_exact: bool) -> None:
        self.what = what
        self.is_exact = is_exact
        self.expected = 0
        self._missing: set[At] = set()
        self._seen: set[At] = set()

    def expect(self, at: At) -> None:
        """Note that *at* is to appear."""
        self.expected += 1
        self._missing.add(at)

    def found(self, at: At) -> Iterator[Fault]:
        """Judge one that appeared; its record was noted."""
        if at in self._missing:
            self._missing.discard(at)
            self._seen.add(at)
        elif at not in self._seen:
            yield Fault("divergence", f"{self.what} of {at}, which asks for none")
        elif self.is_exact:
            yield Fault("duplicate", f"{self.what} of {at} was there before")

    def outstanding(self) -> int:
        """Count those that have not appeared."""
        return len(self._missing)
