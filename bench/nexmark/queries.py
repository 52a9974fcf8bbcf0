"""
The queries of Nexmark that need no join, as plans of `turbine.flows`.

Where the benchmark speaks of processing time (q12) the time of the record is meant. A day (q15 to
q17) is a window that gives its result at the end; there each row changes the result. Joins are q3,
q4, q6, q8, q9, q13, q20 and q23.
"""

from collections.abc import Callable
from typing import Any

import turbine
from nexmark.events import Auction, Bid, Person, Side
from nexmark.joined import JOINED, JOINED_STAGES, Streams
from turbine.aggregates import ArgMax, CollectSet, CountDistinct, Largest, Last, Mean
from turbine.flows import (
    col,
    count,
    hopping,
    lit,
    max,  # noqa: A004 - the words of a plan
    min,  # noqa: A004 - as above
    session,
    sum,  # noqa: A004 - as above
    tumbling,
    when,
)
from turbine.functions import format_ts, hour, length, regex_extract, replace
from turbine.windows import calendar

__all__ = ["NAMES", "QUERIES", "STAGES", "declare"]

Query = Callable[[Any, str], Any]
"""Declares a query: the stream of bids, and the topic that its rows go to."""

LOW, HIGH = 10_000, 1_000_000
"""Prices that the statistics of a day are divided at."""


def q0(bids: Any, out: str) -> None:
    """Everything, as it is."""
    bids.select("auction", "bidder", "price", "date_time", "extra").to(out)


def q1(bids: Any, out: str) -> None:
    """Prices in euros."""
    price = col("price") * 0.908
    bids.select("auction", "bidder", "date_time", "extra", price=price).to(out)


def q2(bids: Any, out: str) -> None:
    """Bids for some auctions."""
    bids.filter(col("auction") % 123 == 0).select("auction", "price").to(out)


def q5(bids: Any, out: str) -> None:
    """Auctions with the most bids in the last ten seconds, every two seconds."""
    (
        bids.group_by(col("auction").alias("item"), partitions=1)
        .window(hopping("10s", "2s"))
        .agg(num=count())
        .select("num", auction=col("item"), end=col("window_end_ms"))
        .through(f"{out}-counts", event_time="end", key="auction")
        .group_by("num", partitions=1)
        .window(tumbling("2s"))
        .agg(auctions=CollectSet("auction"))
        .select("num", "auctions", end=col("window_end_ms") - 2_000)
        .through(f"{out}-ranks", event_time="end", key="num")
        .group_by("end", partitions=1)
        .window(tumbling("2s"))
        .agg(most=max("num"), auction=ArgMax("auctions", by="num"))
        .explode("auction")
        .select("end", "auction", num=col("most"))
        .to(out)
    )


def q7(bids: Any, out: str) -> None:
    """The highest bid of ten seconds."""
    (
        bids.group_by()
        .window(tumbling("10s"))
        .agg(
            price=max("price"),
            auction=ArgMax("auction", by="price"),
            bidder=ArgMax("bidder", by="price"),
        )
        .select("price", "auction", "bidder", end=col("window_end_ms"))
        .to(out)
    )


def q10(bids: Any, out: str) -> None:
    """Bids with the names of their partitions in a log."""
    (
        bids.with_columns(
            dt=format_ts(col("date_time"), "%Y-%m-%d"), hm=format_ts(col("date_time"), "%H:%M")
        )
        .drop("channel", "url")
        .to(out)
    )


def q11(bids: Any, out: str) -> None:
    """Bids of a session of a user."""
    _sized(bids.group_by("bidder").window(session("10s")), "bidder").to(out)


def q12(bids: Any, out: str) -> None:
    """Bids of a user in ten seconds of the records' own time."""
    _sized(bids.group_by(col("bidder").alias("user")).window(tumbling("10s")), "user").to(out)


def _sized(windows: Any, user: str) -> Any:
    start, end = col("window_start_ms"), col("window_end_ms")
    return windows.agg(num=count()).select("num", bidder=col(user), start=start, end=end)


def q14(bids: Any, out: str) -> None:
    """Bids of a range, with a word for the time of day and a count of letters."""
    at = hour(col("date_time"))
    kind = when((at >= 8) & (at <= 18)).then("dayTime")
    kind = kind.when((at <= 6) | (at >= 20)).then("nightTime").otherwise("otherTime")
    letters = length(col("extra")) - length(replace(col("extra"), lit("c"), lit("")))
    (
        bids.with_columns(price=col("price") * 0.908, kind=kind, letters=letters)
        .filter((col("price") > 1_000_000) & (col("price") < 50_000_000))
        .select("auction", "bidder", "price", "kind", "date_time", "letters")
        .to(out)
    )


def _ranks(column: str, aggregate: Callable[[Any], Any], name: str) -> dict[str, Any]:
    """The same aggregate of all rows and of those of three ranges of prices."""
    price, value = col("price"), col(column)
    return {
        name: aggregate(column),
        f"{name}1": aggregate(when(price < LOW).then(value)),
        f"{name}2": aggregate(when((price >= LOW) & (price < HIGH)).then(value)),
        f"{name}3": aggregate(when(price >= HIGH).then(value)),
    }


def q15(bids: Any, out: str) -> None:
    """Statistics of a day."""
    (
        bids.group_by()
        .window(calendar("day"))
        .agg(
            **_ranks("price", count, "bids"),
            **_ranks("bidder", CountDistinct, "bidders"),
            **_ranks("auction", CountDistinct, "auctions"),
        )
        .with_columns(end=col("window_end_ms"))
        .drop("window_start_ms", "window_end_ms")
        .to(out)
    )


def q16(bids: Any, out: str) -> None:
    """Statistics of a channel and day."""
    (
        bids.with_columns(minute=format_ts(col("date_time"), "%H:%M"))
        .group_by("channel")
        .window(calendar("day"))
        .agg(
            minute=max("minute"),
            **_ranks("price", count, "bids"),
            **_ranks("bidder", CountDistinct, "bidders"),
            **_ranks("auction", CountDistinct, "auctions"),
        )
        .with_columns(end=col("window_end_ms"))
        .drop("window_start_ms", "window_end_ms")
        .to(out)
    )


def q17(bids: Any, out: str) -> None:
    """Statistics of an auction and day."""
    (
        bids.group_by("auction")
        .window(calendar("day"))
        .agg(
            **_ranks("price", count, "bids"),
            least=min("price"),
            most=max("price"),
            average=Mean("price"),
            total=sum("price"),
        )
        .with_columns(end=col("window_end_ms"))
        .drop("window_start_ms", "window_end_ms")
        .to(out)
    )


def q18(bids: Any, out: str) -> None:
    """The last bid of a user for an auction, as a table."""
    columns = ("price", "channel", "url", "date_time", "extra")
    last = {name: Last(name, by="date_time") for name in columns}
    bids.group_by("bidder", "auction").agg(**last).to(out, key="auction")


def q19(bids: Any, out: str) -> None:
    """The ten highest prices of an auction, as a table."""
    bids.group_by("auction").agg(prices=Largest("price", 10)).to(out)


def q21(bids: Any, out: str) -> None:
    """Bids with the number of their channel."""
    known = when(col("channel") == "apple").then("0").when(col("channel") == "google").then("1")
    known = known.when(col("channel") == "facebook").then("2").when(col("channel") == "baidu")
    number = known.then("3").otherwise(regex_extract(col("url"), "[&?]channel_id=([^&]*)"))
    (
        bids.with_columns(channel_id=number)
        .filter(col("channel_id").is_not_null())
        .select("auction", "bidder", "price", "channel", "channel_id")
        .to(out)
    )


def q22(bids: Any, out: str) -> None:
    """Bids with the directories of their pages."""
    parts = {
        f"dir{n}": regex_extract(col("url"), "^" + "[^/]*/" * (n + 2) + "([^/]*)")
        for n in (1, 2, 3)
    }
    bids.select("auction", "bidder", "price", "channel", **parts).to(out)


QUERIES: dict[str, Query] = {
    query.__name__: query
    for query in (q0, q1, q2, q5, q7, q10, q11, q12, q14, q15, q16, q17, q18, q19, q21, q22)
}
"""The queries without a join, by their names."""

STAGES = {"q5": ("counts", "ranks"), **JOINED_STAGES}
"""Topics of one partition between the steps of a query: what is behind the output's name."""

NAMES = sorted([*QUERIES, *JOINED], key=lambda name: int(name[1:]))
"""All queries that are here."""


def declare(app: turbine.App, name: str, bids: str, out: str) -> None:
    """
    Declare one query.

    Args:
        app: The app.
        name: Of the query, as ``"q5"``.
        bids: Topic of the bids; those of auctions, people and the side input have ``-auctions``,
            ``-people`` and ``-side`` behind its name.
        out: Topic that the rows go to.
    """
    for stage in STAGES.get(name, ()):
        app.topic(f"{out}-{stage}", partitions=1)
    time = "timestamp" if name == "q12" else "date_time"
    stream = app.stream(bids, model=Bid, event_time=time)
    if name in QUERIES:
        QUERIES[name](stream, out)
        return
    auctions = app.stream(f"{bids}-auctions", model=Auction, event_time=time)
    people = app.stream(f"{bids}-people", model=Person, event_time=time)
    side = app.stream(f"{bids}-side", model=Side, event_time=time)
    JOINED[name](Streams(app, stream, auctions, people, side), out)
