"""Keys and values with a type and a codec, to bytes and back, as an app's topics have them."""

import functools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from turbine.faust.exceptions import DecodeError, KeyDecodeError, ValueDecodeError
from turbine.faust.models.base import Model
from turbine.faust.serializers.codecs import CodecArg, dumps, loads, warn_if_unsafe_pickle

__all__ = ["Registry", "reader"]


class Registry:
    """
    The codecs of an app.

    Args:
        key_serializer: Codec of keys where nothing else is said; None: bytes.
        value_serializer: Codec of values where nothing else is said.
    """

    def __init__(
        self, key_serializer: CodecArg = None, value_serializer: CodecArg = "json"
    ) -> None:
        self.key_serializer = key_serializer
        self.value_serializer = value_serializer
        warn_if_unsafe_pickle(key_serializer)
        warn_if_unsafe_pickle(value_serializer)

    def loads_key(self, typ: Any, key: bytes | None, *, serializer: CodecArg = None) -> Any:
        """
        Read a key.

        Raises:
            KeyDecodeError: The bytes are not what *typ* and the codec say.
        """
        return self._read(KeyDecodeError, typ, key, serializer or self.key_serializer)

    def loads_value(self, typ: Any, value: bytes | None, *, serializer: CodecArg = None) -> Any:
        """
        Read a value.

        Raises:
            ValueDecodeError: The bytes are not what *typ* and the codec say.
        """
        codec = self._serializer(typ, serializer, self.value_serializer)
        return self._read(ValueDecodeError, typ, value, codec)

    def _read(self, error: type[DecodeError], typ: Any, data: Any, codec: CodecArg) -> Any:
        if data is None:
            if isinstance(typ, type) and issubclass(typ, Model):
                raise error(f"a record of {typ.__name__} is expected, not None")
            return None
        try:
            return self._prepare_payload(typ, self._loads(codec, data))
        except MemoryError:
            raise
        except Exception as exc:
            raise error(f"{type(exc).__name__}: {exc}") from exc

    def _loads(self, serializer: CodecArg, data: bytes) -> Any:
        return loads(serializer, data)

    def _serializer(self, typ: Any, *alternatives: CodecArg) -> CodecArg:
        for codec in alternatives:
            if codec:
                return codec
        return "raw" if typ is str or typ is bytes else None

    def _prepare_payload(self, typ: Any, value: Any) -> Any:
        return reader(typ)(value)

    def dumps_key(
        self, typ: Any, key: Any, *, serializer: CodecArg = None, skip: tuple[type, ...] = (bytes,)
    ) -> bytes | None:
        """Write a key; those of the types *skip* as they are."""
        written = self._write(typ, key, serializer, self.key_serializer, skip)
        return written.encode() if isinstance(written, str) else written

    def dumps_value(
        self,
        typ: Any,
        value: Any,
        *,
        serializer: CodecArg = None,
        skip: tuple[type, ...] = (bytes,),
    ) -> bytes | None:
        """Write a value; those of the types *skip* as they are."""
        written: bytes | None = self._write(typ, value, serializer, self.value_serializer, skip)
        return written

    def _write(
        self, typ: Any, value: Any, given: CodecArg, default: CodecArg, skip: tuple[type, ...]
    ) -> Any:
        is_model = isinstance(value, Model)
        if is_model:
            given = value._options.serializer or given  # noqa: SLF001 - this package's own
        codec = self._serializer(typ, given, default)
        if value is None or not codec or isinstance(value, skip):
            return value
        return value.dumps(serializer=codec) if is_model else dumps(codec, value)


@functools.cache
def reader(typ: Any) -> Callable[[Any], Any]:
    """Give what makes a *typ* of what a codec gave; of None what the data itself says it is."""
    simple: dict[Any, Callable[[Any], Any]] = {
        None: Model._maybe_reconstruct,  # noqa: SLF001 - this package's own
        int: lambda value: int(_text(value)),
        float: lambda value: float(_text(value)),
        Decimal: lambda value: Decimal(_text(value)),
        str: _text,
        bytes: lambda value: value.encode() if isinstance(value, str) else bytes(value),
    }
    if typ in simple:
        return simple[typ]
    if isinstance(typ, type) and issubclass(typ, Model):
        return lambda value: typ.from_data(value, preferred_type=typ)
    from pydantic import TypeAdapter

    adapter: TypeAdapter[Any] = TypeAdapter(typ)
    return adapter.validate_python


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
