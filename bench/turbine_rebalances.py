"""A program of Faust's shape that counts keys in a table: what `rebalances.py` starts and ends."""

import os
from typing import Any

from turbine import faust

app = faust.App(
    os.environ["GROUP"],
    broker=f"kafka://{os.environ['KAFKA']}",
    datadir=os.environ["STATE"],
    store="rocksdb://",
    processing_guarantee=os.environ["GUARANTEE"],
    topic_partitions=int(os.environ["PARTITIONS"]),
    # What an operator sets who wants to notice a crash soon.
    broker_session_timeout=float(os.environ["SESSION_S"]),
    broker_heartbeat_interval=float(os.environ["SESSION_S"]) / 5,
    web_enabled=False,
)
source = app.topic(os.environ["IN"], key_type=str)
target = app.topic(os.environ["OUT"], key_type=str)
counts = app.Table("counts", key_type=str, value_type=int, default=int)
worker = int(os.environ["WORKER"])


@app.agent(source)
async def count(stream: Any) -> None:
    """Count, and tell who did it, where, and when the record was written."""
    async for event in stream.events():
        counts[event.key] += 1
        place = event.message
        told = {"n": event.value["n"], "p": place.partition, "w": worker, "at": place.timestamp}
        await target.send(key=event.key, value=told)


if __name__ == "__main__":
    app.main()
