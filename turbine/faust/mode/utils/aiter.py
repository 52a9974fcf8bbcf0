"""Async iterators; see `turbine.faust.mode`."""

from turbine.faust.mode import aenumerate

__all__ = ["aenumerate"]
