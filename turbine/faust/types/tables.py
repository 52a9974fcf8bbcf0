"""Tables; see `turbine.faust.types`."""

from turbine.faust.types import TableT

__all__ = ["TableT"]
