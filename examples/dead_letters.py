"""
What becomes of records that cannot be used: the policies ``skip`` and ``dlq``.

Five records, of which three are bad, each in its own way. Runs on a broker inside this process.

    python examples/dead_letters.py
"""

import asyncio

import pyarrow as pa
import pyarrow.compute as pc

import turbine

app = turbine.App("letters")


class Reading(turbine.Record):
    """What a thermometer says; *celsius* in degrees."""

    sensor: str
    celsius: float


PAYLOADS = [
    b'{"sensor": "attic", "celsius": 21.5}',
    b'{"sensor": "attic", "celsius": "warm"}',  # refused by the model
    b'{"sensor": "cellar"',  # no JSON
    b'{"sensor": "oven", "celsius": 9000}',  # refused by the subscription
    b'{"sensor": "cellar", "celsius": 8.0}',
]

readings = app.topic("readings", value_type=Reading, partitions=1)
letters = app.topic("readings-dead", value_type=bytes, partitions=1)

reports: asyncio.Queue[str] = asyncio.Queue()


@app.agent(readings, on_error="skip")
async def note(stream: turbine.Stream) -> None:
    """See the good readings; the bad ones are counted and left out."""
    async for reading in stream:
        reports.put_nowait(f"the agent saw {reading.sensor}")


@app.subscribe(readings, publish_to="fahrenheit", on_error="dlq", dlq=letters)
def convert(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Convert to Fahrenheit. One hot row fails its batch; only that row becomes a dead letter."""
    if pc.max(batch["celsius"]).as_py() > 1_000:
        raise ValueError("a thermometer is broken")
    fahrenheit = pc.add(pc.multiply(batch["celsius"], 1.8), 32)
    return batch.append_column("fahrenheit", fahrenheit)


@app.agent(letters)
async def read_letters(stream: turbine.Stream) -> None:
    """Read the dead letters: the record as it was, and in its headers where it failed and why."""
    async for letter in stream.events():
        text = {name: (value or b"").decode() for name, value in letter.headers.items()}
        where = f"offset {text['turbine.source.offset']}, {text['turbine.phase']}"
        why = text["turbine.error"]
        reports.put_nowait(f"dead letter {letter.value.decode()}\n  {where}: {why}")


async def main() -> None:
    """Send the records, and print three readings and three dead letters."""
    broker = turbine.EmbeddedBroker()
    app.conf.broker = broker.address
    async with app.running(), asyncio.timeout(30):
        for payload in PAYLOADS:
            await readings.send(value=payload)
        for _ in range(6):
            print(await reports.get())
    broker.stop()


if __name__ == "__main__":
    asyncio.run(main())
