"""Following one partition, as Python sees it; it is in `turbine._native`."""

from typing import Self, final

@final
class Follower:
    """What is written to one partition from now on, outside of any group, if it is committed."""

    def __new__(cls, brokers: str, kafka: dict[str, str], topic: str, partition: int, /) -> Self:
        """Blocks without the GIL until it is known where the partition ends."""
    def read(self, timeout_ms: int, /) -> list[tuple[bytes | None, bytes | None]]:
        """(key, value) of the next records; blocks without the GIL."""
    def close(self) -> None:
        """End its connection; idempotent."""
