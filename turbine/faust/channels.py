"""
Channels as Faust programs make and use them.

What differs from `turbine.channels.Channel`: a channel has a schema, which only says the types of
what it holds, since nothing is written; and it is its own derivation.
"""

from typing import Any

from turbine import app as native
from turbine.channels import Channel as NativeChannel
from turbine.faust.serializers.schemas import Schema

__all__ = ["AppChannels", "Channel"]

_WITHOUT_MEANING = ("schema", "key_serializer", "value_serializer", "force")


class Channel(NativeChannel):
    """
    A queue in this process; made by `App.channel`.

    Attributes:
        schema: Types of keys and values.
    """

    def __init__(self, app: Any, *, schema: Schema | None = None, **options: Any) -> None:
        self.schema = schema or Schema()
        self.schema.update(
            key_type=options.pop("key_type", None), value_type=options.pop("value_type", None)
        )
        super().__init__(
            app, key_type=self.schema.key_type, value_type=self.schema.value_type, **options
        )

    async def send(self, **parts: Any) -> Any:
        """Put a value in; waits while the channel is full. What is about bytes has no meaning."""
        callback = _taken(parts)
        done = await super().send(**parts)
        if callback is not None:
            callback(done)
        return done

    def send_soon(self, **parts: Any) -> Any:
        """Put a value in from a plain function, in any thread; see `send`."""
        callback = _taken(parts)
        done = super().send_soon(**parts)
        if callback is not None:
            callback(done)
        return done

    def clone(self, **changes: Any) -> "Channel":
        """Make another, empty channel like this one; *changes* as in `App.channel`."""
        kept = {"name": self.name, "schema": self.schema, "maxsize": self._maxsize}
        return Channel(self.app, **{**kept, **changes})

    def derive(self, **changes: Any) -> "Channel":
        """Give the channel itself: there is nothing to derive without a topic."""
        del changes
        return self


class AppChannels(native.App):
    """The part of the app that makes channels."""

    def channel(
        self,
        *,
        name: str = "channel",
        key_type: Any = None,
        value_type: Any = None,
        maxsize: int | None = None,
        schema: Schema | None = None,
        loop: Any = None,
    ) -> Channel:
        """Declare an in-process queue; *loop* is accepted, a channel serves any."""
        del loop
        return Channel(
            self,
            name=name,
            schema=schema,
            key_type=key_type,
            value_type=value_type,
            maxsize=maxsize,
        )


def _taken(parts: dict[str, Any]) -> Any:
    """Take out what is about bytes; give the callback."""
    for name in _WITHOUT_MEANING:
        parts.pop(name, None)
    return parts.pop("callback", None)
