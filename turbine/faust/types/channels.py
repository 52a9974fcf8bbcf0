"""Channels; see `turbine.faust.types`."""

from turbine.faust.types import ChannelT

__all__ = ["ChannelT"]
