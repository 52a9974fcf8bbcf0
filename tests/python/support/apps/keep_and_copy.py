"""A subscription that keeps a chain and a padding for each user, and one that keeps nothing."""

import os
import random
from typing import Any

import pyarrow as pa

import turbine

app = turbine.App(
    os.environ["APP_ID"],
    broker="kafka://" + os.environ["KAFKA"],
    datadir=os.environ["DATA"],
    processing_guarantee=os.environ["GUARANTEE"],
    checkpoint_interval=0.05,
    broker_commit_interval=0.02,
    # Little is written before files are.
    state_memory_bytes=8 << 20,
    # A worker that was killed is the same member when it is started again: nobody waits for it.
    kafka={"group.instance.id": "one", "session.timeout.ms": 6_000},
)
PAD = int(os.environ["PAD"])


@app.subscribe(
    os.environ["IN"], publish_to=os.environ["OUT"], name="keep", batch_size=7, changelog=True
)
def keep(batch: pa.RecordBatch, state: turbine.State) -> pa.RecordBatch:
    rows: list[dict[str, Any]] = []
    users: list[Any] = batch["user"].to_pylist()
    for user in users:
        entry = state.get(user) or {"n": 0, "nonce": 0}
        before, nonce = entry["nonce"], random.randrange(1, 1 << 50)
        state.put(user, {"n": entry["n"] + 1, "nonce": nonce, "pad": os.urandom(PAD // 2).hex()})
        rows.append({"user": user, "n": entry["n"] + 1, "before": before, "after": nonce})
    return pa.RecordBatch.from_pylist(rows)


@app.subscribe(os.environ["IN"], publish_to=os.environ["COPIES"], name="copy")
def copy(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch
