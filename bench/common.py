"""What the measurements share: topics, the program measured, and what its processes use."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 4
"""Of every topic of a measurement."""

FOREVER = {"retention.ms": "-1"}
"""Keeps records whose times are years ago."""

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def make_topics(
    bootstrap: str,
    *names: str,
    partitions: int = PARTITIONS,
    config: Mapping[str, str] | None = None,
) -> None:
    """Create topics whose records stay, whatever their time, and wait until they have leaders."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    new = [NewTopic(name, partitions, 1, config=FOREVER | dict(config or {})) for name in names]
    for future in admin.create_topics(new).values():
        future.result(30)
    end = time.monotonic() + 30
    while any(_leaders(admin, name) < partitions for name in names):
        if time.monotonic() > end:
            raise SystemExit(f"no leaders for {names}")
        time.sleep(0.05)


def drop_topics(bootstrap: str, *names: str) -> None:
    """Delete topics, so that the next measurement finds the broker as this one did."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.delete_topics(list(names)).values():
        future.result(30)


def _leaders(admin: AdminClient, name: str) -> int:
    found = admin.list_topics(name, 10).topics[name].partitions.values()
    return sum(partition.leader >= 0 for partition in found)


@dataclass(frozen=True)
class Use:
    """
    What a process tree has used.

    Attributes:
        cpu_s: Processor seconds so far, of the living and of those that were waited for.
        rss_bytes: Resident memory now.
    """

    cpu_s: float
    rss_bytes: int


class Program:
    """
    One program under measurement, in its own session and with its own group and state directory.

    Args:
        command: What to run.
        bootstrap: ``host:port``, its variable ``KAFKA``.
        source: Topic to read, its variable ``IN``.
        target: Topic to write, its variable ``OUT``.
        work: Which workload, its variable ``WORK``.
        log: File for its output.

    Attributes:
        group: What its consumer groups begin with, its variable ``GROUP``.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        bootstrap: str,
        source: str,
        target: str,
        log: Path,
        work: str = "map",
    ) -> None:
        self._command = list(command)
        self._log = log
        self._state = tempfile.mkdtemp(prefix="bench-")
        self.group = f"group-{target}"
        self._env = os.environ | {
            "KAFKA": bootstrap,
            "IN": source,
            "OUT": target,
            "GROUP": self.group,
            "STATE": self._state,
            "WORK": work,
        }

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, env=self._env, stdout=log, stderr=log, start_new_session=True
            )
        return self

    def __exit__(self, *exc: object) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                break
            try:
                self._process.wait(15)
                break
            except subprocess.TimeoutExpired:
                continue
        shutil.rmtree(self._state, ignore_errors=True)

    def has_ended(self) -> bool:
        """Say whether it stopped by itself."""
        return self._process.poll() is not None

    def state_bytes(self) -> int:
        """Add up the files in its state directory."""
        total = 0
        for folder, _, names in os.walk(self._state):
            for name in names:
                # One that was just compacted away counts for nothing.
                with contextlib.suppress(FileNotFoundError):
                    total += (Path(folder) / name).stat().st_size
        return total

    def use(self) -> Use:
        """Add up its whole process tree."""
        cpu, rss = 0.0, 0
        for pid in self._tree():
            try:
                stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
            except OSError:
                continue  # ended between the two looks
            fields = stat.rsplit(")", 1)[1].split()
            cpu += sum(map(int, fields[11:15])) / _TICKS
            rss += int(fields[21]) * _PAGE
        return Use(cpu, rss)

    def _tree(self) -> list[int]:
        todo, seen = [self._process.pid], []
        while todo:
            pid = todo.pop()
            seen.append(pid)
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                try:
                    todo += map(int, children.read_text(encoding="utf-8").split())
                except OSError:
                    continue
        return seen
