"""Pages that are declared without an app, and put into one or several later."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from turbine.faust.web.cache import Cache, Memory

if TYPE_CHECKING:
    from turbine.app import App

__all__ = ["Blueprint"]

F = TypeVar("F", bound=Callable[..., Any])


class _Route(NamedTuple):
    path: str
    name: str
    handler: Any


class Blueprint:
    """
    A part of a web application.

    ::

        users = Blueprint("users")

        @users.route("/{user_id}/", name="detail")
        class Detail(View): ...

        users.register(app, url_prefix="/users/")

    Attributes:
        name: In front of the names of its pages: ``users:detail``.
        url_prefix: In front of their paths, unless `register` names another.
    """

    view_name_separator = ":"

    def __init__(self, name: str, *, url_prefix: str | None = None) -> None:
        self.name = name
        self.url_prefix = url_prefix
        self.routes: list[_Route] = []
        self.static_routes: list[tuple[str, Path]] = []

    def cache(
        self,
        timeout: float | timedelta | None = None,
        include_headers: bool = False,  # noqa: FBT001, FBT002 - as in Faust
        key_prefix: str | None = None,
        backend: Memory | None = None,
    ) -> Cache:
        """Make a cache of answers; see `turbine.faust.web.Cache`."""
        return Cache(timeout, include_headers, key_prefix or self.name, backend)

    def route(self, uri: str, *, name: str | None = None, **_: object) -> Callable[[F], F]:
        """Declare a page: a function ``(web, request)`` or a `View`."""

        def declare(handler: F) -> F:
            self.routes.append(_Route(uri, name or handler.__name__, handler))
            return handler

        return declare

    def static(self, uri: str, file_or_directory: str | Path, *, name: str | None = None) -> None:
        """Serve the files of a directory."""
        del name
        self.static_routes.append((uri, Path(file_or_directory)))

    def register(self, app: "App", *, url_prefix: str | None = None) -> None:
        """
        Put its pages into *app*.

        Args:
            app: The app.
            url_prefix: In front of the paths.

        Raises:
            DeclarationError: A page or directory cannot be served; the message says why.
        """
        prefix = url_prefix or self.url_prefix
        for route in self.routes:
            name = f"{self.name}{self.view_name_separator}{route.name}"
            app.page(_joined(prefix, route.path), name=name)(route.handler)
        for path, directory in self.static_routes:
            app.web.add_static(_joined(prefix, path), directory)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name}>"


def _joined(prefix: str | None, path: str) -> str:
    if not prefix:
        return path
    return f"/{prefix.strip('/')}/{path.lstrip('/')}"
