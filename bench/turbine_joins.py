"""The joins of `joins.py` as plans, with default settings: ``WORK=streams turbine_joins.py``."""

import os

import turbine

LEFT, RIGHT = os.environ["IN"].split(",")
WITHIN = "10s"


class Order(turbine.Record):
    """What is ordered."""

    order: str
    user: str
    amount: float
    item: str
    ordered: int


class Payment(turbine.Record):
    """What is paid."""

    order: str
    method: str
    reference: str
    paid: int


class Click(turbine.Record):
    """What a user does."""

    id: int
    user: str
    page: str
    ms: int


class User(turbine.Record):
    """Who that is."""

    user: str
    country: str
    name: str


app = turbine.App(
    os.environ["GROUP"],
    broker=f"kafka://{os.environ['KAFKA']}",
    datadir=os.environ["STATE"],
    web_enabled=False,
)
if os.environ["WORK"] == "streams":
    orders = app.stream(LEFT, model=Order, event_time="timestamp", keyed_by="order")
    payments = app.stream(RIGHT, model=Payment, event_time="timestamp", keyed_by="order")
    joined = orders.join(payments, on="order", within=WITHIN)
    joined.to(os.environ["OUT"], key="order")
else:
    clicks = app.stream(LEFT, model=Click, event_time="timestamp", keyed_by="user")
    users = app.stream(RIGHT, model=User, event_time="timestamp", keyed_by="user")
    joined = clicks.join(users.as_table(), on="user")
    joined.to(os.environ["OUT"], key="user")

if __name__ == "__main__":
    app.main(["worker", "-l", "warning"])
