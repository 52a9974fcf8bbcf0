"""The workloads in Quix Streams: ``WORK=map|count|window|hopping python quix_app.py``."""

import os
from datetime import timedelta

from quixstreams import Application
from quixstreams.dataframe.windows import Count, Sum

SIZE = timedelta(seconds=10)
STEP = timedelta(milliseconds=100)

app = Application(
    broker_address=os.environ["KAFKA"],
    consumer_group=os.environ["GROUP"],
    auto_offset_reset="earliest",
    state_dir=os.environ["STATE"],
    loglevel="WARNING",
)
source = app.topic(
    os.environ["IN"],
    value_deserializer="json",
    key_deserializer="str",
    timestamp_extractor=lambda v, headers, timestamp, kind: v["ts"],
)
target = app.topic(os.environ["OUT"], value_serializer="json", key_serializer="str")


def mapped(v):
    return {"id": v["id"], "user": v["user"], "eur": v["amount"] * 0.9, "kind": v["kind"]}


def counted(v, state):
    count = state.get("count", 0) + 1
    state.set("count", count)
    return {"user": v["user"], "count": count}


frame = app.dataframe(source)
work = os.environ["WORK"]
if work == "map":
    frame = frame.apply(mapped)
elif work == "count":
    frame = frame.apply(counted, stateful=True)
else:
    windows = frame.tumbling_window(SIZE) if work == "window" else frame.hopping_window(SIZE, STEP)
    frame = windows.agg(n=Count(), total=Sum("amount")).final()
frame.to_topic(target)

if __name__ == "__main__":
    app.run()
