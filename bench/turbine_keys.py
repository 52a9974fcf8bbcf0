"""An agent that keeps the last value of every key in a table: what `memory.py` watches."""

import os
from collections.abc import AsyncIterator
from typing import Any

import turbine

app = turbine.App(
    os.environ["GROUP"],
    broker=f"kafka://{os.environ['KAFKA']}",
    datadir=os.environ["STATE"],
    state_memory_bytes=os.environ["BUDGET"],
    api_port=int(os.environ["PORT"]),
)
events = app.topic(os.environ["IN"], key_type=str, value_type=int)
last = app.Table("last", key_type=str, value_type=int, default=int)


@app.agent(events, processing_guarantee=os.environ["GUARANTEE"])
async def keep(stream: Any) -> None:
    """Keep what came last."""
    items: AsyncIterator[tuple[str, int]] = stream.items()
    async for key, value in items:
        last[key] = value


if __name__ == "__main__":
    app.main(["worker", "-l", "warning"])
