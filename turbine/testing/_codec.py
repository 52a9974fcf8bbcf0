"""Keys and values of tests, as bytes and back: the same rules as for topics and agents."""

import json
from typing import Any

from turbine._decoders import decoder_for, takes_json
from turbine.exceptions import DecodeError

__all__ = ["decode", "encode", "outgoing"]


def outgoing(value: Any, value_type: Any) -> Any:
    """*value* as `_native.Producer.send` takes it: text of a JSON topic gets its quotes."""
    if type(value) is str and takes_json(value_type):
        from turbine._native import encode_json

        return encode_json(value)
    return value


def encode(value: Any, value_type: Any) -> bytes | None:
    """Bytes that `Topic.send` writes for *value*."""
    value = outgoing(value, value_type)
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    from turbine._native import encode_json

    return encode_json(value)


def decode(raw: bytes | None, kind: Any, *, default: str) -> Any:
    """
    What an agent sees of *raw*.

    Args:
        raw: Bytes of a key or value; None is a tombstone.
        kind: Its type, as in ``app.topic(value_type=...)``.
        default: Decoder without a type: ``"raw"`` for keys, ``"json"`` for values.

    Raises:
        DecodeError: The bytes do not fit the type.
    """
    if raw is None:
        return None
    decoder = decoder_for(kind, default=default)
    try:
        if decoder == "raw":
            return raw
        if decoder == "str":
            return raw.decode()
        if decoder == "int":
            return int(raw)
        return json.loads(raw) if decoder == "json" else decoder.validate_json(raw)
    except ValueError as exc:
        wanted = getattr(kind, "__name__", kind) or default
        reason = "; ".join(str(exc).splitlines()[:3])
        raise DecodeError(f"{raw!r} is not {wanted}: {reason}") from None
