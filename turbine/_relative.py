"""Which time of an event decides about its windows."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from turbine.exceptions import DeclarationError

if TYPE_CHECKING:
    from turbine.events import Event

__all__ = ["Relative", "as_seconds", "relative_to"]

Relative: TypeAlias = Callable[["Event"], Any]
"""Gives the time of an event: seconds, or a `datetime`; one without a zone is in UTC."""


def relative_to(given: Any) -> Relative:
    """
    Make a function from what `relative_to` and `relative_to_field` of a table take.

    Args:
        given: A field of a record class, the name of a field, a function of the event, or a time.

    Raises:
        DeclarationError: It is nothing of these.
    """
    if isinstance(given, str):
        return lambda event: _field(event.value, given)
    if hasattr(given, "getattr") and hasattr(given, "ident"):
        return lambda event: given.getattr(event.value)
    if callable(given):
        function: Relative = given
        return function
    if isinstance(given, int | float | datetime) and not isinstance(given, bool):
        return lambda _event: given
    raise DeclarationError(
        f"relative_to({given!r}): write a field as Model.date, its name, a function of the event, "
        "or a time"
    )


def as_seconds(name: str, given: Any) -> float:
    """
    Give a time as seconds since the Unix epoch.

    Raises:
        ValueError: It is no time.
    """
    if isinstance(given, datetime):
        return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()
    if isinstance(given, int | float) and not isinstance(given, bool):
        return float(given)
    raise ValueError(
        f"table {name}: the event's time is {given!r}, and windows need a number of seconds or a "
        "datetime: declare the field so, or give relative_to() a function of the event"
    )


def _field(value: Any, name: str) -> Any:
    return value[name] if isinstance(value, dict) else getattr(value, name)
