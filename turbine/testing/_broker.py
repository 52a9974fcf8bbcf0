"""The broker of a test: the embedded one, or a real Kafka behind fault proxies."""

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from turbine import _native
from turbine.exceptions import KafkaError
from turbine.testing._clock import Clock
from turbine.testing._links import EmbeddedLink, Link, ProxyLink
from turbine.testing._reader import Raw, TopicReader

__all__ = ["Broker", "EmbeddedBroker", "Fault", "KafkaBroker"]

_BUFFER_BYTES = 64 << 20
_ADMIN_MS = 20_000
_LOOK_AGAIN_S = 0.02


class Fault:
    """Something that goes wrong on purpose, made by a method of `Broker`."""

    def __init__(self, parts: Sequence[_native.Fault]) -> None:
        self._parts = parts

    @property
    def hits(self) -> int:
        """To how many requests it has happened."""
        return sum(part.hits for part in self._parts)

    def remove(self) -> None:
        """Let it happen no more, and what it holds go on."""
        for part in self._parts:
            part.remove()

    def __repr__(self) -> str:
        return f"<Fault: {', '.join(map(repr, self._parts))}>"


class Broker(ABC):
    """
    A broker that tests can make trouble on.

    Attributes:
        kind: ``embedded`` or ``kafka``.
        address: ``host:port`` to give to clients.
    """

    kind: Literal["embedded", "kafka"]

    def __init__(self, address: str) -> None:
        self.address = address
        self._admin: _native.Admin | None = None
        self._producer: _native.Producer | None = None
        self._faults: list[Fault] = []

    # -- faults ----------------------------------------------------------------------------

    @abstractmethod
    def delay(
        self,
        api: str,
        ms: int,
        times: int | None = None,
        *,
        topic: str | None = None,
        client: str | None = None,
    ) -> Fault:
        """
        Let requests wait before they are served.

        Args:
            api: Name of a request of the Kafka protocol, as ``"Produce"`` or ``"Fetch"``; ``"*"``
                for every one.
            ms: How long, in ms.
            times: How many requests; None for all from now on.
            topic: Only requests that name this topic.
            client: Only requests of this ``client.id``; of a worker it is ``worker.name``.
        """

    @abstractmethod
    def drop_response(
        self,
        api: str,
        times: int | None = 1,
        *,
        topic: str | None = None,
        client: str | None = None,
    ) -> Fault:
        """Serve the next requests, but close their connections instead of answering."""

    @abstractmethod
    def disconnect(
        self,
        api: str,
        times: int | None = 1,
        *,
        topic: str | None = None,
        client: str | None = None,
    ) -> Fault:
        """Close the connections of the next requests, which have no effect."""

    @abstractmethod
    def fail(
        self,
        api: str,
        error: str | int,
        times: int | None = 1,
        *,
        topic: str | None = None,
        client: str | None = None,
    ) -> Fault:
        """
        Answer the next requests with an error of Kafka; they have no effect.

        Args:
            api: Name of a request, as ``"Produce"``.
            error: Name of an error, as ``"NOT_LEADER_OR_FOLLOWER"``, or its number.
            times: How many requests; None for all from now on.
            topic: Only requests that name this topic.
            client: Only requests of this ``client.id``; of a worker it is ``worker.name``.
        """

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        for fault in self._faults:
            fault.remove()
        self._faults.clear()

    @abstractmethod
    def rebalance(self, group: str | None = None) -> None:
        """Make every member of *group*, or of all groups, share the partitions anew."""

    @abstractmethod
    def down(self, node: int = 1) -> None:
        """Take a node down, as if killed; a broker with one node is gone until `up`."""

    @abstractmethod
    def up(self, node: int = 1) -> None:
        """Bring a node back where it was."""

    # -- for topics and workers ------------------------------------------------------------

    @property
    def admin(self) -> _native.Admin:
        """Topics and their ends."""
        if self._admin is None:
            self._admin = _native.Admin(self.address, {})
        return self._admin

    @property
    def producer(self) -> _native.Producer:
        """What tests put records in with."""
        if self._producer is None:
            self._producer = _native.Producer(self.address, {}, _BUFFER_BYTES)
        return self._producer

    @staticmethod
    def unique(name: str) -> str:
        """A name that nobody else uses."""
        return f"{name}-{uuid.uuid4().hex[:8]}"

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        """Create a topic and wait until it has its leaders."""
        self.admin.create_topics({name: partitions}, -1, dict(config) or None, _ADMIN_MS)
        self.ends(name)

    def ends(self, topic: str) -> dict[int, int]:
        """Partition to end offset."""
        return {n: end for n, (_, end) in self.admin.watermarks(topic, _ADMIN_MS).items()}

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Partition to committed offset."""
        return self.admin.committed(group, topic, _ADMIN_MS)

    @abstractmethod
    def records(self, topic: str) -> list[Raw]:
        """Every record that is in a topic now; of each partition in order."""

    @abstractmethod
    def link(self, client_id: str) -> Link:
        """A way to the broker for one worker."""

    @abstractmethod
    def expire(self, client_id: str, *, required: bool = False) -> None:
        """
        End the sessions of a client in every group, where the broker can do that.

        Raises:
            RuntimeError: It cannot, and that is *required*.
        """

    def end_test(self) -> None:
        """Let go of what belongs to one test."""
        self.clear_faults()

    def stop(self) -> None:
        """End what tests have used of it."""
        self._producer = self._admin = None

    def _note(self, *parts: _native.Fault) -> Fault:
        fault = Fault(parts)
        self._faults.append(fault)
        return fault

    def __repr__(self) -> str:
        return f"<{self.kind} broker at {self.address}>"


class EmbeddedBroker(Broker):
    """
    The broker of the package, in the process of the test.

    Args:
        clock: A virtual clock; None: the time of this machine.
        **options: As for `turbine.EmbeddedBroker`: ``nodes``, ``data_dir`` and so on.

    Attributes:
        native: The broker itself, with everything that it can do.
    """

    kind = "embedded"

    def __init__(self, clock: Clock | None = None, **options: Any) -> None:
        if clock is not None:
            options["clock"] = clock.native
        self.native = _native.EmbeddedBroker(**options)
        self._down: set[int] = set()
        self._ends: dict[tuple[str, int], int] = {}
        super().__init__(self.native.address)

    @property
    def schema_registry_url(self) -> str | None:
        """``http://host:port`` of its schema registry, with ``schema_registry=True``."""
        return self.native.schema_registry_url

    def delay(
        self,
        api: str,
        ms: int,
        times: int | None = None,
        *,
        topic: str | None = None,
        client: str | None = None,
    ) -> Fault:
        """Let requests wait before they are served; see `Broker.delay`."""
        return self._note(self.native.delay(api, ms, times, topic=topic, client=client))

    def drop_response(
        self,
        api: str,
        times: int | None = 1,
        *,
        topic: str | None = None,
        client: str | None = None,
    ) -> Fault:
        """Serve the next requests, but close their connections instead of answering."""
        return self._note(self.native.drop_response(api, times, topic=topic, client=client))

    def disconnect(
        self,
        api: str,
        times: int | None = 1,
        *,
        topic: str | None = None,
        client: str | None = None,
    ) -> Fault:
        """Close the connections of the next requests, which have no effect."""
        return self._note(self.native.disconnect(api, times, topic=topic, client=client))

    def fail(
        self,
        api: str,
        error: str | int,
        times: int | None = 1,
        *,
        topic: str | None = None,
        client: str | None = None,
    ) -> Fault:
        """Answer the next requests with an error of Kafka; see `Broker.fail`."""
        return self._note(self.native.fail(api, error, times, topic=topic, client=client))

    def clear_faults(self) -> None:
        """Let nothing go wrong any more, and bring every node back."""
        super().clear_faults()
        for node in sorted(self._down):
            self.up(node)

    def rebalance(self, group: str | None = None) -> None:
        """Make every member of *group*, or of all groups, share the partitions anew."""
        self.native.rebalance(group)

    def down(self, node: int = 1) -> None:
        """Take a node down, as if killed; a broker with one node is gone until `up`."""
        self.native.down(node)
        self._down.add(node)

    def up(self, node: int = 1) -> None:
        """Bring a node back where it was."""
        self.native.up(node)
        self._down.discard(node)

    def link(self, client_id: str) -> Link:
        """A way to the broker for one worker."""
        return EmbeddedLink(self.native, client_id)

    def expire(self, client_id: str, *, required: bool = False) -> None:
        """End the sessions of a client in every group."""
        del required
        for group, (_, members) in self.native.groups().items():
            if client_id in members.values():
                self.native.expire_member(group, client_id)

    def ends(self, topic: str) -> dict[int, int]:
        """Partition to the offset behind its last record."""
        for partition in range(self.native.topics().get(topic, 0)):
            place = (topic, partition)
            begin = self._ends.get(place, 0)
            new = self.native.records(topic, partition, begin, committed=False)
            self._ends[place] = new[-1][1] + 1 if new else begin
        return {number: end for (name, number), end in self._ends.items() if name == topic}

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Partition to committed offset."""
        found = self.native.committed(group)
        return {number: offset for (name, number), offset in found.items() if name == topic}

    def records(self, topic: str) -> list[Raw]:
        """Every record that is in a topic now; of each partition in order."""
        return [
            Raw(partition, offset, key, value, tuple(headers), timestamp_ms)
            for partition, offset, timestamp_ms, key, value, headers in self.native.records(topic)
        ]

    def stop(self) -> None:
        """Close it; what is in it is gone."""
        super().stop()
        self.native.stop()


class KafkaBroker(Broker):
    """A Kafka cluster that runs already; trouble is made on the lines of the test's workers."""

    kind = "kafka"

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._links: list[ProxyLink] = []
        self._readers: dict[str, TopicReader] = {}

    def delay(
        self,
        api: str,
        ms: int,
        times: int | None = None,
        *,
        topic: str | None = None,
        client: str | None = None,
    ) -> Fault:
        """Let requests of the workers of the test wait; see `Broker.delay`."""
        proxies = self._proxies("delay")
        return self._note(*(p.delay(api, ms, times, topic=topic, client=client) for p in proxies))

    def drop_response(
        self,
        api: str,
        times: int | None = 1,
        *,
        topic: str | None = None,
        client: str | None = None,
    ) -> Fault:
        """Close connections of the workers of the test instead of passing answers on."""
        proxies = self._proxies("drop_response")
        return self._note(
            *(p.drop_response(api, times, topic=topic, client=client) for p in proxies)
        )

    def disconnect(
        self,
        api: str,
        times: int | None = 1,
        *,
        topic: str | None = None,
        client: str | None = None,
    ) -> Fault:
        """Close connections of the workers of the test; their requests do not arrive."""
        proxies = self._proxies("disconnect")
        return self._note(*(p.disconnect(api, times, topic=topic, client=client) for p in proxies))

    def fail(
        self,
        api: str,
        error: str | int,
        times: int | None = 1,
        *,
        topic: str | None = None,
        client: str | None = None,
    ) -> Fault:
        """Answer requests of the workers of the test with an error; they do not arrive."""
        faults = (
            proxy.fail(api, error, times, topic=topic, client=client)
            for proxy in self._proxies("fail")
        )
        return self._note(*faults)

    def rebalance(self, group: str | None = None) -> None:
        """Not possible here."""
        del group
        raise self._only_embedded("rebalance", "start or stop a second worker instead")

    def down(self, node: int = 1) -> None:
        """Not possible here."""
        del node
        raise self._only_embedded("down", "worker.pause() holds the line of one worker")

    def up(self, node: int = 1) -> None:
        """Not possible here."""
        del node
        raise self._only_embedded("up", "worker.resume() lets go of the line of one worker")

    def link(self, client_id: str) -> Link:
        """A way to the broker for one worker."""
        link = ProxyLink(self.address, client_id)
        self._links.append(link)
        return link

    def expire(self, client_id: str, *, required: bool = False) -> None:
        """Not possible here."""
        del client_id
        if required:
            raise self._only_embedded("expire", "wait for the session timeout")

    def end_test(self) -> None:
        """Let go of what belongs to one test."""
        super().end_test()
        self._links.clear()
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def ends(self, topic: str) -> dict[int, int]:
        """Partition to end offset; a new topic names its leaders before they lead."""
        deadline = time.monotonic() + _ADMIN_MS / 1_000
        while True:
            try:
                return super().ends(topic)
            except KafkaError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_LOOK_AGAIN_S)

    def records(self, topic: str) -> list[Raw]:
        """Every record that is in a topic now; of each partition in order."""
        if topic not in self._readers:
            self._readers[topic] = TopicReader(self.address, topic)
        return self._readers[topic].records()

    def _proxies(self, call: str) -> "list[_native.FaultProxy]":
        if not self._links:
            raise RuntimeError(
                f"broker.{call}() on Kafka acts on the lines of the workers: start one first"
            )
        return [link.proxy for link in self._links]

    def _only_embedded(self, call: str, instead: str) -> RuntimeError:
        return RuntimeError(
            f"broker.{call}() needs the embedded broker, and this test runs on Kafka at "
            f"{self.address}: {instead}"
        )
