"""The workloads, and the programs that do them."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import setup_peers
from gen import USERS, closed_windows

HERE = Path(__file__).resolve().parent

SIZE_MS = 10_000
STEP_MS = 100
TAKEN = 1_000
FEW_USERS = 20
"""So few that a pane of *hopping* has several events, as where one would choose to hop."""


@dataclass(frozen=True)
class Workload:
    """
    One kind of work.

    Attributes:
        name: Its name; the variable ``WORK`` of the programs.
        text: What it does.
        users: Keys of the events.
        outputs: Outputs that a number of events lead to.
        share: Part of the outputs after which a program is stopped: the last windows of some peers
            close late or never.
    """

    name: str
    text: str
    users: int
    outputs: Callable[[int], int]
    share: float = 1.0


def _windows(users: int, step_ms: int) -> Callable[[int], int]:
    return lambda records: closed_windows(records, users, SIZE_MS, step_ms)


WORKLOADS = {
    one.name: one
    for one in [
        Workload("map", "parse JSON, compute a column, write JSON", USERS, lambda records: records),
        Workload("count", "running count a user, an output an event", USERS, lambda r: r),
        Workload(
            "count-disk", "count, with its state on disk and in a changelog", USERS, lambda r: r
        ),
        Workload(
            "take",
            f"sum of {TAKEN:,} events that are taken at once, an output a list",
            USERS,
            lambda records: records // TAKEN,
            0.8,
        ),
        Workload(
            "window",
            "count and sum a user in 10 s tumbling windows of event time, final results",
            USERS,
            _windows(USERS, SIZE_MS),
            0.8,
        ),
        Workload(
            "window-disk",
            "window, with its state on disk",
            USERS,
            _windows(USERS, SIZE_MS),
            0.8,
        ),
        Workload(
            "tumbling",
            f"window, of {FEW_USERS} users: what hopping is compared with",
            FEW_USERS,
            _windows(FEW_USERS, SIZE_MS),
            0.8,
        ),
        Workload(
            "hopping",
            f"count and sum of {FEW_USERS} users in 10 s windows that hop by 100 ms",
            FEW_USERS,
            _windows(FEW_USERS, STEP_MS),
            0.8,
        ),
    ]
}


@dataclass(frozen=True)
class Program:
    """
    A program that can do some of the workloads.

    Attributes:
        label: Its name in the tables.
        command: How it is started.
        works: Names of what it can do.
        most: Events after which it is stopped; slow ones would take all day otherwise.
        has_latency: Whether its latency is measured: the limit batches for 50 ms on purpose.
    """

    label: str
    command: list[str]
    works: frozenset[str]
    most: int
    has_latency: bool = True


def programs(
    names: list[str], *, quick: bool, most: Mapping[str, int] | None = None
) -> list[Program]:
    """
    Make what the programs *names* need, and name how they are started.

    Args:
        names: Which.
        quick: Whether slow ones are stopped earlier.
        most: Events after which one is stopped, by its name, instead of the usual number.
    """
    own, everything, share = HERE / "peers", 10**9, 4 if quick else 1
    python = sys.executable
    peer = str(setup_peers.peers() / "bin" / "python") if _PEERS & set(names) else ""
    limit = str(setup_peers.limit()) if "limit" in names else ""
    jars = f"{setup_peers.streams()}/*" if "streams" in names else ""
    faust = [peer, "-m", "faust", "-W", str(own), "-A", "faust_app", "worker", "-l", "error"]
    java = ["java", "-Xmx2g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", jars]
    everyone = {
        "turbine-agent": ([python, str(HERE / "turbine_agent.py")], {"map"}, everything),
        "turbine-subscription": (
            [python, str(HERE / "turbine_subscription.py")],
            set(WORKLOADS),
            everything,
        ),
        "turbine-table": ([python, str(HERE / "turbine_table.py")], {"count-disk"}, everything),
        "turbine-faust": (
            [python, str(HERE / "turbine_faust.py")],
            {"map", "count", "count-disk", "take"},
            everything,
        ),
        "turbine-state": ([python, str(HERE / "turbine_state.py")], {"count-disk"}, everything),
        "limit": ([limit], {"map", "count", "window", "tumbling"}, everything),
        "streams": (
            [*java, str(own / "streams" / "Streams.java")],
            {"map", "count", "count-disk", "window", "hopping"},
            1_000_000 // share,
        ),
        "bytewax": (
            [peer, "-m", "bytewax.run", str(own / "bytewax_app.py")],
            {"map", "count", "window", "hopping"},
            1_000_000 // share,
        ),
        "quix": (
            [peer, str(own / "quix_app.py")],
            {"map", "count", "window", "hopping"},
            500_000 // share,
        ),
        "pathway": (
            [peer, str(own / "pathway_app.py")],
            {"map", "window", "hopping"},
            1_000_000 // share,
        ),
        "faust": (faust, {"map", "count", "count-disk", "take"}, 40_000 // share),
    }
    return [
        Program(name, command, frozenset(works), (most or {}).get(name, events), name != "limit")
        for name in names
        for command, works, events in [everyone[name]]
    ]


_PEERS = {"bytewax", "quix", "pathway", "faust"}
