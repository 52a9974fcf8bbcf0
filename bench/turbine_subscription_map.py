"""*map* as a subscription: a batch at a time, model in, Arrow compute, defaults."""

import os

import pyarrow as pa
import pyarrow.compute as pc

import turbine


class Event(turbine.Record):
    """What the workload reads of an event."""

    id: int
    user: str
    amount: float
    kind: str


app = turbine.App(
    os.environ["GROUP"],
    broker=f"kafka://{os.environ['KAFKA']}",
    datadir=os.environ["STATE"],
    web_enabled=False,
)


@app.subscribe(os.environ["IN"], publish_to=os.environ["OUT"], model=Event, message_key="user")
def work(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Write id, user, amount in euros and kind, keyed by user."""
    eur = pc.multiply(batch.column("amount"), 0.9)
    columns = [batch.column("id"), batch.column("user"), eur, batch.column("kind")]
    return pa.RecordBatch.from_arrays(columns, ["id", "user", "eur", "kind"])


if __name__ == "__main__":
    app.main(["worker", "-l", "warning"])
