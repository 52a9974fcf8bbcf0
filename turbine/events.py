"""One record as an agent sees it."""

from typing import TYPE_CHECKING, Any

from turbine.types import TP, RawHeaders

if TYPE_CHECKING:
    from turbine.channels import Channel
    from turbine.topics import Pending, Topic

__all__ = ["Event"]


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

    __slots__ = ("app", "key", "offset", "partition", "raw_headers", "timestamp", "topic", "value")

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
    ) -> None:
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
        """Send this event on, with its headers and timestamp; *overrides* replace parts."""
        parts: dict[str, Any] = {"headers": self.raw_headers or None}
        if self.timestamp >= 0:
            parts["timestamp"] = self.timestamp
        return await self.send(channel, **{**parts, **overrides})

    def _target(self, channel: "Topic | Channel | str") -> "Topic | Channel":
        if not isinstance(channel, str):
            return channel
        target: Topic = self.app.topic(channel)
        return target

    def __repr__(self) -> str:
        place = f"{self.topic}[{self.partition}]@{self.offset}"
        return f"<Event {place} key={self.key!r} value={self.value!r}>"
