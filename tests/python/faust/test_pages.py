"""Pages of an app: what they answer, built-in ones, and the way to the worker that has a key."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

import turbine
from support.fixtures import Produce
from support.wait import eventually_async as eventually
from turbine import App, faust, web
from turbine.exceptions import ConfigError, DeclarationError
from turbine.web.server import PageServer

pytestmark = pytest.mark.any_broker

MakeFaust = Callable[..., faust.App]
WORDS = [f"word{n}" for n in range(12)]


def client_of(app: App) -> httpx.AsyncClient:
    """Ask the pages without a server."""
    transport = httpx.ASGITransport(app=app.asgi, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://app", follow_redirects=True)


@pytest.fixture
async def asked() -> AsyncIterator[tuple[App, httpx.AsyncClient]]:
    app = faust.App("pages")
    async with client_of(app) as client:
        yield app, client


# -- handlers --------------------------------------------------------------------------------


async def test_a_function_gets_the_toolbox_the_request_and_the_parts_of_the_path(
    asked: tuple[App, httpx.AsyncClient],
) -> None:
    app, client = asked

    @app.page("/count/{word}/")
    async def count(web: Any, request: Any, word: str) -> Any:
        assert request.match_info["word"] == word
        return web.json({word: request.query.get("n"), "sets": {1}, "body": await request.text()})

    answer = await client.post("/count/fox", params={"n": 3}, content="hello")
    assert answer.json() == {"fox": "3", "sets": [1], "body": "hello"}
    assert answer.headers["content-type"] == "application/json"
    assert (await client.get("/count/fox/")).json()["fox"] is None


async def test_a_view_answers_the_methods_that_it_has(
    asked: tuple[App, httpx.AsyncClient],
) -> None:
    app, client = asked

    @app.page("/counter/")
    class Counts(web.View):
        def __post_init__(self) -> None:
            self.seen: Counter[str] = Counter()

        async def get(self, request: Any) -> Any:
            self.seen["get"] += 1
            return self.text(f"{self.seen['get']} {self.app.conf.id}")

        async def put(self, request: Any) -> Any:
            return self.html(f"<b>{await request.json()}</b>", status=201)

    assert (await client.get("/counter/")).text == "1 pages"
    put = await client.put("/counter", json=7)
    assert (put.status_code, put.text) == (201, "<b>7</b>")
    assert (await client.head("/counter")).status_code == 200
    assert (await client.delete("/counter")).status_code == 405


async def test_errors_of_faust_are_answers(asked: tuple[App, httpx.AsyncClient]) -> None:
    from turbine.faust.web import View

    app, client = asked

    @app.page("/denied")
    class Denied(View):
        async def get(self, request: Any) -> Any:
            raise self.PermissionDenied

        async def post(self, request: Any) -> Any:
            raise self.NotFound("no such order")

    get, post = await client.get("/denied"), await client.post("/denied")
    assert (get.status_code, get.json()) == (403, {"error": "Permission denied"})
    assert (post.status_code, post.json()) == (404, {"error": "no such order"})


async def test_a_part_of_a_path_may_have_a_pattern(asked: tuple[App, httpx.AsyncClient]) -> None:
    app, client = asked

    @app.page("/order/{number:[0-9]{1,3}}")
    async def order(web: Any, request: Any, number: str) -> Any:
        return web.bytes(number.encode())

    assert (await client.get("/order/12")).content == b"12"
    assert (await client.get("/order/ab")).status_code == 404


async def test_a_page_that_fails_is_500_and_logged(
    asked: tuple[App, httpx.AsyncClient], caplog: pytest.LogCaptureFixture
) -> None:
    app, client = asked

    @app.page("/broken")
    async def broken(web: Any, request: Any) -> Any:
        raise RuntimeError("not for the public")

    @app.page("/wrong")
    async def wrong(web: Any, request: Any) -> Any:
        return {"a": 1}

    answer = await client.get("/broken")
    assert (answer.status_code, answer.json()) == (500, {"error": "the page failed: RuntimeError"})
    assert "not for the public" in caplog.text
    assert (await client.get("/wrong")).status_code == 500
    assert "write 'return web.json(...)'" in caplog.text
    missing = await client.get("/nowhere")
    assert (missing.status_code, missing.json()) == (404, {"error": "Not Found"})


async def test_files_are_served(asked: tuple[App, httpx.AsyncClient], tmp_path: Path) -> None:
    app, client = asked
    (tmp_path / "a.txt").write_text("here")
    app.web.add_static("/static/", tmp_path)
    assert (await client.get("/static/a.txt")).text == "here"
    assert (await client.get("/static/../a.txt")).status_code == 404


async def test_other_origins_are_answered_where_the_settings_say_so() -> None:
    app = faust.App("pages", web_cors_options={"http://shop": {"allow_methods": ["GET", "PUT"]}})
    asks = {"origin": "http://shop", "access-control-request-method": "PUT"}
    async with client_of(app) as client:
        answer = await client.options("/", headers=asks)
        other = await client.options("/", headers={**asks, "origin": "http://evil"})
    assert answer.headers["access-control-allow-origin"] == "http://shop"
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("declare", "words"),
    [
        (lambda app: app.page("count")(page), "does not begin with '/'"),
        (lambda app: app.page("/x")(lambda web, request: None), "is not async"),
        (lambda app: app.page("/x")(web.View), "answers nothing"),
        (lambda app: app.page("/{n:[}")(page) and app.asgi.build(), "cannot be read"),
        (lambda app: app.table_route(app.Table("t")), "match_info"),
        (lambda app: app.topic_route(app.topic("t"), query_param="a", exact_key="b"), "one of"),
        (lambda app: app.web.add_static("/", "."), "not one of files"),
        (lambda app: app.web.add_static("/x", "/nowhere/at/all"), "no directory"),
    ],
)
def test_a_declaration_that_cannot_work_says_what_to_write(
    declare: Callable[[App], Any], words: str
) -> None:
    with pytest.raises(DeclarationError, match=words):
        declare(turbine.App("orders"))


async def page(web: Any, request: Any) -> Any: ...


# -- a worker --------------------------------------------------------------------------------


def counting(app: faust.App, topic: str) -> faust.App:
    counts = app.Table("counts", default=int, key_type=str, value_type=int, help="Words.")

    @app.agent(topic, value_type=str, name="count")
    async def count(words: Any) -> None:
        async for word in words:
            counts[word] += 1

    @app.page("/count/{word}/")
    @app.table_route(table=counts, match_info="word")
    async def get_count(web: Any, request: Any, word: str) -> Any:
        body = (await request.read()).decode()
        return web.json({word: counts[word], "by": app.conf.web_port, "sent": body})

    @app.page("/last")
    @app.topic_route(app.topic(topic), query_param="word")
    async def last(web: Any, request: Any) -> Any:
        return web.json({"by": app.conf.web_port})

    return app


def has_two(rows: Callable[[], list[dict[str, Any]]]) -> bool:
    return [row["state"] for row in rows()] == ["running"] * 2


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def settings() -> dict[str, Any]:
    return {
        "web_enabled": True,
        "web_port": free_port(),
        "web_bind": "127.0.0.1",
        "api_port": 0,
        "broker_heartbeat_interval": 0.2,
    }


def url_of(app: faust.App) -> str:
    return f"http://127.0.0.1:{app.conf.web_port}"


async def test_a_key_is_answered_by_the_worker_that_has_it_also_when_workers_leave(
    faust_app: MakeFaust, topic: str, produce: Produce, app_id: str
) -> None:
    produce(
        topic,
        [word.encode() for word in WORDS for _ in range(3)],
        keys=[word for word in WORDS for _ in range(3)],
    )
    first, second = (counting(faust_app(app_id, **settings()), topic) for _ in range(2))

    async def answers(client: httpx.AsyncClient, *apps: faust.App) -> list[dict[str, Any]]:
        found = []
        for app in apps:
            for word in WORDS:
                answer = await client.post(f"{url_of(app)}/count/{word}", content=f"for {word}")
                assert answer.status_code == 200, answer.text
                found.append({"word": word, **answer.json()})
        return found

    async with httpx.AsyncClient(timeout=30, follow_redirects=True) as client:
        async with first.running(http=True):
            async with second.running(http=True):
                shares = []
                for app in (first, second):
                    rows = app._attached.native.assignments  # type: ignore[union-attr]
                    await eventually(partial(has_two, rows))
                    shares.append({row["partition"] for row in rows()})
                assert not shares[0] & shares[1]

                async def counted() -> bool:
                    return all(
                        one[one["word"]] == 3 for one in await answers(client, first, second)
                    )

                await eventually(counted)  # type: ignore[arg-type] # a coroutine can be awaited
                got = await answers(client, first, second)
                by = {
                    one["word"]: {two["by"] for two in got if two["word"] == one["word"]}
                    for one in got
                }
                assert all(len(ports) == 1 for ports in by.values()), "one worker has a key"
                assert len({port for ports in by.values() for port in ports}) == 2
                assert all(one["sent"] == f"for {one['word']}" for one in got)
                for word in WORDS:
                    route = {"params": {"word": word}}
                    of = [
                        (await client.get(f"{url_of(app)}/last", **route)).json()["by"]  # type: ignore[arg-type]
                        for app in (first, second)
                    ]
                    assert of == [*by[word]] * 2
                shown = await client.get(f"{url_of(second)}/table/counts/{WORDS[0]}")
                assert shown.json() == {"table": "counts", "key": WORDS[0], "value": 3}
            # The second has left: what it had is answered by the first, without an error between.
            got = await answers(client, first)
        assert all(one[one["word"]] == 3 for one in got)
        assert {one["by"] for one in got} == {first.conf.web_port}


async def test_the_built_in_pages_tell_about_the_app(
    faust_app: MakeFaust, topic: str, produce: Produce
) -> None:
    produce(topic, [b"fox"], key="fox")
    app = counting(faust_app(**settings()), topic)
    async with app.running(http=True), httpx.AsyncClient(base_url=url_of(app)) as client:

        async def ready() -> bool:
            rows: object = (await client.get("/table/counts")).json()["rows"]
            ready = (await client.get("/readyz")).status_code == 200
            return ready and rows == [["fox", 1]]

        await eventually(ready)  # type: ignore[arg-type] # a coroutine can be awaited
        stats = (await client.get("/")).json()
        assert (stats["id"], stats["tables"], stats["agents"]) == (
            app.conf.id,
            ["counts"],
            ["count"],
        )
        assert {row["state"] for row in stats["partitions"]} == {"running"}
        assert (await client.get("/table")).json()[0]["help"] == "Words."
        assert (await client.get("/table/nothing")).status_code == 404
        assert (await client.get("/table/counts/dog")).status_code == 404
        assert f'"{topic}" -> "count";' in (await client.get("/graph")).text
        assert (await client.get("/readyz")).json() == {"reasons": []}
        assert (await client.get("/healthz")).status_code == 200
        assert "turbine_records" in (await client.get("/metrics")).text
        assert len((await client.get("/router")).json()["owned"]) == 4


async def test_a_port_that_is_taken_moves_unless_it_was_chosen(
    faust_app: MakeFaust, topic: str
) -> None:
    first = counting(faust_app(**settings()), topic)
    async with first.running(http=True):
        chosen = counting(faust_app(**settings() | {"web_port": first.conf.web_port}), topic)
        with pytest.raises(ConfigError, match=r"is taken by another process.*--web-port"):
            async with chosen.running(http=True):
                pass
        async with AsyncExitStack() as stack:
            found = []
            for _ in range(2):
                kept = {k: v for k, v in settings().items() if k != "web_port"}
                app = counting(faust_app(**kept), topic)
                await stack.enter_async_context(app.running(http=True))
                found.append(app._attached.pages.address[1])  # type: ignore[union-attr]
    assert len(set(found)) == 2


async def test_an_app_lives_inside_another_asgi_program(
    faust_app: MakeFaust, topic: str, produce: Produce
) -> None:
    from fastapi import FastAPI

    produce(topic, [b"fox"], key="fox")
    app = counting(faust_app(), topic)
    host = FastAPI(lifespan=app.lifespan)
    host.mount("/turbine", app.asgi)

    @host.get("/hello")
    async def hello() -> str:
        return "host"

    transport = httpx.ASGITransport(app=host)
    async with (
        httpx.AsyncClient(
            transport=transport, base_url="http://x", follow_redirects=True
        ) as client,
        host.router.lifespan_context(host),
    ):

        async def counted() -> bool:
            found: object = (await client.get("/turbine/count/fox")).json()["fox"]
            return found == 1

        await eventually(counted)  # type: ignore[arg-type] # a coroutine can be awaited
        assert (await client.get("/hello")).json() == "host"
    assert not app.started


async def test_without_a_worker_a_table_page_says_so(asked: tuple[App, httpx.AsyncClient]) -> None:
    app, client = asked
    counting(app, "words")  # type: ignore[arg-type]
    answer = await client.get("/count/fox")
    assert answer.status_code == 503
    assert "no worker runs" in answer.json()["error"]
    assert (await client.get("/readyz")).status_code == 503


def test_an_app_without_pages_loads_no_web_library() -> None:
    import subprocess
    import sys

    code = (
        "import sys, turbine; turbine.App('a').page('/x');"
        "print([m for m in sys.modules if m in ('starlette', 'uvicorn', 'httpx')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_pages_are_served_at_a_socket_and_one_left_behind_is_replaced(
    faust_app: MakeFaust, tmp_path: Path
) -> None:
    path = tmp_path / "pages"
    app = faust_app(web_enabled=True, api_port=0, web_transport=f"unix://{path}")

    @app.page("/hello")
    async def hello(toolbox: Any, request: Any) -> Any:
        return toolbox.text("hello")

    for _ in range(2):
        async with app.running(http=True):
            transport = httpx.AsyncHTTPTransport(uds=str(path))
            async with httpx.AsyncClient(transport=transport) as client:
                assert (await client.get("http://app/hello")).text == "hello"
            with pytest.raises(ConfigError, match="another worker serves"):
                PageServer(app)
    app.conf.web_transport = "carrier-pigeon://"
    with pytest.raises(ConfigError, match="write unix:///PATH"):
        PageServer(app)


@pytest.mark.parametrize(("settings", "said"), [({}, 1), ({"web_bind": "0.0.0.0"}, 0)])
async def test_pages_that_others_can_reach_are_named_unless_they_are_meant(
    faust_app: MakeFaust,
    settings: dict[str, Any],
    said: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = faust_app(web_enabled=True, web_port=0, **settings)
    server = PageServer(app)
    await server.start()
    await server.stop()
    assert caplog.text.count("ask for no token") == said
