"""
Who asked an agent with the events of a list, and what they are answered.

An agent that collects may yield once for a list, or once for each event of it: the n-th value that
it yields is for the n-th who asked, and whoever is left when it asks for the next list gets the
last one.
"""

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from turbine._asks import reply

if TYPE_CHECKING:
    from turbine.app import App
    from turbine.events import Event
    from turbine.types import RawHeaders

__all__ = ["Askers"]

_NOTHING: Final = object()


class Askers:
    """Those of one stream."""

    def __init__(self, app: "App") -> None:
        self._app = app
        self._waiting: deque[tuple[RawHeaders, Event]] = deque()
        self._value: Any = _NOTHING

    def begin(self, asked: "Iterable[tuple[RawHeaders, Event]]") -> None:
        """Go on with those of another list."""
        self._waiting = deque(asked)
        self._value = _NOTHING

    async def yielded(self, value: Any) -> None:
        """Answer the next one."""
        self._value = value
        if self._waiting:
            headers, event = self._waiting.popleft()
            await reply(self._app, headers, event, value)

    async def end(self) -> None:
        """Answer those who are left, if something was yielded."""
        if self._value is not _NOTHING:
            while self._waiting:
                headers, event = self._waiting.popleft()
                await reply(self._app, headers, event, self._value)
