"""
Handlers whose guarantee is compared: ``WORK=map GUARANTEE=exactly_once python turbine_state.py``.

*map* keeps nothing; *count* (and *count-disk*) is a running count a user in the handler's state, on
disk and in a changelog, with an output an event. With ``PACE_MS`` a handler rests so long before
it looks at a batch, so that nothing piles up behind it.
"""

import os
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import turbine

BATCH = 5_000
PACE_S = float(os.environ.get("PACE_MS", "0")) / 1e3


class Event(turbine.Record):
    """What the handlers read of an event."""

    id: int
    user: str
    amount: float
    kind: str


def rest() -> None:
    """Let what was written before get through."""
    if PACE_S:
        time.sleep(PACE_S)


port = os.environ.get("PORT")
app = turbine.App(
    os.environ["GROUP"],
    broker=f"kafka://{os.environ['KAFKA']}",
    datadir=os.environ["STATE"],
    web_enabled=port is not None,
    **({} if port is None else {"api_port": int(port)}),
)
OPTIONS: dict[str, Any] = {
    "publish_to": os.environ["OUT"],
    "model": Event,
    "message_key": "user",
    "batch_size": BATCH,
    "processing_guarantee": os.environ.get("GUARANTEE", "at_least_once"),
}

if os.environ["WORK"] == "map":

    @app.subscribe(os.environ["IN"], **OPTIONS)
    def work(batch: pa.RecordBatch) -> pa.RecordBatch:
        """Write id, user, amount in euros and kind, keyed by user."""
        rest()
        eur = pc.multiply(batch.column("amount"), 0.9)
        columns = [batch.column("id"), batch.column("user"), eur, batch.column("kind")]
        return pa.RecordBatch.from_arrays(columns, ["id", "user", "eur", "kind"])

else:

    @app.subscribe(os.environ["IN"], **OPTIONS)
    def counts(batch: pa.RecordBatch, state: Any) -> pa.RecordBatch:
        """Write the running count of each user, keyed by user."""
        rest()
        users = batch.column("user").dictionary_encode()
        names: list[Any] = users.dictionary.to_pylist()
        codes = users.indices.to_numpy()
        before = np.array([count or 0 for count in state.get_many(names)], dtype=np.int64)
        rows = before[codes] + place_in_group(codes) + 1
        after = before + np.bincount(codes, minlength=len(names))
        state.put_many(dict(zip(names, after.tolist(), strict=True)))
        return pa.RecordBatch.from_arrays([batch.column("user"), pa.array(rows)], ["user", "count"])


def place_in_group(codes: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Count, for each of *codes*, those before it that are the same."""
    order = np.argsort(codes, kind="stable")
    starts = np.r_[0, np.flatnonzero(np.diff(codes[order])) + 1]
    lengths = np.diff(np.r_[starts, len(codes)])
    places = np.empty(len(codes), dtype=np.int64)
    places[order] = np.arange(len(codes)) - np.repeat(starts, lengths)
    return places


if __name__ == "__main__":
    app.main(["worker", "-l", "warning"])
