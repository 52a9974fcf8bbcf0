"""Hooks that a program connects functions to."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, overload

from turbine.exceptions import DeclarationError

__all__ = ["Signal"]

F = TypeVar("F", bound=Callable[..., Any])


class Signal:
    """
    A moment in the life of an app, as ``app.on_partitions_assigned``.

    ::

        @app.on_partitions_assigned.connect
        async def assigned(app, partitions): ...

    Args:
        name: As it is called in messages.
        changed: Called when a handler was connected or disconnected.
    """

    __slots__ = ("_changed", "_handlers", "name")

    def __init__(self, name: str, changed: Callable[[], None] | None = None) -> None:
        self.name = name
        self._changed = changed
        self._handlers: list[Callable[..., Any]] = []

    @overload
    def connect(self, handler: F, **options: object) -> F: ...
    @overload
    def connect(self, **options: object) -> Callable[[F], F]: ...
    def connect(self, handler: Any = None, **options: object) -> Any:
        """
        Call *handler*, sync or async, with the sender and the signal's arguments.

        Args:
            handler: A function; None gives a decorator, for ``@app.on_x.connect()``.
            **options: Taken for programs of Faust, without effect: a handler stays connected.
        """
        if handler is None:
            return self.connect
        del options
        if not callable(handler):
            raise DeclarationError(
                f"app.{self.name}.connect takes a function, not {handler!r}: "
                f"write @app.{self.name}.connect above a def"
            )
        self._handlers.append(handler)
        self._tell()
        return handler

    __call__ = connect

    def disconnect(self, handler: Callable[..., Any]) -> None:
        """Forget *handler*; nothing happens if it is not connected."""
        if handler in self._handlers:
            self._handlers.remove(handler)
            self._tell()

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed()

    async def send(self, sender: object, *args: Any, **kwargs: Any) -> None:
        """Call every handler in the order of their connection; the first exception ends it."""
        for handler in list(self._handlers):
            result = handler(sender, *args, **kwargs)
            if inspect.isawaitable(result):
                await result

    def send_now(self, sender: object, *args: Any, **kwargs: Any) -> None:
        """
        Call every handler where no event loop runs yet.

        Raises:
            DeclarationError: A handler is async.
        """
        for handler in list(self._handlers):
            result = handler(sender, *args, **kwargs)
            if inspect.isawaitable(result):
                if inspect.iscoroutine(result):
                    result.close()
                raise DeclarationError(
                    f"{self.name} is sent where nothing can be awaited: write 'def', not "
                    f"'async def', for {getattr(handler, '__name__', handler)}"
                )

    def __bool__(self) -> bool:
        return bool(self._handlers)

    def __repr__(self) -> str:
        return f"<Signal {self.name}: {len(self._handlers)} handlers>"
