"""
Asking agents: a value goes to an agent, and what it yields for it comes back.

The question carries two headers of Faust, so that callers and agents of both understand each
other: ``Faust-Ag-ReplyTo`` names a topic, ``Faust-Ag-CorrelationId`` the question. The answer is
JSON with ``key``, ``value`` and ``correlation_id``.
"""

import asyncio
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from turbine._turns import SENDER
from turbine.channels import Channel
from turbine.exceptions import DeclarationError
from turbine.types import HeadersArg, RawHeaders

if TYPE_CHECKING:
    from turbine._replies import Replies, Reply
    from turbine.app import App
    from turbine.events import Event
    from turbine.topics import Topic

__all__ = ["Asks", "reply"]

REPLY_TO = "Faust-Ag-ReplyTo"
CORRELATION_ID = "Faust-Ag-CorrelationId"

_TIMEOUT_S = 30.0
_AHEAD = 1_000
"""Questions of one `Asks.map` that wait for their answers at once."""


class Asks:
    """The part of `turbine.Agent` that asks it."""

    app: "App"
    name: str
    yields: bool
    channel: "Topic | Channel"

    async def ask(
        self,
        value: Any = None,
        *,
        key: Any = None,
        timeout: float | None = _TIMEOUT_S,  # noqa: ASYNC109 - the word that users know
        **options: Any,
    ) -> Any:
        """
        Send *value* and wait for what the agent yields for it.

        The question goes out at once, also from exactly-once agents, which ask again after a crash.

        Args:
            value: The question.
            key: Its key.
            timeout: Seconds to wait for the answer; None: for ever.
            **options: ``partition``, ``timestamp``, ``headers``, ``reply_to`` (a topic that this
                process then reads), ``correlation_id``.

        Raises:
            TimeoutError: No answer came in time.
            DeclarationError: The agent yields nothing, so that no answer can come.
            NotRunning: Neither a worker nor a client of the app is running.
        """
        return await self._wait(await self.ask_nowait(value, key=key, **options), timeout)

    async def ask_nowait(
        self,
        value: Any = None,
        *,
        key: Any = None,
        reply_to: Any = None,
        correlation_id: str | None = None,
        headers: HeadersArg | None = None,
        **options: Any,
    ) -> "Reply":
        """Send *value*, and return what can be awaited for the answer; see `ask`."""
        if not self.yields:
            raise DeclarationError(
                f"the agent {self.name} yields nothing, so that it cannot answer: write 'yield' in "
                "it, or use cast()"
            )
        replies = self._replies()
        is_local = isinstance(self.channel, Channel)
        topic = await replies.topic(reply_to, is_local=is_local)
        promise = replies.expect(correlation_id or str(uuid.uuid4()))
        pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
        asked = [*pairs, (REPLY_TO, topic), (CORRELATION_ID, promise.correlation_id)]
        # A question that waits for the commit of the row it is asked for would never be answered.
        token = SENDER.set(None)
        try:
            await self.channel.send(key=key, value=value, headers=asked, **options)
        except BaseException:
            promise.cancel()
            raise
        finally:
            SENDER.reset(token)
        return promise

    async def map(
        self, values: Iterable[Any] | AsyncIterable[Any], key: Any = None, **options: Any
    ) -> AsyncIterator[Any]:
        """Ask every one of *values*; answers as they come. Options as of `ask`."""
        async for answer in self.kvmap(((key, value) async for value in _each(values)), **options):
            yield answer

    async def kvmap(
        self,
        items: Iterable[tuple[Any, Any]] | AsyncIterable[tuple[Any, Any]],
        *,
        timeout: float | None = _TIMEOUT_S,  # noqa: ASYNC109 - the word that users know
        **options: Any,
    ) -> AsyncIterator[Any]:
        """As `map`, for ``(key, value)`` pairs; *timeout* is the longest wait for an answer."""
        waiting: set[Reply] = set()
        try:
            async for key, value in _each(items):
                waiting.add(await self.ask_nowait(value, key=key, **options))
                done = {one for one in waiting if one.done()}
                if len(waiting) >= _AHEAD and not done:
                    done = await self._some(waiting, timeout)
                waiting -= done
                for one in done:
                    yield one.result()
            while waiting:
                done = await self._some(waiting, timeout)
                waiting -= done
                for one in done:
                    yield one.result()
        finally:
            for one in waiting:
                one.cancel()

    async def join(
        self, values: Iterable[Any] | AsyncIterable[Any], key: Any = None, **options: Any
    ) -> list[Any]:
        """Ask every one of *values*; all answers, in the order of the values."""
        return await self.kvjoin(((key, value) async for value in _each(values)), **options)

    async def kvjoin(
        self,
        items: Iterable[tuple[Any, Any]] | AsyncIterable[tuple[Any, Any]],
        *,
        timeout: float | None = _TIMEOUT_S,  # noqa: ASYNC109 - the word that users know
        **options: Any,
    ) -> list[Any]:
        """As `join`, for ``(key, value)`` pairs; *timeout* is the longest wait for one answer."""
        asked = [
            await self.ask_nowait(value, key=key, **options) async for key, value in _each(items)
        ]
        try:
            return [await self._wait(one, timeout) for one in asked]
        finally:
            for one in asked:
                one.cancel()

    # -- inside ----------------------------------------------------------------------------

    def _replies(self) -> "Replies":
        from turbine._replies import replies_of

        return replies_of(self.app)

    async def _wait(self, promise: "Reply", limit_s: float | None) -> Any:
        await self._some({promise}, limit_s)
        return promise.result()

    async def _some(self, waiting: "set[Reply]", limit_s: float | None) -> "set[Reply]":
        try:
            done, _ = await asyncio.wait(
                waiting, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED
            )
        except asyncio.CancelledError:
            for one in waiting:
                one.cancel()
            raise
        if not done:
            for one in waiting:
                one.cancel()
            raise TimeoutError(
                f"the agent {self.name} did not answer within {limit_s} s: does a worker run it, "
                "and did it fail? Its log says so; ask(..., timeout=...) sets the time"
            )
        return done


async def reply(app: "App", headers: RawHeaders, event: "Event | None", value: Any) -> None:
    """Send *value* to whoever asked for it with *headers*, if somebody did."""
    found = {name: raw for name, raw in headers if name in {REPLY_TO, CORRELATION_ID}}
    topic = found.get(REPLY_TO)
    if not topic:
        return
    from turbine._replies import LOCAL, encode_reply, replies_of
    from turbine.topics import Topic

    correlation_id = (found.get(CORRELATION_ID) or b"").decode(errors="replace")
    if topic == LOCAL:
        replies_of(app).answer(correlation_id, value)
        return
    key = None if event is None else event.key
    target = Topic(app, (topic.decode(errors="replace"),), value_type=bytes)
    await target.send(value=encode_reply(key, value, correlation_id))


async def _each(values: Any) -> AsyncIterator[Any]:
    if isinstance(values, AsyncIterable):
        async for value in values:
            yield value
        return
    for value in values:
        yield value
