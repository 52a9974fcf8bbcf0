"""
The app under test: ``turbine -A app.py worker`` with its topics in the environment.

Each record changes the state of its key: count, sum, and a nonce that is drawn anew, so that no run
of the handler can do what another one did. Its output carries the nonce that was there before.
``MUTANT`` names a mistake that it makes on purpose, for the test of the checker.
"""

import os
import random
import time
from typing import Any

import pyarrow as pa

import turbine
from turbine.context import Context

IN, OUT = os.environ["IN"], os.environ["OUT"]
MUTANT = os.environ.get("MUTANT", "")
WORKER = os.environ.get("WORKER", "?")
# Read from an internal topic: there, metadata says where a record has come to.
WRITTEN_ON = bool(os.environ.get("REPARTITION"))
PAUSE_S = float(os.environ.get("PAUSE_S", "0"))
# A member that comes back under its name is not waited for.
INSTANCE = {"group.instance.id": name} if (name := os.environ.get("STATIC")) else {}
NONCES = 1 << 53
RARELY = 0.002
COLUMNS = ("key", "partition", "offset", "count", "total", "before", "nonce", "is_odd", "worker")


class Entry(turbine.Record):
    """A record of the input, and where it is."""

    key: str
    value: int
    partition: int
    offset: int


app = turbine.App(
    os.environ["APP_ID"],
    broker=f"kafka://{os.environ['KAFKA']}",
    kafka={
        "session.timeout.ms": int(os.environ.get("SESSION_MS", "3000")),
        "heartbeat.interval.ms": 300,
        # So that a commit goes out in several parts.
        "batch.size": 4_000,
        **INSTANCE,
    },
)


class Forgetful:
    """State that ends with the process."""

    def __init__(self) -> None:
        self._entries: dict[str, Any] = {}

    def get_many(self, keys: list[str]) -> list[Any]:
        """As that of the real one."""
        return [self._entries.get(key) for key in keys]

    def put_many(self, entries: dict[str, Any]) -> None:
        """As that of the real one."""
        self._entries.update(entries)

    def delete_many(self, keys: list[str]) -> None:
        """As that of the real one."""
        for key in keys:
            self._entries.pop(key, None)


FORGETFUL = Forgetful()


def follow(batch: pa.RecordBatch, state: Any) -> list[tuple[Any, ...]]:
    """Change the state of the keys of *batch*; the outputs."""
    keys: list[Any] = batch["key"].to_pylist()
    known = sorted(set(keys))
    entries = dict(zip(known, state.get_many(known), strict=True))
    odd = dict(zip(known, state.get_many([f"odd:{key}" for key in known]), strict=True))
    rows = []
    place = ("partition", "offset") if WRITTEN_ON else ("_partition", "_offset")
    columns = (batch[place[0]], batch[place[1]], batch["value"])
    lines = zip(keys, *(column.to_pylist() for column in columns), strict=True)
    for key, partition, offset, value in lines:
        before = entries[key] or {"count": 0, "total": 0, "nonce": 0}
        now = {
            "count": before["count"] + 1,
            "total": before["total"] + value + wrong("wrong"),
            "nonce": random.randrange(1, NONCES),
        }
        is_odd = odd[key] is not None
        odd[key] = None if is_odd else True
        if not wrong("stale"):
            entries[key] = now
        row = (key, partition, offset, now["count"], now["total"], before["nonce"], now["nonce"])
        times = 0 if wrong("drops") else 2 if wrong("repeats") else 1
        rows += [(*row, is_odd, WORKER)] * times
    state.put_many({key: entries[key] for key in known if entries[key] is not None})
    state.put_many({f"odd:{key}": True for key in known if odd[key]})
    state.delete_many([f"odd:{key}" for key in known if not odd[key]])
    return rows


def wrong(kind: str) -> int:
    """Say now and then, for the mutant *kind* only, that this is where it goes wrong."""
    return int(kind == MUTANT and random.random() < RARELY)


OPTIONS: dict[str, Any] = {
    "publish_to": OUT,
    "model": Entry,
    "message_key": "key",
    "with_metadata": ["partition", "offset"],
    "batch_size": int(os.environ.get("BATCH", "500")),
    "on_error": "dlq",
    "dlq": os.environ["DLQ"],
    "side_outputs": {"audit": os.environ["AUDIT"]},
    "processing_guarantee": os.environ.get("GUARANTEE", "at_least_once"),
}
if WRITTEN_ON:
    OPTIONS |= {"repartition_by": "key", "repartition_partitions": 5}


def outputs(batch: pa.RecordBatch, state: Any, ctx: Context) -> pa.RecordBatch:
    """Follow the chains; every tenth value is told to the side output too."""
    time.sleep(PAUSE_S)
    rows = follow(batch, state)
    audited = [row for row in rows if row[2] % 10 == 0]
    if audited:
        ctx.emit("audit", table(audited))
    return table(rows)


def table(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    """Rows as a batch."""
    columns: list[Any] = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
    return pa.RecordBatch.from_pydict(dict(zip(COLUMNS, columns, strict=True)))


def chain(batch: pa.RecordBatch, state: Any, ctx: Context) -> pa.RecordBatch:
    """Follow the chains."""
    return outputs(batch, state, ctx)


def forgetful(batch: pa.RecordBatch, ctx: Context) -> pa.RecordBatch:
    """Follow the chains in memory, which is gone after a crash."""
    return outputs(batch, FORGETFUL, ctx)


IS_FORGETFUL = MUTANT == "forgetful" or os.environ.get("STATELESS")
app.subscribe(IN, name="chain", **OPTIONS)(forgetful if IS_FORGETFUL else chain)
