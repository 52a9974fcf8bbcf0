"""Tables as their users see them: who may write, who sees what, what becomes of keys and values."""

from collections import Counter
from typing import Any

import pytest

import turbine
from support.fixtures import MakeApp, Produce
from support.wait import eventually_async as until


def counting(app: turbine.App, topic: str, **options: Any) -> tuple[Any, list[Any]]:
    """An agent that counts its values, and what it has seen."""
    seen: list[Any] = []
    counts = app.Table("counts", key_type=str, value_type=int, default=int)

    @app.agent(topic, key_type=str, value_type=str, name="counting", **options)
    async def agent(stream: Any) -> None:
        async for value in stream:
            counts[value] += 1
            seen.append(value)

    return counts, seen


async def test_an_agent_counts_and_everybody_reads(
    app_factory: MakeApp, topic: str, produce: Produce
) -> None:
    app = app_factory()
    counts, seen = counting(app, topic)
    words = ["a", "b", "a", "c", "a"] * 200
    produce(topic, [word.encode() for word in words], keys=words)
    async with app.running():
        await until(lambda: len(seen) == 1_000)
        # Outside of a stream: over all partitions.
        assert {key: counts[key] for key in "abcd"} == {"a": 600, "b": 200, "c": 200, "d": 0}
        assert dict(counts.items()) == Counter(words)
        assert sorted(counts) == ["a", "b", "c"]
        assert sorted(counts.values()) == [200, 200, 600]
        assert len(counts) == 3
        assert "a" in counts
        assert "d" not in counts
        assert counts.get("d") == 0
        assert counts.get("d", 7) == 7
        assert counts.get_many(["a", "d"], 0) == [600, 0]


async def test_what_is_written_outside_of_a_stream_is_refused(
    app_factory: MakeApp, topic: str
) -> None:
    app = app_factory()
    counts, _ = counting(app, topic)
    async with app.running():
        for write in (
            lambda: counts.__setitem__("a", 1),
            lambda: counts.pop("a", None),
            lambda: counts.update(a=1),
            lambda: counts.setdefault("a", 1),
            counts.clear,
        ):
            with pytest.raises(turbine.StateError, match="Cannot modify table counts outside of a"):
                write()
        assert len(counts) == 0
