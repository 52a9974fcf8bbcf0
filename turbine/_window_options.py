"""What the declarations of windows read: lengths of time, columns, when results come out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from turbine import _parsers
from turbine._declare import whole_number
from turbine.exceptions import ConfigError, DeclarationError

__all__ = ["Emit", "columns", "emit", "ms"]

_EARLY = re.compile(r"early\((.+)\)")
_MOST_MS = 2**53
"""Beyond it a number of milliseconds is no longer exact in JSON readers."""


@dataclass(frozen=True)
class Emit:
    """
    When the results of a window come out.

    Attributes:
        kind: ``final``, ``changes``, ``early`` or ``every_rows``.
        amount: Milliseconds of ``early``, rows of ``every_rows``.
    """

    kind: Literal["final", "changes", "early", "every_rows"] = "final"
    amount: int | None = None

    @staticmethod
    def early(interval: "float | timedelta | str") -> "Emit":
        """
        Give the windows that changed, once in *interval* of event time, and the final results.

        Raises:
            DeclarationError: The interval is no length of time.
        """
        return Emit("early", ms("interval", interval))

    @staticmethod
    def every(rows: int) -> "Emit":
        """
        Give a result after every so many rows of a key.

        Raises:
            DeclarationError: *rows* is no whole number from 1.
        """
        return Emit("every_rows", whole_number("rows", rows, least=1))

    def to_json(self) -> dict[str, Any]:
        """Describe it to the core."""
        extra = {"early": "interval_ms", "every_rows": "rows"}.get(self.kind)
        return {"type": self.kind} | ({extra: self.amount} if extra else {})


def emit(value: object) -> Emit:
    """Read ``emit=``."""
    if isinstance(value, Emit):
        return value
    if value == "final" or value == "changes":  # noqa: PLR1714 - mypy narrows a comparison only
        return Emit(value)
    if isinstance(value, str) and (found := _EARLY.fullmatch(value)):
        return Emit.early(found[1])
    raise DeclarationError(
        f"emit={value!r} is not possible: write 'final', 'changes', windows.early('10s') or "
        "windows.every(100)"
    )


def ms(name: str, length: "float | timedelta | str", *, least: int = 1) -> int:
    """Read a length of time as whole milliseconds from *least*."""
    try:
        exact = _parsers.seconds(length) * 1_000
    except ConfigError as exc:
        raise DeclarationError(f"{name} {exc}") from None
    whole = round(exact)
    if abs(whole - exact) > 1e-6 * max(1.0, exact) or not least <= whole <= _MOST_MS:
        raise DeclarationError(
            f"{name}={length!r} is not possible: write whole milliseconds from {least}, "
            "as '10s' or '250ms'"
        )
    return whole


def columns(name: str, value: str | Sequence[Any]) -> tuple[str, ...]:
    """Read the name of a column, or several."""
    names = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(one, str) and one for one in names):
        raise DeclarationError(f"{name}={value!r} is not possible: write the names of columns")
    if len(set(names)) != len(names):
        raise DeclarationError(f"{name}={value!r} names a column twice: name it once")
    return names
