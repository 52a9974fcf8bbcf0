"""Names that Faust programs use in annotations; each is the class itself."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turbine.events import Event as EventT
    from turbine.events import Event as Message
    from turbine.faust.app import App as AppT
    from turbine.faust.channels import Channel as ChannelT
    from turbine.faust.models.base import Model as ModelT
    from turbine.faust.models.descriptors import FieldDescriptor as FieldDescriptorT
    from turbine.faust.serializers.codecs import Codec as CodecT
    from turbine.streams import Stream as StreamT
    from turbine.tables import Table as TableT
    from turbine.topics import Topic as TopicT
    from turbine.types import TP, RecordMetadata

__all__ = [
    "TP",
    "AppT",
    "ChannelT",
    "CodecT",
    "EventT",
    "FieldDescriptorT",
    "Message",
    "ModelT",
    "RecordMetadata",
    "StreamT",
    "TableT",
    "TopicT",
]

_HOMES = {
    "AppT": ("turbine.faust.app", "App"),
    "ChannelT": ("turbine.faust.channels", "Channel"),
    "CodecT": ("turbine.faust.serializers.codecs", "Codec"),
    "EventT": ("turbine.events", "Event"),
    "FieldDescriptorT": ("turbine.faust.models.descriptors", "FieldDescriptor"),
    "Message": ("turbine.events", "Event"),
    "ModelT": ("turbine.faust.models.base", "Model"),
    "RecordMetadata": ("turbine.types", "RecordMetadata"),
    "StreamT": ("turbine.streams", "Stream"),
    "TP": ("turbine.types", "TP"),
    "TableT": ("turbine.tables", "Table"),
    "TopicT": ("turbine.topics", "Topic"),
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'turbine.faust.types' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home[0]), home[1])


def __dir__() -> list[str]:
    return sorted(__all__)
