"""Every failpoint once: a worker is brought to each, and ends there."""

import time

from support.chaos.chains import Fault
from support.chaos.fleet import Slot
from support.chaos.points import Way, way_to
from support.chaos.watch import Watch

REACHED_S = 20.0
TURN_S = 0.02


class Tour:
    """
    One worker, alone in its group, so that it gets its partitions back.

    Args:
        slot: The worker; it runs.
        watch: Who sees whether the work goes on.
        names: The points.

    Attributes:
        faults: Points that were not reached, and ends that were not asked for.
    """

    def __init__(self, slot: Slot, watch: Watch, names: list[str]) -> None:
        self.slot, self.watch, self.names = slot, watch, names
        self.faults: list[Fault] = []

    def run(self) -> None:
        """Visit all of them: each life begins with what the end of the one before it left."""
        self._work()
        self.slot.kill()
        for name in self.names:
            way = way_to(name)
            if way.earlier is not None:
                self._end_at(Way(way.earlier))
            if way.is_wiped:
                self.slot.wipe()
            self._end_at(way)
        self.slot.start()
        self._work()

    def _work(self) -> None:
        """Wait for an output of this life."""
        end = time.monotonic() + REACHED_S
        life = self.slot.life
        while not self.watch.outputs_of.get(life) and time.monotonic() < end:
            if not self.slot.is_alive():
                self._fault("died", f"ended by itself\n{self.slot.log_tail()}")
                self.slot.start()
            time.sleep(TURN_S)

    def _end_at(self, way: Way) -> None:
        self.slot.arm(way.point, way.armed)
        end = time.monotonic() + REACHED_S
        while self.slot.is_alive() and time.monotonic() < end:
            time.sleep(TURN_S)
        if self.slot.is_alive():
            self.slot.kill()
            self._fault("unreached", f"{way.point} was not reached in {REACHED_S} s")
        elif not self.slot.note_points():
            self._fault("died", f"on its way to {way.point}\n{self.slot.log_tail()}")

    def _fault(self, kind: str, text: str) -> None:
        self.faults.append(Fault(kind, text))
