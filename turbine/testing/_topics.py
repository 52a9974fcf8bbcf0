"""Topics of a test: put records in, expect records to come."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from turbine.events import Event
from turbine.exceptions import DecodeError
from turbine.testing._codec import decode, outgoing
from turbine.testing._events import Sent
from turbine.testing._eventually import Eventually, Steps
from turbine.testing._match import Expected, Match, Order, match
from turbine.testing._reader import Raw
from turbine.types import HeadersArg, RecordMetadata

if TYPE_CHECKING:
    from turbine.testing._harness import Harness

__all__ = ["TopicHandle"]

_PUT_LIMIT_S = 30.0
_LOOK_AGAIN_S = 0.01


class TopicHandle(str):  # noqa: SLOT000 - a handful a test
    """
    A topic of a test; its own name, so that it stands wherever a topic name does.

    Made by the fixture ``turbine_topics``: ``orders = turbine_topics("orders", value_type=Order)``.

    Attributes:
        name: Its name on the broker.
        key_type: Type of keys, as in `App.topic`; None: bytes.
        value_type: Type of values, as in `App.topic`; None: JSON of any shape.
        partitions: Number of partitions.
    """

    _harness: "Harness"
    _seen: set[tuple[int, int]]
    key_type: Any
    value_type: Any
    partitions: int

    def __new__(
        cls, name: str, harness: "Harness", *, partitions: int, key_type: Any, value_type: Any
    ) -> Self:
        """See the class."""
        self = super().__new__(cls, name)
        self._harness = harness
        self.partitions = partitions
        self.key_type = key_type
        self.value_type = value_type
        self._seen = set()
        return self

    @property
    def name(self) -> str:
        """Its name on the broker."""
        return str.__str__(self)

    def put(
        self,
        *values: Any,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg | None = None,
    ) -> Eventually[list[RecordMetadata]]:
        """
        Write records, and wait until the broker has them.

        Args:
            *values: A record each: a value as `Topic.send` takes it, or a `Sent` of
                `event_streams`, which brings key and timestamp of its own.
            key: Key of each; records of one key are in one partition, in their order.
            partition: Partition; chosen by the key if None.
            timestamp: Seconds since the Unix epoch; now, on the clock of the test, if None.
            headers: Headers of each.

        Returns:
            Where the records are.
        """
        sent = [v if isinstance(v, Sent) else Sent(v, key, _or(timestamp, -1.0)) for v in values]
        steps = self._put(sent, -1 if partition is None else partition, headers)
        return self._harness.eventually(f"{self.name}.put(...)", steps)

    def expect(
        self,
        values: Iterable[Any],
        *,
        order: Order = "partition",
        repeats: bool = False,
        timeout: float = 10.0,
    ) -> Eventually[list[Event]]:
        """
        Wait until exactly these records have come, apart from those of an earlier `expect`.

        Args:
            values: Values, decoded as the type of the topic says; `record(...)` for more than the
                value, `ANY` for any.
            order: ``"partition"``: the records of each partition come in the order of *values*;
                ``"any"``: the order does not matter.
            repeats: A record may come more than once, as it does after a crash: delivery is at
                least once.
            timeout: Longest time to wait, in seconds.

        Returns:
            The records.

        Raises:
            AssertionError: Other records have come, or not all in time; the message shows which.
        """
        wanted = [v if isinstance(v, Expected) else Expected(v) for v in values]
        steps = self._expect(wanted, order, timeout, repeats=repeats)
        return self._harness.eventually(f"{self.name}.expect(...)", steps)

    def records(self) -> list[Event]:
        """
        Everything that is in the topic now; of each partition in order.

        Raises:
            DecodeError: A record does not fit the type of the topic.
        """
        return [self._event(raw) for raw in self._harness.broker.records(self.name)]

    # -- steps -----------------------------------------------------------------------------

    def _put(
        self, records: Sequence[Sent], partition: int, headers: HeadersArg | None
    ) -> Steps[list[RecordMetadata]]:
        from turbine.topics import _raw_headers, _to_ms

        producer, now_ms = self._harness.broker.producer, self._harness.now_ms
        raw_headers = None if headers is None else _raw_headers(headers)
        deliveries = []
        for one in records:
            time_ms = _to_ms(one.timestamp) if one.timestamp >= 0 else now_ms() if now_ms else -1
            value, key = outgoing(one.value, self.value_type), one.key
            made = producer.send(self.name, key, value, partition, time_ms, raw_headers)
            while made is None:
                yield _LOOK_AGAIN_S
                made = producer.send(self.name, key, value, partition, time_ms, raw_headers)
            deliveries.append(made)
        end = time.monotonic() + _PUT_LIMIT_S
        places = []
        for delivery in deliveries:
            while not delivery.done():
                if time.monotonic() > end:
                    raise TimeoutError(
                        f"{self.name}.put(...): the broker at {self._harness.broker.address} has "
                        f"not acknowledged the records after {_PUT_LIMIT_S:.0f} s"
                    )
                yield _LOOK_AGAIN_S / 10
            topic, number, offset, stamp_ms = delivery.result(0)
            places.append(RecordMetadata(topic, number, offset, stamp_ms / 1_000))
        return places

    def _expect(
        self, wanted: Sequence[Expected], order: Order, timeout_s: float, *, repeats: bool
    ) -> Steps[list[Event]]:
        __tracebackhide__ = True
        end = time.monotonic() + timeout_s
        while True:
            everything = self._decoded()
            came = [e for e in everything if (e.partition, e.offset) not in self._seen]
            found = match(wanted, came, order=order, repeats=repeats)
            if repeats and found.surplus:
                known = [Expected(e.value, e.key) for e in everything if self._has_seen(e)]
                found.surplus = [e for e in found.surplus if not any(k.fits(e) for k in known)]
            if found.is_whole:
                self._seen |= {(e.partition, e.offset) for e in came}
                return came
            over = bool(found.surplus or found.disorder)
            reasons = self._harness.why_nothing_comes()
            if over or reasons or time.monotonic() > end:
                raise AssertionError(self._message(found, wanted, came, timeout_s, reasons))
            yield _LOOK_AGAIN_S

    def _has_seen(self, event: Event) -> bool:
        return (event.partition, event.offset) in self._seen

    def _decoded(self) -> list[Event]:
        try:
            return self.records()
        except DecodeError as exc:
            raise AssertionError(
                f"{self.name}.expect(...): a record does not fit the type of the topic: {exc}\n"
                f"The test reads it as value_type={_name(self.value_type)}, "
                f"key_type={_name(self.key_type)}: say in turbine_topics(...) what it holds"
            ) from None

    def _message(
        self,
        found: Match,
        wanted: Sequence[Expected],
        came: Sequence[Event],
        timeout_s: float,
        reasons: Sequence[str],
    ) -> str:
        late = found.missing and not found.surplus and not reasons
        after = f" within {timeout_s:g} s" if late else ""
        text = f"{self.name}.expect(...){after}: {found.text(wanted, came)}"
        hints = [*reasons, *(self._harness.hints(self) if found.missing else ())]
        if _differ_in_type(found):
            hints.append(
                "missing and unexpected values look alike but differ in type: declare the topic "
                "with the type of the values, turbine_topics(..., value_type=...)"
            )
        return "\n".join([text, *(f"hint: {hint}" for hint in hints)])

    def _event(self, raw: Raw) -> Event:
        value = decode(raw.value, self.value_type, default="json")
        key = decode(raw.key, self.key_type, default="raw")
        app: Any = None
        time_s = raw.timestamp_ms / 1_000
        return Event(app, key, value, raw.headers, self.name, raw.partition, raw.offset, time_s)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", repr(kind))


def _differ_in_type(found: Match) -> bool:
    """Whether a value is missing that is there as another type: text, bytes, a model."""

    def plain(value: Any) -> str:
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if hasattr(value, "model_dump"):
            value = value.model_dump()
        return str(value)

    return any(
        plain(one.value) == plain(event.value) and type(one.value) is not type(event.value)
        for one in found.missing
        for event in found.surplus
    )


def config_texts(config: Mapping[str, object] | None) -> dict[str, str]:
    """Settings of a topic as Kafka takes them."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in (config or {}).items()
    }
