"""A handler that keeps everything it has seen: what `restart.py` restarts."""

import os
from typing import Any

import pyarrow as pa

import turbine


class Entry(turbine.Record):
    """A record: a kilobyte of text."""

    key: str
    text: str


session_ms = int(float(os.environ["SESSION_S"]) * 1e3)
app = turbine.App(
    os.environ["GROUP"],
    broker=f"kafka://{os.environ['KAFKA']}",
    datadir=os.environ["STATE"],
    web_enabled=False,
    kafka={
        "session.timeout.ms": session_ms,
        "heartbeat.interval.ms": min(session_ms // 5, 500),
        **({"group.instance.id": ""} if "NAMELESS" in os.environ else {}),
    },
)


@app.subscribe(
    os.environ["IN"],
    publish_to=os.environ["OUT"],
    model=Entry,
    message_key="key",
    processing_guarantee=os.environ["GUARANTEE"],
)
def keep(batch: pa.RecordBatch, state: Any) -> pa.RecordBatch:
    """Put every text under its key; write the keys."""
    keys: list[Any] = batch.column("key").to_pylist()
    state.put_many(dict(zip(keys, batch.column("text").to_pylist(), strict=True)))
    return batch.select(["key"])


if __name__ == "__main__":
    app.main(["worker", "-l", "warning"])
