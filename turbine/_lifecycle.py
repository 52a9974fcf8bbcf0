"""How an app starts and ends: as a program, inside another one, or as a client that only sends."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

from turbine import _discover
from turbine.exceptions import NotRunning
from turbine.settings import Settings
from turbine.signals import Signal

if TYPE_CHECKING:
    from turbine._native import Producer
    from turbine._replies import Replies
    from turbine.app import App
    from turbine.types import TP

__all__ = ["Attached", "Lifecycle"]


class Attached(Protocol):
    """
    What makes an app send: a worker, a client, or what a test puts in their place.

    Attributes:
        keeps_producer: Whether `producer` is always the same, so that it need not be asked for.
    """

    keeps_producer: bool

    @property
    def producer(self) -> "Producer":
        """Takes what is sent."""


class Lifecycle:
    """
    The part of `turbine.App` that runs; nothing in it exists before a start.

    Attributes:
        on_before_configured: Signal ``(app)`` before the settings are final.
        on_configured: Signal ``(app, conf)`` in which they may be changed still.
        on_after_configured: Signal ``(app)`` when they are final, and before modules are imported.
        on_worker_init: Signal ``(app)`` before a worker starts.
        on_partitions_assigned: Signal ``(app, partitions: set[TP])`` after partitions were given.
        on_partitions_revoked: Signal ``(app, partitions: set[TP])`` after partitions were taken.
        on_rebalance_complete: Signal ``(app)`` when what was given is restored and runs.
        on_partition_failed: Signal ``(app, partition: TP, reason: str)`` after one has stopped.
        on_before_shutdown: Signal ``(app)`` before a worker drains.
    """

    conf: Settings
    _module: str

    def __init__(self) -> None:
        self.on_before_configured = Signal("on_before_configured")
        self.on_configured = Signal("on_configured")
        self.on_after_configured = Signal("on_after_configured")
        self.on_worker_init = Signal("on_worker_init")
        self.on_partitions_assigned = Signal("on_partitions_assigned")
        self.on_partitions_revoked = Signal("on_partitions_revoked")
        self.on_rebalance_complete = Signal("on_rebalance_complete")
        self.on_partition_failed = Signal("on_partition_failed")
        self.on_before_shutdown = Signal("on_before_shutdown")
        self._finalized = False
        self._attached: Attached | None = None
        self._producer: Producer | None = None
        self._replies: Replies | None = None
        self._discovered = False

    def finalize(self) -> None:
        """
        Send the signals around the settings, once; a start does it if nobody has.

        Settings may be assigned later too, until a worker starts.
        """
        if self._finalized:
            return
        self._finalized = True
        self.on_before_configured.send_now(self)
        self.on_configured.send_now(self, self.conf)
        self.on_after_configured.send_now(self)

    def discover(self, *modules: str) -> None:
        """
        Import *modules*, and what the ``autodiscover`` setting names, for their declarations.

        Called once before a start; calling it again does nothing more.
        """
        self.finalize()
        _discover.import_all(modules)
        if not self._discovered:
            self._discovered = True
            _discover.import_all(_discover.modules_of(self.conf, self._module))

    def main(self, argv: Sequence[str] | None = None) -> None:
        """Be the command line of this app: ``python app.py worker -l info``. Ends the process."""
        from turbine.cli import main

        main(argv, app=cast("App", self))

    def run(self, **options: Any) -> None:
        """Run a worker until INT or TERM, then drain it; ends the process if it failed."""
        from turbine.worker import run

        self.discover()
        code = run(cast("App", self), **options)
        if code:
            raise SystemExit(code)

    @asynccontextmanager
    async def running(self, *, http: bool = False) -> AsyncIterator[Self]:
        """
        Run a worker inside a program that has its own loop: FastAPI, Jupyter, pytest.

        Signals stay with the program. Leaving drains the worker; if it failed, leaving raises why.

        Args:
            http: Serve health and metrics on the worker's own port too.
        """
        from turbine.worker import Runtime

        self._check_idle()
        self.discover()
        runtime = Runtime(cast("App", self), http=http)
        self._runtime = runtime
        try:
            await runtime.start()
            try:
                yield self
            finally:
                await runtime.stop()
        finally:
            self._runtime = None

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Self]:
        """Only send, and read nothing: ``async with app.client(): await topic.send(...)``."""
        await self.start_client()
        try:
            yield self
        finally:
            await self.stop_client()

    async def start_client(self) -> None:
        """Make `send` work without a worker; see `client`."""
        from turbine._client import Client

        self._check_idle()
        self._runtime = Client(self.conf)

    async def stop_client(self) -> None:
        """Wait until everything sent is acknowledged, and end the client."""
        from turbine._client import Client
        from turbine._replies import stop_replies

        client = self._attached
        await stop_replies(cast("App", self))
        self._runtime = None
        if isinstance(client, Client):
            await client.stop()

    def is_leader(self) -> bool:
        """
        Whether this worker is the one that runs what only one is to run.

        It is the worker that has partition 0 of the setting ``leader_topic``. While partitions
        move, no worker may be it, and for a moment two.
        """
        return bool(getattr(self._attached, "leader", True))

    async def until_leader(self) -> None:
        """Wait until this worker is the leader."""
        leader = getattr(self._attached, "leader", None)
        if leader is not None:
            await leader.wait()

    def make_observer(self) -> Any:
        """Return what a stream that is made tells of its events; None: nobody wants to know."""
        return None

    @property
    def hears_commits(self) -> bool:
        """Whether `commit_heard` is to be called."""
        return False

    def commit_heard(self, kind: str, group: str, partitions: "Sequence[TP]") -> None:
        """Offsets of agents are about to be committed (``commits``), or are (``committed``)."""

    def watch_table(self, table: Any, native: Any) -> Any:
        """Return what *table* reads and writes through; *native*: nobody wants to know."""
        del table
        return native

    def reply_value(self, value: Any) -> Any:
        """Make what `turbine.Agent.ask` returns of the JSON value of an answer."""
        return value

    # -- the parts of a running app --------------------------------------------------------

    @property
    def _runtime(self) -> Attached | None:
        """What runs: a worker, a client, or nothing; set by whoever starts it."""
        return self._attached

    @_runtime.setter
    def _runtime(self, runtime: Attached | None) -> None:
        self._attached = runtime
        self._producer = None
        for table in cast("App", self).tables.values():
            table.detach()

    def _find_producer(self) -> "Producer":
        if self._attached is None:
            raise NotRunning(
                "the app is not running: send inside 'async with app.running():', or, "
                "for sending only, inside 'async with app.client():'"
            )
        producer = self._attached.producer
        if self._attached.keeps_producer:
            self._producer = producer
        return producer

    def _check_idle(self) -> None:
        if self._attached is not None:
            raise NotRunning(
                "the app is running already: one process runs one worker or client of an app"
            )
