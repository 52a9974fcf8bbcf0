"""
Values that must not be shown: `Personal`, `Sensitive` and `Secret`.

A guard against slips, such as a log line that holds a telephone number; not a wall against a
program that wants to read the value.
"""

import sys
from collections import UserString
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any, ClassVar, Generic, TypeVar

from turbine.faust.exceptions import SecurityError

__all__ = ["Personal", "Secret", "Sensitive", "Tag", "allow_protected_vars"]

T = TypeVar("T")

_IS_ALLOWED: ContextVar[bool] = ContextVar("turbine_protected_vars", default=False)


@contextmanager
def allow_protected_vars() -> Iterator[None]:
    """Let protected values be used anywhere inside of the block."""
    token = _IS_ALLOWED.set(True)
    try:
        yield
    finally:
        _IS_ALLOWED.reset(token)


class Tag(Generic[T]):
    """A value with a mark."""

    is_secret: ClassVar[bool] = False
    is_sensitive: ClassVar[bool] = False
    is_personal: ClassVar[bool] = False

    def __init__(self, value: T, *, field: str | None = None) -> None:
        if isinstance(value, Tag):
            raise SecurityError(f"{value!r} is tagged already: tag its get_value()")
        self._value = value
        self.field = field

    def get_value(self) -> Any:
        """Give the value itself."""
        return self._value

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.field}@{id(self):#x}>"


class Secret(Tag[T]):
    """Shows as stars."""

    is_secret = True
    mask: ClassVar[str] = "***********"

    def __str__(self) -> str:
        return self.mask

    def __format__(self, format_spec: str) -> str:
        return format(self.mask, format_spec)


class _Opaque(Tag[T]):
    """Is no text at all; its value is only for the function that asked for it."""

    def get_value(self) -> Any:
        if _IS_ALLOWED.get():
            return self._value
        return _FrameLocal(self._value, self.field, type(self).__name__.lower())

    def __str__(self) -> str:
        raise self._refusal()

    def __format__(self, format_spec: str) -> str:
        raise self._refusal()

    def _refusal(self) -> SecurityError:
        name = type(self).__name__
        return SecurityError(f"{name} data of {self.field} used as text: call get_value()")


class Personal(_Opaque[T]):
    """Tells who somebody is."""

    is_personal = True


class Sensitive(_Opaque[T]):
    """Harms somebody when it is known."""

    is_sensitive = True


class _FrameLocal(UserString):
    """Text that only the calling function may read."""

    def __init__(self, value: Any, field: str | None = None, tag: str = "") -> None:
        self._value = value
        self._field = field
        self._tag = tag
        self._frame = _name_of(sys._getframe(2))

    def __repr__(self) -> str:
        return f"<Protected {self._tag}: {self._field}@{id(self):#x}>"

    @property
    def data(self) -> Any:  # type: ignore[override]
        # One frame up is the method of UserString, two up its caller.
        if _IS_ALLOWED.get() or _name_of(sys._getframe(2)) == self._frame:
            return self._value
        raise SecurityError(
            f"the {self._tag} value of {self._field} was read outside of the function that asked "
            "for it: use allow_protected_vars()"
        )


def _name_of(frame: FrameType) -> tuple[int, str, str]:
    return id(frame), frame.f_code.co_filename, frame.f_code.co_name
