"""Find what a program uses of Faust, from its source; nothing of it is run."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from turbine.exceptions import AppNotFound

__all__ = ["Use", "read_program", "sources_of"]

_DECLARING = {
    "agent": "agent option",
    "actor": "agent option",
    "topic": "topic option",
    "Table": "table option",
    "SetTable": "table option",
    "GlobalTable": "table option",
    "SetGlobalTable": "table option",
}
_STREAM = frozenset(
    {
        "ack",
        "active_partitions",
        "add_processor",
        "combine",
        "concurrency_index",
        "current_event",
        "echo",
        "enumerate",
        "events",
        "filter",
        "group_by",
        "inner_join",
        "items",
        "join",
        "left_join",
        "noack",
        "noack_take",
        "outer_join",
        "take",
        "take_events",
        "take_with_timestamp",
        "through",
    }
)
_TABLE = frozenset(
    {
        "as_ansitable",
        "clear",
        "hopping",
        "relative_to",
        "relative_to_field",
        "relative_to_now",
        "relative_to_stream",
        "tumbling",
        "using_window",
    }
)
_TOPIC = frozenset({"derive", "derive_topic", "get_topic_name", "maybe_declare"})
_AGENT = frozenset(
    {
        "add_sink",
        "ask",
        "ask_nowait",
        "cast",
        "join",
        "kvjoin",
        "kvmap",
        "map",
        "send",
        "send_soon",
        "test_context",
    }
)


@dataclass(frozen=True, order=True)
class Use:
    """
    One use of a name.

    Attributes:
        kind: What has it: ``faust``, ``app``, ``setting``, ``agent option``, ``stream``, ...
        name: The name.
        file: Where.
        line: Line there, from 1.
    """

    kind: str
    name: str
    file: str
    line: int


def sources_of(name: str) -> list[Path]:
    """
    List the files of a program.

    Args:
        name: ``proj``, ``proj.app``, ``proj.app:app`` below the working directory, or a file or
            directory. Of a package all modules are read.

    Raises:
        AppNotFound: There is no such file.
    """
    place = name.partition(":")[0]
    path = Path(place)
    if not path.exists() and not place.endswith(".py"):
        dotted = Path(*place.split("."))
        path = dotted if dotted.is_dir() else dotted.with_suffix(".py")
    if path.is_file() and (path.parent / "__init__.py").is_file():
        path = path.parent
        while (path.parent / "__init__.py").is_file():
            path = path.parent
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise AppNotFound(
            f"there is no program {name!r} in {Path.cwd()}: write 'turbine migrate check proj.app' "
            "or 'turbine migrate check path/to/file.py'"
        )
    return files


def read_program(files: list[Path]) -> list[Use]:
    """
    Find every use of Faust in *files*.

    Raises:
        AppNotFound: A file is no Python.
    """
    trees = {file: _parse(file) for file in files}
    apps = {name for tree in trees.values() for name in _apps(tree)} | {"app"}
    found = [use for file, tree in trees.items() for use in _Reader(str(file), apps).uses(tree)]
    return sorted(set(found))


def _parse(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding="utf-8"), str(file))
    except (SyntaxError, UnicodeDecodeError, ValueError) as exc:
        raise AppNotFound(f"{file} cannot be read as Python: {exc}") from None


def _apps(tree: ast.Module) -> Iterator[str]:
    """Names that an app is assigned to."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _is_app(node.value):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _is_app(node: ast.expr) -> bool:
    if not isinstance(node, ast.Call):
        return False
    made = node.func
    return (isinstance(made, ast.Attribute) and made.attr == "App") or (
        isinstance(made, ast.Name) and made.id == "App"
    )


class _Reader:
    """Reads one file."""

    def __init__(self, file: str, apps: set[str]) -> None:
        self._file = file
        self._apps = apps
        self._modules: dict[str, str] = {}

    def uses(self, tree: ast.Module) -> Iterator[Use]:
        """Yield what is used, in no order."""
        nodes = list(ast.walk(tree))
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield from self._import(node)
        for node in nodes:
            if isinstance(node, ast.Attribute):
                yield from self._attribute(node)
            elif isinstance(node, ast.Call):
                yield from self._call(node)
            elif isinstance(node, ast.ClassDef):
                yield from self._class(node)

    def _use(self, kind: str, name: str, node: ast.expr | ast.stmt) -> Use:
        return Use(kind, name, self._file, node.lineno)

    def _import(self, node: ast.Import | ast.ImportFrom) -> Iterator[Use]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "faust":
                    self._modules[alias.asname or alias.name.split(".")[0]] = alias.name
                    if "." in alias.name:
                        yield self._use("module", alias.name, node)
            return
        module = (node.module or "").removeprefix("turbine.")
        if node.level or module.split(".")[0] not in {"faust", "mode"}:
            if module == "turbine" and not node.level:
                self._modules |= {
                    alias.asname or alias.name: "faust"
                    for alias in node.names
                    if alias.name == "faust"
                }
            return
        for alias in node.names:
            if module == "faust":
                yield self._use("faust", alias.name, node)
            else:
                yield self._use("module", f"{module}.{alias.name}", node)

    def _attribute(self, node: ast.Attribute) -> Iterator[Use]:
        owner = node.value
        if isinstance(owner, ast.Constant | ast.JoinedStr) or ast.unparse(owner) == "os.path":
            return  # ", ".join(...)
        if isinstance(owner, ast.Name) and owner.id in self._modules:
            yield self._use("faust", node.attr, node)
        elif isinstance(owner, ast.Name) and owner.id in self._apps:
            yield self._use("app", node.attr, node)
        elif isinstance(owner, ast.Attribute) and owner.attr == "conf":
            yield self._use("setting", node.attr, node)
        elif node.attr in _AGENT and self._may_be_agent(owner):
            yield self._use("agent", node.attr, node)
        elif node.attr in _TOPIC:
            yield self._use("topic", node.attr, node)
        elif node.attr in _TABLE:
            yield self._use("table", node.attr, node)
        elif node.attr in _STREAM:
            yield self._use("stream", node.attr, node)

    def _may_be_agent(self, owner: ast.expr) -> bool:
        """``", ".join(...)`` is no agent; neither is a stream, of which none of these is called."""
        return isinstance(owner, ast.Name) and owner.id not in {"os", "asyncio", "stream"}

    def _call(self, node: ast.Call) -> Iterator[Use]:
        keywords = [(one.arg, one) for one in node.keywords if one.arg is not None]
        if _is_app(node):
            for name, where in keywords:
                if name != "id":
                    yield self._use("setting", name, where.value)
            return
        made = node.func
        if not (isinstance(made, ast.Attribute) and isinstance(made.value, ast.Name)):
            return
        kind = _DECLARING.get(made.attr) if made.value.id in self._apps else None
        if kind is not None:
            for name, where in keywords:
                yield self._use(kind, name, where.value)

    def _class(self, node: ast.ClassDef) -> Iterator[Use]:
        for base in node.bases:
            is_record = (isinstance(base, ast.Attribute) and base.attr == "Record") or (
                isinstance(base, ast.Name) and base.id == "Record"
            )
            if is_record:
                for one in node.keywords:
                    if one.arg is not None:
                        yield self._use("record option", one.arg, one.value)
