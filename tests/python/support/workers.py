"""Workers as a user starts them: ``turbine -A file.py worker`` in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from support.brokers import free_port
from support.wait import eventually

STOP_S = 20.0


class WorkerProcess:
    """
    One worker process; `start` it, or enter it as a context.

    Args:
        directory: Its working directory; app file and log are there.
        source: Text of the app file. It finds the broker in ``os.environ["KAFKA"]`` and its id in
            ``os.environ["APP_ID"]``.
        broker: ``host:port``.
        app_id: Id of the app.
        args: More arguments of ``worker``.
        env: More variables.
        web: Whether it serves HTTP, on a free port; ``"default"`` leaves the port to the worker.

    Attributes:
        env: The variables that it has besides those of the tests.
    """

    def __init__(
        self,
        directory: Path,
        source: str,
        *,
        broker: str,
        app_id: str,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        web: bool | Literal["default"] = True,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.app_file = directory / "app.py"
        self.app_file.write_text(textwrap.dedent(source), encoding="utf-8")
        self.log_file = directory / "worker.log"
        self.port = free_port() if web is True else None
        chosen = {True: ["--api-port", str(self.port)], False: ["--without-web"], "default": []}
        self._args = [*chosen[web], *args]
        self.env = {"KAFKA": broker, "APP_ID": app_id, "PYTHONUNBUFFERED": "1", **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    # -- life ------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the process and wait for nothing; the log of an earlier one stays in front."""
        assert not self.is_alive(), "the worker runs already"
        command = [
            sys.executable,
            "-m",
            "turbine",
            "-A",
            str(self.app_file),
            "worker",
            "-l",
            "info",
        ]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._args],
                cwd=self.directory,
                env=os.environ | self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def wait_ready(self, deadline_s: float = 30.0) -> Self:
        """Wait until every group has its assignment."""
        assert self.port is not None, "started without HTTP: wait for output instead"
        eventually(self._is_ready, deadline_s, "the worker is ready")
        return self

    def wait_output(self, text: str, deadline_s: float = 30.0) -> str:
        """Wait until *text* is in the log; return the log."""
        eventually(
            lambda: text in self._output_of_the_living(), deadline_s, f"the log says {text!r}"
        )
        return self.output()

    def wait(self, deadline_s: float = STOP_S) -> int:
        """Wait for the end; return the exit code, negative for a signal."""
        assert self._process is not None, "the worker was never started"
        try:
            return self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"the worker did not end in {deadline_s} s\n{self.output()}"
            ) from None

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None, "the worker was never started"
        self._process.send_signal(number)

    def terminate(self, deadline_s: float = STOP_S) -> int:
        """TERM, as a supervisor does, and wait; return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(deadline_s)

    def interrupt(self, deadline_s: float = STOP_S) -> int:
        """INT, as Ctrl-C does, and wait; return the exit code."""
        self.signal(signal.SIGINT)
        return self.wait(deadline_s)

    def kill(self) -> int:
        """KILL, as a crash does, and wait; return the exit code."""
        self.signal(signal.SIGKILL)
        return self.wait()

    # -- looking at it ---------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, "the worker was never started"
        return self._process.pid

    def is_alive(self) -> bool:
        """Say whether it runs."""
        return self._process is not None and self._process.poll() is None

    def output(self) -> str:
        """Everything it wrote so far, standard output and error together."""
        return (
            self.log_file.read_text(encoding="utf-8", errors="replace")
            if self.log_file.exists()
            else ""
        )

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        """Ask its HTTP server; return status and parsed JSON, or text where it is not JSON."""
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, headers=dict(headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                status, body = answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            with exc:
                status, body = exc.code, exc.read().decode()
        try:
            return status, json.loads(body)
        except json.JSONDecodeError:
            return status, body

    def assignments(self) -> list[dict[str, Any]]:
        """Its partitions, as ``/assignments`` shows them."""
        status, rows = self.get("/assignments")
        assert status == 200, rows
        assert isinstance(rows, list)
        return rows

    def _is_ready(self) -> bool:
        self._output_of_the_living()
        try:
            return self.get("/ready")[0] == 200
        except OSError:
            return False

    def _output_of_the_living(self) -> str:
        if not self.is_alive():
            # Not an assertion: waiting longer does not bring it back.
            raise RuntimeError(f"the worker ended with {self.wait(0)}\n{self.output()}")
        return self.output()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self.is_alive():
            self.kill()
