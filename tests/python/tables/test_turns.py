"""Writing to tables outside of a stream, in a turn of the key's partition."""

from typing import Any

import pytest

from support.wait import eventually_async as eventually
from turbine import StateError
from turbine.testing import MakeApp as NewApp
from turbine.testing import MakeTopic as NewTopic
from turbine.testing import Sent, StartWorker


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_who_has_the_partition_writes_and_it_is_there_after_a_crash(
    turbine_app: NewApp, turbine_topics: NewTopic, turbine_worker: StartWorker, guarantee: str
) -> None:
    words, out = turbine_topics("words", partitions=2, key_type=str), turbine_topics("out")
    app = turbine_app(processing_guarantee=guarantee, store="memory://")
    sink = app.topic(out)
    counts: Any = app.Table("counts", key_type=str, value_type=int, default=int)
    people: Any = app.SetTable("people")

    @app.agent(words, key_type=str, value_type=str, name="count")
    async def count(stream: Any) -> None:
        async for event in stream.events():
            counts[event.key] += 1
            with pytest.raises(StateError, match="there is a turn already"):
                async with counts.turn(event.key):
                    pass

    await words.put(*(Sent("", f"w{n}", 1.0) for n in range(8)))
    worker = await turbine_worker(app)
    await worker.idle()
    with pytest.raises(StateError, match="outside of a stream"):
        counts["w1"] = 7
    for n in range(8):
        async with counts.turn(f"w{n}"):
            counts[f"w{n}"] += 10
            await sink.send(value=n)
        async with people.turn(f"w{n}"):
            people[f"w{n}"].add("x")
    await worker.idle()
    worker = await worker.replace()
    await worker.idle()
    assert dict(counts.items()) == {f"w{n}": 11 for n in range(8)}
    assert all(set(people[f"w{n}"]) == {"x"} for n in range(8))
    assert sorted(event.value for event in out.records()) == list(range(8))
    second = await turbine_worker(app)
    # Some time after it has joined the group gives it one of the two partitions.
    await eventually(lambda: second.partitions)
    await second.idle()
    refused = list[str]()
    for n in range(8):
        # The test is the second worker: it has one of the two partitions.
        try:
            async with counts.turn(f"w{n}"):
                counts[f"w{n}"] += 100
        except StateError as exc:
            refused.append(str(exc))
    assert 0 < len(refused) < 8
    assert all("table_route" in one for one in refused)
    await second.stop()
    await eventually(lambda: sum(counts.values()) == 88 + 100 * (8 - len(refused)))
