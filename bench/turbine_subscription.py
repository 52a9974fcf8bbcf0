"""
The workloads as subscriptions, with default settings: ``WORK=map python turbine_subscription.py``.

*map* is a handler of batches; the others are windows, of which the handler sees the results.
"""

import os
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

import turbine
from turbine import aggregates as agg
from turbine import windows

WORK = os.environ["WORK"]
TOTALS: dict[str, Any] = {"n": agg.Count(), "total": agg.Sum("amount")}
WINDOWS = {
    "count": windows.everything(key="user", value={"count": agg.Count()}, emit="changes"),
    "count-disk": windows.everything(
        key="user", value={"count": agg.Count()}, emit="changes", persistent=True
    ),
    "window": windows.tumbling("10s", key="user", value=TOTALS),
    "window-disk": windows.tumbling("10s", key="user", value=TOTALS, persistent=True),
    "tumbling": windows.tumbling("10s", key="user", value=TOTALS),
    "hopping": windows.hopping("10s", "100ms", key="user", value=TOTALS),
}


class Event(turbine.Record):
    """What *map* reads of an event."""

    id: int
    user: str
    amount: float
    kind: str


class Timed(turbine.Record):
    """What the windows read of an event."""

    user: str
    ts: int
    amount: float


app = turbine.App(
    os.environ["GROUP"],
    broker=f"kafka://{os.environ['KAFKA']}",
    datadir=os.environ["STATE"],
    web_enabled=False,
)

if WORK == "map":

    @app.subscribe(os.environ["IN"], publish_to=os.environ["OUT"], model=Event, message_key="user")
    def work(batch: pa.RecordBatch) -> pa.RecordBatch:
        """Write id, user, amount in euros and kind, keyed by user."""
        eur = pc.multiply(batch.column("amount"), 0.9)
        columns = [batch.column("id"), batch.column("user"), eur, batch.column("kind")]
        return pa.RecordBatch.from_arrays(columns, ["id", "user", "eur", "kind"])

else:

    @app.subscribe(
        os.environ["IN"],
        publish_to=os.environ["OUT"],
        model=Timed,
        event_time="ts",
        window=WINDOWS[WORK],
        message_key="user",
    )
    def totals(panes: pa.RecordBatch) -> pa.RecordBatch:
        """Write the results as they are, keyed by user."""
        return panes


if __name__ == "__main__":
    app.main(["worker", "-l", "warning"])
