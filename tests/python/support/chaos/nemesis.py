"""What is done to the workers and their broker."""

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from support.brokers import Kafka
from support.chaos.chains import Fault
from support.chaos.fleet import Slot, some_passes
from support.chaos.watch import Watch

TURN_S = 0.02
STUCK_S = 90.0
TAKEN_OVER_S = 60.0
NO_BROKER = "no broker answers"
KEPT_EVENTS = 40


@dataclass
class Plan:
    """
    What to do how often.

    Attributes:
        kills: Ends of workers.
        stops: SIGSTOP until another worker has the partitions, then SIGCONT.
        broker_kills: Ends of the broker.
        points: Failpoints that end workers instead of a SIGKILL from outside.
        troubles: What failpoints do to workers that get over it.
        pause_s: Mean time between two of them.
        wipes: Chance that a dead worker's state directory is deleted.
        at_points: Chance that a life ends at a failpoint.
    """

    kills: int = 25
    stops: int = 0
    broker_kills: int = 0
    points: list[str] = field(default_factory=list)
    troubles: Sequence[str] = ()
    pause_s: float = 2.0
    wipes: float = 0.15
    at_points: float = 0.3


class Nemesis:
    """
    Does what a plan says while a watch looks on.

    Args:
        plan: What.
        slots: The workers; all run.
        watch: Who sees whether the work goes on.
        seed: Of its random numbers.
        broker: The broker, where it is to be killed.
        tell: Called with each event.

    Attributes:
        done: Events by kind.
        events: The newest ones, for the report of a fault.
        faults: Workers that ended by themselves, work that does not go on.
    """

    def __init__(
        self,
        plan: Plan,
        slots: list[Slot],
        watch: Watch,
        *,
        seed: int,
        broker: Kafka | None,
        tell: Callable[[str], None],
    ) -> None:
        self.plan, self.slots, self.watch, self.broker = plan, slots, watch, broker
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.events: deque[str] = deque(maxlen=KEPT_EVENTS)
        self.faults: list[Fault] = []
        self._tell = tell
        self._began = time.monotonic()

    @property
    def kills(self) -> int:
        """Ends of workers so far."""
        return self.done["kill"] + self.done["failpoint"]

    def is_over(self) -> bool:
        """Say whether everything was done, or so much is wrong that it makes no sense to go on."""
        plan, done = self.plan, self.done
        enough = (
            self.kills >= plan.kills
            and done["stop"] >= plan.stops
            and done["broker kill"] >= plan.broker_kills
        )
        return enough or bool(self.faults) or self.watch.is_full

    def run(self) -> None:
        """Do all of it."""
        while not self.is_over():
            self._wait(self.random.uniform(0.1, 1.9) * self.plan.pause_s)
            if not self.is_over():
                self._next()
        # What ends a worker from now on is not the plan's doing.
        self.plan.at_points = 0.0

    def _next(self) -> None:
        left = {
            self._kill: max(0, self.plan.kills - self.kills),
            self._stop: self.plan.stops - self.done["stop"],
            self._kill_broker: self.plan.broker_kills - self.done["broker kill"],
        }
        what = self.random.choices(list(left), [max(0, count) for count in left.values()])[0]
        what()

    def note(self, kind: str, text: str) -> None:
        """Count and remember what was done."""
        self.done[kind] += 1
        self.events.append(f"{time.monotonic() - self._began:8.2f} s  {kind}: {text}")
        self._tell(kind)

    # -- deeds -----------------------------------------------------------------------------

    def _kill(self) -> None:
        slot = self.random.choice(self.slots)
        if not self._reap(slot):
            slot.kill()
            self.note("kill", slot.name)
            self._again(slot)

    def _stop(self) -> None:
        """Let one sleep through the loss of its partitions: what it does afterwards is too late."""
        busy = [slot for slot in self.slots if self._partitions(slot)]
        if not busy:
            return
        slot = self.random.choice(busy)
        partitions = self._partitions(slot)
        slot.freeze()
        self.note("stop", f"{slot.name} with partitions {sorted(partitions)}")
        end = time.monotonic() + TAKEN_OVER_S
        while self._partitions(slot) & partitions and time.monotonic() < end:
            self._wait(TURN_S)
        if self._partitions(slot) & partitions:
            self._fault("stuck", f"nobody takes over what {slot.name} had when it was stopped")
        slot.thaw()
        self.note("go on", slot.name)

    def _kill_broker(self) -> None:
        assert self.broker is not None, "only a broker that was started here can be killed"
        self.broker.kill()
        self.note("broker kill", "")
        self._wait(self.random.uniform(0, 2))
        self.broker.start()
        self.watch.moved_s = time.monotonic()

    def _partitions(self, slot: Slot) -> set[int]:
        owners = dict(self.watch.owners)
        return {p for p, worker in owners.items() if worker.partition(".")[0] == slot.name}

    def _again(self, slot: Slot) -> None:
        """Start the next life of a dead worker, sometimes with nothing left of it."""
        if self.random.random() < self.plan.wipes:
            slot.wipe()
            self.note("wipe", slot.name)
        points, troubles = self.plan.points, self.plan.troubles
        if points and self.random.random() < self.plan.at_points:
            slot.start(self.random.choice(points), some_passes(self.random))
        elif troubles and self.random.random() < self.plan.at_points:
            trouble = self.random.choice(troubles).format(some_passes(self.random))
            slot.arm(None, trouble)
            self.note("trouble", f"{slot.name} with {trouble}")
        else:
            slot.start()

    # -- meanwhile -------------------------------------------------------------------------

    def _wait(self, wait_s: float) -> None:
        """Look after the workers for a while."""
        end = time.monotonic() + wait_s
        while True:
            self.look_after()
            if time.monotonic() - self.watch.moved_s > STUCK_S and self.watch.outstanding():
                self._fault("stuck", f"no output for {STUCK_S} s")
            if time.monotonic() >= end or self.faults:
                return
            time.sleep(TURN_S)

    def look_after(self) -> None:
        """Start again who has ended."""
        for slot in self.slots:
            self._reap(slot)

    def _reap(self, slot: Slot) -> bool:
        """Start one again that its failpoint has ended; one that ended by itself is a fault."""
        if slot.is_alive():
            return False
        code, armed = slot.worker.wait(), slot.armed
        if code == 1 and NO_BROKER in slot.log_tail(5) and self.done["broker kill"]:
            # It was started while there was none; whoever runs workers starts it again.
            self.events.append(f"{slot.name} found no broker")
        elif slot.note_points():
            self.note("failpoint", f"{slot.name} at {armed}")
        else:
            self._fault("died", f"{slot.name} ended with {code}\n{slot.log_tail()}")
        self._again(slot)
        return True

    def _fault(self, kind: str, text: str) -> None:
        self.faults.append(Fault(kind, text))
