"""The part of an app that declares tables."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from turbine._table_windows import Hopping, Window
from turbine.exceptions import DeclarationError
from turbine.set_tables import SetTable, check_options
from turbine.tables import Table

if TYPE_CHECKING:
    from turbine.app import App

__all__ = ["AppTables"]


class AppTables:
    """
    Tables of `turbine.App`.

    Attributes:
        tables: Tables by name.
        hopping_windows: Makes the windows of `Table.tumbling` and `Table.hopping`.
    """

    hopping_windows: Callable[..., Window] = Hopping

    def __init__(self) -> None:
        self.tables: dict[str, Table[Any, Any]] = {}
        super().__init__()

    def Table(  # noqa: N802 - the word that programs use
        self,
        name: str,
        *,
        default: Callable[[], Any] | None = None,
        key_type: Any = None,
        value_type: Any = None,
        partitions: int | None = None,
        help: str | None = None,  # noqa: A002 - the word that programs use
        **options: Any,
    ) -> Table[Any, Any]:
        """
        Declare a table: a dictionary of agents that survives restarts; see `turbine.tables.Table`.

        Args:
            name: Unique in the app.
            default: Makes the value of a missing key, as ``int`` or ``list``.
            key_type: ``str``, ``bytes``, ``int``, ``float``, ``bool``, a model, or another type
                that pydantic knows; None: what JSON can hold.
            value_type: The same.
            partitions: Partitions of a created changelog; None: as many as the agents' topics.
            help: What it is for.
            **options: **changelog_topic**, ``{app.id}-{name}-changelog`` if None;
                **extra_topic_configs**, settings of a created changelog; **on_recover**, called
                when its partitions are restored, see `turbine.tables.Table.on_recover`;
                **on_window_close**, called with ``(key, (start, end))`` and the value of each
                window that closes, see `turbine.tables.Table.tumbling`.

        Raises:
            DeclarationError: The declaration cannot work; the message says what to write.
        """
        table: Table[Any, Any] = Table(
            cast("App", self),
            name,
            default=default,
            key_type=key_type,
            value_type=value_type,
            partitions=partitions,
            help=help,
            **options,
        )
        if table.name in self.tables:
            raise DeclarationError(f"a table has the name {name!r} already: give it another one")
        self.tables[table.name] = table
        return table

    def SetTable(  # noqa: N802 - the word that programs use
        self, name: str, *, key_type: Any = None, value_type: Any = None, **options: Any
    ) -> SetTable[Any, Any]:
        """
        Declare a table of sets: ``table[key].add(member)``; see `turbine.set_tables.SetTable`.

        Args:
            name: Unique in the app.
            key_type: As for `Table`; text if None.
            value_type: Type of members; text if None.
            **options: As for `Table`; there is no default.

        Raises:
            DeclarationError: The declaration cannot work; the message says what to write.
        """
        options = check_options(options)
        made: SetTable[Any, Any] = SetTable(
            cast("App", self), name, key_type=key_type, value_type=value_type, **options
        )
        if made.name in self.tables:
            raise DeclarationError(f"a table has the name {name!r} already: give it another one")
        self.tables[made.name] = made.pairs
        return made
