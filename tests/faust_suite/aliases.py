"""
Makes ``import faust`` give `turbine.faust`, and ``import mode`` what Faust's tests need of it.

A module that Turbine does not have is an ImportError, as for any program. Names in ``absent``
become stand-ins that fail when a test uses them, so that the rest of its file can run.
"""

import builtins
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import logging
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

_MODES = {
    "mode": {},
    "mode.utils": {},
    "mode.utils.aiter": {"aiter": builtins.aiter, "anext": builtins.anext},
    "mode.utils.compat": {
        "want_str": lambda s: s.decode() if isinstance(s, bytes) else s,
        "want_bytes": lambda s: s.encode() if isinstance(s, str) else s,
    },
    "mode.utils.logging": {"get_logger": logging.getLogger},
    "mode.utils.objects": {"cached_property": type("cached_property", (), {})},
}
"""What the tests import of the library beneath Faust, where Turbine has nothing by that name."""


_NATIVE = {"faust.events": "turbine.events"}
"""Modules whose names are those of native ones."""


class _Absent:
    """Stands for what Turbine does not have."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError(f"turbine.faust has no {self._name}")

    __getattr__ = __call__


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, absent: dict[str, list[str]]) -> None:
        self._absent = absent

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.split(".", maxsplit=1)[0] not in {"faust", "mode"}:
            return None
        if _home(fullname) is None and fullname not in self._absent:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        home = _home(name)
        real = importlib.import_module(home) if home else module
        if not hasattr(real, "__path__"):
            # Modules of theirs are packages where ours are files.
            real.__path__ = []
        for key, value in _MODES.get(name, {}).items():
            setattr(real, key, value)
        for missing in self._absent.get(name, ()):
            setattr(real, missing, _Absent(f"{name}.{missing}"))
        sys.modules[name] = real


def _home(name: str) -> str | None:
    """Name the module of Turbine; empty for one that is made here, None if there is none."""
    home = f"turbine.{name}" if name.startswith("faust") else f"turbine.faust.{name}"
    home = _NATIVE.get(name, home)
    try:
        if importlib.util.find_spec(home) is not None:
            return home
    except ModuleNotFoundError:
        pass
    return "" if name in _MODES else None


def install(absent: dict[str, list[str]]) -> None:
    sys.meta_path.insert(0, _Finder(absent))
