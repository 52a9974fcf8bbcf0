"""What programs take from Faust's ``faust.web``: views, blueprints, requests, answers, errors."""

from typing import TYPE_CHECKING

from turbine._lazy import lazy

if TYPE_CHECKING:
    from turbine.faust.web.blueprints import Blueprint
    from turbine.faust.web.cache import Cache
    from turbine.faust.web.exceptions import (
        MethodNotAllowed,
        NotAuthenticated,
        NotFound,
        ParseError,
        PermissionDenied,
        ServerError,
        ValidationError,
        WebError,
    )
    from turbine.faust.web.views import View, gives_model, takes_model
    from turbine.web.answers import Request, Response, Web

__all__ = [
    "Blueprint",
    "Cache",
    "MethodNotAllowed",
    "NotAuthenticated",
    "NotFound",
    "ParseError",
    "PermissionDenied",
    "Request",
    "Response",
    "ServerError",
    "ValidationError",
    "View",
    "Web",
    "WebError",
    "gives_model",
    "takes_model",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "turbine.faust.web.blueprints": ("Blueprint",),
        "turbine.faust.web.cache": ("Cache",),
        "turbine.faust.web.exceptions": (
            "MethodNotAllowed",
            "NotAuthenticated",
            "NotFound",
            "ParseError",
            "PermissionDenied",
            "ServerError",
            "ValidationError",
            "WebError",
        ),
        "turbine.faust.web.views": ("View", "gives_model", "takes_model"),
        "turbine.web.answers": ("Request", "Response", "Web"),
    },
)
