"""Rows for joins, and what DuckDB makes of them."""

import random
from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa

LAST_MS = 100_000
"""A time behind all others: rows of it let the others become final."""


def rows_of(seed: int, number: int, **more: Callable[[int], Any]) -> list[dict[str, Any]]:
    """Rows of a dozen keys, out of order by up to 40 ms, some of them twice."""
    dice = random.Random(seed)
    rows = [
        {
            "order": f"o{dice.randrange(12)}",
            "ts": 1_000 + n * 10 - dice.randrange(40),
            **{name: make(n) for name, make in more.items()},
        }
        for n in range(number)
    ]
    return [row for row in rows for _ in range(1 + (dice.random() < 0.05))]


def end_of(name: str, **more: Any) -> dict[str, Any]:
    """A row of a key of its own, behind all others in time."""
    return {"order": f"end of {name}", "ts": LAST_MS, **more}


def duck(sql: str, **tables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What *sql* gives over *tables*, computed at once."""
    connection = duckdb.connect()
    for name, rows in tables.items():
        connection.register(name, pa.Table.from_pylist(rows))
    relation = connection.sql(sql)
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def sorted_rows(rows: list[dict[str, Any]]) -> list[str]:
    """In an order that does not depend on who made them."""
    return sorted(repr(sorted(row.items())) for row in rows)
