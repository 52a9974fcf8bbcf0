"""Where answers of pages are kept: in memory, in a Redis, and what happens without one."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from turbine import faust
from turbine.exceptions import ConfigError
from turbine.faust import web
from turbine.faust.web.redis import Redis

KEY = ("", "GET", "http://here/a", ())


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of this module's own."""
    pytest.importorskip("redis")
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server: apt-get install redis-server")
    path = tmp_path_factory.mktemp("redis") / "socket"
    options = ["--port", "0", "--save", "", "--dir", str(path.parent)]
    server = subprocess.Popen(
        [program, "--unixsocket", str(path), *options], stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 10
    while not _listens(path):
        assert time.monotonic() < deadline, "redis-server does not start"
        assert server.poll() is None, "redis-server has ended"
    yield f"unix://{path}"
    server.terminate()
    server.wait(10)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def cached(name: str, url: str) -> tuple[faust.App, list[str]]:
    """Make an app with a page whose answers are kept, and what it was called with."""
    app, calls = faust.App(name, cache=url), []
    cache = web.Cache(timeout=10.0)

    @app.page("/{name}")
    class Page(web.View):
        @cache.view()
        async def get(self, request: Request, name: str) -> Any:
            calls.append(name)
            return self.json({"n": len(calls), "ü": "\n"}, headers={"x-made": name})

    return app, calls


async def answers(app: faust.App, *paths: str) -> list[httpx.Response]:
    """Ask an app's pages, as if it ran."""
    transport = httpx.ASGITransport(app.asgi)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        return [await client.get(path) for path in paths]


async def test_workers_share_the_answers_in_a_redis(redis_url: str) -> None:
    (one, made), (two, never) = cached("shop", redis_url), cached("shop", redis_url)
    first, again = await answers(one, "/a", "/a")
    (other,) = await answers(two, "/a")
    assert (made, never) == (["a"], [])
    assert first.json() == again.json() == other.json() == {"n": 1, "ü": "\n"}
    assert other.headers["x-made"] == "a"
    stranger, calls = cached("bank", redis_url)
    await answers(stranger, "/a")
    assert calls == ["a"]
    for app in (one, two, stranger):
        await app.on_before_shutdown.send(app)


async def test_a_redis_forgets_an_answer_when_its_time_is_over(redis_url: str) -> None:
    redis = Redis(redis_url, "times")
    await redis.set(KEY, b"short", 0.001)
    await redis.set((*KEY, 1), b"long", 100.0)
    deadline = time.monotonic() + 10
    while await redis.get(KEY) is not None:
        assert time.monotonic() < deadline, "it is still there"
    assert await redis.get((*KEY, 1)) == b"long"
    await redis.delete((*KEY, 1))
    assert await redis.get((*KEY, 1)) is None
    await redis.close()


async def test_pages_answer_without_their_redis_and_ask_it_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("redis")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        # Bound and not listening: a connection is refused.
        app, calls = cached("alone", f"redis://:secret@127.0.0.1:{free.getsockname()[1]}/0")
        found = await answers(app, "/a", "/a")
    assert [one.status_code for one in found] == [200, 200]
    assert calls == ["a", "a"]
    assert caplog.text.count("cannot be reached") == 1
    assert "secret" not in caplog.text


def test_a_cache_of_another_kind_is_named_and_replaced(caplog: pytest.LogCaptureFixture) -> None:
    app = faust.App("cached", cache="memcached://:secret@localhost")
    assert isinstance(app.cache, web.cache.Memory)
    assert "memory of this worker" in caplog.text
    assert "secret" not in caplog.text


async def test_a_redis_that_cannot_be_used_is_refused_before_the_start() -> None:
    pytest.importorskip("redis")
    app = faust.App("wrong", cache="redis://localhost:many")
    with pytest.raises(ConfigError, match="no address of a Redis"):
        await app.on_worker_init.send(app)
