"""
The workloads in Faust: ``WORK=map|count|count-disk|take faust -A faust_app worker``.

It has no final windows.
"""

import os

import faust

app = faust.App(
    os.environ["GROUP"],
    broker=f"kafka://{os.environ['KAFKA']}",
    consumer_auto_offset_reset="earliest",
    topic_partitions=4,
    datadir=os.environ["STATE"],
    store="rocksdb://" if os.environ["WORK"] == "count-disk" else "memory://",
    web_enabled=False,
)
source = app.topic(os.environ["IN"], key_type=bytes, value_serializer="json")
target = app.topic(os.environ["OUT"], key_type=bytes, value_serializer="json")
if os.environ["WORK"].startswith("count"):
    counts = app.Table("counts", default=int, partitions=4)

    @app.agent(source)
    async def count(stream):
        async for v in stream:
            user = v["user"]
            counts[user] += 1
            await target.send(key=user.encode(), value={"user": user, "count": counts[user]})

elif os.environ["WORK"] == "take":

    @app.agent(source)
    async def total(stream):
        async for taken in stream.take(1_000, within=10):
            await target.send(value={"count": len(taken), "sum": sum(v["amount"] for v in taken)})

else:

    @app.agent(source)
    async def work(stream):
        async for v in stream:
            mapped = {"id": v["id"], "user": v["user"], "eur": v["amount"] * 0.9, "kind": v["kind"]}
            await target.send(key=v["user"].encode(), value=mapped)
