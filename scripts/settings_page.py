"""The page of the reference about settings, from their rows."""

from collections.abc import Iterable, Iterator
from typing import Any

NOTE = "<!-- From the rows of turbine.settings, by scripts/reference.py: `make fix` writes it. -->"

ABOUT = """
Keyword of `turbine.App`, attribute of `app.conf`, and `TURBINE_` with the name in capitals in the
environment. Times are seconds, as a number or as text like `250ms` or `1m`; sizes are bytes, as a
number or as text like `64MB`. In programs of [`turbine.faust`](../guides/from-faust.md) the
variables named here count too, in front of keywords.
"""

CLIENT = """
These go to the Kafka client under the name in the last column; without one the client's own default
holds. What `kafka` says about the same name wins.
"""

WITHOUT = """
Programs written for Faust bring these. They are read, can be asked for, and change nothing; a line
of the debug log says so once.
"""


def text() -> str:
    """Write the page."""
    from turbine.settings import ROWS

    rows = list(ROWS.values())
    client = [row for row in rows if row.client]
    without = [row for row in rows if not row.has_effect]
    plain = [row for row in rows if row.has_effect and not row.client]
    parts = [
        NOTE,
        "# Settings",
        joined(ABOUT),
        table(("setting", "type", "default", "what", "option or variable"), map(full, plain)),
        "## Of the Kafka client",
        joined(CLIENT),
        table(("setting", "type", "what", "variable", "client"), map(of_client, client)),
        "## Without effect",
        joined(WITHOUT),
        table(("setting", "instead", "variable"), map(ignored, without)),
    ]
    return "\n\n".join(parts) + "\n"


def joined(paragraph: str) -> str:
    """Put a paragraph on one line."""
    return " ".join(paragraph.split())


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Write a table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def full(row: Any) -> tuple[str, ...]:
    """Write one row of those with an effect."""
    default = "" if row.default in (None, (), "") else f"`{row.default}`"
    return name(row), row.kind, default, f"{row.help}{also(row)}", ", ".join(ways(row))


def of_client(row: Any) -> tuple[str, ...]:
    """Write one row of those for the client."""
    variables = ", ".join(ways(row))
    return name(row), row.kind, f"{row.help}{also(row)}", variables, f"`{row.client}`"


def ignored(row: Any) -> tuple[str, ...]:
    """Write one row of those without an effect."""
    return name(row), f"{row.help}{also(row)}", ", ".join(ways(row))


def name(row: Any) -> str:
    """Write the name of a setting."""
    return f"`{row.name}`"


def also(row: Any) -> str:
    """Write the other spellings of a setting."""
    spellings = ", ".join(f"`{alias}`" for alias in row.aliases)
    return f" Also: {spellings}." if spellings else ""


def ways(row: Any) -> Iterator[str]:
    """Yield the option of the command line and the variables of Faust."""
    if row.flag:
        yield f"`{row.flag}`"
    for variable in row.legacy_env:
        yield f"`{variable}`"
