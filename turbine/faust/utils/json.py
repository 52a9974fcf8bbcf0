"""
JSON with the types that records hold.

Text for ``Decimal``, ``UUID`` and dates, arrays for sets and tuples, the value of an ``Enum``, and
whatever ``__json__()`` of another object gives. NaN and infinity become ``null``.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from pydantic_core import PydanticSerializationError, from_json, to_json

__all__ = ["JSONEncoder", "dumps", "dumps_bytes", "loads", "str_to_decimal"]

_LONGEST_DECIMAL: Final = 1_000
"""Characters; longer text is an attack, not a number."""


def str_to_decimal(text: str | None, maxlen: int = _LONGEST_DECIMAL) -> Decimal | None:
    """
    Read a finite number.

    Raises:
        ValueError: It has more than *maxlen* characters, or is NaN or an infinity.
    """
    if text is None:
        return None
    if len(text) > maxlen:
        raise ValueError(f"{len(text)} characters are too many for a number: at most {maxlen}")
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(f"{text!r} is not a finite number")
    return number


def _fallback(value: Any) -> Any:
    own = getattr(value, "__json__", None)
    if own is not None:
        return own()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form: {value!r}")


def dumps_bytes(value: Any) -> bytes:
    """
    Write *value* as JSON, in UTF-8 and without spaces.

    Raises:
        TypeError: Something in it has no JSON form.
    """
    try:
        return to_json(value, fallback=_fallback, inf_nan_mode="null")
    except PydanticSerializationError as exc:
        raise TypeError(str(exc).removeprefix("Error calling function `_fallback`: ")) from None


def dumps(value: Any, **_: Any) -> str:
    """Write *value* as JSON text; see `dumps_bytes`."""
    return dumps_bytes(value).decode()


def loads(text: str | bytes, **_: Any) -> Any:
    """
    Read JSON.

    Raises:
        ValueError: It is not JSON.
    """
    return from_json(text)


class JSONEncoder(json.JSONEncoder):
    """The same types for `json.dumps` of the standard library."""

    def default(self, o: Any) -> Any:
        """Give *o* in types that JSON has."""
        return from_json(dumps_bytes(o))
