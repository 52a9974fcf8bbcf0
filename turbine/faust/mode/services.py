"""See `turbine.faust.service`."""

from turbine.faust.service import Service

__all__ = ["Service"]
