"""
The codecs of pickle, which runs code that is in the data.

``pickle`` refuses until a program calls `allow_pickle`, and warns then. ``pickle_restricted`` makes
plain values only: what its list does not name is refused before it runs.
"""

import io
import pickle as _pickle
import warnings
from typing import Any, ClassVar, Final

from turbine.faust.exceptions import ImproperlyConfigured, SecurityWarning
from turbine.faust.serializers.codec import Codec, CodecArg

__all__ = [
    "RestrictedUnpickler",
    "allow_pickle",
    "raw_pickle",
    "restricted_pickle",
    "uses_unsafe_pickle",
    "warn_if_unsafe_pickle",
]

_RISK: Final = (
    "the pickle codec runs code that is in the data: use it only on topics that nobody else "
    "writes to, or use pickle_restricted or JSON"
)
_is_allowed = False


def allow_pickle(is_allowed: bool = True) -> None:  # noqa: FBT001, FBT002 - a switch
    """Let the codec ``pickle`` work: every writer of those topics can run code here."""
    global _is_allowed  # noqa: PLW0603 - one switch a process
    _is_allowed = is_allowed


def _check() -> None:
    if not _is_allowed:
        raise ImproperlyConfigured(
            f"{_RISK}; if it must be, call turbine.faust.serializers.codecs.allow_pickle()"
        )


class raw_pickle(Codec):  # noqa: N801 - the word of Faust
    """Pickle without Base64."""

    def _loads(self, s: bytes) -> Any:
        _check()
        warnings.warn(_RISK, SecurityWarning, stacklevel=3)
        return _pickle.loads(s)  # noqa: S301 - allow_pickle() was called

    def _dumps(self, s: Any) -> bytes:
        _check()
        return _pickle.dumps(s)


class RestrictedUnpickler(_pickle.Unpickler):
    """
    Makes only what its list names.

    Attributes:
        ALLOWED_CLASSES: Names by module. ``bytes`` is not among them: called with a number it takes
            as much memory as a few bytes of data ask for. Values of it need no call.
    """

    ALLOWED_CLASSES: ClassVar[dict[str, frozenset[str]]] = {
        "builtins": frozenset(
            [
                "bool",
                "complex",
                "dict",
                "float",
                "frozenset",
                "int",
                "list",
                "object",
                "set",
                "str",
                "tuple",
            ]
        ),
        "collections": frozenset({"Counter", "OrderedDict", "defaultdict", "deque"}),
        "datetime": frozenset({"date", "datetime", "time", "timedelta", "timezone"}),
        "decimal": frozenset({"Decimal"}),
        "uuid": frozenset({"UUID"}),
    }

    def find_class(self, module: str, name: str) -> Any:
        """Give a class of the list."""
        if name not in self.ALLOWED_CLASSES.get(module, ()):
            raise _pickle.UnpicklingError(
                f"{module}.{name} is not allowed in restricted pickle: add it to "
                "RestrictedUnpickler.ALLOWED_CLASSES if your producers write it"
            )
        return super().find_class(module, name)


class restricted_pickle(Codec):  # noqa: N801 - the word of Faust
    """Pickle of plain values without Base64."""

    def _loads(self, s: bytes) -> Any:
        return RestrictedUnpickler(io.BytesIO(s)).load()

    def _dumps(self, s: Any) -> bytes:
        # From protocol 5 on a bytearray is a value, not a call.
        return _pickle.dumps(s, protocol=5)


def uses_unsafe_pickle(codec: CodecArg) -> bool:
    """Is *codec* pickle, or is pickle in its chain?"""
    if isinstance(codec, str):
        return any(name.strip() in {"pickle", "raw_pickle"} for name in codec.split("|"))
    return isinstance(codec, Codec) and any(isinstance(node, raw_pickle) for node in codec.nodes)


def warn_if_unsafe_pickle(codec: CodecArg, *, stacklevel: int = 2) -> None:
    """Warn where a program asks for pickle, not only when data arrives."""
    if uses_unsafe_pickle(codec):
        warnings.warn(_RISK, SecurityWarning, stacklevel=stacklevel + 1)
