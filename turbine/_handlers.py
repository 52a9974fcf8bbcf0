"""Handlers of subscriptions as they are called: functions and classes, with what they ask for."""

import inspect
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from turbine import _declare
from turbine._flow_columns import TIME
from turbine.branches import Router
from turbine.context import Context
from turbine.exceptions import DeclarationError, HandlerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from turbine._native import Batch, State, Worker
    from turbine.subscriptions import Subscription
    from turbine.windowing import HostedWindow

__all__ = ["Call", "Handler", "RowsFailed", "Shape", "check_keyed", "shape_of"]


class Shape(NamedTuple):
    """What a handler is called with besides the batch; if it is keyed, with the rows of one key."""

    takes_state: bool
    takes_ctx: bool
    is_keyed: bool = False


class NoState:
    """What callbacks get as ``state`` if their handler keeps none: something to pass on."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"state.{name}: the handler keeps no state: write 'def process(self, batch, state)', "
            "and its callbacks have it too"
        )

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "<no state>"


NO_STATE = NoState()

_EXTRAS: tuple[list[str], ...] = ([], ["ctx"], ["state"], ["state", "ctx"])


def shape_of(fn: Callable[..., Any], name: str, *, in_class: bool) -> Shape:
    """
    Read from the names of its parameters what a handler is to be called with.

    Args:
        fn: The function; of a class, its bound or unbound ``process`` or ``process_key``.
        name: What messages call it.
        in_class: Whether it is a method, whose first parameter is ``self``.

    Raises:
        DeclarationError: It cannot be called so.
    """
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return Shape(takes_state=False, takes_ctx=False)
    names = [one.name for one in _declare.parameters(fn)][in_class:]
    if in_class:
        is_keyed = getattr(fn, "__name__", "") == "process_key"
    else:
        is_keyed = names[:2] == ["key", "rows"]
    extra = names[1 + is_keyed :]
    count = 1 + is_keyed + in_class + len(extra)
    if extra not in _EXTRAS or len(names) < 1 + is_keyed or not _binds(signature, count):
        _refuse(name, signature, in_class=in_class, is_keyed=is_keyed)
    return Shape("state" in extra, "ctx" in extra, is_keyed)


def _binds(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _refuse(name: str, signature: inspect.Signature, *, in_class: bool, is_keyed: bool) -> None:
    names = ", ".join(signature.parameters)
    behind = "with state, ctx or both behind, in this order"
    if in_class:
        forms = "process_key(self, key, rows)" if is_keyed else "process(self, batch)"
    else:
        forms = f"{name}(key, rows)" if is_keyed else f"{name}(batch)"
    what = "(key, rows)" if is_keyed else "one parameter, (batch)"
    raise DeclarationError(
        f"a subscription takes {what}, then state and ctx if it wants to, and {name} takes "
        f"({names}): write 'def {forms}', {behind}"
    )


class RowsFailed(Exception):  # noqa: N818 - read by who called, not by users
    """
    Some rows of a batch could not be handled; the others were.

    Attributes:
        bad: Their numbers in the batch, in order, each with what happened.
        rest: What the others gave.
    """

    def __init__(self, bad: Sequence[tuple[int, str]], rest: Any) -> None:
        super().__init__(bad[0][1])
        self.bad = list(bad)
        self.rest = rest


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
        keeps_state: Whether it gets a state.
        takes_timers: Whether it has somebody who takes the timers of its state.
    """

    def __init__(self, subscription: "Subscription") -> None:
        self.name = subscription.name
        self.is_async = subscription.is_async
        self._is_plan = subscription.plan is not None
        # Of a plan in front, which tells the time of its rows by a column.
        self._is_fed = subscription.is_fed
        self._shape = subscription.shape
        self._sides = {name: index for index, name in enumerate(subscription.side_outputs)}
        self.windows: tuple[HostedWindow, ...] = ()
        self._fn: Callable[..., Any] = subscription.fn
        options = subscription.state
        self.keeps_state = options.is_kept
        self.takes_timers = options.on_timer is not None
        self._on_timer = options.on_timer
        self._timer_takes_ctx = options.timer_takes_ctx
        self._partition_key = subscription.line.partition_key
        if subscription.plan is not None and subscription.plan.lookups:
            # Each worker has a memory of its own.
            self._fn = subscription.fn.anew()  # type: ignore[attr-defined] # a LookedUp
        if isinstance(subscription.fn, type):
            from turbine.windowing import hosted_windows

            host = _instance(subscription.fn, subscription.name)
            self._fn = host.process_key if self._shape.is_keyed else host.process
            self._on_timer = getattr(host, "on_timer", None)
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
        rows = self._bare(rows)
        call = Call([], [])
        with self._feeding(call):
            if not self._shape.is_keyed:
                args, ctx = self._prepare(batch, window, rows)
                return _finish(call, ctx, [self._fn(*args)])
            args, ctx = self._prepare(batch, window)
            calls = self._of_keys(rows, args)
            return _finish(call, ctx, joined([self._fn(*one) for one in calls]))

    async def call_async(self, batch: "Batch", rows: Any, window: str | None) -> Call:
        """Run an async handler on *rows*."""
        rows = self._bare(rows)
        call = Call([], [])
        with self._feeding(call):
            if not self._shape.is_keyed:
                args, ctx = self._prepare(batch, window, rows)
                return _finish(call, ctx, [await self._fn(*args)])
            args, ctx = self._prepare(batch, window)
            calls = self._of_keys(rows, args)
            return _finish(call, ctx, joined([await self._fn(*one) for one in calls]))

    def _bare(self, rows: Any) -> Any:
        """Take away what only the core reads."""
        return rows.drop_columns([TIME]) if self._is_fed and TIME in rows.schema.names else rows

    def fire(self, batch: "Batch", timer_id: str, state: "State") -> Call:
        """Give a timer to a plain ``on_timer``."""
        args, ctx = self._timer(batch, timer_id, state)
        return _finish(Call([], []), ctx, [self._timer_fn(*args)])

    async def fire_async(self, batch: "Batch", timer_id: str, state: "State") -> Call:
        """Give a timer to an async ``on_timer``."""
        args, ctx = self._timer(batch, timer_id, state)
        return _finish(Call([], []), ctx, [await self._timer_fn(*args)])

    def close(self, batch: "Batch", results: Sequence[tuple[str, Any]]) -> list[Any]:
        """Give results of its windows to their callbacks; what these returned."""
        outputs: list[Any] = []
        by_name = {window.name: window for window in self.windows}
        state = batch.state() if self.keeps_state else None
        for name, rows in results:
            outputs += by_name[name].call_back(NO_STATE if state is None else state, rows)
        return outputs

    def bind(self, native: "Worker") -> None:
        """Let a plan that asks functions be counted."""
        bind = getattr(self._fn, "bind", None)
        if self._is_plan and bind is not None:
            bind(native)

    def stop(self) -> None:
        """Let go of what was made for calls; there are no more."""

    def route(self, outputs: list[tuple[int | None, Any]]) -> list[tuple[int | None, Any]]:
        """Divide what goes to the main output among the branches, if there are any."""
        return outputs if self._router is None else self._router.route(outputs)

    @property
    def _timer_fn(self) -> Callable[..., Any]:
        assert self._on_timer is not None  # noqa: S101 - the core has no timers without it
        return self._on_timer

    def _timer(
        self, batch: "Batch", timer_id: str, state: "State"
    ) -> tuple[list[Any], Context | None]:
        args, ctx = [timer_id, state], None
        if self._timer_takes_ctx:
            ctx = Context(batch, None, self._sides)
            args.append(ctx)
        return args, ctx

    def _prepare(
        self, batch: "Batch", window: str | None, *first: Any
    ) -> tuple[list[Any], Context | None]:
        args, ctx = list(first), None
        if self._shape.takes_state:
            args.append(batch.state())
        if self._shape.takes_ctx:
            ctx = Context(batch, window, self._sides)
            args.append(ctx)
        return args, ctx

    def _of_keys(self, rows: Any, args: list[Any]) -> "Iterator[list[Any]]":
        """Arguments of one call for each key of *rows*."""
        from turbine._native import group_rows

        assert self._partition_key is not None  # noqa: S101 - checked where it is declared
        together, keys, starts = group_rows(rows, self._partition_key)
        ends = [*starts[1:], together.num_rows]
        for key, start, end in zip(keys, starts, ends, strict=True):
            extra = list(args)
            if self._shape.takes_state:
                extra[0] = extra[0].scope(key)
            yield [key, together.slice(start, end - start), *extra]

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


def _finish(call: Call, ctx: Context | None, returned: Sequence[Any]) -> Call:
    call.outputs.extend((None, one) for one in returned if one is not None)
    if ctx is not None:
        call.outputs.extend(ctx._emitted)  # noqa: SLF001 - two halves of one thing
    return call


def joined(returned: Sequence[Any]) -> list[Any]:
    """Put what was returned for several keys together; columns need not be the same."""
    import pyarrow as pa

    some = [one for one in returned if one is not None]
    are_rows = all(hasattr(one, "schema") or hasattr(one, "__arrow_c_stream__") for one in some)
    if len(some) <= 1 or not are_rows:
        return some
    return [pa.concat_tables([pa.table(one) for one in some], promote_options="permissive")]


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
