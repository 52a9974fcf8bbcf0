"""
Run example programs of Faust with nothing but their imports changed.

The programs come from Faust's source archive; see `sources`. They name a broker at localhost:9092,
so that is where it must be: one that runs there already, or an embedded one that is started here.
Each program has a check of what it must have printed; one that fails makes this fail.
"""

import argparse
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sources import cached

PORT = 9092
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
    """  # noqa: D205 - a table of attributes

    source: str
    is_done: Callable[[str], bool]
    check: Callable[[str], str]
    options: tuple[str, ...] = ()


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


PROGRAMS = {
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
    with out.open("w") as file:
        worker = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=folder)
    try:
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
