"""What the fixtures of one test share: its broker, clock, topics and workers."""

import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from turbine.exceptions import ConfigError, HandlerError
from turbine.testing._errors import ErrorLog, Threads
from turbine.testing._eventually import Eventually, Steps
from turbine.testing._groups import reads_of
from turbine.testing._topics import TopicHandle, config_texts
from turbine.testing._worker import WorkerHandle

if TYPE_CHECKING:
    from turbine.agents import Agent
    from turbine.app import App
    from turbine.testing._broker import Broker
    from turbine.testing._clock import Clock
    from turbine.testing._loop import TestLoop

__all__ = ["Harness"]

T = TypeVar("T")

STOP_S = 20.0

_DIRECTORIES = {"datadir", "state_dir"}
"""The two names of where state goes."""

QUICK_GROUPS = {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 100}
"""Members that learn of a rebalance at once; no shorter session is allowed by default in Kafka."""


class Harness:
    """
    One test.

    Args:
        place: Makes a directory for the state of its apps; called if there is one.

    Attributes:
        broker: Its broker.
        clock: Its virtual clock; None: the time of this machine.
        workers: Workers, in the order of their start.
        errors: What was logged.
        disturbed: Whether the test has made trouble on purpose.
    """

    def __init__(
        self, broker: "Broker", place: Callable[[], Path], clock: "Clock | None" = None
    ) -> None:
        self.broker = broker
        self._place = cache(place)
        self.clock = clock
        self.workers: list[WorkerHandle] = []
        self.topics: list[TopicHandle] = []
        self.errors = ErrorLog(lambda: self.disturbed, self._is_dead)
        self.disturbed = False
        self.forgotten: dict[int, str] = {}
        self._apps: list[Callable[[], None]] = []
        self._is_finished = False
        _ = broker.admin, broker.producer  # their threads are the broker's, not the test's
        # The consumers of a killed worker ask a real cluster for a while yet.
        self._threads = Threads(20.0 if broker.kind == "kafka" else 5.0)
        if clock is not None:
            clock.watch(self, self.forgotten)
        self.errors.__enter__()

    # -- for fixtures ----------------------------------------------------------------------

    def eventually(self, what: str, steps: Steps[T]) -> Eventually[T]:
        """Something to wait for, that must not be forgotten."""
        return Eventually(what, steps, self.forgotten)

    @property
    def now_ms(self) -> Callable[[], int] | None:
        """The virtual time; None: the time of this machine."""
        clock = self.clock
        return None if clock is None else lambda: round(clock.time() * 1_000)

    def topic(
        self,
        name: str,
        *,
        partitions: int = 4,
        key_type: Any = None,
        value_type: Any = None,
        config: Mapping[str, object] | None = None,
        unique: bool = True,
    ) -> TopicHandle:
        """Create a topic; see the fixture ``turbine_topics``."""
        if not isinstance(name, str):
            raise TypeError(
                f"turbine_topics({name!r}): write a name: orders = turbine_topics('orders')"
            )
        chosen = self.broker.unique(name) if unique else name
        # Event times of tests are often old, and brokers delete what is.
        kept = {"retention.ms": "-1", **config_texts(config)}
        self.broker.create_topic(chosen, partitions, kept)
        handle = TopicHandle(
            chosen, self, partitions=partitions, key_type=key_type, value_type=value_type
        )
        self.topics.append(handle)
        return handle

    def app(self, given: "App | str | None" = None, **settings: Any) -> "App":
        """Make an app, or borrow one; see the fixture ``turbine_app``."""
        from turbine.app import App

        kafka = {**QUICK_GROUPS, **settings.pop("kafka", {})}
        if isinstance(given, App):
            return self._borrow(given, kafka, settings)
        base: dict[str, Any] = {
            "broker": f"kafka://{self.broker.address}",
            "web_enabled": False,
            "broker_commit_interval": 0.02,
            "topic_partitions": 4,
            "kafka": kafka,
        }
        name = self.broker.unique(given or "app")
        if not _DIRECTORIES & set(settings):
            base["datadir"] = self._place() / name
        app = App(name, **(base | settings))
        if self.clock is not None:
            app.clock = self.clock
        return app

    def _borrow(self, app: "App", kafka: Mapping[str, Any], settings: Mapping[str, Any]) -> "App":
        conf = app.conf
        app._check_idle()  # noqa: SLF001 - the app's own part
        wanted = {
            "broker": f"kafka://{self.broker.address}",
            "web_enabled": False,
            "broker_commit_interval": 0.02,
            "kafka": {**conf.kafka, **kafka},
            **settings,
        }
        if conf.datadir is None and not _DIRECTORIES & set(settings):
            wanted["datadir"] = self._place() / conf.group
        before, clock = dict(conf._assigned), app.clock  # noqa: SLF001 - put back as it was
        for name, value in wanted.items():
            setattr(conf, name, value)
        if self.clock is not None:
            app.clock = self.clock

        def give_back() -> None:
            conf._assigned.clear()  # noqa: SLF001 - put back as it was
            conf._assigned.update(before)  # noqa: SLF001 - put back as it was
            app.clock = clock

        self._apps.append(give_back)
        return app

    def worker(
        self, app: "App | Agent", *, wait: bool = True, timeout: float = 20.0
    ) -> Eventually[WorkerHandle]:
        """Start a worker; see the fixture ``turbine_worker``."""
        from turbine.agents import Agent
        from turbine.app import App

        if isinstance(app, Agent):
            app = app.app
        if not isinstance(app, App):
            raise TypeError(
                f"turbine_worker({app!r}): give it the app: app = turbine_app(), declare agents "
                "with @app.agent(topic), then turbine_worker(app)"
            )
        if not (app.agents or app.subscriptions or app.jobs):
            raise ConfigError(
                "the app has no agent, subscription or timer: declare them before "
                "turbine_worker(app), as a worker runs what it finds at its start"
            )
        return self.eventually("turbine_worker(app)", self.start(app, timeout, wait=wait))

    def start(self, app: "App", timeout_s: float, *, wait: bool) -> Steps[WorkerHandle]:
        """Start a worker."""
        app.discover()
        worker = WorkerHandle(self, app)
        self.workers.append(worker)
        return (yield from worker.start(timeout_s, wait=wait))

    def _is_dead(self, thread: str) -> bool:
        return any(w.state == "killed" and w.thread_name == thread for w in self.workers)

    # -- what goes on ----------------------------------------------------------------------

    def loops(self) -> "Iterator[TestLoop]":
        """Loops of workers that run."""
        for worker in self.workers:
            if worker.state == "running" and worker.loop is not None:
                yield worker.loop

    def unassigned(self, app: "App") -> list[str]:
        """Partitions that not exactly one worker of *app* has; nothing while one is paused."""
        workers = [worker for worker in self.workers if worker.app is app and worker.is_live]
        if any(worker.state == "paused" for worker in workers):
            return []
        have = Counter(
            (row["group"], row["topic"], row["partition"])
            for worker in workers
            for row in worker.assignments()
        )
        missing: list[str] = []
        for group, topics in reads_of(app).items():
            for topic in topics:
                count = len(self._ends(topic))
                lacking = [n for n in range(count) if (group, topic, n) not in have]
                if lacking:
                    listed = ", ".join(map(str, lacking))
                    missing.append(f"nobody in group {group} has partition {listed} of {topic}")
        for group in reads_of(app):
            shares = [sum(row["group"] == group for row in w.assignments()) for w in workers]
            if shares and min(shares) == 0 and max(shares) > 1:
                missing.append(f"a worker has no share of the partitions of group {group} yet")
        missing += [
            f"{count} workers of group {group} believe that they have partition {number} of {topic}"
            for (group, topic, number), count in have.items()
            if count > 1
        ]
        return missing

    def busy(self, *, commits: bool) -> list[str]:
        """What goes on in the workers that run; see `Clock.advance`."""
        running = [worker for worker in self.workers if worker.state == "running"]
        reasons: list[str] = []
        for worker in running:
            reasons += self._busy_worker(worker, commits=commits)
        for app in dict.fromkeys(worker.app for worker in running):
            reasons += self.unassigned(app)
        return reasons

    def _busy_worker(self, worker: WorkerHandle, *, commits: bool) -> Iterator[str]:
        if worker.loop is None or worker.runtime is None:
            yield f"{worker.name} starts"
            return
        if not worker.loop.is_idle:
            yield f"{worker.name}: its event loop, or a call of it in a thread, is busy"
        if waiting := worker.runtime.producer.flush(0):
            yield f"{worker.name}: {waiting} sent records wait for their acknowledgement"
        behind = set(worker.runtime.native.behind()) if commits else set()
        for row in worker.assignments():
            yield from self._busy_partition(worker, row, commits=commits)
            if (row["topic"], row["partition"]) in behind and not row["in_flight"]:
                where = f"{row['topic']}[{row['partition']}]"
                yield f"{worker.name}: what was written without a record in {where} waits"

    def _busy_partition(
        self, worker: WorkerHandle, row: dict[str, Any], *, commits: bool
    ) -> Iterator[str]:
        if row["state"] == "failed":
            return
        where = f"{worker.name}: {row['name']} {row['topic']}[{row['partition']}]"
        end = self._ends(row["topic"]).get(row["partition"], 0)
        position = row["position"]
        if position is None:
            # Nothing was fetched since the assignment: what was committed before is at the end.
            if end and not self._was_committed(row, end):
                yield f"{where}: records up to offset {end} are not fetched yet"
            return
        if position < end:
            yield f"{where}: fetched up to offset {position} of {end}"
        held = row["in_flight"]
        if held and not self._may_hold(worker, row):
            yield f"{where}: {held} records are in the handler's hands"
        if commits and not held and row["committed"] != position:
            yield f"{where}: handled up to offset {position}, committed {row['committed']}"

    def _may_hold(self, worker: WorkerHandle, row: dict[str, Any]) -> bool:
        """Whether a handler may wait for time to pass with records in hand."""
        subscription = worker.app.subscriptions.get(row["name"])
        on_loop = subscription is None or subscription.is_async
        is_idle = worker.loop is not None and worker.loop.is_idle
        return self.clock is not None and on_loop and is_idle

    def _was_committed(self, row: dict[str, Any], end: int) -> bool:
        return self.broker.committed(row["group"], row["topic"]).get(row["partition"], 0) >= end

    def _ends(self, topic: str) -> dict[int, int]:
        return self.broker.ends(topic)

    # -- messages --------------------------------------------------------------------------

    def why_nothing_comes(self) -> list[str]:
        """Reasons for which waiting longer is of no use."""
        reasons = []
        for worker in (worker for worker in self.workers if worker.state != "killed"):
            unmeant = [why for why in worker.failures if not self.errors.is_expected(why)]
            reasons += [f"a partition of {worker.name} has stopped: {why}" for why in unmeant]
        return reasons

    def hints(self, topic: TopicHandle) -> list[str]:
        """What a newcomer may have forgotten, when records are missing."""
        if not self.workers:
            started = [what for what in self.forgotten.values() if "turbine_worker" in what]
            if started:
                return ["the worker was never waited for: write await turbine_worker(app)"]
            return ["no worker has been started: write await turbine_worker(app)"]
        hints = [f"{what} was never waited for: await it" for what in self.forgotten.values()]
        if not any(worker.is_live for worker in self.workers):
            states = ", ".join(f"{worker.name} is {worker.state}" for worker in self.workers)
            hints.append(f"no worker runs any more ({states})")
        reads = {t for worker in self.workers for ts in reads_of(worker.app).values() for t in ts}
        fed = [t for t in self.topics if t.name in reads]
        if not fed and reads:
            listed = ", ".join(sorted(reads))
            close = difflib.get_close_matches(topic.name, list(reads), n=1)
            also = f" (did you mean {close[0]}?)" if close else ""
            hints.append(f"the app reads {listed}, and no topic of this test{also}")
        hints += [
            f"nothing was put into {one.name}, which the app reads"
            for one in fed
            if one is not topic and not any(self.broker.ends(one.name).values())
        ]
        if topic.name in reads and len(fed) == 1:
            hints.append(f"the app reads {topic.name} itself: is this its output?")
        return hints

    # -- end -------------------------------------------------------------------------------

    def finish(self) -> list[str]:
        """Stop what runs; everything that the test should not have left. Does nothing again."""
        if self._is_finished:
            return []
        self._is_finished = True
        wrong = [
            f"{what} was never waited for, so it did nothing: write 'await' before it, or "
            "'.wait()' behind it in a plain test"
            for what in self.forgotten.values()
        ]
        self.broker.clear_faults()
        for worker in self.workers:
            worker.release()
        for worker in reversed(self.workers):
            wrong += self._end(worker)
        for give_back in reversed(self._apps):
            give_back()
        self.broker.end_test()
        wrong += [f"the test left a thread behind: {name}" for name in self._threads.left()]
        self.errors.__exit__(None, None, None)
        return [*wrong, *self.errors.complaints()]

    def _end(self, worker: WorkerHandle) -> list[str]:
        try:
            if worker.state in {"starting", "running"}:
                worker.stop(timeout=STOP_S).wait()
        except (HandlerError, TimeoutError) as exc:
            return [f"{worker.name}: {exc}", *worker.close(0.0)]
        return worker.close(STOP_S)
