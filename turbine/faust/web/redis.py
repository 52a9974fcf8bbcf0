"""
Answers of pages that all workers share, in Redis: ``cache="redis://host:6379/0"``.

Redis forgets an answer when its time is over. A Redis that cannot be reached costs the cache and
nothing else: pages answer anew, and it is asked again some seconds later. A pause is long enough
that no page waits for it more than once in a while.
"""

import hashlib
import logging
import time
from typing import Any, Final

from turbine.exceptions import ConfigError
from turbine.faust.web.cache import Key

__all__ = ["SCHEMES", "Redis"]

logger = logging.getLogger("turbine.web")

SCHEMES: Final = ("redis://", "rediss://", "unix://")
_LIMIT_S: Final = 1.0
"""Longest wait for an answer of Redis."""
_PAUSE_S: Final = 5.0
"""From a failure until it is asked again."""


class Redis:
    """
    Values with an end, in Redis.

    Args:
        url: Where it is, as the package redis reads it.
        prefix: In front of every key, so that apps do not meet.

    Raises:
        ConfigError: The package redis is missing, or does not understand *url*.
    """

    def __init__(self, url: str, prefix: str) -> None:
        try:
            from redis.asyncio import Redis as Client
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
            from redis.exceptions import RedisError
        except ImportError:
            raise ConfigError(
                "the setting cache names a Redis, and the package redis is not installed: "
                "pip install 'turbine-stream[redis]'"
            ) from None
        options: dict[str, Any] = {"socket_timeout": _LIMIT_S, "socket_connect_timeout": _LIMIT_S}
        try:
            self._client = Client.from_url(url, retry=Retry(NoBackoff(), 0), **options)
        except ValueError as exc:
            raise ConfigError(f"the setting cache is no address of a Redis: {exc}") from None
        self._failures = (RedisError, OSError)
        self._prefix = prefix
        self._again_at = 0.0

    async def get(self, key: Key) -> bytes | None:
        """The value of *key*; None if there is none any more, or Redis is not there."""
        value: bytes | None = await self._ask("get", self._name(key))
        return value

    async def set(self, key: Key, value: bytes, limit_s: float | None = None) -> None:
        """Keep *value* for *limit_s* seconds; None: until Redis wants the room."""
        limit_ms = None if limit_s is None else max(1, round(limit_s * 1_000))
        await self._ask("set", self._name(key), value, px=limit_ms)

    async def delete(self, key: Key) -> None:
        """Forget *key*."""
        await self._ask("delete", self._name(key))

    async def close(self) -> None:
        """Let go of the connections; they are opened again if somebody asks."""
        await self._client.aclose()

    async def _ask(self, command: str, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() < self._again_at:
            return None
        try:
            return await getattr(self._client, command)(*args, **kwargs)
        except self._failures as exc:
            self._again_at = time.monotonic() + _PAUSE_S
            logger.warning(
                "the cache of pages cannot be reached (%s): answers are made anew, and Redis is "
                "asked again in %.0f s",
                exc,
                _PAUSE_S,
            )
            return None

    def _name(self, key: Key) -> str:
        digest = hashlib.sha256(repr(key).encode()).hexdigest()
        return f"{self._prefix}:{digest}"
