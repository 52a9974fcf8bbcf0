"""The metrics of the running worker, as numbers."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

__all__ = ["Readings", "mean_of"]

_LINE = re.compile(r"^(\w+)(?:\{([^}]*)\})? ([-+.\w]+)$", re.MULTILINE)
_LABEL = re.compile(r'worker="([^"]*)"')


class Readings:
    """
    Counters of the core by metric and worker label, which never go back.

    Args:
        attached: Gives what runs, if something does.
    """

    def __init__(self, attached: Callable[[], Any]) -> None:
        self._attached = attached
        self._last: dict[tuple[str, str], float] = {}
        self._sums: Counter[tuple[str, str]] = Counter()

    def rows(self) -> list[dict[str, Any]]:
        """Partitions of this worker, as ``/assignments`` has them."""
        native = self._native()
        return [] if native is None else native.assignments()

    def total(self, metric: str) -> int:
        """The counter over all labels."""
        self._read()
        return round(sum(n for (name, _), n in self._sums.items() if name == metric))

    def value(self, metric: str) -> float:
        """The sum as it is, with its fraction."""
        self._read()
        return sum(n for (name, _), n in self._sums.items() if name == metric)

    def by_name(self, metric: str) -> Counter[str]:
        """The counter by agents and subscriptions."""
        self._read()
        found: Counter[str] = Counter()
        for (name, label), n in self._sums.items():
            if name == metric:
                found[label.rpartition("-p")[0]] += round(n)
        return found

    def by_topic(self, metric: str) -> Counter[str]:
        """The counter by topics; of agents that read several, all of them as one name."""
        topics: dict[str, set[str]] = {}
        for row in self.rows():
            topics.setdefault(row["name"], set()).add(row["topic"])
        found: Counter[str] = Counter()
        for name, n in self.by_name(metric).items():
            found[",".join(sorted(topics.get(name, {name})))] += n
        return found

    def _read(self) -> None:
        native = self._native()
        for metric, labels, value in _LINE.findall("" if native is None else native.metrics()):
            worker = _LABEL.search(labels)
            key = metric, worker[1] if worker else labels
            now, last = float(value), self._last.get(key, 0.0)
            # A partition that went and came again counts from 0.
            self._sums[key] += now - last if now >= last else now  # type: ignore[assignment]
            self._last[key] = now

    def _native(self) -> Any:
        return getattr(self._attached(), "native", None)


def mean_of(readings: Readings, metric: str) -> float:
    """Mean of a histogram, in seconds; 0 before the first observation."""
    count = readings.value(f"{metric}_count")
    return readings.value(f"{metric}_sum") / count if count else 0.0
