"""*map* in Faust: ``faust -A faust_map worker``."""

import os

import faust

app = faust.App(
    os.environ["GROUP"],
    broker=f"kafka://{os.environ['KAFKA']}",
    consumer_auto_offset_reset="earliest",
    topic_partitions=4,
    datadir=os.environ["STATE"],
    store="memory://",
    web_enabled=False,
)
source = app.topic(os.environ["IN"], key_type=bytes, value_serializer="json")
target = app.topic(os.environ["OUT"], key_type=bytes, value_serializer="json")


@app.agent(source)
async def work(stream):
    async for v in stream:
        mapped = {"id": v["id"], "user": v["user"], "eur": v["amount"] * 0.9, "kind": v["kind"]}
        await target.send(key=v["user"].encode(), value=mapped)
