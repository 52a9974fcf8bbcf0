"""
Joins ORDERS and PAYMENTS in full into OUT as GUARANTEE promises; with REPARTITION by a copy.

CASES has several such plans as JSON instead, by their names.
"""

import json
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


# The successor of a member with a name takes its place at once, instead of when it is missed.
INSTANCE = {"group.instance.id": name} if (name := os.environ.get("STATIC")) else {}
app = turbine.App(
    os.environ["APP_ID"],
    broker="kafka://" + os.environ["KAFKA"],
    # A killed worker is missed soon.
    kafka={"session.timeout.ms": 1_500, "heartbeat.interval.ms": 300, **INSTANCE},
)


def declare(name: str, env: "dict[str, str] | os._Environ[str]") -> None:
    """Declare one plan."""
    time = {"event_time": "ts", "out_of_orderness": 0.05}
    orders = app.stream(env["ORDERS"], model=Order, **time)
    payments = app.stream(env["PAYMENTS"], model=Payment, **time)
    repartition = "REPARTITION" in env
    orders.join(payments, on="order", how="full", within="50ms", repartition=repartition).to(
        env["OUT"],
        name=name,
        batch_size=20,
        changelog="NO_CHANGELOG" not in env,
        processing_guarantee=env["GUARANTEE"],
    )


if "CASES" in os.environ:
    for name_, case in json.loads(os.environ["CASES"]).items():
        declare(name_, case)
else:
    declare("paid", os.environ)


if __name__ == "__main__":
    app.main()
