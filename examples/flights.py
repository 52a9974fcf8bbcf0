"""
Which American airports were late in early 2001, and at what time of the day?

20,000 real flights travel through Kafka's wire protocol, topic by topic:

    replay ─▶ flights ─▶ departures ─▶ delays ─▶ totals ─▶ board
        name_airports    sum_delays    merge     follow
           (agent)     (subscription) (agent)    (agent)

The sums that arrive at the end are compared with a plain computation over the same file.

    python examples/flights.py                         a broker inside this process
    python examples/flights.py --kafka localhost:9092  your own; the topics are deleted afterwards
"""

import argparse
import asyncio
import logging
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from pydantic import NaiveDatetime
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

import turbine

DATA = Path(__file__).with_name("data")
RATE = 4_000  # flights replayed a second: three months in five seconds
ENOUGH_FLIGHTS = 100  # airports with fewer are left out of the ten worst
DEADLINE_S = 50

run = uuid.uuid4().hex[:6]  # every run has topics and consumer groups of its own
app = turbine.App(f"flights-{run}")


class Flight(turbine.Record):
    """A line of flights.csv; *delay* in minutes, negative: early."""

    date: NaiveDatetime
    delay: int
    distance: int
    origin: str
    destination: str


class Departure(Flight):
    airport: str  # name and city of the origin


class Delays(turbine.Record):
    """Delays of the flights that leave one airport in one hour of the day, added up."""

    origin: str
    airport: str
    hour: int
    flights: int
    minutes: int


flights = app.topic(f"flights-{run}", value_type=Flight, partitions=4)
departures = app.topic(f"flights-{run}-departures", value_type=Departure, partitions=4)
delays = app.topic(f"flights-{run}-delays", value_type=Delays, partitions=4)
totals = app.topic(f"flights-{run}-totals", value_type=Delays, partitions=4)


@app.task
async def replay() -> None:
    """Send every flight, keyed by its origin."""
    started = time.monotonic()
    for sent, flight in enumerate(read_flights().to_pylist()):
        await flights.send(key=flight["origin"], value=flight)
        if sent % 100 == 0:
            await asyncio.sleep(max(0, started + sent / RATE - time.monotonic()))


@app.agent(flights, sink=departures)
async def name_airports(stream: turbine.Stream) -> AsyncIterator[Departure]:
    """Add the name of the airport to each flight."""
    names = read_airports()
    async for flight in stream:
        yield Departure(**dict(flight), airport=names[flight.origin])


@app.subscribe(departures, publish_to=delays, message_key="origin")
def sum_delays(batch: pa.RecordBatch) -> pa.Table:
    """Add up the delays of a batch, by airport and hour."""
    table = pa.table(batch)
    table = table.append_column("hour", pc.hour(table["date"]))
    hourly = table.group_by(["origin", "airport", "hour"])
    sums = hourly.aggregate([("delay", "count"), ("delay", "sum")])
    return sums.rename_columns(list(Delays.model_fields)).combine_chunks()


@app.agent(delays, sink=totals)
async def merge(stream: turbine.Stream) -> AsyncIterator[Delays]:
    """Add the sums of a batch to those of the batches before it."""
    so_far: dict[tuple[str, int], Delays] = {}
    async for part in stream:
        total = so_far.setdefault((part.origin, part.hour), part)
        if total is not part:
            total.flights += part.flights
            total.minutes += part.minutes
        yield total


board: dict[tuple[str, int], Delays] = {}  # the newest total of each airport and hour


@app.agent(totals)
async def follow(stream: turbine.Stream) -> None:
    """Keep the board up to date."""
    async for total in stream:
        board[total.origin, total.hour] = total


# -- the same thing without streams --------------------------------------------------------


def read_flights() -> pa.Table:
    """Read every flight, in the order of departure."""
    options = pa.csv.ConvertOptions(timestamp_parsers=["%Y/%m/%d %H:%M"])
    return pa.csv.read_csv(DATA / "flights.csv.gz", convert_options=options)


def read_airports() -> dict[str, str]:
    """Read the names of the airports by their codes."""
    rows = pa.csv.read_csv(DATA / "airports.csv").to_pylist()
    return {row["iata"]: f"{row['name']}, {row['city']}" for row in rows}


def batch_result() -> dict[tuple[str, int], tuple[int, int]]:
    """Compute flights and minutes of each airport and hour, from the file."""
    table = read_flights()
    table = table.append_column("hour", pc.hour(table["date"]))
    sums = table.group_by(["origin", "hour"]).aggregate([("delay", "count"), ("delay", "sum")])
    columns = sums.to_pydict().values()
    return {(place, hour): (n, total) for place, hour, n, total in zip(*columns, strict=True)}


# -- what people see -----------------------------------------------------------------------


def arrived() -> int:
    """Flights that the board has counted."""
    return sum(total.flights for total in board.values())


def show() -> Table:
    """Draw the ten airports with the longest mean delay."""
    airports: dict[str, dict[int, Delays]] = defaultdict(dict)
    for (_, hour), total in board.items():
        airports[total.airport][hour] = total
    rows = []
    for airport, hours in airports.items():
        count = sum(total.flights for total in hours.values())
        mean = sum(total.minutes for total in hours.values()) / count
        bars = "".join(bar(hours.get(hour)) for hour in range(24))
        rows.append((mean, airport, count, bars))
    table = Table(title=f"{arrived():,} flights of 2001 and their delay", box=box.SIMPLE_HEAD)
    table.add_column("latest airports", width=31, no_wrap=True)
    table.add_column("flights", width=7, justify="right")
    table.add_column("min", width=4, justify="right", style="bold")
    table.add_column("0h    6h    12h   18h   ", width=24, no_wrap=True, style="red")
    for mean, airport, count, bars in sorted(rows, reverse=True):
        if count >= ENOUGH_FLIGHTS and table.row_count < 10:
            table.add_row(airport, f"{count:,}", f"{mean:.1f}", bars)
    return table


def bar(total: Delays | None) -> str:
    """Draw the mean delay of an hour; 40 minutes and more are the highest bar."""
    if total is None:
        return " "
    mean = total.minutes / total.flights
    return "▁▂▃▄▅▆▇█"[round(min(max(mean, 0), 40) / 40 * 7)]


async def watch(expected: int) -> None:
    """Wait until every flight is counted: with a live board on a terminal, or a line a second."""
    console = Console()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while arrived() < expected:
            await asyncio.sleep(0.1 if console.is_terminal else 1.0)
            live.update(show(), refresh=console.is_terminal)
            if not console.is_terminal:
                print(f"{arrived():,} of {expected:,} flights counted", flush=True)
    console.print(show())


async def demo() -> int:
    """Run the line until everything is counted, and compare; the exit code."""
    expected = batch_result()
    async with app.running(), asyncio.timeout(DEADLINE_S):
        await watch(sum(count for count, _ in expected.values()))
    found = {place: (total.flights, total.minutes) for place, total in board.items()}
    if found != expected:
        print(f"differs from the batch result: {sorted(found.items() ^ expected.items())[:4]}")
        return 1
    print(f"matches batch result: {len(expected):,} sums of {arrived():,} flights")
    return 0


def clean_up(address: str) -> None:
    """Delete the topics and groups of this run from a broker that goes on."""
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": address})
    groups = [name_airports.group, *(one.group for one in app.subscriptions.values())]
    answers = {**admin.delete_consumer_groups(groups), **admin.delete_topics([*app.topics])}
    for name, answer in answers.items():
        if problem := answer.exception(30):
            print(f"{name} was not deleted: {problem}", file=sys.stderr)


def main() -> int:
    """Read the command line and run the demo; the exit code."""
    parser = argparse.ArgumentParser(description="Which airports were late in early 2001?")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a broker to use instead of our own")
    address = parser.parse_args().kafka
    broker = None if address else turbine.EmbeddedBroker()
    logging.getLogger("turbine.kafka").disabled = True  # what goes wrong is said below, once
    try:
        app.conf.broker = broker.address if broker else address
        return asyncio.run(demo())
    except (turbine.BrokerUnavailable, turbine.ConfigError) as exc:
        print(f"no broker at {address}: {exc}", file=sys.stderr)
        address = None  # nothing was made there
    except (turbine.TurbineError, TimeoutError) as exc:
        print(f"gave up at {arrived():,} flights: {exc!r}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    finally:
        if address:
            clean_up(address)
    return 1


if __name__ == "__main__":
    sys.exit(main())
