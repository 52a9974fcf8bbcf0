"""Joins ORDERS and PAYMENTS in full into OUT as GUARANTEE promises; with REPARTITION by a copy."""

import os

import turbine


class Order(turbine.Record):
    order: str
    amount: int
    ts: int


class Payment(turbine.Record):
    order: str
    method: str
    ts: int


app = turbine.App(
    os.environ["APP_ID"],
    broker="kafka://" + os.environ["KAFKA"],
    processing_guarantee=os.environ["GUARANTEE"],
    # A killed worker is missed soon.
    kafka={"session.timeout.ms": 1_500, "heartbeat.interval.ms": 300},
)
orders = app.stream(os.environ["ORDERS"], model=Order, event_time="ts", out_of_orderness=0.05)
payments = app.stream(os.environ["PAYMENTS"], model=Payment, event_time="ts", out_of_orderness=0.05)
orders.join(
    payments,
    on="order",
    how="full",
    within="50ms",
    repartition="REPARTITION" in os.environ,
).to(os.environ["OUT"], name="paid", batch_size=20, changelog="NO_CHANGELOG" not in os.environ)


if __name__ == "__main__":
    app.main()
