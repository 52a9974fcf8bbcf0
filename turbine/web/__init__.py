"""
Pages of an app: `Web` is what handlers get, `View` a page with a method for each HTTP method.

Requests and responses are Starlette's. The worker serves the pages on ``web_port``; ``app.asgi``
and ``app.lifespan`` put the app into another ASGI program.
"""

from typing import TYPE_CHECKING

from turbine._lazy import lazy

if TYPE_CHECKING:
    from turbine.web.answers import HTTPError, Request, Web
    from turbine.web.pages import Page, View

__all__ = ["HTTPError", "Page", "Request", "View", "Web"]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "turbine.web.answers": ("HTTPError", "Request", "Web"),
        "turbine.web.pages": ("Page", "View"),
    },
)
