"""Records; see `turbine.faust.types`."""

from turbine.faust.types import FieldDescriptorT, ModelT

__all__ = ["FieldDescriptorT", "ModelT"]
