"""How a worker under test reaches its broker, and how it is cut off."""

from abc import ABC, abstractmethod

from turbine import _native

__all__ = ["EmbeddedLink", "Link", "ProxyLink"]


class Link(ABC):
    """
    The line of one worker.

    Attributes:
        address: ``host:port`` that the worker is told.
        client_id: ``client.id`` of the worker.
    """

    def __init__(self, address: str, client_id: str) -> None:
        self.address = address
        self.client_id = client_id

    @abstractmethod
    def cut(self) -> None:
        """From now on nothing of the worker has an effect."""

    @abstractmethod
    def hold(self) -> None:
        """Let everything wait until `release`."""

    @abstractmethod
    def release(self) -> None:
        """Let go on what waits."""

    @abstractmethod
    def close(self) -> None:
        """End it; the worker has ended."""


class EmbeddedLink(Link):
    """The embedded broker knows its clients by their ``client.id``, and deals with them itself."""

    def __init__(self, broker: _native.EmbeddedBroker, client_id: str) -> None:
        super().__init__(broker.address, client_id)
        self._broker = broker
        self._cut: _native.Fault | None = None
        self._held: _native.Fault | None = None

    def cut(self) -> None:
        """Close each connection at its next request, which has no effect."""
        self._cut = self._broker.disconnect("*", None, client=self.client_id)
        self.release()

    def hold(self) -> None:
        """Let every request wait."""
        self._held = self._broker.hold("*", client=self.client_id)

    def release(self) -> None:
        """Serve the requests that wait."""
        if self._held is not None:
            self._held.remove()
            self._held = None

    def close(self) -> None:
        """Forget the client."""
        self.release()
        if self._cut is not None:
            self._cut.remove()
            self._cut = None


class ProxyLink(Link):
    """
    A proxy of its own, for clusters that take no orders.

    Attributes:
        proxy: The proxy.
    """

    def __init__(self, upstream: str, client_id: str) -> None:
        self.proxy = _native.FaultProxy(upstream)
        self._held: _native.Fault | None = None
        super().__init__(self.proxy.address, client_id)

    def cut(self) -> None:
        """Close every connection, and let none be made again."""
        self.proxy.cut()

    def hold(self) -> None:
        """Let nothing through, in both directions."""
        self._held = self.proxy.hold("both")

    def release(self) -> None:
        """Let through what waits."""
        if self._held is not None:
            self._held.remove()
            self._held = None

    def close(self) -> None:
        """End the proxy."""
        self.proxy.close()
