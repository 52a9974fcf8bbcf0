"""The worker processes: each with its own state directory, ended and started again and again."""

import itertools
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from support.workers import WorkerProcess

HERE = Path(__file__).resolve().parent
CHANCES = (1, 1, 2, 10, 100, 1_000)
"""At which passes a failpoint ends a process."""


class Slot:
    """
    A place for one worker after the other, with one state directory.

    Args:
        name: Of the worker, as its outputs carry it with the number of its life.
        directory: Where its logs and its state are.
        broker: ``host:port``.
        app_id: Id of the app.
        env: Variables of all its lives.
        source: File of the app.

    Attributes:
        life: Name of this life.
        armed: Failpoint of this life; None if there is none.
        is_static: Whether the group keeps its place while it is dead, and does not wait for it.
        is_stopped: Whether it was sent SIGSTOP.
        reached: Failpoints that any of its lives passed.
        fired: How often each ended it.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        *,
        broker: str,
        app_id: str,
        env: Mapping[str, str],
        source: str,
    ) -> None:
        self.name = name
        self.directory = directory
        self.state = directory / "state"
        self.life = ""
        self.armed: str | None = None
        self.is_static = False
        self.is_stopped = False
        self.reached: set[str] = set()
        self.fired: Counter[str] = Counter()
        self._broker, self._app_id, self._env = broker, app_id, dict(env)
        self._source = source
        self._lives = itertools.count(1)
        self._worker: WorkerProcess | None = None

    # -- life ------------------------------------------------------------------------------

    def start(self, armed: str | None = None, passes: int = 1) -> None:
        """Begin a life; the point *armed* ends it at pass number *passes*."""
        self.arm(armed, "" if armed is None else f"{armed}={passes - 1}*off->kill")

    def arm(self, armed: str | None, spec: str) -> None:
        """Begin a life with failpoints as in *spec*, of which *armed* is to end it."""
        self.life = f"{self.name}.{next(self._lives)}"
        record = self.directory / "failpoints"
        record.unlink(missing_ok=True)
        env = self._env | {
            "WORKER": self.life,
            "PYTHONPATH": os.environ.get("PYTHONPATH", str(HERE.parents[3])),
        }
        if self.is_static:
            env["STATIC"] = self.name
        if spec:
            env["TURBINE_FAILPOINTS"] = spec
            env["TURBINE_FAILPOINTS_RECORD"] = str(record)
        self.armed, self.is_stopped = armed, False
        self._worker = WorkerProcess(
            self.directory,
            (HERE / self._source).read_text(encoding="utf-8"),
            broker=self._broker,
            app_id=self._app_id,
            args=["--datadir", str(self.state)],
            env=env,
        ).start()

    @property
    def worker(self) -> WorkerProcess:
        """The process of this life."""
        assert self._worker is not None, "never started"
        return self._worker

    @property
    def has_begun(self) -> bool:
        """Whether it has had a life."""
        return self._worker is not None

    def is_alive(self) -> bool:
        """Say whether it runs, stopped or not."""
        return self.worker.is_alive()

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.worker.kill()
        self.note_points()

    def wipe(self) -> None:
        """Delete the state of one that is dead."""
        shutil.rmtree(self.state, ignore_errors=True)

    def freeze(self) -> None:
        """SIGSTOP: it does not know that time passes."""
        self.worker.signal(signal.SIGSTOP)
        self.is_stopped = True

    def thaw(self) -> None:
        """SIGCONT."""
        self.worker.signal(signal.SIGCONT)
        self.is_stopped = False

    # -- looking at it ---------------------------------------------------------------------

    def note_points(self) -> bool:
        """Add the failpoints of this life to the books; say whether the armed one ended it."""
        try:
            lines = (self.directory / "failpoints").read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            return False
        self.reached |= {line.removesuffix(" reached") for line in lines if "reached" in line}
        fired = f"{self.armed} fired" in lines
        if fired and self.armed is not None:
            self.fired[self.armed] += 1
        (self.directory / "failpoints").unlink()
        return fired

    def log_tail(self, lines: int = 25) -> str:
        """Return the end of its log."""
        return "\n".join(self.worker.output().splitlines()[-lines:])

    def log_count(self, text: str) -> int:
        """Count *text* in its log, all lives together."""
        return self.worker.output().count(text)


def some_passes(chance: random.Random) -> int:
    """Draw at which pass a failpoint is to act: the first more often than the thousandth."""
    return chance.choice(CHANCES)
