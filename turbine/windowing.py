"""
Windows of a handler class: created in ``__init__``, fed in ``process``.

```python
@app.subscribe("orders", publish_to="turnover", event_time="ts", partition_key="user")
class Turnover:
    def __init__(self):
        self.window = windowing.PersistentTumbling(
            self,
            name="turnover",
            size_ms=60_000,
            key=["user"],
            value=aggregates.Sum("amount"),
            on_close=lambda state, panes: panes,
        )

    def process(self, batch, state):
        self.window.update(batch, state)
```

The classes take milliseconds; they are `turbine.windows` with callbacks. ``update`` only hands rows
over: they take effect once ``process`` has returned, so that a batch whose handler failed can be
tried again without counting a row twice. Callbacks run after it, and what they return goes out
together with what ``process`` returned.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple, TypedDict, Unpack, cast

from turbine import windows
from turbine._declare import refuse_unknown, whole_number
from turbine.exceptions import DeclarationError

__all__ = [
    "HostedOptions",
    "HostedWindow",
    "InMemorySession",
    "InMemorySliding",
    "InMemoryTumbling",
    "PersistentSession",
    "PersistentSliding",
    "PersistentTumbling",
    "Window",
    "feeding",
    "hosted_windows",
]

_ATTRIBUTE = "__turbine_windows__"
_BOUNDS = ("window_start_ms", "window_end_ms", "window_result")
_MOST_OPEN = 1_000_000

feeding: ContextVar[Callable[["HostedWindow", Any], None]] = ContextVar("feeding")
"""Takes the rows of `HostedWindow.update` while a handler runs."""


class Window(NamedTuple):
    """
    A window that closed, for ``on_close_each``.

    Attributes:
        start_ms: Its start, in ms since the Unix epoch.
        end_ms: Its end, exclusive.
        group: Names of the key columns and their values.
    """

    start_ms: int
    end_ms: int
    group: dict[str, Any]


class HostedOptions(TypedDict, total=False):
    """
    Options that all classes of this module take; ``name``, ``key`` and ``value`` are needed.

    Attributes:
        name: Name of its state, unique in the handler.
        label: What people are shown instead of the name.
        key: Columns whose values tell groups apart; the ``partition_key`` is one of them.
        value: The aggregates, as for `turbine.windows.tumbling`.
        on_close: ``(state, panes)``, with all results of a batch as a `pyarrow.Table`.
        on_close_each: ``(state, Window, value)``, once a result. One of the two is needed.
        early_fire_interval_ms: Early results of the windows that changed, once in so many ms.
        on_early_fire: As ``on_close``, for early results; needed with the interval.
        on_early_fire_each: As ``on_close_each``, for early results.
        time_column: Column with the event time, if not that of the subscription.
        allowed_lateness_ms: How long a window takes late rows after its end.
        max_active_windows: Most open windows in memory; the oldest is closed before its time.
    """

    name: str
    label: str | None
    key: Sequence[str]
    value: Any
    on_close: Callable[[Any, Any], Any] | None
    on_close_each: Callable[[Any, Window, Any], Any] | None
    early_fire_interval_ms: int | None
    on_early_fire: Callable[[Any, Any], Any] | None
    on_early_fire_each: Callable[[Any, Window, Any], Any] | None
    time_column: str | None
    allowed_lateness_ms: int
    max_active_windows: int


class HostedWindow:
    """
    A window with the callbacks for its results; the base of the classes of this module.

    Attributes:
        persistent: Whether its state survives the process.
        name: Name of its state, unique in the handler.
        label: What people are shown instead of the name.
        declared: The window itself.
    """

    persistent: ClassVar[bool] = False

    def __init__(
        self,
        host: object,
        declare: Callable[..., windows.Window],
        options: HostedOptions,
    ) -> None:
        what = type(self).__name__
        known = HostedOptions.__annotations__.keys()
        refuse_unknown(what, options.keys() - known, known)
        for needed in ("name", "key", "value"):
            if needed not in options:
                raise DeclarationError(f"{what} needs {needed}=")
        self.name = _check_name(options["name"])
        self.label = options.get("label")
        self.declared = declare(**_common(self.persistent, options)).named(self.name)
        self._final = Callbacks(options.get("on_close"), options.get("on_close_each"))
        self._final.check(self.name, "on_close")
        self._early = Callbacks(options.get("on_early_fire"), options.get("on_early_fire_each"))
        if self.declared.emit.kind == "early":
            self._early.check(self.name, "on_early_fire")
        siblings: list[HostedWindow] = vars(host).setdefault(_ATTRIBUTE, [])
        if any(one.name == self.name for one in siblings):
            raise DeclarationError(
                f"two windows are called {self.name!r}: name one of them differently"
            )
        siblings.append(self)

    def update(self, batch: Any, state: Any = None) -> None:
        """
        Hand rows to the window; call it in ``process``.

        Args:
            batch: The batch, or rows of it: a RecordBatch or a Table.
            state: Accepted, because handlers are used to passing it on.

        Raises:
            RuntimeError: No handler is running here.
        """
        del state
        try:
            take = feeding.get()
        except LookupError:
            raise RuntimeError(
                f"the window {self.name!r} was updated outside of its handler: "
                "call update(batch, state) in process()"
            ) from None
        take(self, batch)

    def call_back(self, state: Any, results: Any) -> list[Any]:
        """
        Give results to the callbacks.

        Args:
            state: What the handler gets as ``state``.
            results: A RecordBatch of results, as `turbine.windows` describes it.

        Returns:
            What they returned, without None.
        """
        import pyarrow as pa

        table = pa.table(results)
        if self.declared.emit.kind != "early":
            return self._final.call(state, table, self.declared.key)
        import pyarrow.compute as pc

        is_early = pc.equal(table["window_result"], pa.scalar("early"))
        outputs = []
        for callbacks, rows in (
            (self._early, table.filter(is_early)),
            (self._final, table.filter(pc.invert(is_early))),
        ):
            if rows.num_rows:
                outputs += callbacks.call(state, rows, self.declared.key)
        return outputs


class Callbacks(NamedTuple):
    """The two forms of a callback, of which one is given: for all results at once, or for each."""

    batch: Callable[[Any, Any], Any] | None
    each: Callable[[Any, Window, Any], Any] | None

    def check(self, name: str, word: str) -> None:
        """Refuse none and both."""
        if (self.batch is None) == (self.each is None):
            raise DeclarationError(
                f"the window {name!r} needs one of {word}= (all results at once) and "
                f"{word}_each= (one after the other)"
            )

    def call(self, state: Any, table: Any, key: Sequence[str]) -> list[Any]:
        """Call the form that was given; what it returned, without None."""
        if self.batch is not None:
            outputs = [self.batch(state, table)]
        else:
            each = cast("Callable[[Any, Window, Any], Any]", self.each)
            outputs = [each(state, *_apart(row, key)) for row in table.to_pylist()]
        return [one for one in outputs if one is not None]


def _apart(row: dict[str, Any], key: Sequence[str]) -> tuple[Window, Any]:
    """Divide a result into its window and its value."""
    group = {column: row[column] for column in key}
    window = Window(row["window_start_ms"], row["window_end_ms"], group)
    values = {name: one for name, one in row.items() if name not in {*key, *_BOUNDS}}
    return window, next(iter(values.values())) if len(values) == 1 else SimpleNamespace(**values)


def hosted_windows(host: object) -> tuple[HostedWindow, ...]:
    """Windows that *host* created in its ``__init__``, in their order."""
    return tuple(vars(host).get(_ATTRIBUTE, ()))


def _common(persistent: bool, options: HostedOptions) -> dict[str, Any]:  # noqa: FBT001
    """Give the options as `turbine.windows` names them."""
    key = options["key"]
    if isinstance(key, str):
        raise DeclarationError(f"key={key!r} is not a list: write key=[{key!r}]")
    common: dict[str, Any] = {
        "key": key,
        "value": options["value"],
        "grace": _ms("allowed_lateness_ms", options.get("allowed_lateness_ms", 0), least=0),
        "persistent": persistent,
        "time_column": options.get("time_column"),
    }
    interval = options.get("early_fire_interval_ms")
    if interval is not None:
        common["emit"] = windows.early(_ms("early_fire_interval_ms", interval))
    if not persistent:
        common["max_open"] = options.get("max_active_windows", _MOST_OPEN)
    elif "max_active_windows" in options:
        raise DeclarationError(
            "max_active_windows bounds windows in memory: leave it out, or use an InMemory class"
        )
    return common


def _check_name(name: object) -> str:
    if not isinstance(name, str) or not name or "|" in name or "\0" in name:
        raise DeclarationError(
            f"name={name!r} cannot name a window: write text without '|', unique in the handler"
        )
    return name


def _ms(name: str, value: int, *, least: int = 1) -> str:
    return f"{whole_number(name, value, least=least)}ms"


class InMemoryTumbling(HostedWindow):
    """
    Windows of ``size_ms`` side by side, in memory: quick, and lost with the process.

    Raises:
        DeclarationError: An option is not possible; the message says what to write.
    """

    def __init__(self, host: object, *, size_ms: int, **options: Unpack[HostedOptions]) -> None:
        size = _ms("size_ms", size_ms)
        super().__init__(host, partial(windows.tumbling, size), options)


class PersistentTumbling(InMemoryTumbling):
    """As `InMemoryTumbling`, in the store: open windows survive the process."""

    persistent = True


class InMemorySliding(HostedWindow):
    """
    Windows of ``size_ms`` of which one begins every ``slide_ms``, in memory.

    `turbine.windows` calls them hopping.

    Raises:
        DeclarationError: An option is not possible, or ``slide_ms`` does not divide ``size_ms``.
    """

    def __init__(
        self, host: object, *, size_ms: int, slide_ms: int, **options: Unpack[HostedOptions]
    ) -> None:
        size, step = _ms("size_ms", size_ms), _ms("slide_ms", slide_ms)
        super().__init__(host, partial(windows.hopping, size, step), options)


class PersistentSliding(InMemorySliding):
    """As `InMemorySliding`, in the store: open windows survive the process."""

    persistent = True


class InMemorySession(HostedWindow):
    """
    Rows of a key without a pause of ``gap_ms``, in memory; ``max_duration_ms`` of 0 is no limit.

    Raises:
        DeclarationError: An option is not possible.
    """

    def __init__(
        self,
        host: object,
        *,
        gap_ms: int,
        max_duration_ms: int = 0,
        **options: Unpack[HostedOptions],
    ) -> None:
        longest = _ms("max_duration_ms", max_duration_ms, least=0) if max_duration_ms else None
        declare = partial(windows.session, _ms("gap_ms", gap_ms), max_duration=longest)
        super().__init__(host, declare, options)


class PersistentSession(InMemorySession):
    """As `InMemorySession`, in the store: open sessions survive the process."""

    persistent = True
