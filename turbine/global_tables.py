"""
Tables that are complete on every worker.

A worker writes the partitions that it has, as of any table: inside an agent's stream, committed
with the event. Beside that each worker reads the whole changelog, outside of the consumer group,
and has all of it in memory before its agents begin.
"""

from typing import Any, ClassVar, Generic, TypeVar

from turbine.set_tables import SetTable
from turbine.tables import Table

__all__ = ["GlobalTable", "SetGlobalTable"]

K = TypeVar("K")
V = TypeVar("V")


class GlobalTable(Table[K, V], Generic[K, V]):
    """
    A table whose keys are all readable on every worker. Made by `App.GlobalTable`.

    ::

        rates = app.GlobalTable("rates", key_type=str, value_type=float)

        @app.agent("rate-changes", key_type=str, value_type=float)
        async def change(stream):
            async for currency, rate in stream.items():
                rates[currency] = rate

    Reads, ``len`` and iteration see every partition, inside of a stream too: those of this worker
    as they are, with what is not committed yet, and those of others as they were committed, as soon
    as that is read. ``/tables`` shows how far that is. Each key should be written by one partition:
    by events that have it as their key.

    ``clear`` removes the keys of the event's partition.
    """

    is_global: ClassVar[bool] = True

    def __init__(self, *args: Any, **options: Any) -> None:
        # Faust reads other partitions only where this is said; here that is what it is for.
        options.pop("synchronize_all_active_partitions", None)
        super().__init__(*args, **options)

    def __repr__(self) -> str:
        return f"<GlobalTable {self.name}>"


class SetGlobalTable(SetTable[K, V], Generic[K, V]):
    """A table of sets whose members are all readable on every worker; see `GlobalTable`."""

    table_type: ClassVar[type[Table[Any, Any]]] = GlobalTable
