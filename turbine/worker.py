"""
A running worker: it builds what an app declares, starts it, and ends it.

`Runtime` lives on an event loop that somebody else runs; `turbine._process` is the program around
it, with signals and an exit code.
"""

import asyncio
import contextlib
import functools
import json
import logging
import threading
import time
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from turbine import _native
from turbine._agents_runtime import AgentInstance, Rows, cancel_all
from turbine._dump import describe_worker
from turbine._isolated import IsolatedAgent
from turbine._leader import Leader
from turbine._pages_runtime import Pages
from turbine._patterns_runtime import Patterns
from turbine._plan import plan_app
from turbine._readers import Reader
from turbine._replies import stop_replies
from turbine._shards import make_handler
from turbine._slow import Watch
from turbine._subscriptions_runtime import AsyncRunner, SyncRunner
from turbine._topics_runtime import ensure_topics
from turbine._wake import Wake
from turbine._window_cleaner import WindowCleaner
from turbine._worker_config import worker_config
from turbine.channels import Channel, drain
from turbine.exceptions import HandlerError
from turbine.logs import write_logs
from turbine.signals import Signal
from turbine.timers import SystemClock
from turbine.types import TP

if TYPE_CHECKING:
    from turbine.agents import Agent
    from turbine.app import App
    from turbine.tables import Table

__all__ = ["Runtime", "run", "write_logs"]

logger = logging.getLogger("turbine.worker")

_ADMIN_TIMEOUT_MS = 5_000
_LOOK_AGAIN_S = 0.02
"""How often partitions are asked whether they are restored: the core tells nobody."""
EXIT_GAP = 3
"""Exit code of a worker that ``halt_if_gap_exceeds`` has ended."""
_JOIN_EXTRA_S = 1.0
"""What leaving the groups may take beyond the handlers' own time."""


class Runtime:
    """
    One worker of an app, from `start` to `stop`.

    Args:
        app: The app.
        http: Whether it serves HTTP, if the settings allow it.
        brokers: ``host:port,host:port`` instead of the app's brokers.
        kafka: Settings of the Kafka client, on top of the app's.

    Attributes:
        app: The app.
        hanging: After `stop`, what did not end in time.
        failures: Why partitions stopped, in the order of their failing.
        leader: Whether this worker is the one that runs what only one is to run.
        pages: What serves the app's pages.
    """

    keeps_producer = True

    def __init__(
        self,
        app: "App",
        *,
        http: bool = True,
        brokers: str | None = None,
        kafka: Mapping[str, str] | None = None,
    ) -> None:
        self.app = app
        plan_app(app)
        self._brokers = brokers or app.conf.bootstrap
        self.hanging: list[str] = []
        self.failures: list[str] = []
        # Classes make their windows now, which the core is to know before it starts.
        self._handlers = {one.name: make_handler(one) for one in app.subscriptions.values()}
        self.leader = Leader(app)
        self.pages = Pages(app, serve=http)
        try:
            config = worker_config(
                app,
                handlers=self._handlers,
                http=http,
                brokers=brokers,
                kafka={**self.pages.client_settings(), **(kafka or {})},
            )
            # A clock of tests has one for the core too.
            self._native = _native.Worker(json.dumps(config), getattr(app.clock, "native", None))
        except BaseException:
            self.pages.close()
            raise
        self._stop_asked = asyncio.Event()
        self._exit_code = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self._jobs: list[asyncio.Task[Any]] = []
        self._signals: set[asyncio.Task[None]] = set()
        self._threads: list[SyncRunner] = []
        self._readers: dict[asyncio.Task[Any], Channel] = {}
        self._isolated: list[IsolatedAgent] = []
        self._cleaner = WindowCleaner(app, self._native)
        self._wake: Wake | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def producer(self) -> _native.Producer:
        """The producer that `Topic.send` uses."""
        return self._native.producer

    def table(self, table: "Table[Any, Any]") -> _native.Table:
        """Return the core's side of *table*."""
        return self._native.table(table.name, table.codec)

    @property
    def http_address(self) -> str | None:
        """``host:port`` of health and metrics; None without them."""
        return self._native.http_address

    @functools.cached_property
    def admin(self) -> _native.Admin:
        """A client that asks the brokers about topics and groups, made when it is asked for."""
        return _native.Admin(self._brokers, self.app.conf.client)

    @property
    def is_stopping(self) -> bool:
        """Whether it drains, or is about to."""
        return self._stop_asked.is_set()

    @property
    def native(self) -> _native.Worker:
        """The core's worker, for looking at its state."""
        return self._native

    # -- life ------------------------------------------------------------------------------

    async def start(self) -> None:
        """
        Create missing topics, join the groups, start handlers and jobs.

        Raises:
            BrokerUnavailable: No broker answers.
            ConfigError: A setting or topic is wrong.
        """
        app = self.app
        self._loop = asyncio.get_running_loop()
        admin = _native.Admin(self._brokers, app.conf.client)
        try:
            await app.on_worker_init.send(app)
            self._declare()
            await asyncio.to_thread(ensure_topics, app, admin, _ADMIN_TIMEOUT_MS)
            wake = self._wake = Wake(self._native, self._on_news)
            await asyncio.to_thread(self._native.start)
            await self._start_patterns(admin)
            self._start_watch()
            await self.pages.start()
        except BaseException:
            await self._abort()
            raise
        for subscription in app.subscriptions.values():
            if subscription.plan is not None and not subscription.plan.lookups:
                continue
            handler = self._handlers[subscription.name]
            handler.bind(self._native)
            if subscription.is_async:
                work = AsyncRunner(self._native, wake, subscription, handler).run()
                self._spawn(work, subscription.name)
            else:
                runner = SyncRunner(self._native, subscription, handler)
                self._threads.append(runner)
                runner.start()
        for agent in app.agents.values():
            self._start_agent(agent, wake)
        self._cleaner.start()
        for job in app.jobs:
            name = f"{job.kind} {job.name}"
            self._jobs.append(asyncio.create_task(job.run(app.clock), name=name))

    async def wait(self) -> int:
        """Wait until the worker is to stop, or nothing of it is left to run; the exit code."""
        await self._stop_asked.wait()
        await self._drain()
        if self._exit_code:
            return self._exit_code
        return 1 if self.failures or self.hanging else 0

    async def until_stop(self) -> None:
        """Wait until the worker is to drain."""
        await self._stop_asked.wait()

    def request_stop(self) -> None:
        """Make `wait` drain and return. From the loop's own thread."""
        self._stop_asked.set()

    async def stop(self) -> None:
        """
        Drain, commit and leave.

        Raises:
            HandlerError: A partition had stopped because of a record or a handler.
        """
        self.request_stop()
        await self._drain()
        if self.failures:
            raise HandlerError(self.failures[0])

    def kill(self) -> None:
        """Let go of everything at once: nothing more is committed."""
        self._native.kill()

    async def abandon(self) -> None:
        """End what `kill` has let go of: handlers are cancelled, nothing is waited for."""
        await self._cleaner.stop(0)
        await cancel_all([*self._jobs, *self._tasks, *self._signals])
        # Again, for what a handler sent meanwhile: nobody is to wait for its acknowledgement.
        self._native.kill()
        await self._abort()

    def dump(self) -> str:
        """Python stack of every task and thread, and the state of every partition."""
        return describe_worker(self._native, self._loop, self.app.jobs)

    # -- inside ----------------------------------------------------------------------------

    async def _start_patterns(self, admin: _native.Admin) -> None:
        patterns = Patterns(self.app, self._native, admin)
        if patterns.are_there:
            await asyncio.to_thread(patterns.look)
            self._jobs.append(asyncio.create_task(patterns.look_on(), name="topics of patterns"))

    def _start_watch(self) -> None:
        limit_s = self.app.conf.stream_processing_timeout
        # A handler takes its time by the world's clock; one that a test turns says nothing of it.
        if limit_s and isinstance(self.app.clock, SystemClock):
            watch = Watch(self._native.assignments, limit_s)
            self._jobs.append(asyncio.create_task(watch.look_on(), name="slow handlers"))

    def _declare(self) -> None:
        for subscription in self.app.subscriptions.values():
            if subscription.schema is not None:
                self._native.set_schema(subscription.name, subscription.schema)
            if subscription.join is not None:
                right = subscription.join.right.source_schema
                self._native.set_schema(subscription.name_of_right, right)
        for agent in self.app.agents.values():
            if isinstance(agent.reads, Channel):
                continue
            key, value = agent.decoders()
            schema = None
            if hasattr(agent.value_type, "model_fields"):
                schema = _schema_or_none(agent.value_type)
            self._native.set_decoder(agent.name, key, value, schema)

    def _start_agent(self, agent: "Agent", wake: Wake) -> None:
        if isinstance(agent.fn, Reader):
            agent.fn.bind(self._native, wake)
            return
        options: dict[str, Any] = {"ending": self._stop_asked, "on_crash": self._crash}
        if agent.is_isolated:
            one = IsolatedAgent(self._native, wake, agent, self._spawn, **options)
            self._isolated.append(one)
            self._spawn(one.run(), agent.name)
            return
        instances: list[AgentInstance] = []
        for index in range(agent.concurrency):
            source = agent.reads
            is_channel = isinstance(source, Channel)
            rows = None if is_channel else Rows(self._native, wake, agent, index)
            instance = AgentInstance(self._native, agent, rows, index, **options)
            instances.append(instance)
            task = self._spawn(instance.run(), instance.name)
            if isinstance(source, Channel):
                self._readers[task] = source
        for instance in instances if agent.restarts_all else ():
            instance.siblings = [one for one in instances if one is not instance]

    def _crash(self, reason: str) -> None:
        """End the worker because of *reason*; its exit code says that it failed."""
        self.failures.append(reason)
        self.request_stop()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        task = asyncio.create_task(work, name=name)
        self._tasks.append(task)
        return task

    async def _abort(self) -> None:
        await self.pages.stop()
        await stop_replies(self.app)
        await asyncio.to_thread(self._native.join, 1_000)
        await asyncio.to_thread(self._native.close)
        if self._wake is not None:
            self._wake.close()
            self._wake = None
        write_logs()

    async def _drain(self) -> None:
        if self._wake is None:
            return
        await self._say_goodbye()
        await self.pages.stop()
        await cancel_all(self._jobs)
        await self._cleaner.stop(self.app.conf.drain_timeout)
        limit_s = self.app.conf.drain_timeout + _JOIN_EXTRA_S
        for agent in self._agents():
            if isinstance(agent.fn, Reader):
                agent.fn.end()
        self._native.stop()
        if self.app._replies is not None:  # noqa: SLF001 - the app's own part
            self.app._replies.end()  # noqa: SLF001 - as above
        joined = asyncio.create_task(_in_thread(self._native.join, round(limit_s * 1_000)))
        await self._finish_tasks(limit_s)
        self.hanging = await joined
        await _in_thread(self._join_threads, limit_s)
        if self._readers:
            # What readers of channels sent came after the core's own flush.
            await _in_thread(self.producer.flush, round(limit_s * 1_000))
        self.hanging += [task.get_name() for task in self._tasks if not task.done()]
        self.hanging += [one.name for one in self._threads if one.thread.is_alive()]
        self.hanging = list(dict.fromkeys(self.hanging))
        for name in self.hanging:
            logger.error("did not end in time: %s", name)
        await cancel_all([task for task in self._tasks if not task.done()])
        await stop_replies(self.app)
        await _in_thread(self._native.close)
        await asyncio.gather(*self._signals, return_exceptions=True)
        self._on_news()
        self._wake.close()
        self._wake = None
        # Frames of cancelled tasks refer to the worker, and these to them: let its threads end now.
        self._tasks.clear()
        self._readers.clear()
        self._isolated.clear()
        self._jobs.clear()

    async def _say_goodbye(self) -> None:
        """Tell the app's functions that the worker is about to drain; they have as long as it."""
        try:
            async with asyncio.timeout(self.app.conf.drain_timeout):
                await self.app.on_before_shutdown.send(self.app)
        except Exception:
            logger.exception("a function connected to on_before_shutdown failed")

    async def _finish_tasks(self, limit_s: float) -> None:
        """Wait for handlers; readers of channels come last: what others hold may go there."""
        deadline = asyncio.get_running_loop().time() + limit_s
        others = [task for task in self._tasks if task not in self._readers]
        if others:
            await asyncio.wait(others, timeout=limit_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await drain(set(self._readers.values()))
            # Nothing comes any more; a channel has no end of its own.
            await cancel_all(list(self._readers))

    def _join_threads(self, limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        for runner in self._threads:
            runner.thread.join(max(deadline - time.monotonic(), 0) if not self.hanging else 0.1)

    def _on_news(self) -> None:
        write_logs()
        for event in self._native.events():
            self._tell(event)

    def _tell(self, event: dict[str, Any]) -> None:
        kind, partitions = event["kind"], [TP(*pair) for pair in event["partitions"]]
        if kind == "fatal":
            logger.error("the worker ends: %s", event["reason"])
            self._exit_code = EXIT_GAP
            self.request_stop()
            return
        if kind == "failed":
            self.failures.append(event["reason"])
            self._send(self.app.on_partition_failed, partitions[0], event["reason"])
            if any(a.policy.crashes and partitions[0].topic in a.topics for a in self._agents()):
                logger.error("the worker ends: an agent is declared with on_error='crash'")
                self.request_stop()
            elif self._nothing_runs():
                logger.error("no partition is left that can go on: the worker stops")
                self.request_stop()
            return
        if kind in {"commits", "committed"}:
            self.app.commit_heard(kind, event["group"], partitions)
            return
        listed = ", ".join(f"{tp.topic}[{tp.partition}]" for tp in partitions)
        logger.info("%s by group %s: %s", kind, event["group"], listed)
        if kind == "restored":
            self._restored()
            return
        for one in self._isolated:
            (one.revoked if kind == "revoked" else one.assigned)(partitions)
        self.leader.heard(event, set(partitions))
        if kind == "revoked":
            self._forget(partitions)
            self._send(self.app.on_partitions_revoked, set(partitions))
            return
        self._send(self.app.on_partitions_assigned, set(partitions))
        if self.app.on_rebalance_complete:
            self._later(self._rebalanced(set(partitions)))

    def _forget(self, partitions: list[TP]) -> None:
        """Others go on with the windows of *partitions*."""
        for table in self.app.tables.values():
            if table.expiry is not None:
                table.expiry.forget(partitions)

    def _restored(self) -> None:
        for table in self.app.tables.values():
            if table.waits_for_recovery:
                self._later(table.tell_recovered())

    async def _rebalanced(self, partitions: set[TP]) -> None:
        """Send the signal once none of *partitions* is restored any more."""
        while self._wake is not None and not self._stop_asked.is_set():
            rows = self._native.assignments()
            waiting = {"assigned", "restoring"}
            if not any(
                row["state"] in waiting and TP(row["topic"], row["partition"]) in partitions
                for row in rows
            ):
                break
            await asyncio.sleep(_LOOK_AGAIN_S)
        else:
            return
        await self.app.on_rebalance_complete.send(self.app)

    def _send(self, signal: Signal, *args: object) -> None:
        if signal:
            self._later(signal.send(self.app, *args))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._signals.add(task)
        task.add_done_callback(self._signal_done)

    def _signal_done(self, task: "asyncio.Task[None]") -> None:
        self._signals.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a function connected to a signal or to on_recover raised", exc_info=error)

    def _agents(self) -> "list[Agent]":
        return list(self.app.agents.values())

    def _nothing_runs(self) -> bool:
        states = {row["state"] for row in self._native.assignments()}
        return states == {"failed"}


def _schema_or_none(model: Any) -> Any:
    """The Arrow schema of *model*; None if it has none, and then `Stream.batches` infers one."""
    from turbine.exceptions import DeclarationError
    from turbine.models import arrow_schema

    try:
        return arrow_schema(model)
    except DeclarationError:
        return None


async def _in_thread(fn: Any, *args: Any) -> Any:
    """Call *fn* in a thread of its own: the loop's pool may be full of handlers' work."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Any] = loop.create_future()

    def call() -> None:
        value = fn(*args)
        loop.call_soon_threadsafe(_answer, result, value)

    threading.Thread(target=call, name="turbine-join", daemon=True).start()
    return await result


def _answer(waiting: "asyncio.Future[Any]", value: Any) -> None:
    if not waiting.done():
        waiting.set_result(value)


def run(app: "App", **options: Any) -> int:
    """Run a worker of *app* as a program, until a signal stops it; the exit code."""
    from turbine._process import run_process

    return run_process(app, **options)
