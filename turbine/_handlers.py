"""Handlers of subscriptions as they are called: functions and classes, with what they ask for."""

import inspect
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from turbine import _declare
from turbine.branches import Router
from turbine.context import Context
from turbine.exceptions import DeclarationError, HandlerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from turbine._native import Batch
    from turbine.subscriptions import Subscription
    from turbine.windowing import HostedWindow

__all__ = ["Call", "Handler", "Shape", "check_keyed", "shape_of"]


class Shape(NamedTuple):
    """What a handler is called with besides the batch."""

    takes_state: bool
    takes_ctx: bool


class NoState:
    """What a handler gets as ``state`` until there are tables: something to pass on."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"state.{name}: state comes with tables, in a later version; until then it can only be "
            "passed on to update() of a window"
        )

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "<no state yet>"


NO_STATE = NoState()


def shape_of(fn: Callable[..., Any], name: str, *, in_class: bool) -> Shape:
    """
    Read from the names of its parameters what a handler is to be called with.

    Args:
        fn: The function; of a class, its bound or unbound ``process``.
        name: What messages call it.
        in_class: Whether it is a method, whose first parameter is ``self``.

    Raises:
        DeclarationError: It cannot be called so.
    """
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return Shape(takes_state=False, takes_ctx=False)
    extra = [one.name for one in _declare.parameters(fn)][1 + in_class :]
    if "state" in extra and not in_class:
        raise DeclarationError(
            f"the subscription {name} asks for 'state': state comes with tables, in a later version"
        )
    if extra not in ([], ["ctx"], ["state"], ["state", "ctx"]) or not _binds(
        signature, 1 + in_class + len(extra)
    ):
        _refuse(name, signature, in_class=in_class)
    return Shape(takes_state="state" in extra, takes_ctx="ctx" in extra)


def _binds(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _refuse(name: str, signature: inspect.Signature, *, in_class: bool) -> None:
    names = ", ".join(signature.parameters)
    if in_class:
        forms = "process(self, batch), with state, ctx or both behind the batch, in this order"
    else:
        forms = f"{name}(batch) or {name}(batch, ctx)"
    raise DeclarationError(
        f"a subscription takes one parameter, (batch), and ctx if it wants to, and {name} takes "
        f"({names}): write 'def {forms}'"
    )


class Call(NamedTuple):
    """
    What one run of a handler gave; nothing of it has taken effect yet.

    Attributes:
        outputs: Batches, with the index of their side output, or None.
        feeds: Rows for windows, with the index of the window.
    """

    outputs: list[tuple[int | None, Any]]
    feeds: list[tuple[int, Any]]


class Handler:
    """
    The handler of one subscription in one worker.

    A class is instantiated once, so that its windows exist before any batch.

    Attributes:
        windows: Windows that it created for itself.
        is_async: Whether `call_async` must be used.
    """

    def __init__(self, subscription: "Subscription") -> None:
        self.name = subscription.name
        self.is_async = subscription.is_async
        self._shape = subscription.shape
        self._sides = {name: index for index, name in enumerate(subscription.side_outputs)}
        self.windows: tuple[HostedWindow, ...] = ()
        self._fn: Callable[..., Any] = subscription.fn
        if isinstance(subscription.fn, type):
            from turbine.windowing import hosted_windows

            host = _instance(subscription.fn, subscription.name)
            self._fn = host.process
            self.windows = hosted_windows(host)
            for window in self.windows:
                check_keyed(subscription.line.partition_key, window.name, window.declared.key)
        self._router: Router | None = None
        line = subscription.line
        if line.branches:
            first = len(line.side_outputs) - len(line.branches)
            self._router = Router(line.branches, first, line.on_unmatched)
        self._indices = {id(window): index for index, window in enumerate(self.windows)}

    def call(self, batch: "Batch", rows: Any, window: str | None) -> Call:
        """Run a plain handler on *rows*."""
        args, call, ctx = self._prepare(batch, rows, window)
        with self._feeding(call):
            returned = self._fn(*args)
        return _finish(call, ctx, returned)

    async def call_async(self, batch: "Batch", rows: Any, window: str | None) -> Call:
        """Run an async handler on *rows*."""
        args, call, ctx = self._prepare(batch, rows, window)
        with self._feeding(call):
            returned = await self._fn(*args)
        return _finish(call, ctx, returned)

    def close(self, results: Sequence[tuple[str, Any]]) -> list[Any]:
        """Give results of its windows to their callbacks; what these returned."""
        outputs: list[Any] = []
        by_name = {window.name: window for window in self.windows}
        for name, rows in results:
            outputs += by_name[name].call_back(NO_STATE, rows)
        return outputs

    def stop(self) -> None:
        """Let go of what was made for calls; there are no more."""

    def route(self, outputs: list[tuple[int | None, Any]]) -> list[tuple[int | None, Any]]:
        """Divide what goes to the main output among the branches, if there are any."""
        return outputs if self._router is None else self._router.route(outputs)

    def _prepare(
        self, batch: "Batch", rows: Any, window: str | None
    ) -> tuple[list[Any], Call, Context | None]:
        args, ctx = [rows], None
        if self._shape.takes_state:
            args.append(NO_STATE)
        if self._shape.takes_ctx:
            ctx = Context(batch.topic, batch.partition, batch.watermark_ms, window, self._sides)
            args.append(ctx)
        return args, Call([], []), ctx

    @contextmanager
    def _feeding(self, call: Call) -> "Iterator[None]":
        if not self.windows:
            yield
            return
        from turbine.windowing import feeding

        def take(window: "HostedWindow", rows: Any) -> None:
            index = self._indices.get(id(window))
            if index is None:
                raise RuntimeError(
                    f"the window {window.name!r} belongs to another handler than {self.name}: "
                    "create it in the __init__ of this one"
                )
            call.feeds.append((index, rows))

        token = feeding.set(take)
        try:
            yield
        finally:
            feeding.reset(token)


def _finish(call: Call, ctx: Context | None, returned: Any) -> Call:
    if returned is not None:
        call.outputs.append((None, returned))
    if ctx is not None:
        call.outputs.extend(ctx._emitted)  # noqa: SLF001 - two halves of one thing
    return call


def _instance(cls: type, name: str) -> Any:
    try:
        return cls()
    except DeclarationError:
        raise
    except Exception as exc:
        raise HandlerError(
            f"the handler class {cls.__name__} of the subscription {name} could not be made: "
            f"{type(exc).__name__}: {exc}"
        ) from exc


def check_keyed(partition_key: str | None, window: str, key: Sequence[str]) -> None:
    """
    Refuse a window whose groups would be spread over several shards.

    Raises:
        DeclarationError: *partition_key* is not one of its keys.
    """
    if partition_key is not None and partition_key not in key:
        raise DeclarationError(
            f"the window {window!r} is keyed by {list(key)} and rows are sharded by "
            f"partition_key={partition_key!r}: add {partition_key!r} to its key"
        )
