"""
The test kit: a broker, workers that die on command, a clock that a test turns.

With pytest, everything is a fixture; see docs/guides/testing.md. Names are loaded when they are
used first, so that the plugin costs nothing in a test-suite that does not use it.
"""

from typing import TYPE_CHECKING

from turbine._lazy import lazy

if TYPE_CHECKING:
    from turbine._native import FaultProxy
    from turbine.testing._broker import Broker, EmbeddedBroker, Fault, KafkaBroker
    from turbine.testing._clock import Clock
    from turbine.testing._context import AgentContext
    from turbine.testing._events import Sent, event_streams
    from turbine.testing._eventually import Eventually
    from turbine.testing._fixtures import MakeApp, MakeProcess, MakeTopic, StartWorker
    from turbine.testing._kit import Kit
    from turbine.testing._match import ANY, record
    from turbine.testing._process import WorkerProcess
    from turbine.testing._topics import TopicHandle
    from turbine.testing._worker import WorkerHandle

__all__ = [
    "ANY",
    "AgentContext",
    "Broker",
    "Clock",
    "EmbeddedBroker",
    "Eventually",
    "Fault",
    "FaultProxy",
    "KafkaBroker",
    "Kit",
    "MakeApp",
    "MakeProcess",
    "MakeTopic",
    "Sent",
    "StartWorker",
    "TopicHandle",
    "WorkerHandle",
    "WorkerProcess",
    "event_streams",
    "record",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "turbine._native": ("FaultProxy",),
        "turbine.testing._broker": ("Broker", "EmbeddedBroker", "Fault", "KafkaBroker"),
        "turbine.testing._clock": ("Clock",),
        "turbine.testing._context": ("AgentContext",),
        "turbine.testing._eventually": ("Eventually",),
        "turbine.testing._events": ("Sent", "event_streams"),
        "turbine.testing._fixtures": ("MakeApp", "MakeProcess", "MakeTopic", "StartWorker"),
        "turbine.testing._kit": ("Kit",),
        "turbine.testing._match": ("ANY", "record"),
        "turbine.testing._process": ("WorkerProcess",),
        "turbine.testing._topics": ("TopicHandle",),
        "turbine.testing._worker": ("WorkerHandle",),
    },
)
