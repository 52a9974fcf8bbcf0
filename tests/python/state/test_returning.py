"""Workers that come back to their state, with the session timeout that users have: 45 s."""

from support.apps import source
from support.fixtures import MakeTopic, MakeWorker
from support.kafka import Cluster
from support.wait import eventually

SOON_S = 20.0
APP = source("count_in_tables").replace(
    '"session.timeout.ms": 1_500', '"session.timeout.ms": 45_000'
)


def test_a_killed_worker_goes_on_at_once_and_one_that_stops_lets_others_go_on(
    worker_process: MakeWorker, make_topic: MakeTopic, cluster: Cluster, app_id: str
) -> None:
    topic, out = make_topic("in", partitions=1), make_topic("out", partitions=1)
    env = {"IN": topic, "OUT": out, "GUARANTEE": "exactly_once"}
    workers = [worker_process(APP, app_id=app_id, env=env) for _ in "12"]

    def count(until: int) -> None:
        cluster.produce(topic, [until], keys=["k"])
        counted = cluster.consume(out, until, SOON_S)
        assert [got.json["count"] for got in counted] == list(range(1, until + 1))

    assert "45_000" in APP
    first, second = (worker.start for worker in workers)
    first()
    count(1)
    for number in (2, 3):
        assert workers[0].kill() < 0
        first()
        count(number)
    second()
    workers[1].wait_ready()
    assert workers[0].terminate() == 0
    eventually(workers[1].assignments, SOON_S, "the second worker has the partition")
    count(4)
