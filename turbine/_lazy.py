"""
Names of a module that are imported when they are used first, so that importing it is quick.

::

    __getattr__, __dir__ = lazy(__name__, {"turbine.app": ("App", "Turbine")})
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

__all__ = ["lazy"]


def lazy(
    module: str,
    homes: Mapping[str, Sequence[str]],
    *,
    renamed: Mapping[str, str] | None = None,
    modules: Sequence[str] = (),
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """
    Make ``__getattr__`` and ``__dir__`` of *module*.

    Args:
        module: Its name.
        homes: Names by the module that has them.
        renamed: What a name is called there, if not the same.
        modules: Modules inside of it that are attributes too.

    Returns:
        Both; a name that was asked for is an attribute of the module from then on.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def load(name: str) -> Any:
        if name in modules:
            return import_module(f"{module}.{name}")
        home = home_of.get(name)
        if home is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        value = getattr(import_module(home), (renamed or {}).get(name, name))
        setattr(sys.modules[module], name, value)
        return value

    return load, lambda: sorted(home_of)
