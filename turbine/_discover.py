"""Find and import the modules of a project, so that their declarations count."""

import importlib
import pkgutil
import sys
from collections.abc import Iterable
from types import FrameType, ModuleType
from typing import TYPE_CHECKING

from turbine.exceptions import ConfigError
from turbine.naming import module_name

if TYPE_CHECKING:
    from turbine.settings import Settings

__all__ = ["calling_module", "import_all", "load_object", "modules_of"]


def calling_module() -> str:
    """Name of the first module on the stack that is not part of this package."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented way to the caller
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name != "turbine" and not name.startswith("turbine."):
            return module_name(name)
        frame = frame.f_back
    return ""


def import_all(modules: Iterable[str]) -> None:
    """Import each of *modules*; exceptions of the modules themselves pass through."""
    for module in modules:
        importlib.import_module(module)


def modules_of(conf: "Settings", app_module: str) -> list[str]:
    """
    Name what the ``autodiscover`` setting means.

    Args:
        conf: The settings.
        app_module: Module that made the app; its package is searched if no ``origin`` is set.
    """
    wanted = conf.autodiscover() if callable(conf.autodiscover) else conf.autodiscover
    if isinstance(wanted, str):
        # The environment writes a list with commas, or a truth value.
        words = [word.strip() for word in wanted.split(",") if word.strip()]
        wanted = (
            words[0].lower() in {"1", "true", "yes", "on"}
            if len(words) == 1 and "." not in words[0]
            else words
        )
    if not wanted:
        return []
    if wanted is True:
        return _all_modules(conf.origin or app_module.rpartition(".")[0])
    if not isinstance(wanted, Iterable):
        raise ConfigError(f"autodiscover={wanted!r} is neither True nor a list of module names")
    return [name for module in wanted for name in _all_modules(str(module))]


def _all_modules(package: str) -> list[str]:
    if not package:
        raise ConfigError(
            "autodiscover=True searches a package, and the app is not inside one: "
            "set origin='proj', or list the modules, autodiscover=['proj.agents']"
        )
    found = importlib.import_module(package)
    paths = getattr(found, "__path__", None)
    if paths is None:
        return [package]
    names = (info.name for info in pkgutil.walk_packages(paths, f"{package}."))
    # Importing __main__ would start the program a second time.
    return [package, *(name for name in names if not name.endswith(".__main__"))]


def load_object(source: object) -> object:
    """The object that settings are taken from: *source*, or what a dotted name stands for."""
    if not isinstance(source, str):
        return source
    module, _, attribute = source.partition(":")
    try:
        found: ModuleType | object = importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name is None or not (module == exc.name or module.startswith(f"{exc.name}.")):
            raise
        parent, _, last = module.rpartition(".")
        if not parent:
            raise ConfigError(
                f"config_from_object({source!r}): there is no module {module!r}"
            ) from None
        found = getattr(importlib.import_module(parent), last, None)
        if found is None:
            raise ConfigError(
                f"config_from_object({source!r}): {parent!r} has no {last!r}"
            ) from None
    return getattr(found, attribute) if attribute else found
