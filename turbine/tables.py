"""
Tables: dictionaries of agents that survive a restart.

Each partition of the topic that the agents read has a part of the table. What an agent writes while
it has an event belongs to the partition of that event, and is committed together with its offset.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar, overload

from turbine import _declare
from turbine._table_types import codec_for
from turbine._table_views import TableItems, TableKeys, TableValues
from turbine._table_windows import Closed, Window, Windowable
from turbine._turns import TURN
from turbine.exceptions import DeclarationError, EncodeError, NotRunning
from turbine.naming import changelog_topic, check_name, check_topic_name

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from turbine._native import Table as NativeTable
    from turbine._table_turns import TableTurn
    from turbine._window_expiry import Expiry
    from turbine.app import App

__all__ = ["Table"]

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
Recovered: TypeAlias = Callable[[], Awaitable[None] | None]
R = TypeVar("R", bound=Recovered)

_MISSING: Any = object()
_turn = TURN.get
_PAGE = 4_096
"""Keys that one step of an iteration takes from the core."""

_REFUSED = {
    "window": "write app.Table(...).tumbling(60), .hopping(60, 10) or .using_window(...)",
    "schema": "say key_type= and value_type=",
    "on_changelog_event": "read the changelog as a topic",
}


class Table(Windowable, MutableMapping[K, V], Generic[K, V]):
    """
    A dictionary whose content survives restarts and moves with its partitions. Made by `App.Table`.

    ::

        counts = app.Table("counts", key_type=str, value_type=int, default=int)

        @app.agent("clicks", value_type=Click)
        async def count(clicks):
            async for click in clicks:
                counts[click.page] += 1

    An agent writes while it has an event; the write goes to the partition of that event. Others
    write inside of `turn`.
    Inside an agent's stream, reads, ``len`` and iteration look at the part of the table that
    belongs to the event's partition; anywhere else, at every part that this worker has. An agent
    of another topic sees the parts of the topic whose agents write the table.

    A value that was changed in place must be assigned again, also one from ``default``::

        members = groups[name]
        members.append(user)
        groups[name] = members

    Attributes:
        name: Unique in the app.
        default: Makes the value of a key that is missing; it is not stored until it is assigned.
        changelog: Topic that has the newest value of each key.
        partitions: Partitions of the changelog if the app creates it; None: those of the topics.
        help: What it is for.
        config: Settings of the changelog if the app creates it.
        window: Its windows, of which `WindowedTable` is the dictionary; None: it has none.
        newest: With windows, the newest time that this worker has written at, in seconds.
        expiry: Closes windows; None: they stay.
        is_global: Whether every worker has all of it.
    """

    is_global: ClassVar[bool] = False

    def __init__(
        self,
        app: "App",
        name: str,
        *,
        default: Callable[[], V] | None = None,
        key_type: Any = None,
        value_type: Any = None,
        partitions: int | None = None,
        help: str | None = None,  # noqa: A002 - the word that programs use
        changelog_topic: str | None = None,
        extra_topic_configs: Mapping[str, object] | None = None,
        use_partitioner: bool = False,
        on_recover: Recovered | None = None,
        on_window_close: Closed | None = None,
        **options: object,
    ) -> None:
        for option, given in options.items():
            if option in _REFUSED and given is not None:
                raise DeclarationError(f"app.Table takes no {option}=: {_REFUSED[option]}")
        _declare.refuse_unknown("app.Table", options.keys() - _REFUSED.keys(), _OPTIONS)
        if use_partitioner:
            raise DeclarationError(
                "use_partitioner=True is not possible: what an event changes is committed with "
                "that event's partition. Send to a topic with the table's key, and write there"
            )
        self.app = app
        self.name = check_name("table", name)
        self.default = default
        self.key_type = key_type
        self.value_type = value_type
        self.help = help or ""
        if partitions is not None:
            _declare.whole_number("partitions", partitions, least=1)
        self.partitions = partitions
        self.changelog = _changelog(app, self.name, changelog_topic)
        self.config = {name: str(value) for name, value in (extra_topic_configs or {}).items()}
        self.codec = codec_for(self.name, key_type, value_type)
        self._check_default()
        self._recovered: list[Recovered] = []
        if on_recover is not None:
            self.on_recover(on_recover)
        self.on_window_close = on_window_close
        self.window: Window | None = None
        self.newest: float | None = None
        self.expiry: Expiry | None = None
        self._native: NativeTable | None = None

    # -- coming back -----------------------------------------------------------------------

    def on_recover(self, function: R) -> R:
        """
        Call *function*, sync or async, without arguments, when partitions of the table are there.

        Once for each assignment, when all of its partitions are as they were; again after the next
        one. Where one partition is restored before another, its events are already handled.

        Raises:
            DeclarationError: It cannot be called so.
        """
        declared: Any = function
        if not callable(declared) or _declare.parameters(declared):
            raise DeclarationError(
                f"the table {self.name}: on_recover takes a function without arguments, not "
                f"{function!r}: write 'async def recovered(): ...'"
            )
        self._recovered.append(function)
        return function

    @property
    def waits_for_recovery(self) -> bool:
        """Whether somebody wants to know that it is restored."""
        return bool(self._recovered)

    async def tell_recovered(self) -> None:
        """Call the functions of `on_recover`, in the order of their declaration."""
        for function in self._recovered:
            result = function()
            if inspect.isawaitable(result):
                await result

    # -- one key ---------------------------------------------------------------------------

    def __getitem__(self, key: K) -> V:
        value = (self._native or self._find()).get(_turn(), key, _MISSING)
        if value is _MISSING:
            if self.default is None:
                raise KeyError(key)
            return self.default()
        found: V = value
        return found

    def __setitem__(self, key: K, value: V) -> None:
        (self._native or self._find()).put(_turn(), key, value)

    def __delitem__(self, key: K) -> None:
        if not self._find().delete(_turn(), key):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        try:
            return self._find().has(_turn(), key)
        except EncodeError:
            # What cannot be a key is not in the table.
            return False

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, /, default: V | T) -> V | T: ...
    def get(self, key: K, /, default: Any = _MISSING) -> Any:
        """Return the value of *key*, or *default*; without one what the own default makes."""
        value = self._find().get(_turn(), key, _MISSING)
        return self._or_default(default) if value is _MISSING else value

    def setdefault(self, key: K, default: Any = _MISSING) -> Any:
        """Return the value of *key*; if it is missing, store *default* or the table's own first."""
        value = self._find().get(_turn(), key, _MISSING)
        if value is _MISSING:
            self[key] = value = self._or_default(default)
        return value

    @overload
    def pop(self, key: K, /) -> V: ...
    @overload
    def pop(self, key: K, /, default: V | T) -> V | T: ...
    def pop(self, key: K, /, default: Any = _MISSING) -> Any:
        """Remove *key* and return its value; *default* if it is missing."""
        native, turn = self._find(), _turn()
        value = native.get(turn, key, _MISSING)
        # Also where nothing is there: outside of a stream this is refused either way.
        native.delete(turn, key)
        if value is not _MISSING:
            return value
        if default is _MISSING:
            raise KeyError(key)
        return default

    def turn(self, key: Any, *, topic: str | None = None) -> "TableTurn":
        """
        Let timers, tasks and web handlers write, on the worker that has the partition of *key*.

        ::

            async with counts.turn("page"):
                counts["page"] += 1

        What is written inside is committed together, with the partition that records with this key
        go to; commits of that partition wait until it is over. What was written before an exception
        stays.

        Args:
            key: The key, as records of the topic have it too.
            topic: Topic whose agents write the table; None: the only one that agents read.

        Raises:
            StateError: The partition is on another worker; the message says what to do.
        """
        from turbine._table_turns import TableTurn

        return TableTurn(self.app, self.name, self.codec.encode_key(key), topic)

    # -- many keys -------------------------------------------------------------------------

    def get_many(self, keys: Iterable[K], default: Any = None) -> list[Any]:
        """Return the values of *keys* in their order, *default* for those that are missing."""
        return self._find().get_many(_turn(), keys, default)

    def update(self, other: Any = (), /, **values: Any) -> None:
        """Store every pair of a mapping or of pairs; nothing, if one of them cannot be stored."""
        pairs = other.items() if isinstance(other, Mapping) else list(other)
        self._find().put_many(_turn(), [*pairs, *values.items()])

    def clear(self) -> None:
        """Remove every key of the event's partition."""
        self._find().clear(_turn())

    def __len__(self) -> int:
        """How many keys there are; reads all of them."""
        return self._find().count(_turn())

    def __bool__(self) -> bool:
        return next(self.rows("keys"), _MISSING) is not _MISSING

    def __iter__(self) -> Iterator[K]:
        return self.rows("keys")

    def keys(self) -> TableKeys[K]:
        """Keys, partition by partition; what is written meanwhile may or may not be among them."""
        return TableKeys(self)

    def values(self) -> TableValues[V]:
        """Values, in the order of `keys`."""
        return TableValues(self)

    def items(self) -> TableItems[K, V]:
        """Pairs of key and value, in the order of `keys`."""
        return TableItems(self)

    def rows(self, what: str) -> Iterator[Any]:
        """``"keys"``, ``"values"`` or ``"items"``, a page at a time, so that memory stays flat."""
        native, turn = self._find(), _turn()
        partition, after = 0, None
        while (page := native.page(turn, partition, after, _PAGE, what)) is not None:
            partition, rows, after = page
            yield from rows
            if after is None:
                partition += 1

    def rows_of(self, partition: int) -> Iterator[K]:
        """Keys of one partition, which is that of the rows in the agent's hands."""
        native, turn, after = self._find(), TURN.get(), None
        while (page := native.page(turn, partition, after, _PAGE, "keys")) is not None:
            found, rows, after = page
            # A partition that has nothing may show what others have.
            if found != partition:
                return
            yield from rows
            if after is None:
                return

    # -- showing it ------------------------------------------------------------------------

    def as_ansitable(self, **options: Any) -> str:
        """
        Draw the table for a terminal.

        Args:
            **options: **key** and **value**, the headings; **title**, in which ``{table.name}``
                stands for the name; **sort**, whether rows are ordered, by **sortkey** or the text
                of the key.
        """
        from turbine._table_views import ansitable

        return ansitable(self.name, self.items(), **options)

    def to_arrow(self) -> "pa.Table":
        """Everything, as two columns ``key`` and ``value``; models become structs."""
        import pyarrow as pa

        rows = list(self.items())
        plain = [v.model_dump() if hasattr(v, "model_dump") else v for _, v in rows]
        return pa.table({"key": [k for k, _ in rows], "value": plain})

    def to_pandas(self) -> "pd.DataFrame":
        """As `to_arrow`, as a pandas data frame."""
        return self.to_arrow().to_pandas()

    def _repr_html_(self) -> str:
        from turbine._table_views import html

        return html(self)

    def __repr__(self) -> str:
        return f"<Table {self.name}>"

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    # -- inside ----------------------------------------------------------------------------

    def detach(self) -> None:
        """Forget the worker that has run."""
        self._native, self.newest = None, None
        if self.expiry is not None:
            self.expiry.forget()

    def _or_default(self, default: Any) -> Any:
        if default is not _MISSING:
            return default
        return None if self.default is None else self.default()

    def _find(self) -> "NativeTable":
        if self._native is not None:
            return self._native
        attached = self.app._attached  # noqa: SLF001 - the app's own part
        table = getattr(attached, "table", None)
        if attached is None or table is None:
            raise NotRunning(
                f"the table {self.name} is read and written where a worker of its app runs: "
                "'turbine worker', or 'async with app.running():'"
            )
        native: NativeTable = self.app.watch_table(self, table(self))
        if attached.keeps_producer:
            self._native = native
        return native

    def _check_default(self) -> None:
        default: Any = self.default
        if default is None:
            return
        if not callable(default):
            raise DeclarationError(
                f"default={default!r} is not possible: write a function that makes the value, as "
                "default=int or default=list"
            )
        try:
            self.codec.encode_value(default())
        except EncodeError as exc:
            raise DeclarationError(f"default={default!r} does not fit: {exc}") from None


_OPTIONS = (
    "default",
    "key_type",
    "value_type",
    "partitions",
    "help",
    "changelog_topic",
    "extra_topic_configs",
    "use_partitioner",
    "on_recover",
    "on_window_close",
)


def _changelog(app: "App", name: str, declared: str | None) -> str:
    if declared is not None:
        return check_topic_name(declared)
    return changelog_topic(app.conf.group, name)
