"""
Settings as Faust reads them: its variables too, and its address for pages.

Faust's own variables (``BROKER_URL``, ``APP_STORE``, ``FAUST_WEB_PORT``, ``F_DATADIR``) win over
keywords, as they do there; ``TURBINE_...`` stand behind keywords, as everywhere here.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, TypeVar

from turbine import settings as native
from turbine._setting import Setting

__all__ = ["Settings"]

T = TypeVar("T")

_PREFIXES = ("FAUST_", "F_")


class Settings(native.Settings):
    """
    As `turbine.Settings`, with the variables of Faust and the defaults that its programs need.

    Buffers are smaller: agents take records one by one, and have enough to do with fewer.
    """

    _defaults: ClassVar[Mapping[str, object]] = {
        "web_bind": "0.0.0.0",  # noqa: S104 - as Faust does
        "fetch_buffer_bytes": 12 << 20,
        "produce_buffer_bytes": 4 << 20,
    }

    def __init__(self, **keywords: object) -> None:
        # None stands for "not given" in all signatures of Faust.
        given = {name: value for name, value in keywords.items() if value is not None}
        for name in ("id", "app_id"):
            if isinstance(given.get(name), int):
                # Programs number their apps.
                given[name] = str(given[name])
        super().__init__(**given)

    @property
    def name(self) -> str:
        """The id without its version."""
        return self.id

    def source(self, name: str) -> str:
        """Where a setting is from: assigned, keyword, object, environment or default."""
        if name not in self._assigned and self._variable(native.ROWS[name]) is not None:
            return "environment"
        return super().source(name)

    def _read(self, row: Setting[T]) -> T:
        if row.name not in self._assigned:
            found = self._variable(row)
            if found is not None:
                return native.parse_value(row, found[1], found[0])
        return super()._read(row)

    def _variable(self, row: Setting[Any]) -> tuple[str, str] | None:
        """Name and value of the first variable of Faust that is set for *row*."""
        for name in self._variables(row):
            value = os.environ.get(name)
            if value is not None:
                return name, value
        return None

    def _variables(self, row: Setting[Any]) -> Iterator[str]:
        for name in (row.name, *row.aliases):
            for prefix in _PREFIXES:
                yield f"{prefix}{name.upper()}"
        prefix = "" if row.name == "env_prefix" else self._env_prefix()
        for name in row.legacy_env:
            yield f"{prefix}{name}"

    def _env_prefix(self) -> str:
        prefix = self.env_prefix
        return f"{prefix.rstrip('_')}_" if prefix else ""
