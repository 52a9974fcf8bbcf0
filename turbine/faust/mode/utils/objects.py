"""Names of things; see `turbine.faust.mode`."""

from turbine.faust.mode import label, qualname

__all__ = ["label", "qualname"]
