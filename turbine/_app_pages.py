"""The part of an app that declares pages and commands, and that other ASGI programs take in."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from turbine import _declare
from turbine.exceptions import DeclarationError
from turbine.web.pages import Page

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from turbine.app import App
    from turbine.commands import Command
    from turbine.tables import Table
    from turbine.topics import Topic
    from turbine.web.answers import Web

__all__ = ["AppPages"]

F = TypeVar("F", bound=Callable[..., Any])


class Asgi:
    """An ASGI application that has the pages of *app*, also those declared after it was mounted."""

    def __init__(self, app: "App") -> None:
        self._app = app
        self._built: tuple[tuple[int, int], Starlette] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        await self.build()(scope, receive, send)

    def build(self) -> "Starlette":
        """
        Make the routes, once for all that is declared.

        Raises:
            DeclarationError: The path of a page cannot be read.
        """
        declared = (len(self._app.pages), len(self._app.web.static))
        if self._built is None or self._built[0] != declared:
            from turbine.web.routes import build

            self._built = declared, build(self._app)
        return self._built[1]


class AppPages:
    """
    Pages and commands of `turbine.App`.

    Attributes:
        pages: Pages in the order of their declaration.
        commands: Commands by name.
    """

    serves_without_pages: ClassVar[bool] = False
    """Whether the built-in pages are served where the app has none of its own."""

    def __init__(self) -> None:
        self.pages: list[Page] = []
        self.commands: dict[str, Command] = {}
        self._web: Web | None = None
        self._asgi = Asgi(cast("App", self))
        super().__init__()

    def page(self, path: str, *, name: str | None = None, **_: object) -> Callable[[F], F]:
        """
        Declare a page: ``async def f(web, request)``, or a subclass of `turbine.web.View`.

        ::

            @app.page("/counts/{word}")
            async def count(web, request, word):
                return web.json({word: counts[word]})

        Args:
            path: Where it is; the handler gets the parts in braces, ``{word}`` or ``{n:[0-9]+}``.
            name: For links to it; the name of the function if None.

        Returns:
            A decorator that leaves the handler as it is.

        Raises:
            DeclarationError: The declaration cannot work; the message says what to write.
        """

        def declare(handler: F) -> F:
            own = name or str(getattr(handler, "__name__", type(handler).__name__))
            self.pages.append(Page(path, handler, own, _declare.first_line(handler)))
            return handler

        return declare

    def table_route(
        self,
        table: "Table[Any, Any]",
        shard_param: str | None = None,
        *,
        query_param: str | None = None,
        match_info: str | None = None,
        exact_key: str | None = None,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """
        Answer a page on the worker that has the request's key in *table*, whatever its method.

        ::

            @app.page("/counts/{word}")
            @app.table_route(counts, match_info="word")
            async def count(web, request, word):
                return web.json({word: counts[word]})

        Args:
            table: The table.
            shard_param: Another word for *query_param*.
            query_param: Parameter behind the question mark that is the key.
            match_info: Part of the path that is the key.
            exact_key: The key itself.

        Raises:
            DeclarationError: Not exactly one of them is given, or *table* has windows.
        """
        from turbine.web.routes import routed

        if getattr(table, "window", None) is not None:
            raise DeclarationError(
                f"the table {table.name} has windows, and no page can be sent to the worker that "
                "has a key: use topic_route() with the topic whose events write the table"
            )
        return routed(
            cast("App", self),
            table,
            match_info=match_info,
            query_param=query_param or shard_param,
            exact_key=exact_key,
        )

    def topic_route(
        self,
        topic: "Topic",
        shard_param: str | None = None,
        *,
        query_param: str | None = None,
        match_info: str | None = None,
        exact_key: str | None = None,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Answer a page on the worker that reads a key of *topic*; see `table_route`."""
        from turbine.web.routes import routed

        return routed(
            cast("App", self),
            topic,
            match_info=match_info,
            query_param=query_param or shard_param,
            exact_key=exact_key,
        )

    def command(
        self, *parameters: Callable[[Any], Any], **_: object
    ) -> Callable[[Callable[..., Any]], "Command"]:
        """
        Declare a command of the command line: ``turbine -A proj.app NAME``; see `turbine.commands`.

        Args:
            *parameters: `click.option` and `click.argument` objects, in their order.

        Raises:
            DeclarationError: The function does not take what they give.
        """

        def declare(fn: Callable[..., Any]) -> "Command":
            from turbine.commands import Command

            made = Command(cast("App", self), fn, parameters)
            self.commands[made.name] = made
            return made

        return declare

    def page_middleware(self) -> list[Any]:
        """Middleware of Starlette around all pages."""
        return []

    @property
    def web(self) -> "Web":
        """What pages get as their first argument; ``app.web.add_static`` serves files."""
        if self._web is None:
            from turbine.web.answers import Web

            self._web = Web(cast("App", self))
        return self._web

    @property
    def asgi(self) -> "Asgi":
        """The pages as an ASGI application, to be mounted in another one."""
        return self._asgi

    def lifespan(self, host: object) -> AbstractAsyncContextManager[None]:
        """
        Run a worker as long as another ASGI application: ``FastAPI(lifespan=app.lifespan)``.

        Set ``canonical_url`` to where ``app.asgi`` is mounted, if pages are to be answered by the
        worker that has a key.
        """
        del host
        return self._lifespan()

    @asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        async with cast("App", self).running():
            yield
