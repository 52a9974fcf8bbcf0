"""
The test kit.

Names are loaded when they are used first, so that importing it costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turbine.testing._context import AgentContext
    from turbine.testing._events import Sent, event_streams
    from turbine.testing._match import ANY, record

__all__ = [
    "ANY",
    "AgentContext",
    "Sent",
    "event_streams",
    "record",
]

_HOMES = {
    "turbine.testing._context": ("AgentContext",),
    "turbine.testing._events": ("Sent", "event_streams"),
    "turbine.testing._match": ("ANY", "record"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'turbine.testing' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
