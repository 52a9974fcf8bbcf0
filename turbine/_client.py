"""A producer without a worker, for programs that only send."""

import asyncio

from turbine._native import Producer
from turbine.exceptions import SendError
from turbine.settings import Settings

__all__ = ["Client"]

_FLUSH_SLICE_MS = 250


class Client:
    """The producer of an app that runs no worker."""

    keeps_producer = True

    def __init__(self, conf: Settings) -> None:
        conf.validate()
        self._limit_s = conf.drain_timeout
        self.producer = Producer(conf.bootstrap, conf.client, conf.produce_buffer_bytes)

    async def stop(self) -> None:
        """
        Wait until everything sent is acknowledged, at most the ``drain_timeout`` setting.

        Raises:
            SendError: Records are left that nobody acknowledged.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limit_s
        while left := await loop.run_in_executor(None, self.producer.flush, _FLUSH_SLICE_MS):
            if loop.time() >= deadline:
                raise SendError(
                    f"{left} records were not acknowledged within {self._limit_s} s and may be "
                    "lost: "
                    f"is a broker reachable? (drain_timeout sets the time)",
                    retryable=True,
                )
