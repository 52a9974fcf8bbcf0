"""
Answers that this process waits for.

One topic a process, ``f-reply-`` and a random name, made when somebody asks first, read from there
by a thread outside of any group, and deleted at the end if every question was answered. The answers
of agents of channels never leave the process.
"""

import asyncio
import json
import logging
import threading
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from turbine.exceptions import ConfigError, KafkaError, NotRunning, WorkerStopped

if TYPE_CHECKING:
    from turbine._native import Follower
    from turbine.app import App

__all__ = ["LOCAL", "Replies", "Reply", "encode_reply", "replies_of", "stop_replies"]

logger = logging.getLogger("turbine.agents")

LOCAL = b"in-process"
"""Name of the topic of questions whose answer stays in this process."""

_READ_MS = 200
_LAST_WAIT_S = 1.0
"""How long a worker that drains waits for answers, which others may give."""
_MADE_LIMIT_S = 10.0
_NAMESPACE = "@ReqRepResponse"


class Reply(asyncio.Future[Any]):
    """
    An answer to come; awaiting it gives the value.

    Attributes:
        correlation_id: Names the question.
    """

    def __init__(self, correlation_id: str) -> None:
        super().__init__()
        self.correlation_id = correlation_id


class Replies:
    """What a running app waits for; belongs to one event loop."""

    def __init__(self, app: "App") -> None:
        self._app = app
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, Reply] = {}
        self._open: set[str] = set()
        self._is_ending = False
        self._followed: dict[str, _Thread] = {}
        self._starting = asyncio.Lock()
        self._own = str(app.conf.reply_to or f"{app.conf.reply_to_prefix}{uuid.uuid4()}")

    async def topic(self, name: Any, *, is_local: bool) -> str:
        """Return the name of the topic that answers go to, which is read from now on."""
        if name is None and is_local:
            return LOCAL.decode()
        if name is not None and not isinstance(name, str):
            name = name.get_topic_name()
        topic = str(name or self._own)
        async with self._starting:
            if topic not in self._followed:
                follower = await asyncio.to_thread(self._follow, topic)
                self._followed[topic] = _Thread(topic, follower, self._loop, self._arrived)
        return topic

    def expect(self, correlation_id: str) -> Reply:
        """Wait for the answer to a question from now on."""
        promise = self._waiting[correlation_id] = Reply(correlation_id)
        self._open.add(correlation_id)
        if self._is_ending:
            self._give_up_soon(promise)
        promise.add_done_callback(lambda _: self._waiting.pop(correlation_id, None))
        return promise

    def answer(self, correlation_id: str, value: Any) -> None:
        """Give an answer to whoever waits; later ones of an agent that yields twice are dropped."""
        self._open.discard(correlation_id)
        promise = self._waiting.get(correlation_id)
        if promise is not None and not promise.done():
            promise.set_result(value)

    def end(self) -> None:
        """Let who waits give up soon: the worker drains, and may be the one that would answer."""
        self._is_ending = True
        for promise in list(self._waiting.values()):
            self._give_up_soon(promise)

    def _give_up_soon(self, promise: Reply) -> None:
        def give_up() -> None:
            if not promise.done():
                promise.set_exception(
                    WorkerStopped("the worker stops, and no answer came; the record is read again")
                )

        self._loop.call_later(_LAST_WAIT_S, give_up)

    async def stop(self) -> None:
        """Read no more; whoever waits still is told."""
        for promise in list(self._waiting.values()):
            if not promise.done():
                promise.set_exception(NotRunning("the app has stopped before the answer came"))
        followed, self._followed = self._followed, {}
        for thread in followed.values():
            thread.ended.set()
        await asyncio.to_thread(self._end, followed)

    # -- inside ----------------------------------------------------------------------------

    def _follow(self, topic: str) -> "Follower":
        from turbine._native import Admin, Follower

        conf = self._app.conf
        admin = Admin(conf.bootstrap, conf.client)
        if topic not in admin.list_topics():
            if not conf.topic_allow_declare:
                raise ConfigError(
                    f"the topic {topic} for answers does not exist: create it and name it with "
                    "reply_to=, or let the app create it with topic_allow_declare=True"
                )
            keep_ms = round(conf.reply_expires * 1_000)
            config = {"cleanup.policy": "delete", "retention.ms": str(keep_ms)}
            admin.create_topics({topic: 1}, conf.topic_replication_factor, config)
        deadline = time.monotonic() + _MADE_LIMIT_S
        while True:
            try:
                return Follower(conf.bootstrap, conf.client, topic, 0)
            except KafkaError:
                # A broker may not know yet what the controller has made.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _end(self, followed: "dict[str, _Thread]") -> None:
        from turbine._native import Admin

        for thread in followed.values():
            thread.join()
        conf = self._app.conf
        if self._own in followed and not (conf.reply_to or self._open) and conf.topic_allow_declare:
            # Nobody writes to it again. With an answer outstanding it stays: an agent whose answer
            # cannot be written would stop.
            with suppress(KafkaError):
                Admin(conf.bootstrap, conf.client).delete_topics([self._own], 2_000)

    def _arrived(self, values: list[bytes]) -> None:
        for raw in values:
            try:
                found = json.loads(raw)
                correlation_id, value = found["correlation_id"], found["value"]
            except (ValueError, KeyError, TypeError) as exc:
                logger.warning("an answer cannot be read and is left out: %r (%r)", raw[:200], exc)
            else:
                self.answer(str(correlation_id), self._app.reply_value(value))


class _Thread(threading.Thread):
    """Follows one topic."""

    def __init__(
        self, topic: str, follower: "Follower", loop: asyncio.AbstractEventLoop, arrived: Any
    ) -> None:
        super().__init__(name=f"turbine-replies-{topic}", daemon=True)
        self.ended = threading.Event()
        self._topic = topic
        self._follower = follower
        self._loop = loop
        self._arrived = arrived
        self.start()

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                values = [value for _, value in self._follower.read(_READ_MS) if value is not None]
            except KafkaError:
                logger.exception("answers in %s cannot be read", self._topic)
                self.ended.wait(1.0)
                continue
            if values:
                # The loop may be gone by then; nobody waits any more.
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._arrived, values)
        self._follower.close()


def encode_reply(key: Any, value: Any, correlation_id: str) -> bytes:
    """Write an answer as Faust reads it."""
    from turbine._native import encode_json

    if isinstance(key, bytes):
        key = key.decode(errors="replace")
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return encode_json(
        {
            "key": key,
            "value": value,
            "correlation_id": correlation_id,
            "__faust": {"ns": _NAMESPACE},
        }
    )


def replies_of(app: "App") -> Replies:
    """Return what the running *app* waits for.

    Raises:
        NotRunning: Neither a worker nor a client of it is running.
    """
    if app._runtime is None:  # noqa: SLF001 - the app's own part
        raise NotRunning(
            "the app is not running: ask inside 'async with app.running():' or, without a worker, "
            "inside 'async with app.client():'"
        )
    if app._replies is None:  # noqa: SLF001 - as above
        app._replies = Replies(app)  # noqa: SLF001 - as above
    return app._replies  # noqa: SLF001 - as above


async def stop_replies(app: "App") -> None:
    """Let nobody wait any more."""
    replies, app._replies = app._replies, None  # noqa: SLF001 - the app's own part
    if replies is not None:
        await replies.stop()
