"""
Find the app that ``-A`` names.

``proj``, ``proj.module``, ``proj.module:name``, ``path/to/file.py`` and ``path/to/file.py:name``
work. Without a name it is the module's attribute ``app``, else the only app in the module, else the
same in the submodule ``app`` of a package.
"""

import importlib
import importlib.util
import os
import re
import sys
import sysconfig
import traceback
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from turbine._cli_support import add_to_path
from turbine.app import App
from turbine.exceptions import AppNotFound

__all__ = ["find_app"]

_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_OURS = str(Path(__file__).parent)


def find_app(name: str) -> App:
    """
    Import the app called *name*.

    Raises:
        AppNotFound: There is none, or its module cannot be imported; the message names the line.
    """
    place, attribute = _split(name)
    if place.endswith(".py") or os.sep in place:
        module = _import_file(Path(place), name)
    elif _DOTTED.fullmatch(place):
        module = _import_module(place)
    else:
        raise AppNotFound(
            f"{name!r} is neither a module nor a file: write -A proj.module, -A proj.module:app "
            "or -A path/to/file.py"
        )
    return _named(module, attribute) if attribute else _only(module)


def _split(name: str) -> tuple[str, str]:
    place, colon, attribute = name.rpartition(":")
    return (place, attribute) if colon and place else (name, "")


def _import_file(path: Path, name: str) -> ModuleType:
    file = path.expanduser().resolve()
    if not file.is_file():
        raise AppNotFound(
            f"there is no file {str(file)!r}: -A {name} names the file that makes the app"
        )
    package, parts = file.parent, [] if file.name == "__init__.py" else [file.stem]
    # A file inside a package is imported under its full name, so that its relative imports work.
    while (package / "__init__.py").is_file():
        parts.insert(0, package.name)
        package = package.parent
    add_to_path(package)
    module_name = ".".join(parts)
    loaded = sys.modules.get(module_name)
    taken = loaded is not None and getattr(loaded, "__file__", None) != str(file)
    if not taken and len(parts) > 1:
        return _import_module(module_name)
    if loaded is not None and not taken:
        return loaded
    return _execute(module_name, file)


def _execute(module_name: str, file: Path) -> ModuleType:
    """Import *file* as itself, whatever else on the path has its name."""
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise AppNotFound(f"{str(file)!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(module_name)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as exc:  # noqa: BLE001 - whatever the program raises is shown to its author
        if before is None:
            del sys.modules[module_name]
        else:
            sys.modules[module_name] = before
        _refuse_import(str(file), exc)
    return module


def _import_module(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (module == exc.name or module.startswith(f"{exc.name}.")):
            raise AppNotFound(
                f"there is no module {exc.name!r} in {Path.cwd()} or the Python path: "
                f"write -A path/to/file.py, or name the project's directory with -W"
            ) from None
        _refuse_import(module, exc)
    except Exception as exc:  # noqa: BLE001 - whatever the program raises is shown to its author
        _refuse_import(module, exc)


def _refuse_import(what: str, exc: Exception) -> NoReturn:
    raise AppNotFound(f"{what} cannot be imported\n{describe(exc)}") from exc


def describe(exc: BaseException) -> str:
    """Where a program raised *exc* and what it is, without frames that are not the program's."""
    if isinstance(exc, SyntaxError) and exc.filename:
        line = (exc.text or "").strip()
        return f"  {exc.filename}:{exc.lineno}\n    {line}\n{type(exc).__name__}: {exc.msg}"
    frames = [
        frame for frame in traceback.extract_tb(exc.__traceback__) if _is_program(frame.filename)
    ]
    places = [
        f"  {frame.filename}:{frame.lineno}, in {frame.name}\n    {frame.line}"
        for frame in frames[-2:]
    ]
    return "\n".join([*places, f"{type(exc).__name__}: {exc}"])


def _is_program(filename: str) -> bool:
    if filename.startswith(("<", _OURS + os.sep)):
        return False
    paths = sysconfig.get_paths()
    installed = (paths["stdlib"], paths["purelib"], paths["platlib"])
    return not any(filename.startswith(path + os.sep) for path in installed)


def _named(module: ModuleType, attribute: str) -> App:
    found = getattr(module, attribute, None)
    if isinstance(found, App):
        return found
    problem = "is not an app" if hasattr(module, attribute) else "does not exist"
    raise AppNotFound(f"{module.__name__}:{attribute} {problem}: {_offer(module)}")


def _only(module: ModuleType) -> App:
    found = getattr(module, "app", None)
    if isinstance(found, App):
        return found
    apps = _apps_of(module)
    if len(set(map(id, apps.values()))) == 1:
        return next(iter(apps.values()))
    inner = f"{module.__name__}.app"
    if not apps and hasattr(module, "__path__") and importlib.util.find_spec(inner) is not None:
        return _only(_import_module(inner))
    raise AppNotFound(f"{module.__name__} has no attribute 'app': {_offer(module)}")


def _apps_of(module: ModuleType) -> dict[str, App]:
    return {name: value for name, value in vars(module).items() if isinstance(value, App)}


def _offer(module: ModuleType) -> str:
    apps = _apps_of(module)
    if not apps:
        return "write app = turbine.App('name') in it"
    return "write " + " or ".join(f"-A {module.__name__}:{name}" for name in apps)
