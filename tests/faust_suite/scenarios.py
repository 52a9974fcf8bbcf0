"""Programs that need more than one worker and its output: several workers, restarts, kills."""

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from session import NotSo, Session
from sources import cached

Scenario = Callable[[Session], None]

WITHDRAWALS = 3_000
KILLS = 5
EVENTS = 300_000


def want(name: str, got: object, wanted: object) -> None:
    """NotSo, unless both are the same."""
    if got != wanted:
        raise NotSo(f"{name}: {got!r}, not {wanted!r}"[:1_000])


def rpc(session: Session) -> None:
    """V3: answers of an agent that asks another, in order and as they come; a command that asks."""
    session.copy(cached() / "examples" / "advanced" / "rpc.py")
    values = [30.3, 40.4, 50.5, 60.6, 70.7, 80.8, 90.9]
    with session.worker("rpc.py", "worker") as worker:
        worker.until_printed("RECEIVED REPLY: ", len(values))
        told = session.command("rpc.py", "x100", "3")
    want("command", told.strip(), "3 * 100 = 300.0")
    joined = re.search(r"JOINED: (\[.*\])", worker.text)
    wanted = [value**2 * 100.0 for value in values]
    want("join", joined and json.loads(joined[1]), wanted)
    replies = [float(one) for one in re.findall(r"RECEIVED REPLY: (\S+)", worker.text)]
    want("map", sorted(replies[: len(values)]), sorted(wanted))


def sets_of_two_topics(session: Session) -> None:
    """V4: agents of two topics write one table of sets; a restart has it as it was."""
    session.copy(cached() / "examples" / "tableofset.py")
    moves = [("joining", "ada"), ("joining", "bob"), ("leaving", "ada"), ("joining", "cy")]
    moves.append(("leaving", "cy"))
    with session.worker("tableofset.py", "worker") as worker:
        for done, (way, name) in enumerate(moves, 1):
            session.command("tableofset.py", way, "berlin", name)
            worker.until_printed("TABLE CUR:", done)
    seen = re.findall(r"- (\w+) (joined|left) berlin", worker.text)
    words = {"joining": "joined", "leaving": "left"}
    want("moves", seen, [(name.capitalize(), words[way]) for way, name in moves])
    before = len(worker.text)
    with session.worker("tableofset.py", "worker") as worker:
        worker.until(lambda: "| berlin |" in worker.text[before:], "the table")
    table = re.findall(r"\| berlin \| (.*?) +\|", worker.text[before:])[0]
    want("members", table, "bob")


def isolated_partitions(session: Session) -> None:
    """V6: an agent a partition meets only its own, while a second worker comes and goes."""
    session.copy(cached() / "examples" / "advanced" / "isolated_partitions_crashing.py")
    program = "isolated_partitions_crashing.py"
    produce = [program, "produce", "--max-messages", str(WITHDRAWALS), "--max-latency", "0.004"]
    with session.worker(program, "worker", "-l", "info") as first:
        first.until_printed("assigned by group")
        with session.worker(*produce, name="produce") as load:
            for number in range(2):
                with session.worker(program, "worker", "-l", "info", name="second") as second:
                    second.until_printed("restored by group", number + 1)
                    moved = first.text.count("revoked by group")
                    want("revoked", moved > number, True)
            load.until_ended()
        changelog = "faust-withdrawals29-withdrawal-counts-changelog"
        # What the table has is in its changelog once a commit is through.
        first.until(lambda: sum(session.last(changelog).values()) >= WITHDRAWALS, "all counted")
    sent = Counter(one.json["user"] for one in session.cluster.consume("withdrawals129", 0))
    want("withdrawals", sent.total(), WITHDRAWALS)
    counted = {json.loads(key or b""): n for key, n in session.last(changelog).items()}
    want("counts", counted, dict(sent))
    for one in (first, second):
        want("assertions", "AssertionError" in one.text, False)


def filtered(session: Session) -> None:
    """V11, the exercise of a course: a filter at an edge, on a record that is a dataclass too."""
    session.write("clicks.py", CLICKS)
    numbers = [0, 99, 100, 101, 500]
    clicks = [{"email": "a@b.c", "timestamp": "t", "uri": f"/{n}", "number": n} for n in numbers]
    session.cluster.make_topic_named("clicks", 3)
    session.cluster.produce("clicks", clicks)
    with session.worker("clicks.py", "worker") as worker:
        got = worker.until(lambda: _values(session, "popular", 3), "three popular pages")
    want("popular", sorted(one["number"] for one in got), [100, 101, 500])
    want("keys", {one.key for one in session.cluster.consume("popular", 3)}, KEYS)


KEYS = {b"/100", b"/101", b"/500"}
CLICKS = """
from dataclasses import dataclass

from turbine import faust

app = faust.App("clicks", broker="kafka://localhost:9092", topic_partitions=3)


@dataclass
class Click(faust.Record):
    email: str
    timestamp: str
    uri: str
    number: int


clicks = app.topic("clicks", value_type=Click)
popular = app.topic("popular", key_type=str, value_type=Click)


@app.agent(clicks)
async def choose(stream):
    async for click in stream.filter(lambda one: one.number >= 100):
        await popular.send(key=click.uri, value=click)


app.main()
"""


def count_after_kills(session: Session) -> None:
    """V12, a well-known report of a wrong count: exactly-once is exact, whatever is killed."""
    session.write("count.py", COUNT)
    session.cluster.make_topic_named("numbers", 4)
    for kill in range(KILLS):
        numbers = range(kill * EVENTS // KILLS, (kill + 1) * EVENTS // KILLS)
        session.cluster.produce("numbers", numbers, keys=[f"k{n % 97}" for n in numbers])
        with session.worker("count.py", "worker") as worker:
            before = _counted(session)
            worker.until(lambda b=before: _counted(session) > b, "it counts")  # type: ignore[misc]
            worker.kill()
    with session.worker("count.py", "worker") as worker:
        worker.until(lambda: _counted(session) >= EVENTS, f"{EVENTS} counted")
    want("count", _counted(session), EVENTS)


def _counted(session: Session) -> int:
    if COUNTS not in session.cluster.topics():
        return 0
    return sum(session.last(COUNTS).values())


COUNTS = "count-exactly-counts-changelog"
COUNT = """
from turbine import faust

app = faust.App(
    "count-exactly",
    broker="kafka://localhost:9092",
    store="rocksdb://",
    processing_guarantee="exactly_once",
    topic_partitions=4,
    broker_session_timeout=1.5,
    broker_heartbeat_interval=0.3,
    web_enabled=False,
)
numbers = app.topic("numbers", key_type=str, value_type=int)
counts = app.Table("counts", key_type=str, value_type=int, default=int)


@app.agent(numbers)
async def count(stream):
    async for key, _ in stream.items():
        counts[key] += 1


app.main()
"""


def _values(session: Session, topic: str, count: int) -> list[Any]:
    if topic not in session.cluster.topics():
        return []
    found = [one.json for one in session.cluster.consume(topic, 0)]
    return found if len(found) >= count else []


SCENARIOS: dict[str, Scenario] = {
    "V3": rpc,
    "V4": sets_of_two_topics,
    "V6": isolated_partitions,
    "V11b": filtered,
    "V12b": count_after_kills,
}
