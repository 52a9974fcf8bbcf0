"""Copies IN twice: with an agent to OUT_EVENTS, with a subscription to OUT_BATCHES."""

import os
from typing import Any

import pyarrow as pa

import turbine

app = turbine.App(
    os.environ["APP_ID"],
    broker="kafka://" + os.environ["KAFKA"],
    # A killed worker is missed soon.
    kafka={"session.timeout.ms": 1_500, "heartbeat.interval.ms": 300},
)


@app.agent(os.environ["IN"], sink=[os.environ["OUT_EVENTS"]])
async def events(stream: Any) -> Any:
    async for event in stream.events():
        yield {"n": event.value["n"], "partition": event.partition}


@app.subscribe(
    os.environ["IN"],
    publish_to=os.environ["OUT_BATCHES"],
    batch_size=500,
    with_metadata=["partition"],
)
def batches(batch: pa.RecordBatch) -> pa.RecordBatch:
    return pa.record_batch({"n": batch["n"], "partition": batch["_partition"]})


if __name__ == "__main__":
    app.main()
