"""The pages of a running worker: their server, and the way to the pages of other workers."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turbine.app import App
    from turbine.web.owner import Router
    from turbine.web.server import PageServer

__all__ = ["Pages"]

_CLIENT = "turbine"
"""Client id of a worker whose settings name none."""


class Pages:
    """
    What one worker has of the app's pages; without pages, nothing of the web libraries is loaded.

    Args:
        app: The app.
        serve: Whether the worker serves HTTP, if the settings allow it.

    Raises:
        ConfigError: Their port is taken.
    """

    def __init__(self, app: "App", *, serve: bool) -> None:
        self._app = app
        self._router: Router | None = None
        self._server: PageServer | None = None
        if not serve or not app.conf.web_enabled:
            return
        if app.pages or app.serves_without_pages or app.conf.source("web_port") != "default":
            self._server = _serve(app)

    @property
    def url(self) -> str | None:
        """Where other workers reach the pages of this one; None: nowhere."""
        return self._app.conf.canonical_url if self._server is None else self._server.url

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port that pages are served at."""
        return None if self._server is None else self._server.address

    @property
    def router(self) -> "Router":
        """Finds the worker that has a key."""
        if self._router is None:
            from turbine.web.owner import Router

            self._router = Router(self._app)
        return self._router

    def client_settings(self) -> dict[str, str]:
        """Settings of the client that tell other workers where the pages are."""
        if self.url is None:
            return {}
        base = self._app.conf.client.get("client.id", _CLIENT)
        return {"client.id": f"{base}@{self.url}"}

    def close(self) -> None:
        """Give the port back, of a worker that could not be made."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def start(self) -> None:
        """Serve from now on."""
        if self._server is not None:
            await self._server.start()

    async def stop(self) -> None:
        """Answer what is under way, and end."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()
        if self._router is not None:
            await self._router.close()


def _serve(app: "App") -> "PageServer":
    from turbine.web.server import PageServer

    app.asgi.build()  # A path that cannot be read is said before anything starts.
    return PageServer(app)
