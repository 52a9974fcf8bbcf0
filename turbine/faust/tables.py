"""
Tables as Faust programs declare them.

What differs from `turbine.tables.Table`: without ``value_type`` a value may hold records, alone or
in lists and dicts, and comes back with them. Values are still written when they are assigned: a
record that is changed in place must be assigned again. Windows are pairs as Faust's.
"""

from collections.abc import Callable
from typing import Any, Final

from pydantic_core import CoreSchema, core_schema

from turbine import app as native
from turbine.faust.models.base import maybe_model
from turbine.faust.windows import HoppingWindow

__all__ = ["AnyValue", "AppTables"]

_PLAIN_DEFAULTS: Final = (int, float, str, bool)


class AnyValue:
    """The type of values that are JSON of any shape, with records in it."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        del source, handler
        anything = core_schema.any_schema()
        read = core_schema.no_info_after_validator_function(_with_records, anything)
        return core_schema.json_or_python_schema(read, anything)


def _with_records(value: Any) -> Any:
    """Make the records that objects in *value* say they are."""
    if isinstance(value, list):
        return [_with_records(item) for item in value]
    if isinstance(value, dict):
        if "__faust" in value:
            return maybe_model(value)
        return {name: _with_records(item) for name, item in value.items()}
    return value


class AppTables(native.App):
    """The part of the app that makes tables."""

    hopping_windows = HoppingWindow

    def _add_table(
        self,
        kind: Any,
        name: str,
        *,
        default: Callable[[], Any] | None = None,
        value_type: Any = None,
        **options: Any,
    ) -> Any:
        if value_type is None and default not in _PLAIN_DEFAULTS:
            value_type = AnyValue
        return super()._add_table(kind, name, default=default, value_type=value_type, **options)
