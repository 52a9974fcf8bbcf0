"""
The cache of a lookup: what a function has said of a key, for a while and for so many keys.

Absence is kept as well, so that a key that nobody knows is not asked for again and again. Failures
are never kept.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Final

__all__ = ["UNKNOWN", "Cache"]

UNKNOWN: Final = object()
"""What the cache says of a key that it does not have."""


class Cache:
    """
    Answers by key, at most *size* of them: the one that was asked for longest ago goes first.

    Times are those of the caller's clock, in seconds.
    """

    def __init__(self, size: int, ttl_s: float | None, ttl_of_none_s: float | None) -> None:
        self._size = size
        self._ttl_s = ttl_s
        self._ttl_of_none_s = ttl_of_none_s
        self._answers: OrderedDict[Hashable, tuple[Any, float | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: Hashable, now_s: float) -> Any:
        """Return what is known of *key*: the answer, None for absence, or `UNKNOWN`."""
        found = self._answers.get(key)
        if found is None:
            return UNKNOWN
        answer, until_s = found
        if until_s is not None and now_s >= until_s:
            del self._answers[key]
            return UNKNOWN
        self._answers.move_to_end(key)
        return answer

    def put(self, key: Hashable, answer: Any, now_s: float) -> None:
        """Keep *answer*, or that there is none."""
        ttl_s = self._ttl_of_none_s if answer is None else self._ttl_s
        self._answers[key] = (answer, None if ttl_s is None else now_s + ttl_s)
        self._answers.move_to_end(key)
        while len(self._answers) > self._size:
            self._answers.popitem(last=False)
