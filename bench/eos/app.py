"""
The topology that `StreamsEosTest` verifies, as agents with tables.

Each record of ``data`` is written to ``echo`` and to ``repartition`` as it is; ``min`` and ``sum``
get the least value and the sum of its key so far. Each record of ``repartition`` leads to the
greatest value in ``max`` and the number of records in ``cnt``. Keys are text; values are written as
Kafka's serializers for Integer (``echo``, ``repartition``, ``min``, ``max``) and Long (``sum``,
``cnt``) do.
"""

import os

import turbine

INT_BYTES, LONG_BYTES = 4, 8
LEAST, GREATEST = -(2**31), 2**31 - 1
IS_COMPLEX = os.environ.get("EOS_COMPLEX", "1") == "1"

app = turbine.App(
    "EosTest",
    broker=f"kafka://{os.environ['KAFKA']}",
    processing_guarantee="exactly_once",
    web_enabled=False,
    kafka={"session.timeout.ms": 3_000, "heartbeat.interval.ms": 300},
)

TYPES = {"key_type": bytes, "value_type": bytes}
data, repartition = app.topic("data", **TYPES), app.topic("repartition", **TYPES)
echo, least, total = (app.topic(name, **TYPES) for name in ("echo", "min", "sum"))
greatest, number = (app.topic(name, **TYPES) for name in ("max", "cnt"))

least_of = app.Table("min-of", key_type=str, value_type=int, default=lambda: GREATEST)
total_of = app.Table("sum-of", key_type=str, value_type=int, default=int)
greatest_of = app.Table("max-of", key_type=str, value_type=int, default=lambda: LEAST)
number_of = app.Table("cnt-of", key_type=str, value_type=int, default=int)


def as_int(value: int) -> bytes:
    """What IntegerSerializer writes."""
    return value.to_bytes(INT_BYTES, "big", signed=True)


def as_long(value: int) -> bytes:
    """What LongSerializer writes."""
    return value.to_bytes(LONG_BYTES, "big", signed=True)


@app.agent(data)
async def first(stream: turbine.Stream) -> None:
    """Echo; least value and sum of a key."""
    async for event in stream.events():
        key, raw = event.key, event.value
        value, name = int.from_bytes(raw, "big", signed=True), key.decode()
        await echo.send(key=key, value=raw)
        least_of[name] = min(least_of[name], value)
        await least.send(key=key, value=as_int(least_of[name]))
        total_of[name] += value
        await total.send(key=key, value=as_long(total_of[name]))
        if IS_COMPLEX:
            await repartition.send(key=key, value=raw)


if IS_COMPLEX:

    @app.agent(repartition)
    async def second(stream: turbine.Stream) -> None:
        """Greatest value and number of the records of a key."""
        async for event in stream.events():
            value, name = int.from_bytes(event.value, "big", signed=True), event.key.decode()
            greatest_of[name] = max(greatest_of[name], value)
            await greatest.send(key=event.key, value=as_int(greatest_of[name]))
            number_of[name] += 1
            await number.send(key=event.key, value=as_long(number_of[name]))
