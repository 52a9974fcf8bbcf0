"""Apps; see `turbine.faust.types`."""

from turbine.faust.types import AppT

__all__ = ["AppT"]
