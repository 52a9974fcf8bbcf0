"""One record as an agent sees it."""

from types import GenericAlias, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from turbine.types import TP, RawHeaders

if TYPE_CHECKING:
    from turbine.channels import Channel
    from turbine.topics import Pending, Topic

__all__ = ["CurrentEvent", "Event", "Place"]


class Place(Protocol):
    """Where rows are until nobody holds an event of them any more."""

    def ack(self, row: int, /) -> None:
        """Mark one row as done."""

    def raw_of(self, row: int, /) -> tuple[bytes | None, bytes | None]:
        """Key and value bytes of one row."""

    def value_of(self, row: int, /) -> Any:
        """Value of one row."""


class Event:
    """
    A record with its key and value decoded.

    Attributes:
        app: The app that reads it.
        key: Decoded key.
        value: Decoded value; None is a tombstone.
        raw_headers: Headers in their order; a name may repeat.
        topic: Topic, or name of the channel.
        partition: Partition; -1 in a channel.
        offset: Offset; -1 in a channel.
        timestamp: Seconds since the Unix epoch; negative if the record has none.
    """

    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)
    __slots__ = (
        "_place",
        "app",
        "key",
        "offset",
        "partition",
        "raw_headers",
        "timestamp",
        "topic",
        "value",
    )

    def __init__(  # noqa: PLR0917 - the worker makes one a record, and positions are quicker
        self,
        app: Any,
        key: Any,
        value: Any,
        raw_headers: RawHeaders = (),
        topic: str = "",
        partition: int = -1,
        offset: int = -1,
        timestamp: float = -1.0,
        place: tuple[Place, int, bool] | None = None,
    ) -> None:
        self._place = place
        self.app = app
        self.key = key
        self.value = value
        self.raw_headers = raw_headers
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.timestamp = timestamp

    @property
    def headers(self) -> dict[str, bytes | None]:
        """Headers by name; of a repeated name the last one."""
        return dict(self.raw_headers)

    @property
    def tp(self) -> TP:
        """Topic and partition."""
        return TP(self.topic, self.partition)

    @property
    def message(self) -> "Event":
        """The event itself: ``event.message.offset`` and ``event.offset`` are the same."""
        return self

    async def send(self, channel: "Topic | Channel | str", **overrides: Any) -> "Pending | Any":
        """Send this key and value to *channel*, without headers; *overrides* replace parts."""
        return await self._target(channel).send(
            **{"key": self.key, "value": self.value, **overrides}
        )

    async def forward(self, channel: "Topic | Channel | str", **overrides: Any) -> "Pending | Any":
        """
        Send this event on, with its headers and timestamp; *overrides* replace parts.

        To a topic go the very bytes that were read; a channel gets the decoded key and value.
        """
        parts: dict[str, Any] = {"headers": self.raw_headers or None}
        if self.timestamp >= 0:
            parts["timestamp"] = self.timestamp
        from turbine.topics import Topic

        target = self._target(channel)
        if self._place is None or not isinstance(target, Topic):
            return await self.send(target, **{**parts, **overrides})
        parts["key"], parts["value"] = self.raw
        # Bytes go past whatever writes values of a topic.
        send = target.send if "value" in overrides else target.send_raw
        return await send(**{**parts, **overrides})

    @property
    def raw(self) -> tuple[bytes | None, bytes | None]:
        """Key and value bytes as they were read; (None, None) for what was never in a topic."""
        if self._place is None:
            return None, None
        place, row, _ = self._place
        return place.raw_of(row)

    def ack(self) -> bool:
        """
        Say that this event is done, in a stream with `Stream.noack`; from any task, once is enough.

        Returns:
            Whether it counted: events of other streams are done when the next one is asked for.
        """
        if self._place is None:
            return False
        place, row, by_hand = self._place
        if by_hand:
            place.ack(row)
        return by_hand

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Acknowledge the event, unless the block has failed."""
        if kind is None:
            self.ack()

    def _target(self, channel: "Topic | Channel | str") -> "Topic | Channel":
        if not isinstance(channel, str):
            return channel
        target: Topic = self.app.topic(channel)
        return target

    def __repr__(self) -> str:
        place = f"{self.topic}[{self.partition}]@{self.offset}"
        return f"<Event {place} key={self.key!r} value={self.value!r}>"


class CurrentEvent(Event):
    """The event in an agent's hands, whose value is decoded again if somebody asks for it."""

    __slots__ = ("_given",)

    _given: Any

    @property
    def value(self) -> Any:
        """Decoded value."""
        if self._given is None and self._place is not None:
            place, row, _ = self._place
            self._given = place.value_of(row)
        return self._given

    @value.setter
    def value(self, given: Any) -> None:
        self._given = given
