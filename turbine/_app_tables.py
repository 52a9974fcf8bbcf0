"""The part of an app that declares tables."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from turbine._table_windows import Hopping, Window
from turbine.exceptions import DeclarationError
from turbine.global_tables import GlobalTable, SetGlobalTable
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
        options |= {"default": default, "key_type": key_type, "partitions": partitions}
        made: Table[Any, Any] = self._add_table(
            Table, name, value_type=value_type, help=help, **options
        )
        return made

    def GlobalTable(self, name: str, **options: Any) -> GlobalTable[Any, Any]:  # noqa: N802 - as above
        """
        Declare a table that is complete on every worker; see `turbine.global_tables.GlobalTable`.

        Args:
            name: Unique in the app.
            **options: As for `Table`.

        Raises:
            DeclarationError: The declaration cannot work; the message says what to write.
        """
        made: GlobalTable[Any, Any] = self._add_table(GlobalTable, name, **options)
        return made

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
        options |= {"key_type": key_type, "value_type": value_type}
        made: SetTable[Any, Any] = self._add_sets(SetTable, name, options)
        return made

    def SetGlobalTable(self, name: str, **options: Any) -> SetGlobalTable[Any, Any]:  # noqa: N802 - as above
        """As `SetTable`, complete on every worker; see `turbine.global_tables.SetGlobalTable`."""
        made: SetGlobalTable[Any, Any] = self._add_sets(SetGlobalTable, name, options)
        return made

    # -- inside ----------------------------------------------------------------------------

    def _add_table(self, kind: Any, name: str, **options: Any) -> Any:
        made = kind(cast("App", self), name, **options)
        self._add(made.name, made)
        return made

    def _add_sets(self, kind: Any, name: str, options: dict[str, Any]) -> Any:
        made = kind(cast("App", self), name, **check_options(options))
        self._add(made.name, made.pairs)
        return made

    def _add(self, name: str, table: Any) -> None:
        if name in self.tables:
            raise DeclarationError(f"a table has the name {name!r} already: give it another one")
        self.tables[name] = table
