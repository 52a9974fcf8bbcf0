"""
Answers of pages that are kept for a while, in the memory of this worker or in a `Redis`.

Kept are answers with status 200 to GET and HEAD, by their URL. In memory each worker has its own.
"""

import functools
import json
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Protocol, TypeAlias

from turbine._parsers import seconds
from turbine.web.answers import Response

__all__ = ["Backend", "Cache", "Key", "Memory"]

Handler = Callable[..., Any]
Key: TypeAlias = tuple[Any, ...]
"""Prefix, method, URL and headers of a request."""

_MOST = 10_000


class Backend(Protocol):
    """Where answers are kept."""

    async def get(self, key: Key, /) -> bytes | None:
        """The value of *key*; None if there is none any more."""

    async def set(self, key: Key, value: bytes, limit_s: float | None = None, /) -> None:
        """Keep *value* for *limit_s* seconds, or as long as there is room."""

    async def delete(self, key: Key, /) -> None:
        """Forget *key*."""


class Memory:
    """
    Values with an end, in this process; the oldest go first when there are too many.

    Args:
        most: How many are kept.
        now: Seconds that never go back.
    """

    def __init__(self, most: int = _MOST, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._now = now
        self._values: OrderedDict[Any, tuple[float | None, Any]] = OrderedDict()

    async def get(self, key: Any) -> Any:
        """The value of *key*; None if there is none any more."""
        end, value = self._values.get(key, (None, None))
        if end is not None and self._now() >= end:
            del self._values[key]
            return None
        return value

    async def set(self, key: Any, value: Any, limit_s: float | None = None) -> None:
        """Keep *value* for *limit_s* seconds, or until there are too many."""
        self._values.pop(key, None)
        self._values[key] = (None if limit_s is None else self._now() + limit_s, value)
        while len(self._values) > self._most:
            self._values.popitem(last=False)

    async def delete(self, key: Any) -> None:
        """Forget *key*."""
        self._values.pop(key, None)


class Cache:
    """
    How answers are kept: the decorator `view` of a handler.

    ::

        cache = Blueprint("users").cache(timeout=300.0)

        class Users(View):
            @cache.view(timeout=10.0)
            async def get(self, request): ...

    Args:
        timeout: Seconds that an answer is kept; None: as long as there is room.
        include_headers: Whether requests with other headers have other answers.
        key_prefix: Names that differ keep answers apart.
        backend: Where they are kept; ``app.cache`` if None.
    """

    def __init__(
        self,
        timeout: float | timedelta | None = None,
        include_headers: bool = False,  # noqa: FBT001, FBT002 - as in Faust
        key_prefix: str | None = None,
        backend: Backend | None = None,
    ) -> None:
        self.timeout = timeout
        self.include_headers = include_headers
        self.key_prefix = key_prefix or ""
        self.backend = backend

    def view(
        self,
        timeout: float | timedelta | None = None,
        include_headers: bool | None = None,  # noqa: FBT001 - as in Faust
        key_prefix: str | None = None,
        **_: object,
    ) -> Callable[[Handler], Handler]:
        """Keep what a handler answers; what is not given is the cache's own."""
        limit = self.timeout if timeout is None else timeout
        with_headers = self.include_headers if include_headers is None else include_headers
        prefix = self.key_prefix if key_prefix is None else key_prefix

        def decorate(fn: Handler) -> Handler:
            @functools.wraps(fn)
            async def handler(view: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
                if request.method not in {"GET", "HEAD"}:
                    return await fn(view, request, *args, **kwargs)
                backend = self.backend or view.app.cache
                headers = tuple(request.headers.items()) if with_headers else ()
                # A HEAD has no body to keep for a GET.
                key = prefix, request.method, str(request.url), headers
                kept = await backend.get(key)
                if kept is not None:
                    return _unpacked(kept)
                answer = await fn(view, request, *args, **kwargs)
                if answer.status_code == HTTPStatus.OK and hasattr(answer, "body"):
                    limit_s = None if limit is None else seconds(limit)
                    await backend.set(key, _packed(answer), limit_s)
                return answer

            return handler

        return decorate


def _packed(answer: Any) -> bytes:
    """Headers as a line of JSON, and the body."""
    return json.dumps(dict(answer.headers)).encode() + b"\n" + bytes(answer.body)


def _unpacked(kept: bytes) -> Response:
    headers, _, body = kept.partition(b"\n")
    return Response(body, headers=json.loads(headers))
