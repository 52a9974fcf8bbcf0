"""Keys, values and items of a table, and how it is shown."""

from collections.abc import ItemsView, Iterator, KeysView, Sequence, ValuesView
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from turbine.tables import Table

__all__ = ["TableItems", "TableKeys", "TableValues", "draw", "html"]

K = TypeVar("K")
V = TypeVar("V")

_HTML_ROWS = 20


class TableKeys(KeysView[K]):
    """Keys of a table."""

    def __repr__(self) -> str:
        return f"<keys of {_table(self)!r}>"


class TableValues(ValuesView[V]):
    """Values of a table, without a look-up for each key."""

    def __iter__(self) -> Iterator[V]:
        return _table(self).rows("values")

    def __contains__(self, value: object) -> bool:
        return any(one is value or one == value for one in self)

    def __repr__(self) -> str:
        return f"<values of {_table(self)!r}>"


class TableItems(ItemsView[K, V]):
    """Items of a table, without a look-up for each key."""

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return _table(self).rows("items")

    def __repr__(self) -> str:
        return f"<items of {_table(self)!r}>"


def _table(view: Any) -> "Table[Any, Any]":
    return cast("Table[Any, Any]", view._mapping)  # noqa: SLF001 - how collections.abc calls it


def draw(title: str, headings: tuple[str, str], rows: Sequence[tuple[str, str]]) -> str:
    """Draw two columns with lines around them."""
    lines = [headings, *rows]
    left, right = (max(len(line[column]) for line in lines) for column in (0, 1))
    rule = f"+-{'-' * left}-+-{'-' * right}-+"
    body = [f"| {one:<{left}} | {other:<{right}} |" for one, other in lines]
    return "\n".join([title, rule, body[0], rule, *body[1:], *([rule] if rows else [])])


def html(table: "Table[Any, Any]") -> str:
    """Show the first rows as HTML, for notebooks."""
    rows = list(islice(table.rows("items"), _HTML_ROWS + 1))
    cells = "".join(
        f"<tr><td>{escape(str(key))}</td><td>{escape(str(value))}</td></tr>"
        for key, value in rows[:_HTML_ROWS]
    )
    more = "<tr><td colspan=2>...</td></tr>" if len(rows) > _HTML_ROWS else ""
    head = f"<caption>{escape(table.name)}</caption><tr><th>key</th><th>value</th></tr>"
    return f"<table>{head}{cells}{more}</table>"
