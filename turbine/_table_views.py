"""Keys, values and items of a table, and how it is shown."""

from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Sequence,
    ValuesView,
)
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from turbine.tables import Table

__all__ = ["TableItems", "TableKeys", "TableValues", "ansitable", "html"]

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


def ansitable(
    name: str,
    pairs: Iterable[tuple[Any, Any]],
    *,
    key: str = "Key",
    value: str = "Value",
    title: str | None = None,
    sort: bool = False,
    sortkey: Callable[[Any], Any] | None = None,
    **options: object,  # noqa: ARG001 - what programs pass for colours
) -> str:
    """
    Draw a table for a terminal.

    Args:
        name: Of the table.
        pairs: Keys, and what is shown of their values.
        key: Heading of the keys.
        value: Heading of the values.
        title: Above it; ``{table.name}`` stands for the name; None: the name.
        sort: Whether rows are in an order.
        sortkey: Gives what they are ordered by, from the pair of key and value; None: the text of
            the key, and of the value.
        **options: Left out, for programs that choose colours.
    """
    shown = name if title is None else title.replace("{table.name}", name)
    rows = list(pairs)
    if sort:
        rows.sort(key=sortkey or (lambda row: (str(row[0]), str(row[1]))))
    return _draw(shown, (key, value), [(str(one), str(its)) for one, its in rows])


def _draw(title: str, headings: tuple[str, str], rows: Sequence[tuple[str, str]]) -> str:
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
