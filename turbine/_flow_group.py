"""What `turbine.flows.Flow.group_by` and `Flow.agg` are told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from turbine._flow_columns import Origins
from turbine.aggregates import Aggregate
from turbine.exceptions import DeclarationError

__all__ = ["Group", "aliased", "check_bounded", "said_of"]

_GROWING = frozenset({"count_distinct", "mode", "top_k", "collect_list", "collect_set"})
"""Aggregates that keep every different value, unless a limit is said."""


@dataclass(frozen=True)
class Group:
    """What `Flow.group_by` was told."""

    keys: tuple[str, ...]
    is_together: bool
    partitions: int | None
    origins: Origins


def said_of(values: Sequence[Aggregate]) -> str:
    """Write aggregates in a line."""
    return ", ".join(f"{one.output} = {one!r}" if one.output else repr(one) for one in values)


def aliased(one: Any, name: str) -> Aggregate:
    """
    Name an aggregate.

    Raises:
        DeclarationError: It is none.
    """
    if not isinstance(one, Aggregate):
        raise DeclarationError(
            f"agg({name}={one!r}) is no aggregate: write agg({name}=count()) or "
            f"agg({name}=sum('amount'))"
        )
    return one.alias(name)


def check_bounded(values: Sequence[Aggregate]) -> None:
    """
    Refuse aggregates that keep every value, where no window ends that.

    Raises:
        DeclarationError: One of them does.
    """
    for one in values:
        function = getattr(one, "function", "")
        if function in _GROWING and getattr(one, "limit", None) is None:
            raise DeclarationError(
                f"{one!r} without a window keeps every value for ever: write "
                ".window(tumbling('1h')) in front of agg(), or an aggregate of bounded size, as "
                "ApproxCountDistinct or CollectList(..., limit=100)"
            )
