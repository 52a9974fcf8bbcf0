"""
The app under test with an agent and a table: see `app`, whose handler of batches it is a copy of.

The state of a key is an entry of a table; a second table has a key for every other record.
"""

import os
import random
from typing import Any

import turbine

IN = os.environ["IN"]
WORKER = os.environ.get("WORKER", "?")
NONCES = 1 << 53
INSTANCE = {"group.instance.id": name} if (name := os.environ.get("STATIC")) else {}


class Entry(turbine.Record):
    """A record of the input."""

    key: str
    value: int


app = turbine.App(
    os.environ["APP_ID"],
    broker=f"kafka://{os.environ['KAFKA']}",
    kafka={
        "session.timeout.ms": int(os.environ.get("SESSION_MS", "3000")),
        "heartbeat.interval.ms": 300,
        **INSTANCE,
    },
)
source = app.topic(IN, key_type=str, value_type=Entry)
out = app.topic(os.environ["OUT"], key_type=str)
audit = app.topic(os.environ["AUDIT"], key_type=str)
chains = app.Table("chains", key_type=str, value_type=dict[str, int])
odd = app.Table("odd", key_type=str, value_type=bool)
OPTIONS: dict[str, Any] = {
    "on_error": "dlq",
    "dlq": os.environ["DLQ"],
    "processing_guarantee": os.environ.get("GUARANTEE", "at_least_once"),
}


@app.agent(source, **OPTIONS)
async def chain(stream: turbine.Stream) -> None:
    """Follow the chains; every tenth value is told to the side output too."""
    async for event in stream.events():
        key = event.value.key
        before = chains.get(key) or {"count": 0, "total": 0, "nonce": 0}
        count, total = before["count"] + 1, before["total"] + event.value.value
        nonce = random.randrange(1, NONCES)
        is_odd = key in odd
        chains[key] = {"count": count, "total": total, "nonce": nonce}
        if is_odd:
            del odd[key]
        else:
            odd[key] = True
        row = {
            "key": key,
            "partition": event.partition,
            "offset": event.offset,
            "count": count,
            "total": total,
            "before": before["nonce"],
            "nonce": nonce,
            "is_odd": is_odd,
            "worker": WORKER,
        }
        await out.send(key=key, value=row)
        if event.offset % 10 == 0:
            await audit.send(key=key, value=row)
