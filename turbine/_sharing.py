"""
Which agents write the same tables: their topics are read together, partition by partition.

Nobody declares which agent writes which table, so it is read from the source of the agent and of
the functions that it calls: ``table[key] = ...``, ``table[key] += ...``, ``del table[key]``,
``table[key].add(...)``, ``table.pop(...)``, and a table that is handed to somebody else. Where
nothing is found, as for a table that comes out of a list, an agent of another topic is refused when
it writes.

Not here: how many partitions the topics have, which the core looks at when it starts.
"""

import ast
import builtins
import functools
import inspect
import sys
import textwrap
import types
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from turbine.set_tables import SetTable
from turbine.tables import Table
from turbine.windowed_tables import WindowedTable

if TYPE_CHECKING:
    from turbine.agents import Agent
    from turbine.app import App

__all__ = ["shared_topics", "tables_written_by"]

_CHANGES = frozenset(
    (
        *("add", "clear", "difference_update", "discard", "intersection_update", "pop"),
        *("popitem", "remove", "setdefault", "symmetric_difference_update", "update"),
    )
)
_OTHERS = frozenset({"turbine", *sys.stdlib_module_names})
"""Packages whose functions write no table of the program."""
_UNKNOWN: Any = object()


def shared_topics(app: "App") -> list[list[str]]:
    """
    List the sets of topics whose agents write the same tables; one topic alone is left out.

    Agents with another guarantee, and those that acknowledge by hand, share nothing.
    """
    sets: list[set[str]] = []
    for guarantee in ("at_least_once", "exactly_once"):
        by_table: dict[int, set[str]] = {}
        for agent in app.agents.values():
            if agent.guarantee == guarantee and _may_share(agent):
                for table in tables_written_by(agent.fn):
                    by_table.setdefault(table, set()).update(agent.topics)
        sets += _joined(by_table.values())
    return sorted(sorted(one) for one in sets if len(one) > 1)


def _may_share(agent: "Agent") -> bool:
    return bool(agent.topics) and not (agent.plan is not None and agent.plan.acks_by_hand)


def _joined(sets: Iterable[set[str]]) -> list[set[str]]:
    """Unite sets that have something in common, until none have."""
    found: list[set[str]] = []
    for one in sets:
        common = [other for other in found if other & one]
        found = [other for other in found if not other & one]
        found.append(one.union(*common))
    return found


def tables_written_by(fn: Callable[..., Any]) -> frozenset[int]:
    """Give the tables that *fn* and what it calls may write, each as the ``id`` of its own."""
    writes = _Writes()
    writes.look(fn)
    return frozenset(writes.found)


def _own(value: Any) -> int | None:
    """Id of the table behind *value*, whichever view of it that is; None if it is none."""
    if isinstance(value, WindowedTable):
        value = value.table
    if isinstance(value, SetTable):
        value = value.pairs
    return id(value) if isinstance(value, Table) else None


class _Writes:
    """
    Attributes:
        found: Tables that may be written.
    """  # noqa: D205 - a table of attributes

    def __init__(self) -> None:
        self.found: set[int] = set()
        self._seen: set[types.FunctionType] = set()

    def look(self, fn: Any) -> None:
        """Look at *fn*, and at what it calls."""
        while isinstance(fn, functools.partial):
            for value in (*fn.args, *fn.keywords.values()):
                self.add(value)
            fn = fn.func
        owner = getattr(fn, "__self__", None)
        if not inspect.isroutine(fn):
            owner = fn
            fn = (fn if isinstance(fn, type) else type(fn)).__call__
        fn = inspect.unwrap(getattr(fn, "__func__", fn))
        if isinstance(fn, types.FunctionType) and fn not in self._seen and _is_own(fn):
            self._seen.add(fn)
            tree = _tree(fn)
            if tree is not None:
                _Function(self, fn, owner).visit(tree)

    def add(self, value: Any) -> None:
        """Note *value*, if it is a table."""
        table = _own(value)
        if table is not None:
            self.found.add(table)


def _is_own(fn: types.FunctionType) -> bool:
    """Whether *fn* is of the program, not of a library."""
    package = (fn.__module__ or "").partition(".")[0]
    return package not in _OTHERS and "site-packages" not in fn.__code__.co_filename


def _tree(fn: types.FunctionType) -> ast.AST | None:
    """The source of *fn*; None if there is none, as for code that was typed in."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(fn)))
    except (OSError, TypeError, SyntaxError):
        return None


class _Function(ast.NodeVisitor):
    """Looks through one function; names of its own count as what was given to them last."""

    def __init__(self, writes: _Writes, fn: types.FunctionType, owner: Any) -> None:
        self._writes = writes
        self._names: dict[str, Any] = dict(fn.__globals__)
        cells = zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True)
        self._names.update({name: _content(cell) for name, cell in cells})
        given = fn.__code__.co_varnames[: fn.__code__.co_argcount]
        self._names.update(dict.fromkeys(given, _UNKNOWN))
        if owner is not None and given:
            self._names[given[0]] = owner

    def _value(self, node: ast.AST) -> Any:
        """What *node* is, as far as names and attributes say; of ``table[key]`` the table."""
        if isinstance(node, ast.Name):
            return self._names.get(node.id, _UNKNOWN)
        if isinstance(node, ast.Attribute):
            base = self._value(node.value)
            known = base is not _UNKNOWN and _own(base) is None
            return inspect.getattr_static(base, node.attr, _UNKNOWN) if known else base
        if isinstance(node, ast.Subscript | ast.Await | ast.Starred):
            inner = self._value(node.value)
            return inner if _own(inner) is not None else _UNKNOWN
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            inner = self._value(node.func.value)
            return inner if _own(inner) is not None else _UNKNOWN
        return _UNKNOWN

    def _changed(self, targets: Iterable[ast.AST]) -> None:
        for target in targets:
            if isinstance(target, ast.Tuple | ast.List):
                self._changed(target.elts)
            elif isinstance(target, ast.Subscript):
                self._writes.add(self._value(target))

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        self._changed(node.targets)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._names[target.id] = self._value(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.generic_visit(node)
        self._changed([node.target])

    def visit_Delete(self, node: ast.Delete) -> None:
        self._changed(node.targets)

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGES:
            self._writes.add(self._value(node.func.value))
        called = self._value(node.func)
        is_builtin = isinstance(node.func, ast.Name) and hasattr(builtins, node.func.id)
        if not is_builtin:
            for given in _given(node):
                # A value that was read is not the table.
                if isinstance(given, ast.Name | ast.Attribute):
                    self._writes.add(self._value(given))
        if called is not _UNKNOWN and _own(called) is None:
            self._writes.look(called)


def _given(node: ast.Call) -> Iterator[ast.AST]:
    yield from node.args
    yield from (keyword.value for keyword in node.keywords)


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _UNKNOWN
