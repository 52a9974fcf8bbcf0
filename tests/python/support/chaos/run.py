"""One run: topics, workers, load, watch and nemesis; what came of it."""

import json
import random
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.brokers import Kafka
from support.chaos.chains import Fault
from support.chaos.fleet import Slot
from support.chaos.load import Load
from support.chaos.nemesis import Nemesis, Plan
from support.chaos.tour import Tour
from support.chaos.watch import Topics, Watch
from support.kafka import Cluster
from support.wait import eventually

PARTITIONS = 8
BEHIND = 20_000
FINISH_S = 120.0
QUIET_S = 1.5


@dataclass
class Setting:
    """
    What a run is made of.

    Attributes:
        plan: What is done to the workers.
        guarantee: ``exactly_once`` or ``at_least_once``.
        has_state: Whether the app has state.
        with_agents: Whether the app is an agent with tables.
        repartitions: Whether it reads its topic by the column ``key``, through an internal topic.
        workers: How many processes.
        rate: Records a second.
        seed: Of all random numbers.
        env: More variables of the app, as ``MUTANT``.
        tour: Failpoints that the first worker is brought to, while it is alone.
        ends_from_nothing: Whether all workers are killed in the end, their state deleted, and some
            records more have to go on from what the changelog has.
        finish_s: How long, in the end, is waited for what is missing.
        least: Outputs before anything is done to the workers.
    """

    plan: Plan
    guarantee: str = "exactly_once"
    has_state: bool = True
    with_agents: bool = False
    repartitions: bool = False
    workers: int = 3
    rate: int = 1_000
    seed: int = 0
    env: Mapping[str, str] = field(default_factory=dict)
    tour: Sequence[str] = ()
    ends_from_nothing: bool = True
    least: int = 1
    finish_s: float = FINISH_S


@dataclass
class Result:
    """
    What came of it.

    Attributes:
        faults: Everything that must not be.
        events: What was done around the first of them.
        report: The numbers, for the file.
        directory: Logs and state of the workers.
    """

    faults: list[Fault]
    events: list[str]
    report: dict[str, Any]
    directory: Path


class Run:
    """
    A run on a broker that serves.

    Args:
        setting: What it is made of.
        address: ``host:port`` of the broker.
        broker: The broker, if it may be killed.
        tell: Called with the nemesis after each of its events.
    """

    def __init__(
        self,
        setting: Setting,
        address: str,
        broker: Kafka | None = None,
        tell: Callable[[Nemesis, Watch], None] = lambda _n, _w: None,
    ) -> None:
        self.setting, self.address = setting, address
        self.directory = Path(tempfile.mkdtemp(prefix="turbine-chaos-"))
        self.cluster = Cluster(address)
        names = {n: self.cluster.make_topic(n, PARTITIONS) for n in ("in", "out", "audit", "dlq")}
        self.topics = Topics(names["in"], names["out"], names["audit"], names["dlq"], PARTITIONS)
        self.app_id = f"chaos-{uuid.uuid4().hex[:8]}"
        is_exact = setting.guarantee == "exactly_once"
        self.watch = Watch(address, self.topics, is_exact=is_exact, has_state=setting.has_state)
        self.slots = [self._slot(f"w{number}") for number in range(setting.workers)]
        chance = random.Random(setting.seed)
        self.nemesis = Nemesis(
            setting.plan,
            self.slots,
            self.watch,
            seed=chance.getrandbits(32),
            broker=broker,
            tell=lambda _: tell(self.nemesis, self.watch),
        )
        self.load = Load(
            address,
            self.topics.source,
            PARTITIONS,
            rate=setting.rate,
            seed=chance.getrandbits(32),
            is_behind=lambda: (
                self.load.written - self.watch.read() + self.watch.outstanding() > BEHIND
            ),
        )

    def _slot(self, name: str) -> Slot:
        topics = self.topics
        env = {
            "IN": topics.source,
            "OUT": topics.out,
            "AUDIT": topics.audit,
            "DLQ": topics.dlq,
            "GUARANTEE": self.setting.guarantee,
            "STATELESS": "" if self.setting.has_state else "1",
            "REPARTITION": "1" if self.setting.repartitions else "",
            **self.setting.env,
        }
        return Slot(
            name,
            self.directory / name,
            broker=self.address,
            app_id=self.app_id,
            env=env,
            source="agents_app.py" if self.setting.with_agents else "app.py",
        )

    def __call__(self) -> Result:
        """Do it."""
        began = time.monotonic()
        with ExitStack() as stack:
            stack.callback(self._kill_all)
            stack.enter_context(self.watch)
            with self.load:
                self._visit()
                for slot in self.slots:
                    if not slot.has_begun:
                        slot.start()
                self._until(
                    lambda: self.watch.chains.outputs >= self.setting.least, "first outputs"
                )
                self.nemesis.run()
            self._finish()
            if self.setting.ends_from_nothing and not self._faults():
                self._from_nothing()
        faults = self._faults()
        return Result(faults, list(self.nemesis.events), self._report(began), self.directory)

    def _visit(self) -> None:
        if not self.setting.tour:
            return
        slot = self.slots[0]
        slot.is_static = True
        slot.start()
        tour = Tour(slot, self.watch, list(self.setting.tour))
        tour.run()
        slot.is_static = False
        self.nemesis.faults += tour.faults

    def _faults(self) -> list[Fault]:
        problem = [Fault("load", self.load.problem)] if self.load.problem else []
        return self.nemesis.faults + self.watch.faults + problem

    def _until(self, condition: Callable[[], bool], why: str) -> None:
        """Wait, and look after the workers; what does not come is a fault."""

        def is_done() -> bool:
            self.nemesis.look_after()
            return condition() or bool(self.nemesis.faults) or self.watch.is_full

        try:
            eventually(is_done, self.setting.finish_s, why)
        except AssertionError as exc:
            logs = "\n".join(f"-- {slot.name}\n{slot.log_tail()}" for slot in self.slots)
            self.nemesis.faults.append(Fault("stuck", f"{exc}\n{logs}"))

    def _finish(self) -> None:
        """Everything that was written has its output, and nothing comes behind it."""
        written = self.load.written
        self._until(
            lambda: self.watch.read() >= written and self.watch.outstanding() == 0,
            f"all {written} records have their outputs",
        )
        if self.setting.with_agents:
            group = self.app_id
        elif self.setting.repartitions:
            group = f"{self.app_id}-{self.topics.source}-key-repartition"
        else:
            group = f"{self.app_id}-chain"
        ends = self.cluster.ends(self.topics.source)
        self._until(
            lambda: self.cluster.committed(group, self.topics.source) == ends,
            "the group's offsets are at the end of the input",
        )
        seen = self.watch.chains.outputs
        time.sleep(QUIET_S)
        if self.watch.is_exact and self.watch.chains.outputs != seen and not self._faults():
            self.nemesis.faults.append(Fault("duplicate", "outputs came after the last one"))

    def _from_nothing(self) -> None:
        """All state is gone from the machines; the changelog has it."""
        self._kill_all()
        for slot in self.slots:
            slot.wipe()
            slot.start()
        self.load.write(1_000)
        self.load.stop()
        self._finish()

    def _kill_all(self) -> None:
        for slot in self.slots:
            if slot.is_alive():
                slot.kill()

    def _report(self, began: float) -> dict[str, Any]:
        faults = self._faults()
        fired: Counter[str] = sum((slot.fired for slot in self.slots), Counter())
        return {
            "guarantee": self.setting.guarantee,
            "app": "agents" if self.setting.with_agents else "subscription",
            "seed": self.setting.seed,
            "workers": self.setting.workers,
            "partitions": PARTITIONS,
            "seconds": round(time.monotonic() - began, 1),
            "done": dict(self.nemesis.done),
            "records": self.watch.read(),
            "outputs": self.watch.chains.outputs,
            "repeated": self.watch.chains.repeats,
            "dead_letters": self.watch.dlq.expected,
            "side_outputs": self.watch.audit.expected,
            "faults": dict(Counter(fault.kind for fault in faults)),
            "failpoints_reached": sorted(set().union(*(slot.reached for slot in self.slots))),
            "failpoints_fired": dict(sorted(fired.items())),
            "fenced": sum(slot.log_count("fenced") for slot in self.slots),
        }


def save(result: Result, path: Path) -> None:
    """Write the report, with the faults and what was done around them."""
    faults = [{"kind": fault.kind, "text": fault.text} for fault in result.faults]
    everything = result.report | {"found": faults, "events": result.events}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
