"""The workloads in Bytewax: ``WORK=map|count|words|window|hopping -m bytewax.run bytewax_app``."""

import os
from datetime import UTC, datetime, timedelta

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kafka
from bytewax.dataflow import Dataflow
from bytewax.operators import windowing

START = datetime(2023, 11, 14, tzinfo=UTC)
SIZE = timedelta(seconds=10)
STEP = timedelta(milliseconds=100)


def mapped(message):
    v = orjson.loads(message.value)
    out = {"id": v["id"], "user": v["user"], "eur": v["amount"] * 0.9, "kind": v["kind"]}
    return KafkaSinkMessage(message.key, orjson.dumps(out))


def one_more(state, _):
    count = (state or 0) + 1
    return count, count


def counted(pair):
    user, count = pair
    return KafkaSinkMessage(user.encode(), orjson.dumps({"user": user, "count": count}))


def word_counted(pair):
    word, count = pair
    return KafkaSinkMessage(None, orjson.dumps({"word": word, "count": count}))


def parsed(message):
    v = orjson.loads(message.value)
    time = datetime.fromtimestamp(v["ts"] / 1_000, UTC)
    return v["user"], (time, v["amount"])


def closed(pair):
    user, (window, (n, total)) = pair
    out = {"user": user, "window": window, "n": n, "total": total}
    return KafkaSinkMessage(user.encode(), orjson.dumps(out))


def windows(stream, windower):
    clock = windowing.EventClock(
        ts_getter=lambda pair: pair[0], wait_for_system_duration=timedelta(0)
    )
    folded = windowing.fold_window(
        "window",
        op.map("parse", stream, parsed),
        clock,
        windower,
        lambda: (0, 0.0),
        lambda acc, pair: (acc[0] + 1, acc[1] + pair[1]),
        lambda one, other: (one[0] + other[0], one[1] + other[1]),
    )
    return op.map("closed", folded.down, closed)


flow = Dataflow("bench")
brokers = [os.environ["KAFKA"]]
read = kafka.input(
    "in", flow, brokers=brokers, topics=[os.environ["IN"]], tail=True, batch_size=1_000
).oks
work = os.environ["WORK"]
if work == "map":
    out = op.map("map", read, mapped)
elif work == "count":
    keyed = op.map("key", read, lambda message: (message.key.decode(), None))
    out = op.map("counted", op.stateful_map("count", keyed, one_more), counted)
elif work == "words":
    keyed = op.map("key", read, lambda message: (orjson.loads(message.value)["word"], None))
    out = op.map("counted", op.stateful_map("count", keyed, one_more), word_counted)
elif work == "window":
    out = windows(read, windowing.TumblingWindower(length=SIZE, align_to=START))
else:
    out = windows(read, windowing.SlidingWindower(length=SIZE, offset=STEP, align_to=START))
kafka.output("out", out, brokers=brokers, topic=os.environ["OUT"])
