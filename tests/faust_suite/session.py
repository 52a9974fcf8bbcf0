"""One program of Faust at work: a folder of its own, a broker, workers, commands, and topics."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

from support.kafka import Cluster

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0
PAUSE_S = 0.1
IMPORTS = (
    (re.compile(r"^import faust$", re.MULTILINE), "from turbine import faust"),
    (re.compile(r"^from (faust|mode)\b", re.MULTILINE), r"from turbine.\1"),
    (re.compile(r"^from turbine\.mode\b", re.MULTILINE), "from turbine.faust.mode"),
)


class NotSo(Exception):  # noqa: N818 - it is what a check finds, not an error of a program
    """What is wrong with a program."""


class Worker:
    """
    A worker process, from entry to exit.

    Args:
        command: Arguments of Python.
        folder: Its working directory; its output is there.
        env: All of its variables.
    """

    def __init__(self, command: list[str], folder: Path, env: Mapping[str, str], name: str) -> None:
        self._out = folder / f"{name}.out"
        with self._out.open("a") as file:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=dict(env),
            )

    @property
    def text(self) -> str:
        """All that it printed, and workers of its name before it."""
        return self._out.read_text(encoding="utf-8", errors="replace")

    @property
    def memory_bytes(self) -> int:
        """Resident memory."""
        stat = Path(f"/proc/{self._process.pid}/statm").read_text(encoding="utf-8")
        return int(stat.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def until(self, condition: Callable[[], T], what: str) -> T:
        """Wait until *condition*; NotSo if it takes too long or the worker ends."""
        end = time.monotonic() + DEADLINE_S
        while not (found := condition()):
            if time.monotonic() > end or self._process.poll() is not None:
                raise NotSo(f"not reached: {what}\n{self.text[-3_000:]}")
            time.sleep(PAUSE_S)
        return found

    def until_printed(self, text: str, count: int = 1) -> None:
        """Wait until *text* is there *count* times."""
        self.until(lambda: self.text.count(text) >= count, f"{count} times {text!r}")

    def until_ended(self) -> None:
        """Wait until it ends by itself; NotSo if not well."""
        code = self._process.wait(DEADLINE_S)
        if code:
            raise NotSo(f"exit code {code}\n{self.text[-3_000:]}")

    def kill(self) -> None:
        """KILL, as a crash does."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """TERM, and wait; NotSo if it does not end well."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(DEADLINE_S)
        if code:
            raise NotSo(f"exit code {code}\n{self.text[-3_000:]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.stop() if exc is None else self.kill()


class Session:
    """
    What a check has to work with.

    Args:
        folder: Empty; where the program is copied to.
        address: ``host:port`` of the broker.
    """

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.cluster = Cluster(address)
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("F_", "FAUST_"))},
            "PYTHONPATH": os.pathsep.join([str(ROOT)]),
            "PYTHONUNBUFFERED": "1",
            # In front of what a program says itself, as in Faust.
            "BROKER_URL": f"kafka://{address}",
        }

    def copy(self, source: Path) -> None:
        """Copy a program, or all of a project, with the imports changed."""
        if source.is_file():
            shutil.copy(source, self.folder)
        else:
            shutil.copytree(source, self.folder, dirs_exist_ok=True)
        for file in self.folder.rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            for old, new in IMPORTS:
                text = old.sub(new, text)
            file.write_text(text, encoding="utf-8")

    def write(self, name: str, text: str) -> None:
        """Write a program of our own."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def worker(self, *command: str, name: str = "worker") -> Worker:
        """Start a worker: arguments of Python. Those of another *name* have state of their own."""
        env = self.env if name == "worker" else {**self.env, "APP_DATADIR": f"{name}-data"}
        return Worker(list(command), self.folder, env, name)

    def command(self, *command: str) -> str:
        """Run a command to its end, and give what it printed; NotSo if it fails."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if done.returncode:
            raise NotSo(f"{command} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def last(self, topic: str) -> dict[bytes | None, Any]:
        """Give what a changelog ends with, by key; removed keys are left out."""
        found = {one.key: one.value and one.json for one in self.cluster.consume(topic, 0)}
        return {key: value for key, value in found.items() if value is not None}
