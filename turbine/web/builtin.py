"""The pages that every app has: what it is, its tables, its graph, and where partitions are."""

from itertools import islice
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from turbine import banner
from turbine.web.answers import HTTPError, Request, Web
from turbine.web.owner import owned, table_key
from turbine.web.routes import sent_to_owner

if TYPE_CHECKING:
    from turbine.app import App
    from turbine.tables import Table

__all__ = [
    "graph",
    "health",
    "metrics",
    "ready",
    "router",
    "router_key",
    "stats",
    "table",
    "tables",
]

_ROWS = 100


async def stats(web: Web, request: Request) -> Response:
    """Show what the app is and what its worker does."""
    del request
    app, native = web.app, _native(web.app)
    jobs = [
        {"kind": job.kind, "name": job.name, "calls": job.calls, "errors": job.errors}
        for job in app.jobs
    ]
    return web.json(
        {
            "id": app.conf.id,
            "group": app.conf.group,
            "is_leader": app.is_leader(),
            "agents": [row["name"] for row in banner.agent_rows(app)],
            "tables": list(app.tables),
            "jobs": jobs,
            "pages": [page.path for page in app.pages],
            "partitions": [] if native is None else native.assignments(),
        }
    )


async def health(web: Web, request: Request) -> Response:
    """Say whether the worker is well: 200 or 503, with the reasons."""
    del request
    native = _native(web.app)
    return _reasons(web, ["no worker runs"] if native is None else native.health())


async def ready(web: Web, request: Request) -> Response:
    """Say whether every partition runs: 200 or 503, with the reasons."""
    del request
    native = _native(web.app)
    return _reasons(web, ["no worker runs"] if native is None else native.ready())


async def metrics(web: Web, request: Request) -> Response:
    """Show the worker's metrics as Prometheus reads them."""
    del request
    native = _native(web.app)
    return web.text("" if native is None else native.metrics())


async def tables(web: Web, request: Request) -> Response:
    """List the tables, with the partitions that are here."""
    del request
    rows = [
        {"table": one.name, "page": f"/table/{one.name}", "help": one.help}
        for one in web.app.tables.values()
    ]
    return web.json(rows)


async def table(web: Web, request: Request, name: str) -> Response:
    """Show the first rows that this worker has of a table."""
    del request
    rows = islice(_table(web.app, name).items(), _ROWS)
    return web.json({"table": name, "rows": [list(pair) for pair in rows]})


async def table_key_page(web: Web, request: Request, name: str, key: str) -> Response:
    """Show the value of a key, from the worker that has it."""
    found = _table(web.app, name)
    answer = await sent_to_owner(web.app, request, found, key)
    if answer is not None:
        return answer
    wanted = table_key(found, key)
    if wanted not in found:
        return web.notfound(f"table {name} has no key {key!r}", table=name)
    return web.json({"table": name, "key": wanted, "value": found[wanted]})


async def router(web: Web, request: Request) -> Response:
    """Say which partitions run here."""
    del request
    return web.json({"owned": [list(tp) for tp in owned(web.app)]})


async def router_key(web: Web, request: Request, name: str) -> Response:
    """Say whether a key of a table is here."""
    found = _table(web.app, name)
    return web.json({"has": table_key(found, request.query["key"]) in found})


async def graph(web: Web, request: Request) -> Response:
    """Draw topics, agents and tables, in the language of Graphviz."""
    del request
    lines = [f"  {_quoted(a)} -> {_quoted(b)};" for a, b in _edges(web.app)]
    lines += [f"  {_quoted(one)} [shape=cylinder];" for one in web.app.tables]
    text = "\n".join(["digraph app {", "  rankdir=LR;", *lines, "}"])
    return web.text(text + "\n", content_type="text/vnd.graphviz")


def _edges(app: "App") -> list[tuple[str, str]]:
    edges = []
    for agent in app.agents.values():
        edges += [(source, agent.name) for source in agent.topics or (str(agent.channel),)]
        edges += [(agent.name, str(getattr(sink, "name", sink))) for sink in agent.sinks]
    for one in app.subscriptions.values():
        edges += [(source, one.name) for source in one.reads]
        edges += [(one.name, target) for target in one.written]
    return edges


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _table(app: "App", name: str) -> "Table[Any, Any]":
    found = app.tables.get(name)
    if found is None:
        raise HTTPError(404, f"there is no table {name!r}")
    return found


def _reasons(web: Web, reasons: list[str]) -> Response:
    return web.json({"reasons": reasons}, status=503 if reasons else 200)


def _native(app: "App") -> Any:
    return getattr(app._attached, "native", None)  # noqa: SLF001 - the app's own part
