"""Records as Faust programs declare them."""

from turbine.faust.models.base import Model, maybe_model, registry
from turbine.faust.models.options import ModelOptions
from turbine.faust.models.record import Record

__all__ = ["Model", "ModelOptions", "Record", "maybe_model", "registry"]
