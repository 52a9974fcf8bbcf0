"""Workers that come and go under load, and what must be true afterwards."""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from support.kafka import Cluster
from support.wait import eventually
from support.workers import WorkerProcess

CHUNK = 100


class Load:
    """
    Writes ``{"n": 0}``, ``{"n": 1}`` ... from a thread of its own, from entry to exit.

    Args:
        address: Broker.
        topic: Topic to write.
        rate: Records a second.
        partitions: Round-robin over so many partitions; None: by a key, ``n`` modulo 1,000.
    """

    def __init__(self, address: str, topic: str, rate: int, partitions: int | None = None) -> None:
        self._cluster = Cluster(address)
        self._topic = topic
        self._rate = rate
        self._partitions = partitions
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")
        self.written = 0
        self.problem: BaseException | None = None

    def _run(self) -> None:
        began = time.monotonic()
        try:
            while not self._stop.is_set():
                self._write(CHUNK)
                ahead_s = self.written / self._rate - (time.monotonic() - began)
                self._stop.wait(max(0.0, ahead_s))
        except BaseException as exc:  # noqa: BLE001 - shown by the test
            self.problem = exc

    def _write(self, count: int) -> None:
        numbers = range(self.written, self.written + count)
        if self._partitions is None:
            keys = [str(n % 1_000) for n in numbers]
            self._cluster.produce(self._topic, [{"n": n} for n in numbers], keys=keys)
        else:
            partition = self.written // count % self._partitions
            self._cluster.produce(self._topic, [{"n": n} for n in numbers], partition=partition)
        self.written += count

    def top_up(self, total: int) -> None:
        """After the end: write what is missing to *total* records."""
        while self.written < total:
            self._write(min(10_000, total - self.written))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        assert self.problem is None, self.problem


def churn(
    workers: Sequence[WorkerProcess],
    ends: Sequence[int],
    longest_pause_s: float,
    progress: Callable[[], int],
) -> None:
    """
    End one of *workers* after the other at random moments of work, and start it again at once.

    Args:
        workers: All of them run.
        ends: The signal of each end; TERM must lead to a clean one.
        longest_pause_s: Longest time between a start and the next end, in seconds.
        progress: How far the work is; between two ends it goes on.
    """
    for number in ends:
        before = progress()
        eventually(lambda: progress() > before, 20, "the work goes on")  # noqa: B023 - called at once
        time.sleep(random.uniform(0, longest_pause_s))
        worker = random.choice(workers)
        started = f"pid {worker.pid}" in worker.output()
        worker.signal(number)
        code = worker.wait(30)
        # Before it can listen to signals, TERM ends a program as KILL does.
        allowed = {0} if number == signal.SIGTERM and started else {0, -number}
        assert code in allowed, f"ended with {code}\n{worker.output()}"
        worker.start()
    # Whoever ends them next may expect that they listen.
    for worker in workers:
        worker.wait_output(f"pid {worker.pid}")


def missing(cluster: Cluster, topic: str, total: int, deadline_s: float) -> tuple[list[int], int]:
    """
    Wait until *topic* has every number below *total*, or the deadline has passed.

    Returns:
        The numbers that are not there (the first ten), and how many records are repetitions.
    """
    eventually(lambda: cluster.count(topic) >= total, deadline_s, f"{topic} has {total} records")
    end = time.monotonic() + deadline_s
    while True:
        numbers = Counter(int(got.json["n"]) for got in cluster.consume(topic, total))
        lost = [n for n in range(total) if n not in numbers]
        if not lost or time.monotonic() > end:
            strange = [n for n in numbers if not 0 <= n < total]
            assert not strange, strange
            return lost[:10], numbers.total() - len(numbers)
        time.sleep(0.5)
