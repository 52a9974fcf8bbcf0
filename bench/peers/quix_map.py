"""*map* in Quix Streams: ``python quix_map.py``."""

import os

from quixstreams import Application

app = Application(
    broker_address=os.environ["KAFKA"],
    consumer_group=os.environ["GROUP"],
    auto_offset_reset="earliest",
    state_dir=os.environ["STATE"],
    loglevel="WARNING",
)
source = app.topic(os.environ["IN"], value_deserializer="json")
target = app.topic(os.environ["OUT"], value_serializer="json")


def work(v):
    return {"id": v["id"], "user": v["user"], "eur": v["amount"] * 0.9, "kind": v["kind"]}


app.dataframe(source).apply(work).to_topic(target)

if __name__ == "__main__":
    app.run()
