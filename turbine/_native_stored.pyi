"""State of a worker that does not run; part of `turbine._native`."""

from pathlib import Path
from typing import Self, final

@final
class StoredState:
    """The state in a directory that no worker has; answers are JSON."""

    def __new__(cls, directory: Path, /) -> Self:
        """Raises `ConfigError` if there is none or a worker has it, `StateError` for damage."""
    @property
    def tables(self) -> list[str]: ...
    def stats(self, *, table: str | None = None) -> str:
        """An array: table, topic, partition, position, keys, key_bytes, value_bytes."""
    def get(
        self, table: str, key: str, *, scope: str | None = None, partition: int | None = None
    ) -> str:
        """An array of rows: key, value, topic, partition; scope and expires_ms where they are."""
    def page(
        self,
        table: str,
        *,
        prefix: str = "",
        scope: str | None = None,
        partition: int | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> str:
        """``{"rows": [...], "next": ...}``; *after* is the *next* of the page before."""
