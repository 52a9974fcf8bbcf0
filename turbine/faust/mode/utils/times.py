"""Times; see `turbine.faust.mode`."""

from turbine.faust.mode import Seconds, want_seconds

__all__ = ["Seconds", "want_seconds"]
