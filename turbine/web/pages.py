"""Pages as they are declared; nothing here needs the web server's libraries."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from turbine import _declare
from turbine.exceptions import DeclarationError

if TYPE_CHECKING:
    from turbine.app import App

__all__ = ["METHODS", "Page", "View"]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class View:
    """
    A page with a method for each HTTP method that it answers.

    ::

        @app.page("/counts/{word}")
        class Counts(View):
            async def get(self, request, word):
                return self.json({word: counts[word]})

    Made once an app. Attributes that it does not have are those of `turbine.web.Web`: ``json``,
    ``text``, ``html``, ``bytes``, ``error``.

    Attributes:
        app: The app.
        web: Makes answers.
    """

    def __init__(self, app: "App", web: Any) -> None:
        self.app = app
        self.web = web
        self.__post_init__()

    def __post_init__(self) -> None:
        """Prepare; for programs."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in {"app", "web", *(one.lower() for one in METHODS)}:
            raise AttributeError(name)
        return getattr(self.web, name)


@dataclass(frozen=True)
class Page:
    """
    A declared page.

    Attributes:
        path: Where it is, with ``{name}`` for parts that the handler gets.
        handler: ``async def f(web, request, **parts)``, or a subclass of `View`.
        name: For `Web.url_for`.
        help: First line of its docstring.
    """

    path: str
    handler: Callable[..., Any]
    name: str
    help: str = field(default="")

    def __post_init__(self) -> None:
        if not str(self.path).startswith("/"):
            raise DeclarationError(
                f"the path {self.path!r} does not begin with '/': write "
                "@app.page('/counts/{word}')"
            )
        if isinstance(self.handler, type):
            if not self.methods:
                raise DeclarationError(
                    f"the page {self.name} answers nothing: write 'async def get(self, request)'"
                )
        elif not _declare.is_kind(self.handler, inspect.iscoroutinefunction):
            raise DeclarationError(
                f"the page {self.name} is not async: write 'async def {self.name}(web, request)'"
            )

    @property
    def methods(self) -> tuple[str, ...]:
        """HTTP methods that it answers; a function answers all."""
        if not isinstance(self.handler, type):
            return METHODS
        found = [one for one in METHODS if hasattr(self.handler, one.lower())]
        return tuple(found) + (("HEAD",) if "GET" in found and "HEAD" not in found else ())
