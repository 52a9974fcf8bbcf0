"""Joins, as Python sees them; all of it is in `turbine._native`."""

from typing import Any, Self, final

from turbine._native import ArrowRows, ArrowSchemaExportable
from turbine._native_state import State

@final
class Join:
    """A join with the rows that it keeps of each partition; *spec* is JSON."""

    def __new__(
        cls, spec: str, left: ArrowSchemaExportable, right: ArrowSchemaExportable, /
    ) -> Self: ...
    @property
    def schema(self) -> Any:
        """`pyarrow.Schema` of joined rows."""
    @property
    def counters(self) -> tuple[int, int, int, int]:
        """Rows that matched, were given alone, came late, could not match."""
    def update(
        self, state: State | None, rows: ArrowRows, right: Any, /
    ) -> tuple[list[Any], Any | None]:
        """(`pyarrow.RecordBatch` each, those that came late); *right* says whose rows they are."""
    def advance(self, right: bool, watermark_ms: int, /) -> tuple[list[Any], Any | None]:
        """As `update`, for time that passes on one side of a join without a state."""

@final
class Steps:
    def __new__(cls, steps: str, strict: bool = False, /) -> Self: ...
    def apply(self, batch: Any, /) -> tuple[Any, int]:
        """(`pyarrow.RecordBatch` behind the last step, values that could not be computed)."""
