"""
What a handler keeps from batch to batch: `State`, and values of a type of one's own.

```python
@app.subscribe("orders", publish_to="counts", partition_key="user")
def count(batch, state):
    counts = state.add_many(batch["user"], 1)
    return batch.append_column("count", counts)
```

`docs/guides/state.md` is the guide.
"""

from collections.abc import Iterable
from typing import Any, Generic, TypeVar, cast

from turbine._native import State
from turbine.exceptions import DeclarationError

__all__ = ["State", "TypedState"]

T = TypeVar("T")

_PLAIN = (bytes, str, int, float, bool)


class TypedState(Generic[T]):
    """
    The values of a state as one type; made by ``state.typed(type)``.

    A pydantic model, a dataclass and whatever else pydantic validates is kept as JSON; text,
    numbers, truth values and bytes have their own form and are checked.

    Args:
        state: The state.
        type_: The type of its values.

    Raises:
        DeclarationError: pydantic knows no such type.
    """

    __slots__ = ("_adapter", "_state", "_type")

    def __init__(self, state: State, type_: type[T]) -> None:
        self._state = state
        self._type = type_
        self._adapter = None if type_ in _PLAIN else _adapter(type_)

    def get(self, key: str | bytes, default: T | None = None, /) -> T | None:
        """
        Return the value of *key*, or *default*.

        Raises:
            TypeError: The value is of another type.
            pydantic.ValidationError: It does not fit the type any more.
        """
        if self._adapter is None:
            value = self._state.get(key)
            return default if value is None else self._checked(key, value)
        text = self._state._get_json(key)  # noqa: SLF001 - two halves of one thing
        return default if text is None else cast("T", self._adapter.validate_json(text))

    def put(self, key: str | bytes, value: T, /, *, ttl_ms: int | None = None) -> None:
        """
        Give *key* a value.

        Raises:
            TypeError: It is of another type.
            pydantic.ValidationError: It does not fit the type.
        """
        if self._adapter is None:
            self._state.put(key, self._checked(key, value), ttl_ms=ttl_ms)
            return
        text = self._adapter.dump_json(self._adapter.validate_python(value))
        self._state._put_json(key, text, ttl_ms)  # noqa: SLF001 - two halves of one thing

    def delete(self, key: str | bytes, /) -> None:
        """Remove *key*."""
        self._state.delete(key)

    def get_many(self, keys: Iterable[str | bytes], /) -> list[T | None]:
        """Return the values of *keys*, in their order."""
        return [self.get(key) for key in keys]

    def scope(self, key: str | bytes, /) -> "TypedState[T]":
        """Return the state of *key*, with values of the same type."""
        return TypedState(self._state.scope(key), self._type)

    def _checked(self, key: str | bytes, value: Any) -> T:
        is_number = self._type is float and type(value) is int
        if type(value) is not self._type and not is_number:
            raise TypeError(
                f"the value of {key!r} is {type(value).__name__}, and the state is typed as "
                f"{self._type.__name__}"
            )
        return cast("T", value)


_ADAPTERS: dict[Any, Any] = {}


def _adapter(type_: Any) -> Any:
    """Make pydantic's adapter of *type_*, once."""
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    if (known := _ADAPTERS.get(type_)) is not None:
        return known
    try:
        made = TypeAdapter(type_)
    except PydanticUserError as exc:
        raise DeclarationError(
            f"state.typed({type_!r}): pydantic knows no such type ({exc.message.splitlines()[0]}): "
            "write a pydantic model, a dataclass, or int, float, str, bytes or bool"
        ) from None
    return _ADAPTERS.setdefault(type_, made)
