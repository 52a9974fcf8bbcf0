"""What programs take from Faust's ``faust.sensors``."""

from typing import TYPE_CHECKING

from turbine._lazy import lazy

if TYPE_CHECKING:
    from turbine.faust.sensors.base import Sensor, SensorDelegate
    from turbine.faust.sensors.monitor import Monitor, TableState

__all__ = ["Monitor", "Sensor", "SensorDelegate", "TableState"]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "turbine.faust.sensors.base": ("Sensor", "SensorDelegate"),
        "turbine.faust.sensors.monitor": ("Monitor", "TableState"),
    },
)
