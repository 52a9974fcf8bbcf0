"""Errors that pages of Faust programs answer with."""

from typing import Any

from turbine.web.answers import HTTPError

__all__ = [
    "MethodNotAllowed",
    "NotAuthenticated",
    "NotFound",
    "ParseError",
    "PermissionDenied",
    "ServerError",
    "ValidationError",
    "WebError",
]


class WebError(HTTPError):
    """An error that a page answers with; ``detail`` is for who asked."""

    code = 500
    reason = "The page failed"

    def __init__(self, detail: str | None = None, *, code: int | None = None, **_: Any) -> None:
        super().__init__(code or self.code, detail or self.reason)


class ServerError(WebError):
    """500."""


class ValidationError(WebError):
    """400: what was sent is not valid."""

    code = 400
    reason = "Invalid input"


class ParseError(WebError):
    """400: what was sent cannot be read."""

    code = 400
    reason = "Malformed request"


class NotAuthenticated(WebError):  # noqa: N818 - the word of Faust
    """401."""

    code = 401
    reason = "Authentication credentials were not provided"


class PermissionDenied(WebError):  # noqa: N818 - the word of Faust
    """403."""

    code = 403
    reason = "Permission denied"


class NotFound(WebError):  # noqa: N818 - the word of Faust
    """404."""

    code = 404
    reason = "Not found"


class MethodNotAllowed(WebError):  # noqa: N818 - the word of Faust
    """405."""

    code = 405
    reason = "Method not allowed"
