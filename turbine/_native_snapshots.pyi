"""Snapshots of the core, as Python sees them; all of it is in `turbine._native`."""

from typing import Self, final

@final
class Snapshots:
    """The snapshots at a URL; what returns str returns JSON."""

    def __new__(cls, url: str, /) -> Self: ...
    def units(self, app: str | None = None) -> list[tuple[str, str, str, int]]: ...
    def list(self, app: str, name: str, topic: str, partition: int, /) -> str: ...
    def restore(
        self,
        app: str,
        name: str,
        topic: str,
        partition: int,
        /,
        *,
        snapshot: tuple[int, int, int] | None = None,
        state_dir: str | None = None,
    ) -> str: ...
