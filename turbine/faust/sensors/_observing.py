"""Tells sensors of events, of what is sent, and of pages, where one of them wants to know."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from turbine.types import RecordMetadata

if TYPE_CHECKING:
    from turbine.faust.sensors.base import SensorDelegate

__all__ = ["EVENTS", "PAGES", "Observer", "PageWatch", "watch_sent"]

EVENTS = ("on_message_in", "on_stream_event_in", "on_stream_event_out", "on_message_out")
PAGES = ("on_web_request_start", "on_web_request_end")


class Observer:
    """What one stream tells of its events."""

    def __init__(self, sensors: "SensorDelegate") -> None:
        self._sensors = sensors
        self._open: list[tuple[Any, dict[int, Any]]] = []

    def begin(self, stream: Any, events: Sequence[Any]) -> None:
        """Tell that *events* are handed out; those before are over."""
        self.end(stream)
        sensors = self._sensors
        for event in events:
            sensors.begin("on_message_in", event.tp, event.offset, event)
            state = sensors.begin("on_stream_event_in", event.tp, event.offset, stream, event)
            self._open.append((event, state))

    def end(self, stream: Any) -> None:
        """Tell that what was handed out is done, or was given up."""
        opened, self._open = self._open, []
        sensors = self._sensors
        for event, state in opened:
            sensors.end("on_stream_event_out", event.tp, event.offset, stream, event, state=state)
            sensors.begin("on_message_out", event.tp, event.offset, event)


def watch_sent(
    sensors: "SensorDelegate", producer: Any, topic: str, key: Any, value: Any
) -> Callable[[Any], None]:
    """Tell that a record is about to be sent; what is returned is to be called when it is."""
    sizes = [len(one) if isinstance(one, bytes) else 0 for one in (key, value)]
    state = sensors.begin("on_send_initiated", producer, topic, None, *sizes)

    def tell(delivery: Any) -> None:
        try:
            topic, partition, offset, timestamp_ms = delivery.result(0)
        except Exception as exc:  # noqa: BLE001 - it is what the sensor is told
            sensors.end_with_error("on_send_error", producer, exc, state=state)
        else:
            meta = RecordMetadata(topic, partition, offset, timestamp_ms / 1_000)
            sensors.end_sent(producer, state, meta)

    def sent(pending: Any) -> None:
        delivery = pending.delivery
        if not hasattr(delivery, "add_done_callback"):
            tell(delivery)
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            delivery.add_done_callback(tell)
            return

        def later(done: Any) -> None:
            # The loop may be gone by the time the broker answers.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(tell, done)

        delivery.add_done_callback(later)

    return sent


@dataclass
class _Answer:
    """What sensors see of an answer."""

    status: int
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


class PageWatch:
    """Middleware of ASGI that tells of requests."""

    def __init__(self, app: Any, *, sensors: "SensorDelegate") -> None:
        self._inner = app
        self._sensors = sensors

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        from turbine.web.answers import Request

        request, answers = Request(scope, receive, send), []

        async def told(message: Any) -> None:
            if message["type"] == "http.response.start":
                answers.append(_Answer(message["status"], list(message.get("headers", ()))))
            await send(message)

        sensors = self._sensors
        state = sensors.begin("on_web_request_start", sensors.app, request, view=None)
        try:
            await self._inner(scope, receive, told)
        finally:
            answer = answers[0] if answers else None
            args = sensors.app, request, answer
            sensors.end("on_web_request_end", *args, state=state, view=None)
