"""
Tables with a value for each key and window. Made by `Table.tumbling` and its like.

Below is an ordinary `turbine.tables.Table` whose keys are ``(key, (start, end))``: a value is
written, committed, restored and found like any other. Which windows an event is in, its time says:
that of its record, a field, or the clock.
"""

import inspect
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from turbine._relative import Relative, as_seconds, relative_to
from turbine._table_types import codec_for
from turbine._table_windows import Window, WindowRange
from turbine._turns import TURN, current_event
from turbine._window_expiry import Expiry
from turbine._window_set import WindowSet
from turbine._windowed_views import WindowedItems, WindowedKeys, WindowedValues
from turbine.exceptions import DeclarationError

if TYPE_CHECKING:
    from turbine._table_turns import TableTurn
    from turbine.events import Event
    from turbine.tables import Table

__all__ = ["WindowedTable", "windowed"]

logger = logging.getLogger("turbine.tables")

K = TypeVar("K")
V = TypeVar("V")

_MISSING: Any = object()


class WindowedTable(Generic[K, V]):
    """
    A dictionary with a value a window.

    ::

        counts = app.Table("counts", key_type=str, default=int).tumbling(60, expires=3600)

        @app.agent("clicks", value_type=Click)
        async def count(clicks):
            async for click in clicks:
                counts[click.page] += 1
                print(counts[click.page].value())

    Writing needs an event, as with every table. Outside of a stream `WindowSet.value` and
    `WindowSet.current` look at the newest time that this worker has written at.

    Attributes:
        table: The table below, from ``(key, (start, end))`` to the value.
        window: Which windows there are.
        key_type: Type of keys alone.
    """

    def __init__(self, table: "Table[Any, V]", window: Window, key_type: Any) -> None:
        self.table = table
        self.window = window
        self.key_type = key_type
        self._relative: Relative | None = None
        self._is_now = False

    @property
    def app(self) -> Any:
        """The app."""
        return self.table.app

    @property
    def name(self) -> str:
        """Unique in the app."""
        return self.table.name

    @property
    def help(self) -> str:
        """What it is for."""
        return self.table.help

    # -- whose time --------------------------------------------------------------------------

    def relative_to_stream(self) -> "WindowedTable[K, V]":
        """Give this table with the timestamps of records; so it is if nothing else is said."""
        return self._with(None, is_now=False)

    def relative_to_now(self) -> "WindowedTable[K, V]":
        """Give this table with the time at which an event is handled."""
        return self._with(None, is_now=True)

    def relative_to_field(self, field: Any) -> "WindowedTable[K, V]":
        """
        Give this table with the time that a field of the event's value has.

        Args:
            field: ``Model.date``, or the name of the field. It holds seconds or a `datetime`.
        """
        return self._with(relative_to(field), is_now=False)

    def relative_to(self, given: Any) -> "WindowedTable[K, V]":
        """Give this table with what *given* says: a field, a function of the event, or a time."""
        return self._with(None if given is None else relative_to(given), is_now=False)

    def _with(self, relative: Relative | None, *, is_now: bool) -> "WindowedTable[K, V]":
        other: WindowedTable[K, V] = type(self)(self.table, self.window, self.key_type)
        other._relative, other._is_now = relative, is_now
        if self.table.expiry is not None:
            self.table.expiry.follow(clock=is_now, records=relative is None)
        return other

    def now(self) -> float:
        """Present time by the app's clock, in seconds."""
        now: datetime = self.app.clock.now(UTC)
        return now.timestamp()

    def time_of(self, event: "Event | None" = None) -> float:
        """Give the time that decides about the windows of *event*, in seconds."""
        if self._is_now:
            return self.now()
        event = event or current_event()
        if self._relative is None or event is None:
            return self.timestamp_of(event)
        return as_seconds(self.name, self._relative(event))

    def timestamp_of(self, event: "Event | None" = None) -> float:
        """Give the timestamp of *event*, in seconds; of none, the newest that was written at."""
        event = event or current_event()
        if event is not None:
            # A record without a timestamp is as old as its reading.
            return event.timestamp if event.timestamp >= 0 else self.now()
        newest = self.table.newest
        if newest is None and self.table.expiry is not None:
            newest = self.table.expiry.newest()
        return self.now() if newest is None else newest

    def windows_of(self, event: "Event | None" = None) -> Iterator[WindowRange]:
        """Give the windows that what is written for *event* goes to, the earliest first."""
        timestamp = self.time_of(event)
        yield from self.window.ranges(timestamp)
        if TURN.get() is None:
            return
        # Behind the writes: they say whether the event may write at all.
        self.table.newest = max(timestamp, self.table.newest or timestamp)
        if self.table.expiry is not None:
            self.table.expiry.wrote_at(timestamp)

    # -- one key ---------------------------------------------------------------------------

    def __getitem__(self, key: K) -> WindowSet[K, V]:
        return WindowSet(self, key)

    def __setitem__(self, key: K, value: Any) -> None:
        # What `table[key] += 1` assigns has written itself already.
        if not isinstance(value, WindowSet):
            self.write(key, value)

    def __delitem__(self, key: K) -> None:
        """Remove *key* from the windows of the event."""
        gone = [self.table.pop((key, window), _MISSING) for window in self.windows_of()]
        if all(value is _MISSING for value in gone):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        """Has *key* a value in the window of the event, or outside of a stream of the newest?"""
        return (key, self.window.current(self.time_of())) in self.table

    def get(self, key: K, default: Any = None) -> Any:
        """Return the values of *key* as ``table[key]`` does, or *default* if it has none now."""
        return self[key] if key in self else default  # noqa: SIM401 - this is what get does

    def write(self, key: K, value: V, event: "Event | None" = None) -> None:
        """Store *value* in all windows that hold the time of *event*."""
        for window in self.windows_of(event):
            self.put(key, window, value)

    def read(self, key: K, window: WindowRange) -> V:
        """Return the value of one window; what the default makes, if there is none."""
        return self.table[key, window]

    def put(self, key: K, window: WindowRange, value: V) -> None:
        """Store the value of one window, unless it has closed."""
        expiry = self.table.expiry
        if expiry is None or TURN.get() is None:
            self.table[key, window] = value
        elif not expiry.is_late(window):
            self.table[key, window] = value
            expiry.opened(key, window)

    def remove(self, key: K, window: WindowRange) -> None:
        """Remove the value of one window; `KeyError` if there is none."""
        del self.table[key, window]

    def turn(self, key: K, *, topic: str | None = None) -> "TableTurn":
        """As `turbine.tables.Table.turn`; windows are those of `timestamp_of` no event."""
        from turbine._table_turns import TableTurn

        codec = codec_for(self.name, self.key_type, self.table.value_type)
        return TableTurn(self.app, self.name, codec.encode_key(key), topic)

    # -- many keys -------------------------------------------------------------------------

    def __iter__(self) -> Iterator[K]:
        """Keys that have a value in any window, partition by partition."""
        last: Any = _MISSING
        for key, _ in self.table.rows("keys"):
            if key != last:
                last = key
                yield key

    def __len__(self) -> int:
        """How many keys there are; reads all of them."""
        return sum(1 for _ in self)

    def keys(self) -> WindowedKeys[K]:
        """Keys that have a value in any window."""
        return WindowedKeys(self)

    def values(self) -> WindowedValues[V]:
        """Values of `keys`, each as `WindowSet.value` gives it."""
        return WindowedValues(self)

    def items(self) -> WindowedItems[K, V]:
        """Pairs of key and value; ``items().now()``, ``current()``, ``delta(d)`` as of one key."""
        return WindowedItems(self)

    def windows(self) -> Iterator[tuple[tuple[K, WindowRange], V]]:
        """Everything: ``((key, (start, end)), value)``."""
        return self.table.rows("items")

    def clear(self) -> None:
        """Remove everything of the event's partition."""
        self.table.clear()

    # -- showing it ------------------------------------------------------------------------

    def as_ansitable(self, **options: Any) -> str:
        """Draw keys and their present values; as `turbine.tables.Table.as_ansitable`."""
        from turbine._table_views import ansitable

        return ansitable(self.name, self.items(), **options)

    def __repr__(self) -> str:
        return f"<WindowedTable {self.name}>"


def windowed(table: Any, window: Window) -> WindowedTable[Any, Any]:
    """
    Give *table* windows, before anything of it is used.

    Raises:
        DeclarationError: It has some already, or *window* is no window.
    """
    if table.window is not None:
        raise DeclarationError(f"the table {table.name} has windows already: declare another table")
    parts = ("ranges", "current", "delta", "ends")
    if not all(hasattr(window, part) for part in parts) or inspect.isclass(window):
        raise DeclarationError(f"using_window({window!r}): write a window, as Sliding(10, 0)")
    key_type: Any = table.key_type
    table.window = window
    if key_type is not None:
        table.key_type = tuple[key_type, tuple[float, float]]
    table.codec = codec_for(table.name, table.key_type, table.value_type)
    if window.expires is not None:
        times = table.app.Table(
            f"{table.name}-times",
            key_type=str,
            value_type=float,
            partitions=table.partitions,
            help=f"how far windows of {table.name} have closed",
        )
        table.expiry = Expiry(table, window, times)
    elif table.on_window_close is not None:
        logger.warning(
            "table %s: its windows never close, so on_window_close is not called: give expires=",
            table.name,
        )
    return WindowedTable(table, window, key_type)
