"""*map* as an agent: an event at a time, dict in, dict out. Settings are the defaults."""

import os
from collections.abc import AsyncIterator
from typing import Any

import turbine

app = turbine.App(
    os.environ["GROUP"],
    broker=f"kafka://{os.environ['KAFKA']}",
    datadir=os.environ["STATE"],
    web_enabled=False,
)
source = app.topic(os.environ["IN"])
target = app.topic(os.environ["OUT"])


@app.agent(source)
async def work(stream: AsyncIterator[dict[str, Any]]) -> None:
    """Write id, user, amount in euros and kind, keyed by user."""
    async for v in stream:
        mapped = {"id": v["id"], "user": v["user"], "eur": v["amount"] * 0.9, "kind": v["kind"]}
        await target.send(key=v["user"], value=mapped)


if __name__ == "__main__":
    app.main(["worker", "-l", "warning"])
