"""Changelogs while state is restored from them, and such as state cannot be restored from."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support.apps import source
from support.fixtures import MakeApp, MakeTopic, MakeWorker
from support.kafka import Cluster
from support.wait import eventually
from support.workers import WorkerProcess
from turbine import ConfigError, EmbeddedBroker, State


@pytest.fixture
def own() -> Iterator[EmbeddedBroker]:
    """A broker of this test alone."""
    broker = EmbeddedBroker(port=0)
    yield broker
    broker.stop()


@pytest.mark.embedded
@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_ready_says_how_far_a_restore_is(
    own: EmbeddedBroker, guarantee: str, tmp_path: Path, app_id: str
) -> None:
    cluster = Cluster(own.address)
    topic, out = cluster.make_topic("in", partitions=1), cluster.make_topic("out", partitions=1)
    env = {"IN": topic, "OUT": out, "GUARANTEE": guarantee}
    worker = WorkerProcess(
        tmp_path / "w", source("count_in_tables"), broker=own.address, app_id=app_id, env=env
    )
    with worker:
        cluster.produce(topic, range(100), keys=[f"k{n % 10}" for n in range(100)])
        eventually(lambda: cluster.committed(app_id, topic) == {0: 100}, 20, "all is counted")
        worker.kill()
        shutil.rmtree(worker.directory / f"{app_id}-data")
        slow = own.delay("Fetch", 2_000, topic=f"{app_id}-counts-changelog")
        worker.start()

        def reasons() -> str:
            try:
                status, body = worker.get("/ready")
            except OSError:
                return ""
            text = " ".join(body["reasons"])
            assert status == 503
            return text if "-changelog" in text else ""

        text = eventually(reasons, 20, "the restore is told")
        assert re.search(
            rf"{topic}\[0\]: restoring, reading {app_id}-counts-changelog\[0\]: "
            r"0 %, \d+ keys, 0\.0 MB, \d+ keys/s",
            text,
        ), text
        (row,) = worker.assignments()
        assert row["state"] == "restoring"
        slow.remove()
        worker.wait_ready()
        cluster.produce(topic, [100], keys=["k0"])
        counted = cluster.consume(out, 101)[-1].json
        assert counted == {"key": "k0", "n": 100, "count": 11}


async def refusal(app: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        async with app.running():
            pass
    return str(caught.value)


async def test_a_changelog_with_too_few_partitions_for_a_table_is_refused(
    app_factory: MakeApp, topic: str, cluster: Cluster
) -> None:
    app = app_factory()
    app.Table("counts", key_type=str, value_type=int, default=int)

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for _ in stream:
            pass

    changelog = f"{app.conf.id}-counts-changelog"
    cluster.make_topic_named(changelog, 1)
    said = await refusal(app)
    assert f"the changelog {changelog} of table counts has 1 partitions" in said
    assert "declare partitions=4, or create the topic anew with 4" in said


@pytest.mark.parametrize("partitions", [1, 8])
async def test_a_changelog_of_a_subscription_has_the_partitions_of_its_topic(
    app_factory: MakeApp, topic: str, cluster: Cluster, partitions: int
) -> None:
    app = app_factory()

    @app.subscribe(topic, name="counts", processing_guarantee="exactly_once")
    def counts(batch: pa.RecordBatch, state: State) -> None:
        state.put("rows", batch.num_rows)

    changelog = f"{app.conf.id}-counts-changelog"
    cluster.make_topic_named(changelog, partitions)
    said = await refusal(app)
    assert f"the changelog {changelog} has {partitions} partitions" in said
    assert "counts reads has 4" in said


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_a_worker_that_comes_back_reads_only_what_others_wrote_meanwhile(
    worker_process: MakeWorker,
    make_topic: MakeTopic,
    cluster: Cluster,
    app_id: str,
    guarantee: str,
) -> None:
    env = {"IN": make_topic("in", 1), "OUT": make_topic("out", 1), "GUARANTEE": guarantee}
    written = 0

    def write(keys: list[str]) -> None:
        nonlocal written
        cluster.produce(env["IN"], range(len(keys)), keys=keys)
        written += len(keys)

    def run(worker: WorkerProcess) -> str:
        worker.start()
        eventually(
            lambda: cluster.committed(app_id, env["IN"]) == {0: written}, 20, "all is counted"
        )
        _, metrics = worker.get("/metrics")
        worker.kill()
        return str(metrics)

    one = worker_process(source("count_in_tables"), env=env)
    two = worker_process(source("count_in_tables"), env=env)
    write([f"k{n}" for n in range(500)])
    run(one)
    write(["k0", "k1", "new"])
    assert restored(run(two)) > 500, "it had nothing"
    write(["k1"])
    metrics = run(one)
    # What the other has written: some counts, and sums of each of its commits.
    assert 3 <= restored(metrics) < 20, metrics
    counts = {one.json["key"]: one.json["count"] for one in cluster.consume(env["OUT"], written)}
    assert (counts["k0"], counts["k1"], counts["new"], counts["k2"]) == (2, 3, 1, 1)


def restored(metrics: str) -> int:
    """Keys that were read from changelogs."""
    return sum(int(n) for n in re.findall(r"turbine_restored_keys_total\{.*\} (\d+)", metrics))
