"""
The queries of Nexmark that join, as plans of `turbine.flows`.

The benchmark joins everything that was ever there. Here each bid is joined with the version of its
auction at its time, and each auction with its seller: both were there before, and are written once.
What an auction is needed for ends 20 s behind its begin (q4, q6, q9). Rows are given once, when
they are final, and in the order of their time, so that windows of another plan can follow; where
they do, the join has one partition: a topic that several tasks write has no time of its own.
"""

from typing import Any, NamedTuple

import turbine
from nexmark.events import SIDE_ROWS
from turbine.aggregates import ArgMax, Last, Mean
from turbine.flows import (
    col,
    max,  # noqa: A004 - the words of a plan
    session,
    tumbling,
)

__all__ = ["JOINED", "JOINED_STAGES", "Streams"]

_LONGEST = "20s"
"""From the begin of an auction to its end."""
_NOBODY = 1
"""Auction and seller of what only closes windows."""


class Streams(NamedTuple):
    """What the queries read."""

    app: turbine.App
    bids: Any
    auctions: Any
    people: Any
    side: Any


def q3(on: Streams, out: str) -> None:
    """Who sells in three states, of one category."""
    near = (col("state") == "OR") | (col("state") == "ID") | (col("state") == "CA")
    (
        on.auctions.filter(col("category") == 10)
        .join_asof(on.people.filter(near), on="seller", right_on="id")
        .select("name", "city", "state", auction=col("id"))
        .to(out)
    )


def q4(on: Streams, out: str) -> None:
    """The average winning price of a category, as a table."""
    (
        _wins(on, out)
        .select("id", "category", "price")
        .through(f"{out}-wins", key="category")
        .group_by("category")
        .agg(average=Mean("price"))
        .to(out)
    )


def q6(on: Streams, out: str) -> None:
    """The average price of the last ten auctions of a seller, as a table: an agent, one by one."""
    wins = on.app.topic(f"{out}-wins", key_type=int, value_type=dict)
    last = on.app.Table(f"{out}-last", default=list)
    averages = on.app.topic(out)
    _wins(on, out).select("id", "seller", "expires", "price").to(wins, key="seller")

    @on.app.agent(wins, name=f"{out}-ten")
    async def ten(stream: Any) -> None:
        async for win in stream:
            seller = win["seller"]
            known = [*last[seller], [win["expires"], win["id"], win["price"]]]
            last[seller] = sorted(known)[-10:]
            prices = [price for _, _, price in last[seller]]
            average = sum(prices) / len(prices)
            await averages.send(value={"seller": seller, "average": average})


def q8(on: Streams, out: str) -> None:
    """Who has come and sells something within the same ten seconds."""
    came, sold = col("date_time_right") // 10_000, col("date_time") // 10_000
    (
        on.auctions.select("seller", "date_time")
        .join_asof(
            on.people.select("id", "name", "date_time"),
            on="seller",
            right_on="id",
            tolerance="10s",
            partitions=1,
        )
        .filter(came == sold)
        .through(f"{out}-sellers", key="seller", event_time="date_time")
        .group_by("seller")
        .window(tumbling("10s"))
        .agg(name=Last("name", by="date_time"))
        .select("name", id=col("seller"), end=col("window_end_ms"))
        .to(out)
    )


def q9(on: Streams, out: str) -> None:
    """The winning bid of each auction."""
    _wins(on, out).select("id", "category", "seller", "bidder", "price", "bid_ms").to(out)


def _wins(on: Streams, out: str) -> Any:
    auctions = on.auctions.select("id", "category", "seller", "expires", "date_time")
    offers = (
        on.bids.select("auction", "bidder", "price", "date_time")
        .join_asof(auctions, on="auction", right_on="id", tolerance=_LONGEST, partitions=1)
        .filter(col("date_time") <= col("expires"))
        .select("bidder", "price", "date_time", "category", "seller", "expires", id=col("auction"))
        .through(f"{out}-offers", key="id", event_time="date_time")
    )
    same = {name: Last(name, by="date_time") for name in ("category", "seller", "expires")}
    return (
        offers.group_by("id")
        .window(session("21s"))
        .agg(
            price=max("price"),
            bidder=ArgMax("bidder", by="price"),
            bid_ms=ArgMax("date_time", by="price"),
            **same,
        )
        .filter(col("id") != _NOBODY)
    )


def q13(on: Streams, out: str) -> None:
    """Bids with a value of the side input."""
    (
        on.bids.with_columns(key=col("auction") % SIDE_ROWS)
        .join_asof(on.side, on="key")
        .select("auction", "bidder", "price", "date_time", "value")
        .to(out)
    )


def q20(on: Streams, out: str) -> None:
    """Bids for auctions of one category, with the auction."""
    (
        on.bids.drop("extra")
        .join_asof(
            on.auctions.filter(col("category") == 10).drop("extra", "date_time"),
            on="auction",
            right_on="id",
        )
        .to(out)
    )


JOINED = {query.__name__: query for query in (q3, q4, q6, q8, q9, q13, q20)}
"""The queries by their names."""

JOINED_STAGES = {
    "q4": ("offers", "wins"),
    "q6": ("offers", "wins"),
    "q8": ("sellers",),
    "q9": ("offers",),
}
"""As `nexmark.queries.STAGES`."""
