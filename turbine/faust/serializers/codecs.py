"""
Codecs: ``raw``, ``json``, ``binary``, ``yaml``, and chains of them as in ``json|binary``.

A chain writes from left to right and reads from right to left. Others are added with `register`, or
by a package with an entry point of the group ``faust.codecs``. ``pickle`` runs code that is in the
data, so it refuses until a program calls `allow_pickle`; see `pickles`.
"""

import base64
from typing import Any

from turbine.faust.exceptions import ImproperlyConfigured
from turbine.faust.serializers.codec import Codec, CodecArg
from turbine.faust.serializers.pickles import (
    RestrictedUnpickler,
    allow_pickle,
    raw_pickle,
    restricted_pickle,
    uses_unsafe_pickle,
    warn_if_unsafe_pickle,
)
from turbine.faust.utils import json as _json

__all__ = [
    "Codec",
    "CodecArg",
    "RestrictedUnpickler",
    "allow_pickle",
    "binary",
    "codecs",
    "dumps",
    "get_codec",
    "json",
    "loads",
    "pickle",
    "pickle_restricted",
    "raw",
    "raw_pickle",
    "register",
    "restricted_pickle",
    "uses_unsafe_pickle",
    "warn_if_unsafe_pickle",
    "yaml",
]


class json(Codec):  # noqa: N801 - the word of Faust
    """JSON in UTF-8; see `turbine.faust.utils.json`."""

    def _loads(self, s: bytes) -> Any:
        return _json.loads(s)

    def _dumps(self, s: Any) -> bytes:
        return _json.dumps_bytes(s)


class raw(Codec):  # noqa: N801
    """Bytes as they are; text as UTF-8."""

    def _loads(self, s: Any) -> Any:
        return _to_bytes(s)

    def _dumps(self, s: Any) -> bytes:
        return _to_bytes(s)


class binary(Codec):  # noqa: N801
    """Base64."""

    def _loads(self, s: bytes) -> Any:
        return base64.b64decode(s)

    def _dumps(self, s: Any) -> bytes:
        return base64.b64encode(_to_bytes(s))


class yaml(Codec):  # noqa: N801
    """YAML of plain types, with PyYAML."""

    def _loads(self, s: bytes) -> Any:
        return _need_yaml().safe_load(s)

    def _dumps(self, s: Any) -> bytes:
        text: str = _need_yaml().safe_dump(s)
        return text.encode()


def pickle() -> Codec:
    """Pickle in Base64."""
    chain: Codec = raw_pickle() | binary()
    return chain


def pickle_restricted() -> Codec:
    """Pickle of plain values in Base64."""
    chain: Codec = restricted_pickle() | binary()
    return chain


def _need_yaml() -> Any:
    try:
        import yaml  # type: ignore[import-untyped] # has no types of its own
    except ImportError:
        raise ImproperlyConfigured("the codec yaml needs PyYAML: pip install PyYAML") from None
    return yaml


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"{type(value).__name__} is neither bytes nor text: {value!r}")


# -- names ---------------------------------------------------------------------------------

codecs: dict[str, Codec] = {
    "binary": binary(),
    "json": json(),
    "pickle": pickle(),
    "pickle_restricted": pickle_restricted(),
    "raw": raw(),
    "raw_pickle": raw_pickle(),
    "yaml": yaml(),
}
"""Codecs by name."""

_has_extensions = False


def register(name: str, codec: Any) -> None:
    """Let *name* stand for *codec*."""
    codecs[name] = codec


def get_codec(name_or_codec: CodecArg) -> Any:
    """
    Give the codec that *name_or_codec* stands for.

    Raises:
        KeyError: No codec has that name; the message has those there are.
    """
    if not isinstance(name_or_codec, str):
        return name_or_codec
    names = [name.strip() for name in name_or_codec.split("|") if name.strip()]
    chain: Any = None
    for name in names:
        chain = _named(name) if chain is None else chain | _named(name)
    return chain


def _named(name: str) -> Any:
    if name not in codecs:
        _load_extensions()
    try:
        return codecs[name]
    except KeyError:
        known = ", ".join(sorted(codecs))
        raise KeyError(f"no codec is called {name!r}; there are {known}") from None


def _load_extensions() -> None:
    """Register what packages offer; once, and only if a name is not known."""
    global _has_extensions  # noqa: PLW0603 - done once a process
    if _has_extensions:
        return
    _has_extensions = True
    from importlib.metadata import entry_points

    for point in entry_points(group="faust.codecs"):
        made = point.load()
        codecs.setdefault(point.name, made() if callable(made) else made)


def dumps(codec: CodecArg, obj: Any) -> Any:
    """Write *obj*; without a codec give it as it is."""
    return get_codec(codec).dumps(obj) if codec else obj


def loads(codec: CodecArg, s: Any) -> Any:
    """Read *s*; without a codec give it as it is."""
    return get_codec(codec).loads(s) if codec else s
