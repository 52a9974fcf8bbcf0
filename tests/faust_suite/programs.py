"""
Run example programs of Faust with nothing but their imports changed.

They come from Faust's source archive (see `sources`), and from public repositories that are checked
out beside the clone (see `checkouts`); one that is not there is left out. They run one after the
other, each on a broker of its own, embedded or a real Kafka. Each has a check of what it must have
printed and written; one that fails makes this fail.
"""

import argparse
import json
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import isclose
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from checkouts import Missing
from projects import PROJECTS
from scenarios import SCENARIOS as OTHERS
from session import NotSo, Session
from sources import cached

from support.brokers import make_broker

Record = tuple[bytes | None, bytes | None]

MESSAGES = 300


@dataclass(frozen=True)
class Program:
    """
    Attributes:
        source: File among Faust's examples.
        is_done: Has it printed enough to be judged?
        check: Gives what is wrong with all that it printed and wrote; empty: nothing.
        options: Of the worker.
        command: Of the program, run while the worker runs; it must end well.
        edit: What else is changed in the program: text, and its replacement.
    """  # noqa: D205 - a table of attributes

    source: str
    is_done: Callable[[str, Session], bool]
    check: Callable[[str, Session], str]
    options: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    edit: tuple[str, str] | None = None


def task_queue(text: str, _: Session) -> str:
    """Each task is run once, with the sum of its arguments as its result."""
    asked = re.findall(r"Request: id='(\S+)', .*?arguments=\[(\d+), (\d+)\]", text)
    given = dict(re.findall(r"Result of (\S+) is: (\d+)", text))
    if len({one for one, _, _ in asked}) != len(asked):
        return "a task was run twice"
    wrong = [one for one, a, b in asked[:-1] if given.get(one) != str(int(a) + int(b))]
    return f"wrong or missing results: {wrong}" if wrong else ""


def word_count(text: str, _: Session) -> str:
    """The tally has each word as often as it was sent."""
    tally = dict(re.findall(r"\| (\w+) +\| (\d+)", text[text.find("$$ TALLY $$") :]))
    wanted = dict.fromkeys(("the", "quick", "brown", "fox"), "1000")
    return "" if tally == wanted else f"counted {tally}, not {wanted}"


def bound_agent(text: str, _: Session) -> str:
    """Each action of the first burst ends once: in the second stage, or among dead letters."""
    ends = re.findall(r"(?:\[stage2\] action|\[dead letter\]) arrived: .*?device_id=(\d+)", text)
    started = re.findall(r"\[stage1\] action arrived: .*?device_id=(\d+)", text)
    early = re.findall(r"stage='stage1', .*?device_id=(\d+)", text)
    lost = len(started) + len(early) - len(ends)
    return f"{lost} of {len(started) + len(early)} actions did not end once" if lost else ""


def withdrawals(_: str, session: Session) -> str:
    """The table has the sums of what was sent, by user and hour."""
    sent, stored = read_topics(
        session, "withdrawals", "faust-withdrawals-v5-user_to_total-changelog"
    )
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


def aggregation(text: str, session: Session) -> str:
    """Windows of 10 s close once, in their order, with all of their events."""
    found = re.findall(r"processing window:(\d+) events,mean: ([\d.]+),timestamp (\d+)", text)
    if any(int(start) % 10 for _, _, start in found):
        return f"wrong windows: {found}"
    sent, closed = read_topics(session, "raw-event", "agg-event")
    wanted: Counter[float] = Counter(
        json.loads(value or b"")["date"] // 10 * 10 for _, value in sent
    )
    told = [json.loads(value or b"") for _, value in closed]
    starts = [one["date"] for one in told]
    if starts != sorted(set(starts)):
        return f"a window closed twice, or out of order: {starts}"
    wrong = [one for one in told if wanted[one["date"]] != one["count"]]
    return f"wrong counts: {wrong} of {wanted}" if wrong else ""


def silent(_: str, session: Session) -> str:
    """The window of the only event closes although no other event comes."""
    sent, closed = read_topics(session, "raw-event", "agg-event")
    told = [json.loads(value or b"") for _, value in closed]
    starts = [json.loads(value or b"")["date"] // 10 * 10 for _, value in sent]
    is_right = [(one["date"], one["count"]) for one in told] == [(start, 1) for start in starts]
    return "" if is_right else f"events in windows from {starts}; closed: {told}"


def hopping(text: str, _: Session) -> str:
    """Each event counts on from the one before it, and begins anew where its newest window does."""
    found = re.findall(r"date=(\d+), value=([\d.]+)", text)
    events = [(int(date) // 3, float(value)) for date, value in found]
    wrong = [
        (before, event)
        for before, event in pairwise(events)
        if not isclose(event[1], before[1] + 1 if event[0] == before[0] else min(event[1], 1))
    ]
    return f"it goes on as {wrong}" if wrong or not events else ""


def read_topics(session: Session, *names: str) -> list[list[Record]]:
    """Read *names* from their beginnings; one that is not there has nothing."""
    known = session.cluster.topics()
    return [
        [(one.key, one.value) for one in session.cluster.consume(name, 0)] if name in known else []
        for name in names
    ]


PROGRAMS = {
    "V2": Program(
        "withdrawals.py",
        lambda text, session: not withdrawals(text, session),
        withdrawals,
        command=("produce", "--max-latency", "0", "--max-messages", str(MESSAGES)),
    ),
    "V5": Program(
        "windowed_aggregation.py",
        lambda text, _: text.count("processing window") >= 2,
        aggregation,
    ),
    # One event every twenty seconds: its window is over long before the next one.
    "V5s": Program(
        "windowed_aggregation.py",
        lambda text, _: text.count("processing window") >= 1,
        silent,
        edit=("app.timer(0.1)", "app.timer(20)"),
    ),
    "V5b": Program("windowing/hopping_2.py", lambda text, _: text.count("Receive") >= 80, hopping),
    "V7": Program(
        "bound_agent.py",
        # More than one burst's least, and nothing of it under way.
        lambda text, session: text.count("arrived:") >= 20 and not bound_agent(text, session),
        bound_agent,
        ("-l", "info"),
    ),
    "V1": Program(
        "word_count.py",
        lambda text, _: text[text.find("$$ TALLY $$") :].count("| the") > 0,
        word_count,
    ),
    "V8": Program("task_queue.py", lambda text, _: text.count("Result of") >= 5, task_queue),
}


def run(program: Program, session: Session) -> str:
    """Give what is wrong with a run of *program* as a worker; empty: nothing."""
    source = cached() / "examples" / program.source
    session.copy(source)
    if program.edit is not None:
        text = (session.folder / source.name).read_text(encoding="utf-8")
        session.write(source.name, text.replace(*program.edit))
    with session.worker(source.name, "worker", *program.options) as worker:
        if program.command:
            session.command(source.name, *program.command)
        worker.until(lambda: program.is_done(worker.text, session), "enough to be judged")
    return program.check(worker.text, session)


SCENARIOS = OTHERS | PROJECTS


def judge(name: str, address: str) -> str:
    """Give what is wrong with the program *name* on a broker that has nothing of another."""
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Path(folder), address)
        try:
            if name in PROGRAMS:
                return run(PROGRAMS[name], session)
            SCENARIOS[name](session)
        except NotSo as exc:
            return str(exc)
    return ""


def main() -> int:
    """Run what is asked for; 1 if something is not as it should be."""
    every = [*PROGRAMS, *SCENARIOS]
    parser = argparse.ArgumentParser(description=__doc__, prog="make faust-programs")
    parser.add_argument("names", nargs="*", default=every, help=", ".join(every))
    parser.add_argument("--broker", default="memory", help="memory (embedded), kafka or HOST:PORT")
    given = parser.parse_args()
    failed = 0
    for name in given.names:
        # A program's topics and group are the same each time.
        broker = make_broker(given.broker)
        broker.start()
        try:
            wrong = judge(name, broker.address)
            print(f"{name}: {wrong or 'as it should'}", flush=True)
            failed += bool(wrong)
        except Missing as exc:
            print(f"{name}: left out, it is not there; {exc}", flush=True)
        finally:
            broker.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
