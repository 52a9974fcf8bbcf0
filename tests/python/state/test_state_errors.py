"""State that cannot be read is nobody's bad row: no policy goes on without it."""

import asyncio
from typing import Any

import pyarrow as pa
import pytest

from support.failing import failure_of
from support.fixtures import MakeApp, MakeTopic, Produce
from support.kafka import Cluster
from turbine.exceptions import StateError


@pytest.mark.parametrize("on_error", ["skip", "dlq"])
async def test_no_row_is_left_out_because_of_the_state(
    app_factory: MakeApp,
    make_topic: MakeTopic,
    produce: Produce,
    cluster: Cluster,
    on_error: str,
) -> None:
    source, dead = make_topic("in", partitions=1), make_topic("dead", partitions=1)
    app = app_factory()
    policy: dict[str, Any] = {"on_error": on_error, **({"dlq": dead} if on_error == "dlq" else {})}

    @app.subscribe(source, name="totals", **policy)
    def totals(batch: pa.RecordBatch) -> None:
        raise StateError("the disk is gone")

    produce(source, [{"n": n} for n in range(8)])
    reason = await failure_of(app)
    assert "the disk is gone" in reason
    assert "the partition waits in front of the batch" in reason
    assert await asyncio.to_thread(cluster.consume, dead, 0) == []
    assert cluster.committed(f"{app.conf.id}-totals", source).get(0, 0) == 0
