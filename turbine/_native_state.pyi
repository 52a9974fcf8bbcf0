"""The state of handlers, as Python sees it; all of it is in `turbine._native`."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, TypeVar, final, overload

from turbine.state import TypedState

_T = TypeVar("_T")
_Key: TypeAlias = str | bytes
_Keys: TypeAlias = Iterable[Any]

@final
class State:
    """
    What a handler keeps from batch to batch; valid as long as its batch.

    Keys are text or bytes, and text is the same key as its UTF-8. A write takes effect with the
    outputs of the batch; every read sees the writes before it.
    """

    @property
    def scope_key(self) -> str | bytes | None:
        """Key that it is the state of; None for the state of the whole partition."""
    @property
    def watermark_ms(self) -> int | None:
        """The watermark in front of the batch, in ms since the Unix epoch."""
    def scope(self, key: _Key, /) -> State:
        """Return the state of *key*: its keys and timers are apart from all others."""
    def get(self, key: _Key, default: Any = None, /) -> Any:
        """Return the value of *key*, or *default*."""
    def put(self, key: _Key, value: Any, /, *, ttl_ms: int | None = None) -> None:
        """
        Give *key* a value: text, a number, bytes, None, or lists and dicts of them.

        Args:
            key: The key.
            value: The value; inside of lists and dicts bytes need ``state_format="msgpack"``.
            ttl_ms: How long it lives in event time, in ms, from the watermark behind the batch.

        Raises:
            TypeError: The value, or one inside of it, has no form; the message has the path to it.
        """
    def delete(self, key: _Key, /) -> None:
        """Remove *key*."""
    def get_bytes(self, key: _Key, /) -> bytes | None:
        """Return the bytes of *key*; raises `TypeError` if they were not put as bytes."""
    def put_bytes(self, key: _Key, value: bytes, /, *, ttl_ms: int | None = None) -> None:
        """Give *key* bytes."""
    def get_many(self, keys: _Keys, default: Any = None, /) -> list[Any]:
        """Return the values of *keys*, in their order."""
    def get_bytes_many(self, keys: _Keys, /) -> list[bytes | None]:
        """As `get_bytes`, for each of *keys*."""
    @overload
    def put_many(self, entries: Mapping[_Key, Any], /, *, ttl_ms: int | None = None) -> None: ...
    @overload
    def put_many(self, keys: _Keys, values: Iterable[Any], /, *, ttl_ms: int | None = None) -> None:
        """As `put`, for a dict, or for keys and their values."""
    @overload
    def put_bytes_many(
        self, entries: Mapping[_Key, bytes], /, *, ttl_ms: int | None = None
    ) -> None: ...
    @overload
    def put_bytes_many(
        self, keys: _Keys, values: Iterable[Any], /, *, ttl_ms: int | None = None
    ) -> None:
        """As `put_bytes`, for a dict, or for keys and their values."""
    def delete_many(self, keys: _Keys, /) -> None:
        """Remove *keys*."""
    def add_many(self, keys: _Keys, amounts: Any = 1, /, *, ttl_ms: int | None = None) -> Any:
        """
        Add to the numbers under *keys*, row by row; nothing counts as 0.

        Args:
            keys: A key each row, more than once as well; a null is left out.
            amounts: A number for all rows, or one each; a null adds nothing.
            ttl_ms: As for `put`.

        Returns:
            A `pyarrow.Array`, the number behind each row: int64, or float64 where floats are added.

        Raises:
            DeclarationError: A value is no number, or a sum does not fit 64 bits; nothing is added.
        """
    def scan(self, prefix: _Key = "", /, *, limit: int | None = None) -> list[tuple[Any, Any]]:
        """Return keys that begin with *prefix*, in the order of their bytes, and the values."""
    def scan_prefix(self, prefix: _Key, /) -> list[tuple[Any, Any]]:
        """As `scan`."""
    def scan_many_prefixes(self, prefixes: Iterable[_Key], /) -> list[list[tuple[Any, Any]]]:
        """As `scan`, for each of *prefixes*."""
    def set_timer(self, timer_id: str, delay_ms: int, /) -> None:
        """Call ``on_timer`` in *delay_ms* of the worker's clock; replaces an earlier time."""
    def set_event_timer(self, timer_id: str, at_ms: int, /) -> None:
        """Call ``on_timer`` once the watermark reaches *at_ms*, ms since the Unix epoch."""
    def register_timer(self, timer_id: str, delay_ms: int, /) -> None:
        """As `set_timer`."""
    def register_event_time_timer(self, timer_id: str, fire_time_ms: int, /) -> None:
        """As `set_event_timer`."""
    def cancel_timer(self, timer_id: str, /) -> bool:
        """Forget a timer; whether it was set."""
    def typed(self, type_: type[_T], /) -> TypedState[_T]:
        """Return the state with values of one type: a pydantic model, a dataclass, int, str ..."""
    def _get_json(self, key: _Key, /) -> bytes | None: ...
    def _put_json(self, key: _Key, json: bytes, ttl_ms: int | None, /) -> None: ...

@final
class Undo:
    """A place in the writes to a state."""

    def roll_back(self) -> None:
        """Take back every write since."""
