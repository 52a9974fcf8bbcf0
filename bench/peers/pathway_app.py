"""
The workloads in Pathway: ``WORK=map|words|window|hopping python pathway_app.py``.

``COMMIT_MS`` is how long it collects changes of *words*, as in its own benchmark.
"""

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


class Word(pw.Schema):
    word: str


work = os.environ["WORK"]
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
    schema=Word if work == "words" else Event,
    json_field_paths={} if work == "words" else {"number": "/id"},
    autocommit_duration_ms=int(os.environ.get("COMMIT_MS", "500")),
)
if work == "words":
    out = events.groupby(events.word).reduce(events.word, count=pw.reducers.count())
elif work == "map":
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
