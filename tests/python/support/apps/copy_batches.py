"""Copies IN to OUT, one batch after the other."""

import os

import pyarrow as pa

import turbine

app = turbine.App(
    os.environ["APP_ID"],
    broker="kafka://" + os.environ["KAFKA"],
    kafka={"session.timeout.ms": 6_000, "heartbeat.interval.ms": 1_000},
)


@app.subscribe(os.environ["IN"], publish_to=os.environ["OUT"], batch_size=500)
def copy(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch


if __name__ == "__main__":
    app.main()
