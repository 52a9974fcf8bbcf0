"""The workloads in Pathway: ``WORK=map|window|hopping python pathway_app.py``."""

import os

import pathway as pw

SIZE_MS = 10_000
STEP_MS = 100


class Event(pw.Schema):
    number: int
    user: str
    ts: int
    amount: float
    kind: str


kafka = {
    "bootstrap.servers": os.environ["KAFKA"],
    "group.id": os.environ["GROUP"],
    "auto.offset.reset": "earliest",
    "session.timeout.ms": "6000",
}
events = pw.io.kafka.read(
    kafka,
    topic=os.environ["IN"],
    format="json",
    schema=Event,
    json_field_paths={"number": "/id"},
    autocommit_duration_ms=500,
)
work = os.environ["WORK"]
if work == "map":
    out = events.select(
        number=events.number, user=events.user, eur=events.amount * 0.9, kind=events.kind
    )
else:
    window = (
        pw.temporal.tumbling(duration=SIZE_MS)
        if work == "window"
        else pw.temporal.sliding(hop=STEP_MS, duration=SIZE_MS)
    )
    out = events.windowby(
        events.ts,
        window=window,
        instance=events.user,
        behavior=pw.temporal.exactly_once_behavior(),
    ).reduce(
        user=pw.this._pw_instance,
        window_start_ms=pw.this._pw_window_start,
        n=pw.reducers.count(),
        total=pw.reducers.sum(pw.this.amount),
    )
pw.io.kafka.write(out, kafka, os.environ["OUT"], format="json")
pw.run(monitoring_level=pw.MonitoringLevel.NONE)
