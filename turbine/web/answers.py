"""What a page gets: the request, and what makes its answer."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException as HTTPError
from starlette.requests import Request as StarletteRequest
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from turbine.exceptions import DeclarationError

if TYPE_CHECKING:
    from turbine.app import App

__all__ = ["HTTPError", "Request", "Response", "Web", "as_json"]


class Request(StarletteRequest):
    """Starlette's request, which answers to the names of aiohttp's too."""

    @property
    def match_info(self) -> dict[str, Any]:
        """Parts of the path."""
        return self.path_params

    @property
    def query(self) -> QueryParams:
        """What stands behind the question mark."""
        return self.query_params

    @property
    def path(self) -> str:
        """The path."""
        return self.url.path

    async def read(self) -> bytes:
        """The body."""
        return await self.body()

    async def text(self) -> str:
        """The body as text."""
        return (await self.body()).decode()

    async def post(self) -> Any:
        """The fields of a form."""
        return await self.form()


class Web:
    """
    Makes answers; the first argument of a page. ``app.web`` is the same.

    Attributes:
        app: The app.
        static: Directories that are served as they are, by their path.
    """

    def __init__(self, app: "App") -> None:
        self.app = app
        self.static: dict[str, Path] = {}

    def json(
        self,
        value: Any,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        **_: object,
    ) -> Response:
        """*value* as JSON: models, dates and sets too."""
        return self.bytes(as_json(value), status=status, headers=headers, content_type=content_type)

    def text(
        self,
        value: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        content_type: str = "text/plain",
        **_: object,
    ) -> Response:
        """Plain text."""
        return PlainTextResponse(value, status, headers=headers, media_type=content_type)

    def html(
        self,
        value: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **_: object,
    ) -> Response:
        """A page of HTML; what is put into it is for the program to escape."""
        return HTMLResponse(value, status, headers=headers)

    def bytes(
        self,
        value: bytes,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/octet-stream",
        **_: object,
    ) -> Response:
        """Bytes as they are."""
        return Response(value, status, headers=headers, media_type=content_type)

    def error(self, status: int, reason: str, **more: Any) -> Response:
        """An error as JSON, ``{"error": reason}``."""
        return self.json({"error": reason, **more}, status=status)

    def notfound(self, reason: str = "Not Found", **more: Any) -> Response:
        """What is not there."""
        return self.error(404, reason, **more)

    def route(self, pattern: str, handler: Any, **_: object) -> Any:
        """Declare a page, as `App.page`."""
        return self.app.page(pattern)(handler)

    def add_static(self, prefix: str, path: str | Path, **_: object) -> None:
        """
        Serve the files of a directory.

        Raises:
            DeclarationError: There is no such directory, or *prefix* does not begin with ``/``.
        """
        directory = Path(path)
        if not prefix.startswith("/") or prefix == "/":
            raise DeclarationError(f"the path {prefix!r} is not one of files: write '/static'")
        if not directory.is_dir():
            raise DeclarationError(f"there is no directory {str(directory)!r} to serve files from")
        self.static[prefix.rstrip("/")] = directory


def as_json(value: Any) -> bytes:
    """*value* as JSON text; what JSON has no word for becomes a list or text."""
    return json.dumps(value, default=_plain, ensure_ascii=False).encode()


def _plain(value: Any) -> Any:
    for name in ("to_representation", "model_dump", "asdict"):
        method = getattr(value, name, None)
        if method is not None and not isinstance(value, type):
            return method()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if hasattr(value, "items"):
        return dict(value.items())
    return str(value)
