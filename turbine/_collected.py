"""What a stream keeps of the rows that an agent collects, and whom it tells of them."""

from typing import TYPE_CHECKING, Any, Final

from turbine.events import Event
from turbine.types import RawHeaders

if TYPE_CHECKING:
    from turbine._native import Cursor

__all__ = ["NOBODY", "Collected", "Nobody"]


class Collected:
    """A list that an agent collects: of one partition where that matters, else of all."""

    __slots__ = ("askers", "deadline", "events", "held", "values")

    def __init__(self, values: list[Any], deadline: float) -> None:
        self.values = values
        self.events: list[Event] = []
        self.askers: list[tuple[RawHeaders, Event]] = []
        self.deadline = deadline
        self.held: list[tuple[Cursor, int, int]] = []

    def is_hurried(self) -> bool:
        """Whether a commit waits for it."""
        return self.held[-1][0].is_hurried()


class Nobody:
    """Whom a stream tells of its events if nobody wants to know."""

    def begin(self, stream: Any, events: list[Event]) -> None:
        """Events are handed out."""

    def end(self, stream: Any) -> None:
        """They are done, or were given up."""

    def __bool__(self) -> bool:
        return False


NOBODY: Final = Nobody()
