"""
Throughput, processor time and memory: ``run.py BOOTSTRAP TOPIC OUTPUTS LABEL -- COMMAND...``.

Starts the command on a topic that is full already, watches the end offsets of its output topic,
stops at OUTPUTS records and prints one JSON row. The rate and the processor time are those between
the first output seen and the last, so that the start of an interpreter does not count. Programs
that differ much in speed are measured for the same time instead (`Span`).
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

from common import PARTITIONS, Program, drop_topics, make_topics
from confluent_kafka import Consumer, KafkaException, TopicPartition

LOOK_S = 0.05
"""Between two looks at the output."""


@dataclass(frozen=True)
class Row:
    """
    One measurement.

    Attributes:
        label: Name of the program.
        outputs: Records it wrote.
        is_complete: Whether these are as many as were asked for, or it ran for as long.
        rate_per_s: Records a second.
        cpu_us: Processor time of the program for a record, in microseconds.
        whole_cpu_us: The same, with everything since the program was started.
        peak_mb: Most resident memory, in MiB.
        first_s: From the start to the first output, in seconds.
        span_s: Seconds that rate and processor time were measured for.
        state_mb: What is in its state directory at the end, in MiB.
    """

    label: str
    outputs: int
    is_complete: bool
    rate_per_s: float
    cpu_us: float
    whole_cpu_us: float
    peak_mb: float
    first_s: float
    span_s: float = 0.0
    state_mb: float = 0.0


@dataclass(frozen=True)
class Span:
    """
    The part of a run that counts, the same for every program.

    Attributes:
        warm_s: From the first output to its begin: caches, buffers and compilers get going.
        seconds: Its length; a program that is through with the queue before is not complete.
    """

    warm_s: float
    seconds: float


class _Sample(NamedTuple):
    now: float
    outputs: int
    cpu_s: float


class Ends:
    """The number of records in a topic, by its end offsets."""

    def __init__(self, bootstrap: str, topic: str, partitions: int = PARTITIONS) -> None:
        self._last = {TopicPartition(topic, p): 0 for p in range(partitions)}
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"watch-{topic}"})

    def total(self) -> int:
        """Ask the broker; a partition that does not answer right now counts as it did before."""
        for place in self._last:
            with contextlib.suppress(KafkaException):
                self._last[place] = self._consumer.get_watermark_offsets(place, timeout=10)[1]
        return sum(self._last.values())

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()


def measure(
    bootstrap: str,
    source: str,
    expect: int,
    label: str,
    command: list[str],
    *,
    log: Path,
    work: str = "map",
    limit_s: float = 240.0,
    span: Span | None = None,
    at_end: Callable[[str], None] = lambda _: None,
) -> Row:
    """
    Run *command* until it has written *expect* records, or *limit_s* seconds are over.

    With *span* it is stopped when that is over. *at_end* is called with the name of its output
    topic while it still runs.
    """
    target = f"out-{label}-{time.time_ns() // 1_000_000}"
    make_topics(bootstrap, target)
    ends = Ends(bootstrap, target)
    try:
        with Program(
            command, bootstrap=bootstrap, source=source, target=target, log=log, work=work
        ) as program:
            row = _watch(program, ends, expect, label, limit_s=limit_s, span=span)
            at_end(target)
            return replace(row, state_mb=program.state_bytes() / 2**20)
    finally:
        ends.close()
        drop_topics(bootstrap, target)


def _watch(
    program: Program, ends: Ends, expect: int, label: str, *, limit_s: float, span: Span | None
) -> Row:
    start = time.monotonic()
    first: _Sample | None = None
    begin: _Sample | None = None
    last = _Sample(start, 0, 0.0)
    peak = 0
    while last.outputs < expect and last.now - start < limit_s:
        has_ended = program.has_ended()
        outputs, now, use = ends.total(), time.monotonic(), program.use()
        last = _Sample(now, outputs, max(last.cpu_s, use.cpu_s))
        peak = max(peak, use.rss_bytes)
        if outputs and first is None:
            first = last
        if first and begin is None and (span is None or now - first.now >= span.warm_s):
            begin = last
        if has_ended or (begin and span and now - begin.now >= span.seconds):
            break
        if outputs < expect:
            time.sleep(LOOK_S)
    if begin is None or first is None:
        return Row(label, last.outputs, False, 0.0, 0.0, 0.0, peak / 2**20, 0.0)
    enough = last.outputs >= expect if span is None else last.now - begin.now >= span.seconds
    return _row(label, last, begin, is_complete=enough, peak_bytes=peak, first_s=first.now - start)


def _row(
    label: str, last: _Sample, begin: _Sample, *, is_complete: bool, peak_bytes: int, first_s: float
) -> Row:
    counted = max(last.outputs - begin.outputs, 1)
    return Row(
        label=label,
        outputs=last.outputs,
        is_complete=is_complete,
        rate_per_s=(last.outputs - begin.outputs) / max(last.now - begin.now, 1e-6),
        cpu_us=(last.cpu_s - begin.cpu_s) / counted * 1e6,
        whole_cpu_us=last.cpu_s / last.outputs * 1e6,
        peak_mb=peak_bytes / 2**20,
        first_s=first_s,
        span_s=last.now - begin.now,
    )


def main() -> int:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap")
    parser.add_argument("topic")
    parser.add_argument("outputs", type=int)
    parser.add_argument("label")
    parser.add_argument("--log", type=Path, default=Path(tempfile.gettempdir()) / "bench.log")
    parser.add_argument("--work", default="map", help="workload, see workloads.py")
    parser.add_argument("--limit", type=float, default=240.0, help="seconds")
    own, command = sys.argv[1:], []
    if "--" in own:
        own, command = own[: own.index("--")], own[own.index("--") + 1 :]
    given = parser.parse_args(own)
    if not command:
        parser.error("write the command behind --")
    row = measure(
        given.bootstrap,
        given.topic,
        given.outputs,
        given.label,
        command,
        log=given.log,
        work=given.work,
        limit_s=given.limit,
    )
    print(json.dumps(asdict(row)))
    return 0 if row.is_complete else 1


if __name__ == "__main__":
    sys.exit(main())
