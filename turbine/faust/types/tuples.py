"""Tuples; see `turbine.faust.types`."""

from turbine.faust.types import TP, Message, RecordMetadata

__all__ = ["TP", "Message", "RecordMetadata"]
