"""Streams; see `turbine.faust.types`."""

from turbine.faust.types import StreamT

__all__ = ["StreamT"]
