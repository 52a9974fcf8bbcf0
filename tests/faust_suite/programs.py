"""
Run example programs of Faust with nothing but their imports changed.

The programs come from Faust's source archive; see `sources`. They name a broker at localhost:9092,
so that is where it must be: one that runs there already, or an embedded one that is started here.
Each program has a check of what it must have printed; one that fails makes this fail.
"""

import argparse
import asyncio
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import isclose
from pathlib import Path
from typing import Any
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sources import cached

Record = tuple[bytes | None, bytes | None]

PORT = 9092
MESSAGES = 300
DEADLINE_S = 60
IMPORTS = (
    (re.compile(r"^import faust$", re.MULTILINE), "from turbine import faust"),
    (re.compile(r"^from (faust|mode)\b", re.MULTILINE), r"from turbine.\1"),
    (re.compile(r"^from turbine\.mode\b", re.MULTILINE), "from turbine.faust.mode"),
)


@dataclass(frozen=True)
class Program:
    """
    Attributes:
        source: File among Faust's examples.
        is_done: Has it printed enough to be judged?
        check: Gives what is wrong with all that it printed; empty: nothing.
        options: Of the worker.
        command: Of the program, run while the worker runs; it must end well.
    """  # noqa: D205 - a table of attributes

    source: str
    is_done: Callable[[str], bool]
    check: Callable[[str], str]
    options: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


def task_queue(text: str) -> str:
    """Each task is run once, with the sum of its arguments as its result."""
    asked = re.findall(r"Request: id='(\S+)', .*?arguments=\[(\d+), (\d+)\]", text)
    given = dict(re.findall(r"Result of (\S+) is: (\d+)", text))
    if len({one for one, _, _ in asked}) != len(asked):
        return "a task was run twice"
    wrong = [one for one, a, b in asked[:-1] if given.get(one) != str(int(a) + int(b))]
    return f"wrong or missing results: {wrong}" if wrong else ""


def word_count(text: str) -> str:
    """The tally has each word as often as it was sent."""
    tally = dict(re.findall(r"\| (\w+) +\| (\d+)", text[text.find("$$ TALLY $$") :]))
    wanted = dict.fromkeys(("the", "quick", "brown", "fox"), "1000")
    return "" if tally == wanted else f"counted {tally}, not {wanted}"


def bound_agent(text: str) -> str:
    """Each action of the first burst ends once: in the second stage, or among dead letters."""
    ends = re.findall(r"(?:\[stage2\] action|\[dead letter\]) arrived: .*?device_id=(\d+)", text)
    started = re.findall(r"\[stage1\] action arrived: .*?device_id=(\d+)", text)
    early = re.findall(r"stage='stage1', .*?device_id=(\d+)", text)
    lost = len(started) + len(early) - len(ends)
    return f"{lost} of {len(started) + len(early)} actions did not end once" if lost else ""


def withdrawals(_text: str) -> str:
    """The table has the sums of what was sent, by user and hour."""
    sent, stored = read_topics("withdrawals", "faust-withdrawals-v5-user_to_total-changelog")
    wanted, got = defaultdict[str, float](float), defaultdict[str, float](float)
    for _, value in sent:
        body = json.loads(value or b"{}")
        wanted[body["user"]] += body["amount"]
    for key, value in dict(stored).items():
        user, (start, end) = json.loads(key or b"")
        if (start % 3600, round(end - start, 3)) != (0, 3599.9):
            return f"a window from {start} to {end}"
        got[user] += json.loads(value or b"0")
    same = wanted.keys() == got.keys() and all(isclose(wanted[one], got[one]) for one in got)
    if len(sent) < MESSAGES or not same:
        return f"{len(sent)} withdrawals: {sum(wanted.values())}, in the table {sum(got.values())}"
    return ""


def aggregation(text: str) -> str:
    """Windows of 10 s close once, in their order, with all of their events."""
    found = re.findall(r"processing window:(\d+) events,mean: ([\d.]+),timestamp (\d+)", text)
    if any(int(start) % 10 for _, _, start in found):
        return f"wrong windows: {found}"
    sent, closed = read_topics("raw-event", "agg-event")
    wanted: Counter[float] = Counter(
        json.loads(value or b"")["date"] // 10 * 10 for _, value in sent
    )
    told = [json.loads(value or b"") for _, value in closed]
    starts = [one["date"] for one in told]
    if starts != sorted(set(starts)):
        return f"a window closed twice, or out of order: {starts}"
    wrong = [one for one in told if wanted[one["date"]] != one["count"]]
    return f"wrong counts: {wrong} of {wanted}" if wrong else ""


def hopping(text: str) -> str:
    """Each event counts on from the one before it, and begins anew where its newest window does."""
    found = re.findall(r"date=(\d+), value=([\d.]+)", text)
    events = [(int(date) // 3, float(value)) for date, value in found]
    wrong = [
        (before, event)
        for before, event in pairwise(events)
        if not isclose(event[1], before[1] + 1 if event[0] == before[0] else min(event[1], 1))
    ]
    return f"it goes on as {wrong}" if wrong or not events else ""


PROGRAMS = {
    "V2": Program(
        "withdrawals.py",
        lambda text: not withdrawals(text),
        withdrawals,
        command=("produce", "--max-latency", "0", "--max-messages", str(MESSAGES)),
    ),
    "V5": Program(
        "windowed_aggregation.py",
        lambda text: text.count("processing window") >= 2,
        aggregation,
    ),
    "V5b": Program("windowing/hopping_2.py", lambda text: text.count("Receive") >= 80, hopping),
    "V7": Program(
        "bound_agent.py",
        # More than one burst's least, and nothing of it under way.
        lambda text: text.count("arrived:") >= 20 and not bound_agent(text),
        bound_agent,
        ("-l", "info"),
    ),
    "V1": Program(
        "word_count.py",
        lambda text: text[text.find("$$ TALLY $$") :].count("| the") > 0,
        word_count,
    ),
    "V8": Program("task_queue.py", lambda text: text.count("Result of") >= 5, task_queue),
}


def read_topics(*names: str) -> list[list[Record]]:
    """Read *names* from their beginnings, until nothing more comes for a second."""
    import turbine

    app = turbine.App(f"read-{uuid4().hex}", broker=f"kafka://localhost:{PORT}", web_enabled=False)
    read: list[list[Record]] = [[] for _ in names]

    def declare(name: str, into: list[Record]) -> None:
        @app.agent(name, name=f"read-{name}", key_type=bytes, value_type=bytes)
        async def keep(stream: Any) -> None:
            async for pair in stream.items():
                into.append(pair)  # noqa: PERF401 - the stream has no end

    async def run() -> None:
        async with app.running():
            before, end = -1, time.monotonic() + DEADLINE_S
            while (now := sum(map(len, read))) == 0 or now != before:
                if time.monotonic() > end:
                    return
                before = now
                await asyncio.sleep(1)

    for name, into in zip(names, read, strict=True):
        declare(name, into)
    asyncio.run(run())
    return read


def changed(source: Path, folder: Path) -> Path:
    """Copy a program with its imports changed."""
    text = source.read_text(encoding="utf-8")
    for old, new in IMPORTS:
        text = old.sub(new, text)
    target = folder / source.name
    target.write_text(text, encoding="utf-8")
    return target


def run(program: Program, examples: Path, folder: Path) -> str:
    """Give what is wrong with a run of *program* as a worker; empty: nothing."""
    out = folder / "out"
    worker_of = str(changed(examples / program.source, folder))
    command = [sys.executable, worker_of, "worker", *program.options]
    beside = [sys.executable, worker_of, *program.command]
    with out.open("w") as file:
        worker = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=folder)
    try:
        if program.command and subprocess.run(beside, cwd=folder, check=False).returncode:
            return f"{program.command} failed"
        end = time.monotonic() + DEADLINE_S
        while not program.is_done(out.read_text()):
            if time.monotonic() > end or worker.poll() is not None:
                return f"it did not get there:\n{out.read_text()}"
            time.sleep(0.1)
    finally:
        worker.terminate()
        code = worker.wait(DEADLINE_S)
    return f"exit code {code}" if code else program.check(out.read_text())


def broker() -> object:
    """Start a broker at the place that the programs name, unless there is one."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", PORT)) == 0:
            return None
    from turbine import EmbeddedBroker

    return EmbeddedBroker(port=PORT)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="make faust-programs")
    parser.add_argument("names", nargs="*", default=list(PROGRAMS), help=", ".join(PROGRAMS))
    names = parser.parse_args().names
    kept, failed = broker(), 0
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            wrong = run(PROGRAMS[name], cached() / "examples", Path(folder))
        print(f"{name} {PROGRAMS[name].source}: {wrong or 'as it should'}")
        failed += bool(wrong)
    del kept
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
