"""Loggers; see `turbine.faust.mode`."""

from turbine.faust.mode import get_logger

__all__ = ["get_logger"]
