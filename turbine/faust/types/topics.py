"""Topics; see `turbine.faust.types`."""

from turbine.faust.types import TopicT

__all__ = ["TopicT"]
