"""*map* in Bytewax: ``python -m bytewax.run bytewax_map``."""

import os

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kafka
from bytewax.dataflow import Dataflow


def work(message):
    v = orjson.loads(message.value)
    mapped = {"id": v["id"], "user": v["user"], "eur": v["amount"] * 0.9, "kind": v["kind"]}
    return KafkaSinkMessage(message.key, orjson.dumps(mapped))


flow = Dataflow("map")
brokers = [os.environ["KAFKA"]]
read = kafka.input(
    "in", flow, brokers=brokers, topics=[os.environ["IN"]], tail=True, batch_size=1_000
)
mapped = op.map("work", read.oks, work)
kafka.output("out", mapped, brokers=brokers, topic=os.environ["OUT"])
