"""Two agents a topic: one counts by key and writes each count, one sums lists."""

import asyncio
import os
from typing import Any

import turbine

app = turbine.App(
    os.environ["APP_ID"],
    broker="kafka://" + os.environ["KAFKA"],
    broker_commit_interval=0.02,
    processing_guarantee=os.environ["GUARANTEE"],
    kafka={"session.timeout.ms": 1_500, "heartbeat.interval.ms": 300},
)
counts = app.Table("counts", key_type=str, value_type=int, default=int)
sums = app.Table("sums", key_type=str, value_type=int, default=int)


def declare(topic: str) -> None:
    @app.agent(
        topic,
        name=f"count-{topic}",
        key_type=str,
        value_type=int,
        sink=[os.environ["OUT"]],
        concurrency=3,
    )
    async def count(stream: Any) -> Any:
        async for key, n in stream.items():
            counts[key] += 1
            yield {"key": key, "n": n, "count": counts[key]}

    @app.agent(topic, name=f"add-{topic}", value_type=int)
    async def add(stream: Any) -> None:
        async for numbers in stream.take(70, within=0.05):
            await asyncio.sleep(0.001)
            sums["all"] += sum(numbers)


for name in os.environ["IN"].split(","):
    declare(name)
