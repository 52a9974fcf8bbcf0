"""Names that Faust programs use in annotations; each is the class itself."""

from typing import TYPE_CHECKING

from turbine._lazy import lazy

if TYPE_CHECKING:
    from turbine.events import Event as EventT
    from turbine.events import Event as Message
    from turbine.faust.app import App as AppT
    from turbine.faust.channels import Channel as ChannelT
    from turbine.faust.models.base import Model as ModelT
    from turbine.faust.models.descriptors import FieldDescriptor as FieldDescriptorT
    from turbine.faust.serializers.codecs import Codec as CodecT
    from turbine.faust.types.enums import ProcessingGuarantee
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
    "ProcessingGuarantee",
    "RecordMetadata",
    "StreamT",
    "TableT",
    "TopicT",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "turbine.events": ("EventT", "Message"),
        "turbine.faust.app": ("AppT",),
        "turbine.faust.channels": ("ChannelT",),
        "turbine.faust.models.base": ("ModelT",),
        "turbine.faust.models.descriptors": ("FieldDescriptorT",),
        "turbine.faust.serializers.codecs": ("CodecT",),
        "turbine.faust.types.enums": ("ProcessingGuarantee",),
        "turbine.streams": ("StreamT",),
        "turbine.tables": ("TableT",),
        "turbine.topics": ("TopicT",),
        "turbine.types": ("TP", "RecordMetadata"),
    },
    renamed={
        "AppT": "App",
        "ChannelT": "Channel",
        "CodecT": "Codec",
        "EventT": "Event",
        "FieldDescriptorT": "FieldDescriptor",
        "Message": "Event",
        "ModelT": "Model",
        "StreamT": "Stream",
        "TableT": "Table",
        "TopicT": "Topic",
    },
)
