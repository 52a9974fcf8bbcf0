"""
Events of the Nexmark benchmark, from a seed: the same seed gives the same events.

Proportions, fields and hot keys are those of the benchmark's generator: of fifty events one is a
person, three are auctions and 46 bids; half of the bids go to the newest hot auction. Times are
strictly increasing, in ms since the Unix epoch.
"""

import random
from collections.abc import Iterator
from typing import Any

import turbine

__all__ = ["FIRST_MS", "SIDE_ROWS", "Auction", "Bid", "Person", "Side", "ends", "events", "side"]

FIRST_MS = 1_735_689_585_000
"""15 s before 2025-01-01T00:00:00Z, so that a short run sees two days."""

SIDE_ROWS = 1_000
"""Of the side input of q13."""

_DAY_MS = 86_400_000
_CHANNELS = ("apple", "google", "facebook", "baidu")
_STATES = ("AZ", "CA", "ID", "OR", "WA", "WY")
_CITIES = ("Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Seattle")
_FIRST_NAMES = ("Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah")
_LAST_NAMES = ("Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones")


class Person(turbine.Record):
    """Somebody who sells or bids."""

    id: int
    name: str
    email_address: str
    credit_card: str
    city: str
    state: str
    date_time: int
    extra: str


class Auction(turbine.Record):
    """An item on sale."""

    id: int
    item_name: str
    description: str
    initial_bid: int
    reserve: int
    date_time: int
    expires: int
    seller: int
    category: int
    extra: str


class Bid(turbine.Record):
    """A bid for an auction."""

    auction: int
    bidder: int
    price: int
    channel: str
    url: str
    date_time: int
    extra: str


class Side(turbine.Record):
    """A row of the side input of q13."""

    key: int
    value: str
    date_time: int


class _Site:
    """What exists so far."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.people = 0
        self.auctions = 0

    def text(self, least: int, most: int) -> str:
        letters = "abcdefghijklmnopqrstuvwxyz"
        return "".join(self.dice.choices(letters, k=self.dice.randint(least, most)))

    def price(self) -> int:
        # As there: 10 to the power of a number from 0 to 6, in cents.
        return round(10 ** (self.dice.random() * 6) * 100)

    def person(self, time_ms: int) -> dict[str, Any]:
        self.people += 1
        name = f"{self.dice.choice(_FIRST_NAMES)} {self.dice.choice(_LAST_NAMES)}"
        return {
            "id": 1_000 + self.people - 1,
            "name": name,
            "email_address": f"{self.text(5, 7)}@{self.text(4, 5)}.com",
            "credit_card": " ".join(f"{self.dice.randrange(10_000):04}" for _ in range(4)),
            "city": self.dice.choice(_CITIES),
            "state": self.dice.choice(_STATES),
            "date_time": time_ms,
            "extra": self.text(10, 40),
        }

    def auction(self, time_ms: int) -> dict[str, Any]:
        self.auctions += 1
        first = self.price()
        return {
            "id": 1_000 + self.auctions - 1,
            "item_name": self.text(5, 20),
            "description": self.text(20, 60),
            "initial_bid": first,
            "reserve": first + self.price(),
            "date_time": time_ms,
            "expires": time_ms + self.dice.randint(1_000, 20_000),
            "seller": self.somebody(4),
            "category": 10 + self.dice.randrange(5),
            "extra": self.text(10, 40),
        }

    def bid(self, time_ms: int) -> dict[str, Any]:
        newest = max(self.auctions - 1, 0)
        hot = newest // 100 * 100
        cold = newest - self.dice.randrange(min(newest, 100) + 1)
        channel = self.dice.choice((*_CHANNELS, f"channel-{self.dice.randrange(1_000)}"))
        place = "/".join(self.text(4, 6) for _ in range(3))
        url = f"https://www.nexmark.com/{place}/item.htm?query=1"
        if channel.startswith("channel-") and self.dice.random() < 0.9:
            url += f"&channel_id={channel.removeprefix('channel-')}"
        return {
            "auction": 1_000 + (hot if self.dice.random() < 0.5 else cold),
            "bidder": self.somebody(4),
            "price": self.price(),
            "channel": channel,
            "url": url,
            "date_time": time_ms,
            "extra": self.text(10, 40),
        }

    def somebody(self, ratio: int) -> int:
        newest = max(self.people - 1, 0)
        hot = newest // 100 * 100
        cold = newest - self.dice.randrange(min(newest, 1_000) + 1)
        return 1_000 + (hot if self.dice.randrange(ratio) else cold)


def events(
    count: int, *, seed: int = 42, events_per_second: int = 100
) -> Iterator[tuple[str, dict[str, Any]]]:
    """
    Make events in the order of their time.

    Args:
        count: How many.
        seed: Of everything that is chosen.
        events_per_second: How far apart they are, on average.

    Yields:
        ``"person"``, ``"auction"`` or ``"bid"``, and the row.
    """
    site, time_ms = _Site(seed), FIRST_MS
    step = max(1, 2_000 // events_per_second - 1)
    for number in range(count):
        time_ms += site.dice.randint(1, step)
        turn = number % 50
        if turn == 0:
            yield "person", site.person(time_ms)
        elif turn <= 3:
            yield "auction", site.auction(time_ms)
        else:
            yield "bid", site.bid(time_ms)


def side() -> list[dict[str, Any]]:
    """Rows of the side input, in front of all events."""
    return [
        {"key": key, "value": f"value-{key}", "date_time": FIRST_MS - 1} for key in range(SIDE_ROWS)
    ]


def ends(last_ms: int, count: int = 10, kind: str = "bid") -> list[dict[str, Any]]:
    """
    Make rows of nobody, days behind everything, that let windows close, also those behind others.

    Args:
        last_ms: Time of the last event.
        count: How many, three days from one to the next.
        kind: ``"bid"``, ``"auction"``, ``"person"`` or ``"side"``.
    """
    times = [last_ms + (n + 1) * 3 * _DAY_MS for n in range(count)]
    return [_end(kind, time_ms) for time_ms in times]


def _end(kind: str, time_ms: int) -> dict[str, Any]:
    at = {"date_time": time_ms, "extra": ""}
    if kind == "bid":
        row = {"auction": 1, "bidder": 1, "price": 1, "channel": "end", "url": ""}
    elif kind == "auction":
        row = {"id": 1, "item_name": "end", "description": "", "initial_bid": 1, "reserve": 1}
        at |= {"expires": time_ms, "seller": 1, "category": 1}
    elif kind == "person":
        row = {"id": 1, "name": "end", "email_address": "", "credit_card": "", "city": ""}
        at |= {"state": ""}
    else:
        return {"key": -1, "value": "end", "date_time": time_ms}
    return row | at
