"""What the commands of an operator need from the core; all of it is in `turbine._native`."""

from typing import Self, final

@final
class LocalState:
    """The state of a stopped worker; holds the lock of its directory until it is closed."""

    def __new__(cls, directory: str, app_id: str, /) -> Self:
        """Raises `ConfigError` while another process has it."""
    def close(self) -> None: ...
    def tasks(self) -> list[tuple[str, str, int, int, tuple[int, int, int] | None]]:
        """(owner, topic, partition, partitions of the topic, (offset, token, hash) if any)."""
    def judge(
        self,
        owner: str,
        topic: str,
        partition: int,
        committed: tuple[int, str] | None,
        log: tuple[int, int] | None,
        identity: tuple[str | None, str | None] = (None, None),
    ) -> str:
        """What a worker would do at its start, as JSON."""
    def adopt(
        self, owner: str, topic: str, partition: int, identity: tuple[str | None, str | None]
    ) -> None:
        """Take the content for one of the input with these ids of cluster and topic."""
    def generation(self, owner: str, topic: str, partition: int) -> int:
        """Which reset the content is behind; 0: none."""
    def forget(self, owner: str, topic: str, partition: int) -> None:
        """Forget what the content comes from: it is built anew."""
    def remove(self, owner: str, topic: str) -> None:
        """Remove the content of every partition."""

def is_beginning(offset: int, text: str) -> bool:
    """Whether a reset committed *offset* with *text* beside it, and nobody has since."""

def receipt(
    position: int, token: int = 0, digest: int = 0, generation: int = 0, time_ms: int = 0
) -> str:
    """The text beside an offset that an operator commits."""
