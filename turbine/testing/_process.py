"""A worker in a process of its own: killed by SIGKILL, frozen by SIGSTOP."""

import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turbine.testing._eventually import Eventually, Steps, until

if TYPE_CHECKING:
    from turbine.testing._harness import Harness

__all__ = ["Processes", "WorkerProcess"]

_HTTP = re.compile(r"http://(127\.0\.0\.1:\d+)")
_ASK_S = 5.0
_numbers = itertools.count(1)


class WorkerProcess:
    """
    One process; made by the fixture ``turbine_process``.

    Attributes:
        name: ``process-1`` and so on; the ``client.id`` of an app that sets none.
        log_file: What it writes, standard output and error together.
    """

    def __init__(
        self, harness: "Harness", directory: Path, app: str, env: Mapping[str, str]
    ) -> None:
        self._harness = harness
        self.name = f"process-{next(_numbers)}"
        self.log_file = directory / f"{self.name}.log"
        command = [sys.executable, "-m", "turbine", "-A", app, "worker", "-l", "info"]
        place = directory / f"{self.name}-data"
        groups = "session.timeout.ms=6000;heartbeat.interval.ms=100"
        given = {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PYTHONUNBUFFERED": "1",
            "TURBINE_BROKER": f"kafka://{harness.broker.address}",
            "TURBINE_KAFKA": f"{groups};client.id={self.name}",
        }
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the interpreter that runs the test
                [*command, "--api-port", "0", "--datadir", str(place)],
                env={**os.environ, **given, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    # -- what a test does with it ----------------------------------------------------------

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """Everything that it wrote so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """SIGKILL; the embedded broker ends its sessions at once, as for `WorkerHandle.kill`."""
        self._harness.disturbed = True
        self._process.kill()
        self._process.wait()
        self._harness.broker.expire(self.name)

    def pause(self) -> None:
        """SIGSTOP."""
        self._harness.disturbed = True
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def expire(self) -> None:
        """
        Make the broker believe that it is dead, as if its session had timed out.

        Raises:
            RuntimeError: The broker is not the embedded one.
        """
        self._harness.broker.expire(self.name, required=True)

    def stop(self, *, timeout: float = 20.0) -> Eventually[int]:
        """
        SIGTERM: drain, commit and leave; gives the exit code.

        Raises:
            TimeoutError: It does not end.
        """
        return self._harness.eventually(f"{self.name}.stop()", self._stop(timeout))

    def says(self, text: str, *, timeout: float = 20.0) -> Eventually[str]:
        """
        Wait until *text* is in its output; gives the output.

        Raises:
            TimeoutError: It is not; the message has the output.
        """
        return self._harness.eventually(f"{self.name}.says({text!r})", self._says(text, timeout))

    def assignments(self) -> list[dict[str, Any]]:
        """Its partitions, as ``/assignments`` shows them: state, offsets, records in flight."""
        rows: list[dict[str, Any]] = json.loads(self._get("/assignments") or "[]")
        return rows

    # -- inside ----------------------------------------------------------------------------

    def _started(self, timeout_s: float, *, wait: bool) -> "Steps[WorkerProcess]":
        if wait:
            yield from until(
                self._is_ready,
                timeout_s,
                lambda: f"{self.name} is not ready after {timeout_s:g} s:\n{self.output}",
                pause_s=0.05,
            )
        return self

    def _stop(self, timeout_s: float) -> Steps[int]:
        if self.is_alive:
            self._process.terminate()
        yield from until(
            lambda: not self.is_alive,
            timeout_s,
            lambda: f"{self.name} has not ended after {timeout_s:g} s:\n{self.output}",
        )
        return int(self._process.returncode)

    def _says(self, text: str, timeout_s: float) -> Steps[str]:
        yield from until(
            lambda: text in self.output or not self.is_alive,
            timeout_s,
            lambda: f"{self.name} did not say {text!r}:\n{self.output}",
        )
        if text not in self.output:
            raise RuntimeError(f"{self.name} ended without {text!r}:\n{self.output}")
        return self.output

    def _is_ready(self) -> bool:
        if not self.is_alive:
            raise RuntimeError(f"{self.name} ended with {self._process.returncode}:\n{self.output}")
        return self._get("/ready") is not None

    def _get(self, path: str) -> str | None:
        """The answer of its HTTP server, if it is a good one."""
        found = _HTTP.search(self.output)
        if found is None:
            return None
        url = f"http://{found[1]}{path}"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=_ASK_S) as answer:
            body: bytes = answer.read()
            return body.decode()
        return None

    def end(self) -> None:
        """Kill it if it runs."""
        if self.is_alive:
            self._process.kill()
            self._process.wait()


class Processes:
    """The processes of one test."""

    def __init__(self, harness: "Harness", directory: Path) -> None:
        self._harness = harness
        self._directory = directory
        self._processes: list[WorkerProcess] = []

    def start(
        self,
        app: str,
        *,
        env: Mapping[str, str] | None = None,
        wait: bool = True,
        timeout: float = 30.0,
    ) -> Eventually[WorkerProcess]:
        """Start a process; see the fixture ``turbine_process``."""
        steps = self._start(app, env or {}, timeout, wait=wait)
        return self._harness.eventually(f"turbine_process({app!r})", steps)

    def finish(self) -> None:
        """Kill what runs."""
        for process in self._processes:
            process.end()

    def _start(
        self, app: str, env: Mapping[str, str], timeout_s: float, *, wait: bool
    ) -> Steps[WorkerProcess]:
        process = WorkerProcess(self._harness, self._directory, app, env)
        self._processes.append(process)
        return (yield from process._started(timeout_s, wait=wait))  # noqa: SLF001 - two halves of one thing
