"""Faust itself, in an environment of its own, for tests of moving from it."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from support.wait import eventually

CACHE = Path(os.environ.get("TURBINE_CACHE") or Path.home() / ".cache" / "turbine")
PYTHON = next(iter(sorted(CACHE.glob("bench-peers-*/bin/python"))), None)
needs_faust = pytest.mark.skipif(
    PYTHON is None, reason="Faust is not installed beside Turbine; make faust-migration does that"
)
STOP_S = 10.0
WORKER = ("worker", "-l", "info", "--without-web")


class FaustWorker:
    """
    A worker of Faust, from entry to exit.

    Args:
        program: A module, written for Faust.
        env: Its variables besides those of the tests.
    """

    def __init__(self, program: Path, env: Mapping[str, str]) -> None:
        self._program = program
        self._env = os.environ | env
        self._log = program.with_suffix(".log")

    @property
    def output(self) -> str:
        """What it wrote so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_output(self, text: str) -> None:
        """Wait until *text* is in its log."""
        eventually(lambda: text in self.output, 60, f"Faust says {text!r}: {self._log}")

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(PYTHON), "-m", "faust", "-A", self._program.stem, *WORKER],
                env=self._env,
                cwd=self._program.parent,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            # One that has asked something waits for its own acknowledgement of the answer.
            self._process.kill()
            self._process.wait()
        if exc is not None:
            exc.add_note(self.output[-3_000:])
