"""The ASGI application of an app: its pages, the built-in ones, and files."""

import asyncio
import inspect
import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import httpx
from starlette.applications import Starlette
from starlette.convertors import CONVERTOR_TYPES, Convertor, register_url_convertor
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from turbine.exceptions import DeclarationError, NotRunning, TurbineError
from turbine.web.answers import HTTPError, Request, Web, as_json
from turbine.web.owner import FORWARDED, Router
from turbine.web.pages import METHODS, Page

if TYPE_CHECKING:
    from turbine.app import App
    from turbine.tables import Table
    from turbine.topics import Topic

__all__ = ["build", "routed", "sent_to_owner"]

logger = logging.getLogger("turbine.web")

_PART = re.compile(r"\{(\w+):([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_RETRY_S = 10.0
_PAUSE_S = 0.1


def build(app: "App") -> Starlette:
    """
    Make the ASGI application of *app*.

    Raises:
        DeclarationError: Two pages have the same path, or a path cannot be read.
    """
    web = app.web
    routes: list[BaseRoute] = [_route(web, page) for page in app.pages]
    routes += [
        Mount(prefix, StaticFiles(directory=path), name=prefix)
        for prefix, path in web.static.items()
    ]
    routes += _builtin(web)
    handlers = {HTTPError: _refused, TurbineError: _turbine_error, Exception: _failed}
    return Starlette(
        routes=routes,
        middleware=[*app.page_middleware(), *_cors(app)],
        exception_handlers=handlers,  # type: ignore[arg-type]
    )


def _builtin(web: Web) -> list[BaseRoute]:
    from turbine.web import builtin

    conf = web.app.conf
    wanted: list[tuple[bool, str, Callable[..., Any]]] = [
        (conf.web_stats_enabled, "/", builtin.stats),
        (True, "/healthz", builtin.health),
        (True, "/readyz", builtin.ready),
        (conf.web_metrics_enabled, "/metrics", builtin.metrics),
        (conf.web_graph_enabled, "/graph", builtin.graph),
        (conf.web_tables_enabled, "/table", builtin.tables),
        (conf.web_tables_enabled, "/table/{name}", builtin.table),
        (conf.web_tables_enabled, "/table/{name}/{key:path}", builtin.table_key_page),
        (conf.web_router_enabled, "/router", builtin.router),
        (conf.web_router_enabled, "/router/{name}", builtin.router_key),
    ]
    taken = {page.path.rstrip("/") or "/" for page in web.app.pages}
    return [
        Route(path, _endpoint(web, handler), methods=["GET"])
        for is_on, path, handler in wanted
        if is_on and path not in taken
    ]


def _route(web: Web, page: Page) -> Route:
    handler: Any = page.handler
    if isinstance(handler, type):
        view = handler(web.app, web)
        return Route(_path(page.path), _view(view), methods=list(page.methods), name=page.name)
    return Route(_path(page.path), _endpoint(web, handler), methods=list(METHODS), name=page.name)


def _view(view: Any) -> Callable[[StarletteRequest], Awaitable[Response]]:
    async def answer(request: StarletteRequest) -> Response:
        name = request.method.lower()
        method = getattr(view, name, None) or view.get
        return _checked(await method(_own(request), **request.path_params), view)

    return answer


def _endpoint(
    web: Web, handler: Callable[..., Any]
) -> Callable[[StarletteRequest], Awaitable[Response]]:
    async def answer(request: StarletteRequest) -> Response:
        return _checked(await handler(web, _own(request), **request.path_params), handler)

    return answer


def _own(request: StarletteRequest) -> Request:
    return Request(request.scope, request.receive, request._send)  # noqa: SLF001 - Starlette's own


def _checked(answer: Any, handler: object) -> Response:
    if isinstance(answer, Response):
        return answer
    raise DeclarationError(
        f"the page {handler!r} returned {type(answer).__name__}: write 'return web.json(...)', "
        "web.text, web.html or web.bytes"
    )


# -- paths -----------------------------------------------------------------------------------


def _path(path: str) -> str:
    """*path* as Starlette writes it: ``{n:[0-9]+}`` names a pattern of its own."""
    return _PART.sub(_part, path.rstrip("/") or "/")


def _part(match: re.Match[str]) -> str:
    name, pattern = match[1], match[2]
    if pattern in CONVERTOR_TYPES:
        return match[0]
    kind = f"turbine{len(CONVERTOR_TYPES)}"
    try:
        re.compile(pattern)
    except re.error as exc:
        raise DeclarationError(f"the part {match[0]} of a path cannot be read: {exc}") from None
    register_url_convertor(kind, type(kind, (_Pattern,), {"regex": pattern})())
    return f"{{{name}:{kind}}}"


class _Pattern(Convertor[str]):
    """A part of a path that matches a pattern; *regex* is set by the class that is made of it."""

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


# -- to the worker that has the key ----------------------------------------------------------


async def sent_to_owner(
    app: "App", request: Request, target: "Table[Any, Any] | Topic", key: str
) -> Response | None:
    """
    Give the answer of the worker that has *key*; None if this one has it.

    While the partition moves, the request waits, at most ten seconds; then it is 503.
    """
    from turbine.topics import Topic

    if FORWARDED in request.headers:
        return None
    router = _router(app)
    deadline = time.monotonic() + _RETRY_S
    while True:
        find = router.of_topic if isinstance(target, Topic) else router.of_table
        url = await find(target, key)  # type: ignore[arg-type] # the one that fits
        if url is None:
            return None
        try:
            return await router.forward(request, url)
        except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
            if time.monotonic() >= deadline:
                raise HTTPError(503, f"the worker at {url} does not answer: {exc}") from None
            router.forget()
            await asyncio.sleep(_PAUSE_S)


def _router(app: "App") -> Router:
    attached: Any = app._attached  # noqa: SLF001 - the app's own part
    pages = getattr(attached, "pages", None)
    if pages is None:
        raise NotRunning("no worker runs: a page of a table is answered where one does")
    found: Router = pages.router
    return found


def routed(
    app: "App",
    target: "Table[Any, Any] | Topic",
    *,
    match_info: str | None,
    query_param: str | None,
    exact_key: str | None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """
    Make a decorator that answers a page where the key of a request is.

    Raises:
        DeclarationError: Not exactly one of the three says what the key is.
    """
    given = [one for one in (match_info, query_param, exact_key) if one is not None]
    if len(given) != 1:
        raise DeclarationError(
            "say where the key of the request is, by one of match_info='part of the path', "
            "query_param='name' and exact_key='key'"
        )

    def key_of(request: Request) -> str:
        if exact_key is not None:
            return exact_key
        place = request.match_info if match_info is not None else request.query
        name = given[0]
        if name not in place:
            where = "path" if match_info is not None else "query"
            raise HTTPError(400, f"the {where} of this page has no {name!r}")
        return str(place[name])

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        async def answer(web: Any, request: Request, *args: Any, **kwargs: Any) -> Any:
            elsewhere = await sent_to_owner(app, request, target, key_of(request))
            if elsewhere is not None:
                return elsewhere
            return await handler(web, request, *args, **kwargs)

        answer.__name__ = getattr(handler, "__name__", "page")
        answer.__doc__ = inspect.getdoc(handler)
        answer.__module__ = handler.__module__
        return answer

    return decorate


# -- errors and origins ----------------------------------------------------------------------


def _refused(_: StarletteRequest, exc: HTTPError) -> Response:
    headers = {"retry-after": "1"} if exc.status_code == 503 else None  # noqa: PLR2004
    body = as_json({"error": exc.detail})
    return Response(body, exc.status_code, headers=headers, media_type="application/json")


def _turbine_error(request: StarletteRequest, exc: TurbineError) -> Response:
    if isinstance(exc, NotRunning):
        return Response(as_json({"error": str(exc)}), 503, media_type="application/json")
    return _failed(request, exc)


def _failed(request: StarletteRequest, exc: Exception) -> Response:
    logger.error("the page %s %s failed", request.method, request.url.path, exc_info=exc)
    body = as_json({"error": f"the page failed: {type(exc).__name__}"})
    return Response(body, 500, media_type="application/json")


def _cors(app: "App") -> list[Middleware]:
    origins = app.conf.web_cors_options
    if not origins:
        return []
    options = list(origins.values())

    def union(name: str) -> list[str]:
        found: set[str] = set()
        for one in options:
            value = one.get(name, ()) if isinstance(one, dict) else getattr(one, name, ())
            found |= {value} if isinstance(value, str) else set(value or ())
        return sorted(found)

    credentials = any(
        one.get("allow_credentials") if isinstance(one, dict) else one.allow_credentials
        for one in options
    )
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=union("allow_methods") or ["GET"],
            allow_headers=union("allow_headers"),
            expose_headers=union("expose_headers"),
            allow_credentials=bool(credentials),
        )
    ]
