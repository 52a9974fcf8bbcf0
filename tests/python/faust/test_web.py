"""What Faust's pages have besides: blueprints, records as bodies, kept answers."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from turbine import faust
from turbine.faust import web


class User(faust.Record):
    name: str
    age: int = 0


@pytest.fixture
async def asked() -> AsyncIterator[tuple[faust.App, httpx.AsyncClient]]:
    app = faust.App("pages")
    transport = httpx.ASGITransport(app=app.asgi, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        yield app, client


async def test_a_blueprint_puts_its_pages_and_files_under_a_prefix(
    asked: tuple[faust.App, httpx.AsyncClient], tmp_path: Path
) -> None:
    app, client = asked
    users = web.Blueprint("users")

    @users.route("/", name="list")
    async def names(toolbox: Any, request: Any) -> Any:
        return toolbox.json(["ada"])

    @users.route("/{user_id}/", name="detail")
    class Detail(web.View):
        async def get(self, request: Any, user_id: str) -> Any:
            return self.json({"id": user_id})

    (tmp_path / "a.txt").write_text("file")
    users.static("/files", tmp_path)
    users.register(app, url_prefix="/users/")
    assert (await client.get("/users")).json() == ["ada"]
    assert (await client.get("/users/7")).json() == {"id": "7"}
    assert (await client.get("/users/files/a.txt")).text == "file"
    assert [page.name for page in app.pages] == ["users:list", "users:detail"]


async def test_records_are_read_from_bodies_and_written_to_answers(
    asked: tuple[faust.App, httpx.AsyncClient],
) -> None:
    app, client = asked

    @app.page("/older")
    class Older(web.View):
        @web.takes_model(User)
        @web.gives_model(User)
        async def post(self, request: Any, user: User) -> User:
            return user.derive(age=user.age + 1)

    answer = await client.post("/older", content=b'{"name": "ada", "age": 36}')
    assert answer.json()["age"] == 37
    bad = await client.post("/older", content=b"{")
    assert (bad.status_code, "is no User" in bad.text) == (400, True)


async def test_answers_are_kept_by_their_address_until_their_time_is_over(
    asked: tuple[faust.App, httpx.AsyncClient],
) -> None:
    app, client = asked
    now, calls = [0.0], []
    cache = web.Cache(timeout=10.0, backend=web.cache.Memory(now=lambda: now[0]))

    @app.page("/slow/{name}")
    class Slow(web.View):
        @cache.view()
        async def get(self, request: Any, name: str) -> Any:
            calls.append(name)
            if name == "bad":
                raise self.NotFound
            return self.json({"n": len(calls)}, headers={"x-made": "yes"})

    first = await client.get("/slow/a")
    again = await client.get("/slow/a")
    assert first.json() == again.json() == {"n": 1}
    assert (again.headers["x-made"], again.headers["content-type"]) == ("yes", "application/json")
    assert (await client.get("/slow/a?x=1")).json() == {"n": 2}
    now[0] = 10.0
    assert (await client.get("/slow/a")).json() == {"n": 3}
    for _ in range(2):
        assert (await client.get("/slow/bad")).status_code == 404
    assert calls == ["a", "a", "a", "bad", "bad"]


async def test_the_cache_of_an_app_forgets_the_oldest_when_there_are_too_many() -> None:
    memory = web.cache.Memory(most=2)
    for key in "abc":
        await memory.set(key, key.upper())
    assert [await memory.get(key) for key in "abc"] == [None, "B", "C"]
    await memory.delete("b")
    assert await memory.get("b") is None
