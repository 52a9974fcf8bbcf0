"""Copies IN to OUT exactly once, in small batches; what is odd also goes to ODD if that is set."""

import os

import pyarrow as pa

import turbine

app = turbine.App(
    os.environ["APP_ID"],
    broker="kafka://" + os.environ["KAFKA"],
    # A killed worker is missed soon.
    kafka={"session.timeout.ms": 1_500, "heartbeat.interval.ms": 300},
)


@app.subscribe(
    os.environ["IN"],
    publish_to=os.environ["OUT"],
    name="copy",
    batch_size=50,
    with_metadata=["partition"],
    processing_guarantee="exactly_once",
)
def copy(batch: pa.RecordBatch) -> pa.RecordBatch:
    return pa.record_batch({"n": batch["n"], "partition": batch["_partition"]})


if __name__ == "__main__":
    app.main()
