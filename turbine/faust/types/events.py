"""Events; see `turbine.faust.types`."""

from turbine.faust.types import EventT

__all__ = ["EventT"]
