"""Aggregates that estimate quantiles; public in `turbine.aggregates`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from turbine._aggregate import Aggregate, Column, is_number

SIZES: Final = range(10, 10_001)
"""Sizes of sketches."""


@dataclass(frozen=True)
class Quantile(Aggregate):
    """
    Value below which a part of the values is, estimated in bounded memory.

    ``"tdigest"`` is exact up to ``5 * compression`` values (linear between two of them, as numpy),
    and most precise near 0 and 1. ``"kll"`` is equally precise everywhere and always gives one of
    the values.

    Args:
        column: Numbers, as `float64`; NaN is skipped.
        q: The part, from 0 to 1.
        method: The sketch.
        compression: Size of a t-digest, from 10 to 10,000: more is more precise and larger.
        k: Size of a KLL sketch, from 10 to 10,000.

    Example:
        >>> aggregate(orders, value=Quantile("amount", 0.9).alias("p90")).to_pylist()
        [{'p90': 27.0}]
    """

    function: ClassVar[str] = "quantile"
    column: Column
    q: float = 0.5
    method: Literal["tdigest", "kll"] = "tdigest"
    compression: int = 100
    k: int = 200

    def check(self) -> None:
        """Refuse what is no part, and sizes out of range."""
        _check_quantiles(self, [self.q], self.method, self.compression, self.k)

    def options(self) -> dict[str, Any]:
        """Return the parameters of the chosen sketch."""
        return {"q": float(self.q), **_sketch(self.method, self.compression, self.k)}


@dataclass(frozen=True)
class Median(Aggregate):
    """
    The `Quantile` of a half.

    Args:
        column: Numbers, as `float64`; NaN is skipped.
        method: As for `Quantile`.
        compression: As for `Quantile`.
        k: As for `Quantile`.

    Example:
        >>> aggregate(orders, key="user", value=Median("amount")).to_pylist()
        [{'user': 'ada', 'median_amount': 20.0}, {'user': 'bob', 'median_amount': 5.0}]
    """

    function: ClassVar[str] = "quantile"
    column: Column
    method: Literal["tdigest", "kll"] = "tdigest"
    compression: int = 100
    k: int = 200

    def check(self) -> None:
        """Refuse sizes out of range."""
        _check_quantiles(self, [0.5], self.method, self.compression, self.k)

    def options(self) -> dict[str, Any]:
        """Return the parameters of the chosen sketch."""
        return {"q": 0.5, **_sketch(self.method, self.compression, self.k)}

    def _made_name(self) -> str:
        return super()._made_name().replace("quantile", "median", 1)


@dataclass(frozen=True)
class Quantiles(Aggregate):
    """
    Several quantiles of one sketch: a struct with a field each, named as the number is written.

    Args:
        column: Numbers, as `float64`; NaN is skipped.
        qs: The parts, from 0 to 1.
        method: As for `Quantile`.
        compression: As for `Quantile`.
        k: As for `Quantile`.

    Example:
        >>> aggregate(orders, value=Quantiles("amount", [0.5, 1.0]).alias("q")).to_pylist()
        [{'q': {'0.5': 15.0, '1.0': 30.0}}]
    """

    function: ClassVar[str] = "quantiles"
    column: Column
    qs: Sequence[float] = (0.25, 0.5, 0.75)
    method: Literal["tdigest", "kll"] = "tdigest"
    compression: int = 100
    k: int = 200

    def check(self) -> None:
        """Refuse what are no parts, and sizes out of range."""
        if isinstance(self.qs, str | bytes) or not isinstance(self.qs, Sequence):
            raise self.refuse("qs must be a list of numbers from 0 to 1")
        object.__setattr__(self, "qs", tuple(self.qs))
        _check_quantiles(self, self.qs, self.method, self.compression, self.k)

    def options(self) -> dict[str, Any]:
        """Return the parameters of the chosen sketch."""
        qs = [float(q) for q in self.qs]
        return {"qs": qs, **_sketch(self.method, self.compression, self.k)}


def _sketch(method: str, compression: int, k: int) -> dict[str, Any]:
    return {"method": method} | ({"k": k} if method == "kll" else {"compression": compression})


def _check_quantiles(
    of: Aggregate, qs: Sequence[float], method: str, compression: int, k: int
) -> None:
    if not qs or not all(is_number(q) and 0 <= q <= 1 for q in qs):
        raise of.refuse("a quantile must be a number from 0 to 1, and there must be one")
    if len({float(q) for q in qs}) != len(qs):
        raise of.refuse("a quantile is there twice: name each once")
    if method not in ("tdigest", "kll"):
        raise of.refuse(f"method={method!r} is no sketch: write 'tdigest' or 'kll'")
    for name, size in (("compression", compression), ("k", k)):
        if isinstance(size, bool) or size not in SIZES:
            raise of.refuse(f"{name} must be a whole number from 10 to 10,000")
