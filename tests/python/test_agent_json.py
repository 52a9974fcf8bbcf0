"""What an agent without types sees of JSON."""

import json
import random
from typing import Any

from support.fixtures import MakeApp, MakeTopic, Produce
from support.wait import eventually_async as until

SHAPES = (
    '{"a":1,"b":"x","c":null}',
    '{"b":2,"a":1,"c":3}',
    '{"a":1,"b":2}',
    '{"a":1,"b":2,"c":3,"d":{"e":[1,{}]}}',
    '{"a":1,"a":2,"b":3}',
    "{}",
    '{"a":1,"b":',
)
"""Objects whose names are the last one's, or others, or in another order, and one that is none."""


async def test_objects_come_as_their_json_says_whatever_came_before(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce
) -> None:
    draw = random.Random(7)
    mixed = [text for text in draw.choices(SHAPES, k=200) for _ in range(draw.randrange(1, 4))]
    few = [text for text in SHAPES for _ in range(20)]
    texts = {make_topic(): mixed, make_topic(): few}
    seen: dict[str, list[Any]] = {topic: [] for topic in texts}
    app = app_factory()

    def declare(topic: str) -> None:
        @app.agent(topic, name=topic, on_error="skip")
        async def agent(stream: Any) -> None:
            async for value in stream:
                seen[topic].append(list(value.items()))
                # It is the agent's own.
                value.clear()

    for topic, its in texts.items():
        declare(topic)
        produce(topic, [*its, '{"last":true}'], partition=0)
    async with app.running():
        await until(lambda: all(its and its[-1] == [("last", True)] for its in seen.values()))
    for topic, its in texts.items():
        whole = [text for text in its if text.endswith("}")]
        assert seen[topic][:-1] == [list(json.loads(text).items()) for text in whole]
