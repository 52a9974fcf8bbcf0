"""Holds each event as long as it says, waiting or blocking, and then counts it."""

import asyncio
import os
import time
from typing import Any

import turbine

app = turbine.App(
    os.environ["APP_ID"],
    broker="kafka://" + os.environ["KAFKA"],
    drain_timeout=float(os.environ.get("DRAIN", "10")),
)
out = app.topic(os.environ["OUT"])


@app.agent(os.environ["IN"])
async def patient(stream: Any) -> None:
    async for value in stream:
        print(f"begin {value}", flush=True)  # noqa: T201 - what tests wait for
        if "block" in value:
            time.sleep(value["block"])  # noqa: ASYNC251 - what is tested
        await asyncio.sleep(value.get("wait", 0))
        await out.send(value=value)
        print(f"end {value}", flush=True)  # noqa: T201 - what tests wait for


if __name__ == "__main__":
    app.main()
