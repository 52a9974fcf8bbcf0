"""
Stream processing on Kafka for Python: asyncio agents, Arrow batches, a Rust core.

Names are loaded when they are used first, so that ``import turbine`` is quick.
"""

from typing import TYPE_CHECKING

from turbine._lazy import lazy

if TYPE_CHECKING:
    from pyarrow import RecordBatch

    from turbine._native import EmbeddedBroker, __version__
    from turbine._turns import current_event
    from turbine.agents import Agent
    from turbine.app import App, Turbine
    from turbine.branches import Branch
    from turbine.channels import Channel
    from turbine.dedup import Dedup
    from turbine.events import Event
    from turbine.exceptions import (
        BrokerUnavailable,
        ComputeError,
        ConfigError,
        DeclarationError,
        DecodeError,
        EncodeError,
        HandlerError,
        KafkaError,
        NotRunning,
        RegistryError,
        SendError,
        StateError,
        TurbineError,
        WorkerStopped,
    )
    from turbine.global_tables import GlobalTable
    from turbine.models import Record
    from turbine.policies import Retry
    from turbine.set_tables import SetTable
    from turbine.settings import Settings
    from turbine.state import State
    from turbine.streams import Stream
    from turbine.subscriptions import Subscription
    from turbine.tables import Table
    from turbine.topics import Topic
    from turbine.types import TP, RecordMetadata

__all__ = [
    "TP",
    "Agent",
    "App",
    "Branch",
    "BrokerUnavailable",
    "Channel",
    "ComputeError",
    "ConfigError",
    "DeclarationError",
    "DecodeError",
    "Dedup",
    "EmbeddedBroker",
    "EncodeError",
    "Event",
    "GlobalTable",
    "HandlerError",
    "KafkaError",
    "NotRunning",
    "Record",
    "RecordBatch",
    "RecordMetadata",
    "RegistryError",
    "Retry",
    "SendError",
    "SetTable",
    "Settings",
    "State",
    "StateError",
    "Stream",
    "Subscription",
    "Table",
    "Topic",
    "Turbine",
    "TurbineError",
    "WorkerStopped",
    "__version__",
    "current_event",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "pyarrow": ("RecordBatch",),
        "turbine._native": ("EmbeddedBroker", "__version__"),
        "turbine.agents": ("Agent",),
        "turbine.app": ("App", "Turbine"),
        "turbine.branches": ("Branch",),
        "turbine.channels": ("Channel",),
        "turbine.dedup": ("Dedup",),
        "turbine.events": ("Event",),
        "turbine.exceptions": (
            "BrokerUnavailable",
            "ComputeError",
            "ConfigError",
            "DeclarationError",
            "DecodeError",
            "EncodeError",
            "HandlerError",
            "KafkaError",
            "NotRunning",
            "RegistryError",
            "SendError",
            "StateError",
            "TurbineError",
            "WorkerStopped",
        ),
        "turbine._turns": ("current_event",),
        "turbine.global_tables": ("GlobalTable",),
        "turbine.models": ("Record",),
        "turbine.policies": ("Retry",),
        "turbine.settings": ("Settings",),
        "turbine.state": ("State",),
        "turbine.streams": ("Stream",),
        "turbine.subscriptions": ("Subscription",),
        "turbine.set_tables": ("SetTable",),
        "turbine.tables": ("Table",),
        "turbine.topics": ("Topic",),
        "turbine.types": ("TP", "RecordMetadata"),
    },
)
