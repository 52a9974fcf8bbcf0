"""Which rows an agent has in its hands: what it writes and sends now belongs to them."""

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from turbine.app import App
    from turbine.events import Event

__all__ = ["SENDER", "STREAM", "TURN", "Sender", "current_event", "enter", "leave"]

TURN: ContextVar[Any] = ContextVar("turbine_turn", default=None)
"""The core's `Turn`; None outside of a stream, and in apps that keep no state for agents."""


class Sender:
    """Takes what an exactly-once agent sends: it goes out when the rows are committed."""

    __slots__ = ("app", "turn")

    def __init__(self, app: "App", turn: Any) -> None:
        self.app: Final = app
        self.turn: Final = turn


SENDER: ContextVar[Sender | None] = ContextVar("turbine_sender", default=None)
"""Set while an exactly-once agent has rows."""


STREAM: ContextVar[Any] = ContextVar("turbine_stream", default=None)
"""The stream that has handed something out last."""


def current_event() -> "Event | None":
    """Return the event that the running agent has in its hands; None outside of a stream."""
    stream = STREAM.get()
    event: Event | None = None if stream is None else stream.current_event
    return event


def enter(app: "App", turn: Any) -> None:
    """Let writes, and what is sent under exactly-once, belong to *turn*."""
    TURN.set(turn)
    SENDER.set(Sender(app, turn) if turn is not None and turn.is_exact else None)


def leave() -> None:
    """Let nothing belong to any rows."""
    TURN.set(None)
    STREAM.set(None)
    SENDER.set(None)
