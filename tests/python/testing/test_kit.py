"""Topics, apps and workers of the test kit, used as a test author uses them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import turbine
from turbine.testing import ANY, Kit, MakeApp, MakeTopic, StartWorker, record


class Order(turbine.Record):
    user: str
    amount: int


def doubling(app: turbine.App, source: str, sink: str) -> turbine.Agent:
    """Declare an agent that doubles numbers."""

    @app.agent(source, sink=[sink])
    async def double(stream: Any) -> Any:
        async for number in stream:
            yield number * 2

    return double


async def test_an_agent_between_two_topics(
    turbine_app: MakeApp, turbine_topics: MakeTopic, turbine_worker: StartWorker
) -> None:
    numbers, doubles = turbine_topics("numbers"), turbine_topics("doubles")
    worker = await turbine_worker(doubling(turbine_app(), numbers, doubles))
    places = await numbers.put(1, 2, 3)
    assert {place.topic for place in places} == {numbers.name}
    await doubles.expect([2, 4, 6], order="any")
    await worker.idle()
    assert {row["state"] for row in worker.assignments()} == {"running"}
    assert worker.partitions == {(numbers.name, n) for n in range(4)}
    await worker.stop()
    assert worker.state == "stopped"


def test_the_same_in_a_plain_test(
    turbine_app: MakeApp, turbine_topics: MakeTopic, turbine_worker: StartWorker
) -> None:
    numbers, doubles = turbine_topics("numbers"), turbine_topics("doubles")
    worker = turbine_worker(doubling(turbine_app(), numbers, doubles)).wait()
    numbers.put(1, 2, 3, key="k").wait()
    got = doubles.expect([2, record(4, key=b"k"), ANY]).wait()
    assert [event.value for event in got] == [2, 4, 6]
    worker.stop().wait()


async def test_a_second_expect_takes_what_is_new(
    turbine_app: MakeApp, turbine_topics: MakeTopic, turbine_worker: StartWorker
) -> None:
    numbers, doubles = turbine_topics("numbers"), turbine_topics("doubles")
    await turbine_worker(doubling(turbine_app(), numbers, doubles))
    await numbers.put(1, key="k")
    await doubles.expect([2])
    await numbers.put(2, key="k")
    await doubles.expect([4])
    await doubles.expect([])
    assert [event.value for event in doubles.records()] == [2, 4]


async def test_values_and_keys_have_the_types_of_the_topic(
    turbine_app: MakeApp, turbine_topics: MakeTopic, turbine_worker: StartWorker
) -> None:
    orders = turbine_topics("orders", key_type=str, value_type=Order, partitions=1)
    texts = turbine_topics("texts", value_type=str)
    app = turbine_app()

    @app.agent(orders, value_type=Order)
    async def agent(stream: Any) -> None:
        async for order in stream:
            await app.send(app.topic(texts, value_type=str), order.user)

    await turbine_worker(app)
    ada = Order(user="ada", amount=1)
    await orders.put(ada, key="k", headers={"a": "1"}, timestamp=5.5)
    await orders.put({"user": "bob", "amount": 2}, partition=0)
    await texts.expect(["ada", "bob"], order="any")
    first, second = orders.records()
    assert (first.key, first.value, first.headers) == ("k", ada, {"a": b"1"})
    assert (first.timestamp, first.partition, first.offset) == (5.5, 0, 0)
    assert second.value == Order(user="bob", amount=2)


async def test_subscriptions_run_too(
    turbine_app: MakeApp, turbine_topics: MakeTopic, turbine_worker: StartWorker
) -> None:
    numbers, plain, waiting = (turbine_topics(name) for name in ("numbers", "plain", "waiting"))
    app = turbine_app()

    @app.subscribe(numbers, publish_to=plain)
    def pass_on(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    @app.subscribe(numbers, publish_to=waiting)
    async def pass_on_later(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    worker = await turbine_worker(app)
    await numbers.put({"n": 1}, {"n": 2}, key="k")
    await plain.expect([{"n": 1}, {"n": 2}])
    await waiting.expect([{"n": 1}, {"n": 2}])
    await worker.idle()


async def test_two_workers_share_the_partitions(
    turbine_app: MakeApp, turbine_topics: MakeTopic, turbine_worker: StartWorker
) -> None:
    numbers, doubles = turbine_topics("numbers"), turbine_topics("doubles")
    app = turbine_app()
    doubling(app, numbers, doubles)
    first = await turbine_worker(app)
    second = await turbine_worker(app)
    await first.ready()
    assert first.partitions
    assert second.partitions
    assert not first.partitions & second.partitions
    await numbers.put(*range(40))
    await doubles.expect([2 * n for n in range(40)], order="any")
    await second.stop()
    await first.ready()
    assert first.partitions == {(numbers.name, n) for n in range(4)}


@pytest.mark.turbine_on("embedded")
@pytest.mark.turbine_own_broker
async def test_an_app_of_a_module_is_borrowed_for_one_test(
    turbine_app: MakeApp, turbine_topics: MakeTopic, turbine_worker: StartWorker
) -> None:
    mine = turbine.App("mine", broker="kafka://nowhere.invalid:1", kafka={"client.rack": "a"})
    doubling(mine, "numbers", "doubles")
    numbers, doubles = (
        turbine_topics("numbers", unique=False),
        turbine_topics("doubles", unique=False),
    )
    app = turbine_app(mine)
    assert app is mine
    await turbine_worker(app)
    await numbers.put(21)
    await doubles.expect([42])


async def test_a_borrowed_app_is_given_back_as_it_was(
    turbine_app: MakeApp, turbine_worker: StartWorker, request: pytest.FixtureRequest
) -> None:
    mine = turbine.App("mine", broker="kafka://nowhere.invalid:1")
    before, clock = list(mine.conf.items()), mine.clock
    turbine_app(mine, drain_timeout=3)
    assert mine.conf.drain_timeout == 3
    request.getfixturevalue("_turbine_harness").finish()
    assert list(mine.conf.items()) == before
    assert mine.clock is clock


def test_state_stays_out_of_the_folder_that_tests_run_in(
    turbine_app: MakeApp, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mine = turbine.App("mine")
    places = [turbine_app().conf.data_path, turbine_app(mine).conf.data_path]
    assert len({*places, mine.conf.data_path}) == 2, "each app has its own"
    assert all(place.is_relative_to(tmp_path_factory.getbasetemp()) for place in places)
    assert turbine_app(datadir=tmp_path).conf.data_path == tmp_path
    assert turbine_app(turbine.App("other", datadir=tmp_path)).conf.data_path == tmp_path


def test_a_kit_takes_its_folder_with_it() -> None:
    with Kit() as kit:
        place = kit.app().conf.data_path
        place.mkdir(parents=True)
    assert not place.exists()


async def test_errors_that_a_test_means_do_not_fail_it(
    turbine_app: MakeApp, turbine_topics: MakeTopic, turbine_worker: StartWorker
) -> None:
    numbers = turbine_topics("numbers", partitions=1)
    app = turbine_app()

    @app.agent(numbers)
    async def agent(stream: Any) -> None:
        async for number in stream:
            raise ValueError(f"no {number}")

    worker = await turbine_worker(app)
    worker.expect_error("ValueError: no 1")
    await numbers.put(1)
    await worker.idle()
    await worker.stop()
    assert "no 1" in worker.failures[0]
