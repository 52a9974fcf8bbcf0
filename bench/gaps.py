"""
How long partitions stood still, by the times of their inputs and outputs.

A partition stands still from its last output, or from when its next record was written if that is
later, to the next output: time without input does not count. A partition has moved in a period if
its outputs come from more than one worker; the last worker before the period counts.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Output:
    """
    One output.

    Attributes:
        partition: Partition of the record that led to it.
        worker: Who wrote it.
        read_ms: When that record was written, by the clock of the broker.
        at_ms: When the output was written, by the same clock.
    """

    partition: int
    worker: int
    read_ms: float
    at_ms: float


@dataclass(frozen=True)
class Gap:
    """
    The longest time that a partition stood still in a period.

    Attributes:
        period: Number of the period.
        partition: The partition.
        has_moved: Whether another worker has it since, or had it for a while.
        length_ms: How long.
        began_ms: Since when, by the clock of the broker.
    """

    period: int
    partition: int
    has_moved: bool
    length_ms: float
    began_ms: float


def gaps(outputs: Iterable[Output], begins_ms: Sequence[float], end_ms: float) -> list[Gap]:
    """
    Find the longest gap of each partition in each period.

    Args:
        outputs: Outputs; those of a partition in the order in which they were written.
        begins_ms: When each period begins, in order; it ends with the next one.
        end_ms: When the last one ends.

    Returns:
        A gap a period and partition. One without an output in a period has a gap of the whole.
    """
    by_partition: defaultdict[int, list[Output]] = defaultdict(list)
    for one in outputs:
        by_partition[one.partition].append(one)
    periods = list(pairwise([*begins_ms, end_ms]))
    found = []
    for partition, mine in sorted(by_partition.items()):
        at = 0
        for number, (begin, end) in enumerate(periods):
            while at + 1 < len(mine) and mine[at + 1].at_ms <= begin:
                at += 1
            until = at
            while until + 1 < len(mine) and mine[until + 1].at_ms <= end:
                until += 1
            whole = end - begin, begin
            length_ms, began_ms = max(_lengths(mine[at : until + 1]), default=whole)
            has_moved = len({one.worker for one in mine[at : until + 1]}) > 1
            found.append(Gap(number, partition, has_moved, length_ms, began_ms))
            at = until
    return found


def _lengths(mine: Sequence[Output]) -> Iterator[tuple[float, float]]:
    for before, after in pairwise(mine):
        began_ms = max(before.at_ms, after.read_ms)
        yield after.at_ms - began_ms, began_ms
