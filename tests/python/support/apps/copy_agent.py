"""Copies IN to OUT, one event after the other, with the worker's name and the time."""

import os
import time
from typing import Any

import turbine

app = turbine.App(
    os.environ["APP_ID"],
    broker="kafka://" + os.environ["KAFKA"],
    kafka={"session.timeout.ms": 6_000, "heartbeat.interval.ms": 1_000},
)
WORKER = os.environ.get("WORKER", "")


@app.agent(os.environ["IN"], sink=[os.environ["OUT"]])
async def copy(stream: Any) -> Any:
    async for event in stream.events():
        yield {
            "n": event.value["n"],
            "partition": event.partition,
            "worker": WORKER,
            "at": time.time(),
        }


if __name__ == "__main__":
    app.main()
