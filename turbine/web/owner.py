"""
Which worker has a key, and how a request gets there.

Workers find each other through their consumer group: each tells the brokers its address as part of
its client id, and each answers ``/router`` with the partitions that it has. What they said is kept
for a second. A request that was sent on once is never sent on again.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from turbine import _native
from turbine.agents import topics_read
from turbine.types import TP

if TYPE_CHECKING:
    from turbine.app import App
    from turbine.tables import Table
    from turbine.topics import Topic

__all__ = ["FORWARDED", "Router", "owned", "table_key"]

logger = logging.getLogger("turbine.web")
# A line for each question to another worker is for who looks for them.
logging.getLogger("httpx").setLevel(logging.WARNING)

FORWARDED = "x-turbine-forwarded"
"""Header of a request that another worker has sent on."""

_KEPT_S = 1.0
_PATIENCE_S = 10.0
"""Longest wait for a partition that is on its way from one worker to another."""
_PAUSE_S = 0.1
_ASK_S = 3.0
_HOP_BY_HOP = frozenset(
    {"connection", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)


def owned(app: "App") -> list[TP]:
    """Partitions of this worker that run."""
    runtime: Any = app._attached  # noqa: SLF001 - the app's own part
    native = getattr(runtime, "native", None)
    rows = [] if native is None else native.assignments()
    return [TP(row["topic"], row["partition"]) for row in rows if row["state"] == "running"]


@dataclass
class _Map:
    """Who has what, as they said at a time."""

    at: float = float("-inf")
    owners: dict[TP, str] = field(default_factory=dict)


class Router:
    """Finds the worker of a key for one app."""

    def __init__(self, app: "App") -> None:
        self._app = app
        self._map = _Map()
        self._asking = asyncio.Lock()
        self._sizes: dict[str, int] = {}
        self._admin_client: _native.Admin | None = None
        self._http: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Let go of the connections to other workers."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    # -- where a key is --------------------------------------------------------------------

    async def of_topic(self, topic: "Topic", key: str) -> str | None:
        """Address of the worker that reads *key* of *topic*; None: this one."""
        names = topic.names
        return await self._find([tp async for tp in self._places(names, key)])

    async def of_table(self, table: "Table[Any, Any]", key: str) -> str | None:
        """Address of the worker that has *key* in *table*; None: this one."""
        if table_key(table, key) in table:
            return None
        names = topics_read(self._app.agents.values())
        places = [tp async for tp in self._places(names, key)]
        owners = await self._owners_of(places)
        if len(owners) > 1:
            holder = await self._holder(owners, table.name, key)
            if holder is not None:
                return None if holder == self._here else holder
        if self._here in owners or not owners:
            return None
        return next(iter(owners))

    @property
    def _here(self) -> str:
        pages: Any = getattr(self._app._attached, "pages", None)  # noqa: SLF001 - the app's own
        return str(getattr(pages, "url", None) or "")

    async def _places(self, names: Iterable[str], key: str) -> Any:
        for name in names:
            size = self._sizes.get(name)
            if size is None:
                self._sizes.update(await asyncio.to_thread(self._admin().list_topics))
                size = self._sizes.get(name)
            if size:
                yield TP(name, _native.partition_for(key.encode(), size))

    async def _find(self, places: list[TP]) -> str | None:
        owners = await self._owners_of(places)
        return None if not owners or self._here in owners else next(iter(owners))

    async def _owners_of(self, places: list[TP]) -> list[str]:
        """Workers that have *places*, in their order, once all of them are somewhere."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            here = set(owned(self._app))
            known = await self._known(is_enough=here.issuperset(places))
            found = [self._here if tp in here else known.get(tp) for tp in places]
            if all(one is not None for one in found):
                return list(dict.fromkeys(one for one in found if one is not None))
            if time.monotonic() >= deadline:
                return list(dict.fromkeys(one for one in found if one is not None))
            await asyncio.sleep(_PAUSE_S)

    async def _known(self, *, is_enough: bool) -> dict[TP, str]:
        if is_enough:
            return {}
        async with self._asking:
            if time.monotonic() - self._map.at > _KEPT_S:
                self._map = _Map(time.monotonic(), await self._ask_everybody())
        return self._map.owners

    def forget(self) -> None:
        """Ask again: somebody was not where they were said to be."""
        self._map = _Map()

    # -- asking other workers --------------------------------------------------------------

    def _admin(self) -> "_native.Admin":
        if self._admin_client is None:
            conf = self._app.conf
            self._admin_client = _native.Admin(conf.bootstrap, conf.client)
        return self._admin_client

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = httpx.AsyncClient(timeout=_ASK_S)
        return self._http

    async def peers(self) -> list[str]:
        """Addresses of the other workers of the app's group."""
        members = await asyncio.to_thread(self._admin().members, self._app.conf.group)
        return sorted(set(_urls(members)) - {self._here})

    async def _ask_everybody(self) -> dict[TP, str]:
        peers = await self.peers()
        answers = await asyncio.gather(*(_owned_by(self._client(), url) for url in peers))
        return {
            tp: url for url, partitions in zip(peers, answers, strict=True) for tp in partitions
        }

    async def _holder(self, owners: list[str], table: str, key: str) -> str | None:
        """Who of *owners* has the key, where several topics feed a table."""
        for url in owners:
            if url == self._here:
                continue
            try:
                answer = await self._client().get(
                    f"{url}/router/{table}", params={"key": key}, headers={FORWARDED: "1"}
                )
            except httpx.HTTPError:
                continue
            if answer.status_code == httpx.codes.OK and answer.json()["has"]:
                return url
        return None

    # -- sending on ------------------------------------------------------------------------

    async def forward(self, request: Request, url: str) -> Response:
        """
        Send *request* on to the worker at *url*; its answer comes back as it is made.

        Raises:
            httpx.ConnectError: Nobody is there.
        """
        path = request.scope.get("root_path", "")
        target = request.url.path.removeprefix(path) or "/"
        query = f"?{request.url.query}" if request.url.query else ""
        kept = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}
        client = self._client()
        outgoing = client.build_request(
            request.method,
            f"{url}{target}{query}",
            headers={**kept, FORWARDED: "1"},
            content=await request.body(),
            timeout=httpx.Timeout(_ASK_S, read=None),
        )
        answer = await client.send(outgoing, stream=True)
        headers = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}

        async def body() -> Any:
            try:
                async for piece in answer.aiter_raw():
                    yield piece
            finally:
                await answer.aclose()

        return StreamingResponse(body(), answer.status_code, headers=headers)


def table_key(table: "Table[Any, Any]", text: str) -> Any:
    """The key of *table* that *text* of an address stands for."""
    if table.key_type in {None, str}:
        return text
    return table.codec.decode_key(text.encode())


async def _owned_by(client: httpx.AsyncClient, url: str) -> list[TP]:
    try:
        answer = await client.get(f"{url}/router", headers={FORWARDED: "1"})
        return [TP(topic, number) for topic, number in answer.raise_for_status().json()["owned"]]
    except (httpx.HTTPError, ValueError, KeyError) as exc:
        logger.debug("the worker at %s does not say what it has: %s", url, exc)
        return []


def _urls(members: Iterable[str]) -> Iterator[str]:
    """Addresses in what the brokers know of members, ``turbine@http://host:6066 at /10.0.0.7``."""
    for member in members:
        _, mark, url = member.rpartition(" at ")[0].partition("@")
        if mark and url.startswith(("http://", "https://")):
            yield url
