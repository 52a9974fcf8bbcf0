"""Global tables: every key on every worker, whole before agents begin."""

import asyncio
import json
import urllib.request
from typing import Any

import pytest

from support.wait import eventually_async as eventually
from turbine import App
from turbine.testing import MakeApp as NewApp
from turbine.testing import MakeTopic as NewTopic
from turbine.testing import Sent, StartWorker, TopicHandle


def declare(app: App, rates: TopicHandle, asked: TopicHandle, out: TopicHandle) -> Any:
    """Keep rates, and answer each question with what can be seen of them."""
    table: Any = app.GlobalTable("rates", key_type=str, value_type=int)

    @app.agent(rates, key_type=str, value_type=int, name="keep")
    async def keep(stream: Any) -> None:
        async for name, rate in stream.items():
            if rate < 0:
                del table[name]
            else:
                table[name] = rate
                assert table[name] == rate

    @app.agent(asked, key_type=str, value_type=str, name="answer", sink=[app.topic(out)])
    async def answer(stream: Any) -> Any:
        async for name in stream:
            yield [name, table.get(name), len(table), len(list(table.items())), name in table]

    return table


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_every_worker_has_every_key_before_its_agents_begin(
    turbine_app: NewApp, turbine_topics: NewTopic, turbine_worker: StartWorker, guarantee: str
) -> None:
    rates = turbine_topics("rates", partitions=4, key_type=str, value_type=int)
    asked, out = turbine_topics("asked", partitions=4, value_type=str), turbine_topics("out")
    app = turbine_app(processing_guarantee=guarantee, store="memory://")
    table = declare(app, rates, asked, out)
    await rates.put(*(Sent(n, f"r{n}", 1.0) for n in range(40)))
    await turbine_worker(app)
    await eventually(lambda: len(table) == 40)
    second = await turbine_worker(app)
    # The second one answers some of them, and what the first one writes is not its own.
    for n in range(4):
        await asked.put("r7", partition=n)
    await second.idle()
    await eventually(lambda: len(out.records()) == 4)
    assert [event.value for event in out.records()] == [["r7", 7, 40, 40, True]] * 4
    await rates.put(*(Sent(-1 if n % 2 else n + 100, f"r{n}", 1.0) for n in range(40)))
    wanted = {f"r{n}": n + 100 for n in range(0, 40, 2)}
    # The test reads as the second worker does.
    await eventually(lambda: dict(table.items()) == wanted)
    assert sorted(table) == sorted(wanted)
    assert (table.get("r1"), table["r2"], "r3" in table, len(table)) == (None, 102, False, 20)
    assert table.get_many(["r0", "r1"]) == [100, None]
    await second.stop()


async def test_an_app_without_agents_reads_the_table_of_another(
    turbine_app: NewApp, turbine_topics: NewTopic, turbine_worker: StartWorker
) -> None:
    rates = turbine_topics("rates", partitions=2, key_type=str, value_type=int)
    app = turbine_app()
    declare(app, rates, turbine_topics("asked"), turbine_topics("out"))
    await rates.put(Sent(1, "a", 1.0), Sent(2, "b", 1.0))
    await turbine_worker(app)
    other = turbine_app(web_enabled=True, web_port=0)
    changelog = f"{app.conf.id}-rates-changelog"
    table: Any = other.GlobalTable("rates", key_type=str, value_type=int, changelog_topic=changelog)
    seen = list[dict[str, int]]()

    @other.timer(0.05)
    async def look() -> None:
        seen.append(dict(table.items()))

    async with other.running(http=True):
        await eventually(lambda: {"a": 1, "b": 2} in seen)
        runtime: Any = other._runtime
        url = f"http://{runtime.http_address}/tables"
        text = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read())
    (shown,) = json.loads(text)["tables"]
    wanted = {"topic": changelog, "lag": 0, "state": "global"}
    assert all(wanted.items() <= one.items() for one in shown["partitions"])
    assert [one["partition"] for one in shown["partitions"]] == [0, 1, 2, 3]


async def test_sets_can_be_global_and_windows_too(
    turbine_app: NewApp, turbine_topics: NewTopic, turbine_worker: StartWorker
) -> None:
    visits = turbine_topics("visits", partitions=4, key_type=str, value_type=str)
    app = turbine_app(store="memory://")
    people: Any = app.SetGlobalTable("people")
    counts: Any = app.GlobalTable("counts", key_type=str, default=int).tumbling(10)

    @app.agent(visits, key_type=str, value_type=str, name="visit")
    async def visit(stream: Any) -> None:
        async for page, user in stream.items():
            people[page].add(user)
            counts[page] += 1

    await visits.put(*(Sent(f"u{n % 3}", f"p{n % 5}", 100.0) for n in range(15)))
    first = await turbine_worker(app)
    await first.idle()
    second = await turbine_worker(app)
    await second.idle()
    assert {page: set(people[page]) for page in people} == {
        f"p{n}": {"u0", "u1", "u2"} for n in range(5)
    }
    assert dict(counts.windows()) == {(f"p{n}", (100.0, 110.0)): 3 for n in range(5)}
