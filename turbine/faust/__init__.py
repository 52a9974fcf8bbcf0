"""
Programs written for Faust, with the import changed: ``from turbine import faust``.

Only what differs from `turbine` lives here; everything else is the native class. Names are loaded
when they are used first. New programs do without this package.
"""

from typing import TYPE_CHECKING

from turbine._lazy import lazy

if TYPE_CHECKING:
    from turbine._native import __version__
    from turbine._turns import current_event
    from turbine.events import Event
    from turbine.events import Event as Message
    from turbine.faust.agents import Agent
    from turbine.faust.app import App
    from turbine.faust.auth import (
        GSSAPICredentials,
        OAuthCredentials,
        SASLCredentials,
        SSLCredentials,
    )
    from turbine.faust.channels import Channel
    from turbine.faust.models.base import maybe_model, registry
    from turbine.faust.models.options import ModelOptions
    from turbine.faust.models.record import Record
    from turbine.faust.sensors.base import Sensor
    from turbine.faust.sensors.monitor import Monitor
    from turbine.faust.serializers.codecs import Codec
    from turbine.faust.serializers.schemas import Schema
    from turbine.faust.service import Service
    from turbine.faust.settings import Settings
    from turbine.faust.types import AppT, ChannelT, EventT, ModelT, StreamT, TableT, TopicT
    from turbine.faust.types.enums import ProcessingGuarantee
    from turbine.faust.utils import uuid
    from turbine.faust.windows import HoppingWindow, SlidingWindow, TumblingWindow
    from turbine.faust.worker import Worker
    from turbine.global_tables import GlobalTable, SetGlobalTable
    from turbine.set_tables import SetTable
    from turbine.streams import Stream
    from turbine.tables import Table
    from turbine.topics import Topic
    from turbine.types import TP, RecordMetadata

__all__ = [
    "TP",
    "Agent",
    "App",
    "AppT",
    "Channel",
    "ChannelT",
    "Codec",
    "Event",
    "EventT",
    "GSSAPICredentials",
    "GlobalTable",
    "HoppingWindow",
    "Message",
    "ModelOptions",
    "ModelT",
    "Monitor",
    "OAuthCredentials",
    "ProcessingGuarantee",
    "Record",
    "RecordMetadata",
    "SASLCredentials",
    "SSLCredentials",
    "Schema",
    "Sensor",
    "Service",
    "SetGlobalTable",
    "SetTable",
    "Settings",
    "SlidingWindow",
    "Stream",
    "StreamT",
    "Table",
    "TableT",
    "Topic",
    "TopicT",
    "TumblingWindow",
    "Worker",
    "__version__",
    "current_event",
    "maybe_model",
    "registry",
    "uuid",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "turbine._native": ("__version__",),
        "turbine._turns": ("current_event",),
        "turbine.events": ("Event", "Message"),
        "turbine.faust.agents": ("Agent",),
        "turbine.faust.app": ("App",),
        "turbine.faust.auth": (
            "GSSAPICredentials",
            "OAuthCredentials",
            "SASLCredentials",
            "SSLCredentials",
        ),
        "turbine.faust.sensors.base": ("Sensor",),
        "turbine.faust.sensors.monitor": ("Monitor",),
        "turbine.faust.service": ("Service",),
        "turbine.faust.windows": ("HoppingWindow", "SlidingWindow", "TumblingWindow"),
        "turbine.faust.worker": ("Worker",),
        "turbine.faust.settings": ("Settings",),
        "turbine.faust.channels": ("Channel",),
        "turbine.faust.models.base": ("maybe_model", "registry"),
        "turbine.faust.models.options": ("ModelOptions",),
        "turbine.faust.models.record": ("Record",),
        "turbine.faust.serializers.codecs": ("Codec",),
        "turbine.faust.serializers.schemas": ("Schema",),
        "turbine.faust.types": (
            "AppT",
            "ChannelT",
            "EventT",
            "ModelT",
            "StreamT",
            "TableT",
            "TopicT",
        ),
        "turbine.faust.types.enums": ("ProcessingGuarantee",),
        "turbine.faust.utils": ("uuid",),
        "turbine.global_tables": ("GlobalTable", "SetGlobalTable"),
        "turbine.set_tables": ("SetTable",),
        "turbine.streams": ("Stream",),
        "turbine.tables": ("Table",),
        "turbine.topics": ("Topic",),
        "turbine.types": ("TP", "RecordMetadata"),
    },
    renamed={"Message": "Event"},
    modules=("cli", "sensors", "types", "utils", "web"),
)
