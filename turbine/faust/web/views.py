"""Views of Faust programs, and records as bodies of requests and answers."""

import functools
from collections.abc import Callable
from typing import Any

from turbine.faust.models.base import Model
from turbine.faust.web.exceptions import (
    MethodNotAllowed,
    NotAuthenticated,
    NotFound,
    ParseError,
    PermissionDenied,
    ServerError,
    ValidationError,
)
from turbine.web.pages import View as NativeView

__all__ = ["View", "gives_model", "takes_model"]

Handler = Callable[..., Any]


class View(NativeView):
    """As `turbine.web.View`, with Faust's errors as attributes."""

    ServerError = ServerError
    ValidationError = ValidationError
    ParseError = ParseError
    NotAuthenticated = NotAuthenticated
    PermissionDenied = PermissionDenied
    NotFound = NotFound
    MethodNotAllowed = MethodNotAllowed

    async def read_request_content(self, request: Any) -> bytes:
        """The body of *request*."""
        body: bytes = await request.body()
        return body


def takes_model(model: type[Model]) -> Callable[[Handler], Handler]:
    """
    Read the body of a request as a record, which the handler gets behind the request.

    ::

        @takes_model(Order)
        async def post(self, request, order): ...

    What cannot be read is answered with 400.
    """

    def decorate(fn: Handler) -> Handler:
        @functools.wraps(fn)
        async def handler(view: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                record = model.loads(await request.body(), serializer="json")
            except (ValueError, TypeError) as exc:
                raise ParseError(f"the body is no {model.__name__}: {exc}") from None
            return await fn(view, request, record, *args, **kwargs)

        return handler

    return decorate


def gives_model(model: type[Model]) -> Callable[[Handler], Handler]:
    """Answer with what the handler returns, a record of *model*, as JSON."""

    def decorate(fn: Handler) -> Handler:
        @functools.wraps(fn)
        async def handler(view: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            record = await fn(view, request, *args, **kwargs)
            if not isinstance(record, model):
                raise ServerError(f"the page returned {type(record).__name__}, no {model.__name__}")
            return view.json(record)

        return handler

    return decorate
