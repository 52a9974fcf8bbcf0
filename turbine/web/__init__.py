"""
Pages of an app: `Web` is what handlers get, `View` a page with a method for each HTTP method.

Requests and responses are Starlette's. The worker serves the pages on ``web_port``; ``app.asgi``
and ``app.lifespan`` put the app into another ASGI program.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turbine.web.answers import HTTPError, Request, Web
    from turbine.web.pages import Page, View

__all__ = ["HTTPError", "Page", "Request", "View", "Web"]

_HOMES = {
    "turbine.web.answers": ("HTTPError", "Request", "Web"),
    "turbine.web.pages": ("Page", "View"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'turbine.web' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted(__all__)
