"""Errors and warnings by the names that Faust programs catch."""

from typing import TYPE_CHECKING, Any

from turbine.exceptions import ConfigError

if TYPE_CHECKING:
    from turbine.faust.models.descriptors import FieldDescriptor

__all__ = [
    "DecodeError",
    "FaustError",
    "FaustWarning",
    "ImproperlyConfigured",
    "KeyDecodeError",
    "NotReady",
    "SecurityError",
    "SecurityWarning",
    "Skip",
    "ValidationError",
    "ValueDecodeError",
]


class FaustError(Exception):
    """Base of what this package raises on its own."""


class FaustWarning(UserWarning):
    """Base of what this package warns of."""


class SecurityError(FaustError):
    """Protected data was used as if it were not."""


class SecurityWarning(FaustWarning):
    """Something is switched on that trusts its input."""


class NotReady(FaustError):  # noqa: N818 - the words of Faust
    """The app is not started."""


class Skip(FaustError):  # noqa: N818
    """Raised in a stream processor: leave this event out."""


class ImproperlyConfigured(FaustError, ConfigError):  # noqa: N818
    """Something is missing that the configuration asks for."""


class ValidationError(FaustError, ValueError):
    """
    A value does not fit its field.

    Attributes:
        reason: What is wrong with it.
        field: Descriptor of the field.
    """

    def __init__(self, reason: str, *, field: "FieldDescriptor[Any]") -> None:
        super().__init__(reason, field)
        self.reason = reason
        self.field = field

    def __str__(self) -> str:
        return f"{self.reason} {self.field!r}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


class DecodeError(FaustError):
    """Bytes of a record are not what its topic says."""


class KeyDecodeError(DecodeError):
    """Bytes of a key are not what the topic says."""


class ValueDecodeError(DecodeError):
    """Bytes of a value are not what the topic says."""
