"""
*count-disk* as an agent: a running count a user in a table, an output an event.

The table is on disk and in a changelog, settings are the defaults; ``GUARANTEE=exactly_once`` has
the other promise, ``TABLE=none`` the same agent with a dict of its own instead of a table.
"""

import os
from collections import defaultdict
from collections.abc import AsyncIterator, MutableMapping
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
counts: MutableMapping[str, int] = (
    defaultdict(int)
    if os.environ.get("TABLE") == "none"
    else app.Table("counts", key_type=str, value_type=int, default=int)
)


@app.agent(source, processing_guarantee=os.environ.get("GUARANTEE", "at_least_once"))
async def count(stream: AsyncIterator[dict[str, Any]]) -> None:
    """Write the running count of each user, keyed by user."""
    async for v in stream:
        user = v["user"]
        counts[user] += 1
        await target.send(key=user, value={"user": user, "count": counts[user]})


if __name__ == "__main__":
    app.main(["worker", "-l", "warning"])
