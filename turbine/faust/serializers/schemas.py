"""`Schema`: the types and codecs of a topic, with hooks for headers."""

from typing import Any

from turbine.faust.serializers.codecs import CodecArg, warn_if_unsafe_pickle

__all__ = ["Schema"]


class Schema:
    """
    How a topic's keys and values are read and written.

    Derive from it to read or write in a way of your own: with the id of a schema registry in front
    of the bytes, or with headers. ``message`` has ``key``, ``value`` (bytes) and ``headers``.

    Args:
        key_type: Type of keys; None: what the data itself says.
        value_type: Type of values; None: the same.
        key_serializer: Codec of keys; None: that of the key's record class, else the app's.
        value_serializer: Codec of values; None: the same.
        allow_empty: Accepted; a record without a value is always given as None.
    """

    key_type: Any = None
    value_type: Any = None
    key_serializer: CodecArg = None
    value_serializer: CodecArg = None
    allow_empty: bool = False

    def __init__(self, **options: Any) -> None:
        self.update(**options)

    def update(
        self,
        *,
        key_type: Any = None,
        value_type: Any = None,
        key_serializer: CodecArg = None,
        value_serializer: CodecArg = None,
        allow_empty: bool | None = None,
    ) -> None:
        """Change what is given; None leaves as it is."""
        if key_type is not None:
            self.key_type = key_type
        if value_type is not None:
            self.value_type = value_type
        if allow_empty is not None:
            self.allow_empty = allow_empty
        self.key_serializer = key_serializer or self.key_serializer or _own_codec(key_type)
        self.value_serializer = value_serializer or self.value_serializer or _own_codec(value_type)
        warn_if_unsafe_pickle(self.key_serializer)
        warn_if_unsafe_pickle(self.value_serializer)

    # -- reading ---------------------------------------------------------------------------

    def loads_key(
        self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None
    ) -> Any:
        """Read the key of *message*."""
        loads = loads or app.serializers.loads_key
        return loads(self.key_type, message.key, serializer=serializer or self.key_serializer)

    def loads_value(
        self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None
    ) -> Any:
        """Read the value of *message*."""
        loads = loads or app.serializers.loads_value
        return loads(self.value_type, message.value, serializer=serializer or self.value_serializer)

    # -- writing ---------------------------------------------------------------------------

    def dumps_key(
        self, app: Any, key: Any, *, serializer: CodecArg = None, headers: Any
    ) -> tuple[Any, Any]:
        """Write a key; give its bytes and the headers."""
        payload = app.serializers.dumps_key(
            self.key_type, key, serializer=serializer or self.key_serializer
        )
        return payload, self.on_dumps_key_prepare_headers(key, headers)

    def dumps_value(
        self, app: Any, value: Any, *, serializer: CodecArg = None, headers: Any
    ) -> tuple[Any, Any]:
        """Write a value; give its bytes and the headers."""
        payload = app.serializers.dumps_value(
            self.value_type, value, serializer=serializer or self.value_serializer
        )
        return payload, self.on_dumps_value_prepare_headers(value, headers)

    def on_dumps_key_prepare_headers(self, key: Any, headers: Any) -> Any:
        """Change the headers of a record with this key; for subclasses."""
        del key
        return headers

    def on_dumps_value_prepare_headers(self, value: Any, headers: Any) -> Any:
        """Change the headers of a record with this value; for subclasses."""
        del value
        return headers

    def __repr__(self) -> str:
        key = f"{self.key_type or '*default*'} ({self.key_serializer or '*default*'})"
        value = f"{self.value_type or '*default*'} ({self.value_serializer or '*default*'})"
        return f"<{type(self).__name__}: KT={key} VT={value}>"


def _own_codec(typ: Any) -> Any:
    return getattr(getattr(typ, "_options", None), "serializer", None)
