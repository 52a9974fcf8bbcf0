"""The failpoints of the core, as its source lists them."""

import re
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[4] / "src" / "failpoints" / "points.rs"
_ENTRY = re.compile(r'\(\s*"([a-z_]+::[a-z_]+)",')


def points() -> list[str]:
    """Names of all points that a worker can reach."""
    names = _ENTRY.findall(SOURCE.read_text(encoding="utf-8"))
    return [name for name in names if not name.startswith("test::")]
