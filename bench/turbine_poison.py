"""The subscription that meets poison: what breaks the rules of its model is a dead letter."""

import os
from typing import Annotated

import pyarrow as pa
from pydantic import Field

import turbine


class Event(turbine.Record):
    """What the workload reads of an event."""

    id: int
    user: Annotated[str, Field(max_length=64)]
    amount: float
    kind: str


app = turbine.App(
    os.environ["GROUP"],
    broker=f"kafka://{os.environ['KAFKA']}",
    datadir=os.environ["STATE"],
    web_enabled=False,
)


@app.subscribe(
    os.environ["IN"],
    publish_to=os.environ["OUT"],
    model=Event,
    message_key="user",
    on_error="dlq",
    dlq=os.environ["DEAD"],
)
def work(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Write what can be read."""
    return batch


if __name__ == "__main__":
    app.main(["worker", "-l", "warning"])
