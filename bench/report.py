"""Tables and goals of a comparison."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import run
from workloads import Workload

WORDS = {"rate_per_s": "throughput", "cpu_us": "CPU time", "peak_mb": "memory"}


class Measured(Protocol):
    """A program at a workload, measured."""

    workload: Workload
    latencies: list[object]

    @property
    def label(self) -> str:
        """Name of the program."""

    def median(self, name: str) -> float:
        """Median of a figure of `run.Row`."""

    def median_latency(self, name: str) -> float:
        """Median of a figure of `latency.Latency`."""


@dataclass(frozen=True)
class Goal:
    """A figure to reach: *value* against *bound*."""

    text: str
    value: float
    bound: float
    at_least: bool

    def line(self) -> str:
        """Say whether it is reached, and by how much not."""
        reached = self.value >= self.bound if self.at_least else self.value <= self.bound
        word = "reached" if reached else "MISSED "
        sign = ">=" if self.at_least else "<="
        return f"  {word}  {self.text}: {self.value:.2f} ({sign} {self.bound:g})"


def short(row: run.Row) -> str:
    """One round in one line."""
    state = "" if row.is_complete else f"  INCOMPLETE: {row.outputs} outputs in {row.span_s:.1f} s"
    return (
        f"{row.label:22}{row.rate_per_s:12,.0f} out/s {row.cpu_us:8.2f} us/out "
        f"{row.peak_mb:7.0f} MB  first after {row.first_s:.1f} s{state}"
    )


def table(
    workload: Workload,
    rows: Sequence[Measured],
    *,
    records: int,
    rounds: int,
    broker: str,
) -> None:
    """
    Print the table of a workload.

    Args:
        workload: The workload.
        rows: Its programs.
        records: Records in the queue.
        rounds: Rounds of which the medians are.
        broker: The broker's name.

    The figures are those of an event, whatever the number of outputs.
    """
    per_event = workload.outputs(records) / records
    named = {one.label: one for one in rows}
    limit = named.get("limit")
    print(
        f"\n{workload.name}: {workload.text}; {records:,} queued records, 4 partitions, median of "
        f"{rounds} interleaved round(s)\n{os.cpu_count()} cores, {platform.machine()}, CPython "
        f"{platform.python_version()}, {broker} on the same machine\n"
    )
    has_latency = any(one.latencies for one in rows)
    on_disk = any(one.median("state_mb") > 0 for one in rows)
    heads = ["program", "ev/s", "CPU us/ev", "from start", "peak MB", "s"]
    heads += ["state MB"] if on_disk else []
    heads += ["p50 ms", "p99 ms"] if has_latency else []
    heads += ["ev/s : limit", "CPU : limit"] if limit else []
    lines = [heads]
    for one in rows:
        rate, cpu = one.median("rate_per_s") / per_event, one.median("cpu_us") * per_event
        cells = [one.label, _cell(rate, ",.0f"), _cell(cpu, ".2f")]
        cells += [_cell(one.median("whole_cpu_us") * per_event, ".2f")]
        cells += [_cell(one.median("peak_mb"), ".0f"), _cell(one.median("span_s"), ".1f")]
        cells += [_cell(one.median("state_mb"), ".1f")] if on_disk else []
        if has_latency:
            cells += [_cell(one.median_latency(name), ".1f") for name in ("p50_ms", "p99_ms")]
        if limit:
            cells += [_cell(_ratio(one, limit, name), ".2f") for name in ("rate_per_s", "cpu_us")]
        lines.append(cells)
    _print(lines)


def goals(rows: Sequence[Measured], records: int) -> None:
    """Print which goals are reached, of those whose programs were measured."""
    found = {(one.workload.name, one.label): one for one in rows}
    lines = [goal.line() for goal in _goals(found, records)]
    if lines:
        print("\ngoals:", *lines, sep="\n")


def ratios(kafka: Sequence[Measured], embedded: Sequence[Measured]) -> None:
    """Print the throughput of each program on the embedded broker to that on Kafka."""
    lines = [
        Goal(
            f"{one.label}, {one.workload.name}, embedded broker to Kafka",
            _ratio(one, other, "rate_per_s"),
            1.0,
            at_least=True,
        ).line()
        for one, other in zip(embedded, kafka, strict=True)
    ]
    print("\nthroughput of one program on both brokers:", *lines, sep="\n")


def _goals(found: dict[tuple[str, str], Measured], records: int) -> list[Goal]:
    agent, native, ported = "turbine-agent", "turbine-subscription", "turbine-faust"
    wanted = [
        ("map", native, "map", "limit", "rate_per_s", 1.0),
        ("map", native, "map", "limit", "cpu_us", 0.8),
        ("count", native, "count", "limit", "cpu_us", 1.2),
        ("window", native, "window", "limit", "cpu_us", 1.5),
        ("window-disk", native, "window", "limit", "cpu_us", 2.0),
        ("map", agent, "map", "faust", "rate_per_s", 40.0),
        ("map", ported, "map", "faust", "rate_per_s", 40.0),
        ("map", ported, "map", "faust", "peak_mb", 1.0),
        ("count", ported, "count", "faust", "rate_per_s", 100.0),
        ("count", ported, "count", "faust", "peak_mb", 1.0),
        ("take", ported, "take", "faust", "rate_per_s", 100.0),
        ("map", agent, "map", "bytewax", "rate_per_s", 1.5),
        ("count-disk", "turbine-state", "count-disk", "streams", "rate_per_s", 2.0),
        ("count-disk", "turbine-state", "count-disk", "faust", "rate_per_s", 100.0),
    ]
    result = []
    for work, one, other_work, other, figure, bound in wanted:
        a, b = found.get((work, one)), found.get((other_work, other))
        if a and b:
            word = WORDS[figure]
            text = f"{one}, {work}: {word} to {other}"
            value = _ratio(a, b, figure)
            result.append(Goal(text, value, bound, at_least=figure == "rate_per_s"))
    hopping, tumbling = found.get(("hopping", native)), found.get(("tumbling", native))
    if hopping and tumbling:
        cpu = [one.median("cpu_us") * one.workload.outputs(records) for one in (hopping, tumbling)]
        result.append(
            Goal(f"{native}: CPU time of hopping to tumbling", cpu[0] / cpu[1], 1.5, at_least=False)
        )
    for label in (agent, native):
        one = found.get(("map", label))
        if one:
            text = f"{label}, peak MB"
            result.append(Goal(text, one.median("peak_mb"), 400.0, at_least=False))
        if one and one.latencies:
            p50, p99 = (one.median_latency(name) for name in ("p50_ms", "p99_ms"))
            result.append(Goal(f"{label}, p50 ms", p50, 10.0, at_least=False))
            result.append(Goal(f"{label}, p99 ms", p99, 30.0, at_least=False))
    return result


def _ratio(one: Measured, other: Measured, figure: str) -> float:
    value, base = one.median(figure), other.median(figure)
    return value / base if base else float("nan")


def _cell(value: float, form: str) -> str:
    return "-" if value != value else format(value, form)  # noqa: PLR0124 - not a number


def _print(lines: list[list[str]]) -> None:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for number, line in enumerate(lines):
        first, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print(f"| {' | '.join([first, *rest])} |")
        if number == 0:
            marks = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
            print(f"| {' | '.join(marks)} |")
