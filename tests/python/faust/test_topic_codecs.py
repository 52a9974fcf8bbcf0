"""Topics of Faust programs: what types and codecs make of bytes, and what is written."""

# ruff: noqa: PERF401 - a comprehension over a stream would never have a value

from collections.abc import Callable
from typing import Any

import pytest

from support.fixtures import Consume, MakeTopic, Produce
from support.wait import eventually_async as until
from turbine import faust
from turbine.exceptions import ConfigError
from turbine.faust.serializers import codecs
from turbine.faust.serializers.codecs import Codec
from turbine.faust.serializers.schemas import Schema

MakeFaust = Callable[..., faust.App]


class Order(faust.Record, serializer="json", namespace="test_topic_codecs.Order"):
    id: int
    user: str


class Letters(Codec):
    """Text backwards."""

    def _dumps(self, s: Any) -> bytes:
        return str(s)[::-1].encode()

    def _loads(self, s: bytes) -> Any:
        return s.decode()[::-1]


class Counted(Schema):
    """A byte in front of each value, as frames of a registry have, and a header that says so."""

    def loads_value(
        self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None
    ) -> Any:
        message.value = message.value[1:]
        return super().loads_value(app, message, loads=loads, serializer=serializer)

    def dumps_value(self, app: Any, value: Any, *, serializer: Any = None, headers: Any) -> Any:
        payload, headers = super().dumps_value(app, value, serializer=serializer, headers=headers)
        return b"\x00" + payload, [*(headers or ()), ("framed", b"yes")]


CASES: dict[str, tuple[dict[str, Any], list[bytes | None], list[Any]]] = {
    "records": (
        {"value_type": Order},
        [b'{"id": 1, "user": "a", "__faust": {"ns": "elsewhere.Order"}}', None, b"no"],
        [Order(1, "a"), None],
    ),
    "untyped": (
        {},
        [Order(2, "b").dumps(), b'{"__faust": {"ns": "nobody.knows"}}', b"[1]", None],
        [Order(2, "b"), {"__faust": {"ns": "nobody.knows"}}, [1], None],
    ),
    "text": (
        {"value_type": str},
        [b"plain", b'"of Faust"', b'"half', b"\xff", None],
        ["plain", "of Faust", '"half', None],
    ),
    "text in JSON": (
        {"value_type": str, "value_serializer": "json"},
        [b'"a"', b"no JSON"],
        ["a"],
    ),
    "bytes": ({"value_type": bytes}, [b"\xff\x00", None], [b"\xff\x00", None]),
    "numbers": ({"value_type": int}, [b" 17", b"x", None], [17, None]),
    "lists of records": (
        {"value_type": list[Order]},
        [b'[{"id": 1, "user": "a"}]'],
        [[Order(1, "a")]],
    ),
    "chain": ({"value_serializer": "json|binary"}, [b"eyJhIjogMX0=", b"{}"], [{"a": 1}]),
    "own codec": ({"value_serializer": Letters()}, [b"olleh"], ["hello"]),
    "schema": (
        {"schema": Counted(value_type=Order)},
        [b"\x00" + Order(3, "c").dumps()],
        [Order(3, "c")],
    ),
}


async def test_types_and_codecs_say_what_bytes_are(
    faust_app: MakeFaust, make_topic: MakeTopic, produce: Produce
) -> None:
    app = faust_app()
    seen: dict[str, list[Any]] = {name: [] for name in CASES}

    def declare(name: str, options: dict[str, Any]) -> str:
        topic = make_topic(partitions=1)

        @app.agent(app.topic(topic, **options), name=name.replace(" ", "-"))
        async def agent(stream: Any) -> None:
            async for value in stream:
                seen[name].append(value)

        return topic

    for name, (options, values, _) in CASES.items():
        produce(declare(name, options), values)
    expected = {name: values for name, (_, _, values) in CASES.items()}
    async with app.running():
        await until(
            lambda: {k: len(v) for k, v in seen.items()} == {k: len(v) for k, v in expected.items()}
        )
    assert seen == expected


async def test_what_is_sent_is_written_by_type_and_codec(
    faust_app: MakeFaust, topic: str, consume: Consume
) -> None:
    app = faust_app()
    sent: list[tuple[dict[str, Any], dict[str, Any], bytes | None]] = [
        ({"value_type": Order}, {"value": Order(1, "a")}, Order(1, "a").dumps()),
        ({}, {"value": {"a": {1}}}, b'{"a":[1]}'),
        ({}, {"value": "text"}, b'"text"'),
        ({}, {"value": b"bytes"}, b"bytes"),
        ({"value_type": str}, {"value": "text"}, b"text"),
        ({"value_type": str, "value_serializer": "json"}, {"value": "text"}, b'"text"'),
        ({"value_serializer": "json|binary"}, {"value": 1}, b"MQ=="),
        ({}, {"value": "abc", "value_serializer": Letters()}, b"cba"),
        ({"schema": Counted()}, {"value": 1, "key": 7}, b"\x001"),
        ({}, {"value": None, "key": Order(1, "a")}, None),
    ]
    async with app.client():
        for options, parts, _ in sent:
            pending = await app.topic(topic, **options).send(partition=0, **parts)
        done: list[Any] = []
        pending = app.topic(topic).send_soon(value=1, partition=0, callback=done.append)
        await pending
        assert done == [pending]
    got = consume(topic, len(sent) + 1)

    assert [one.value for one in got] == [*(value for _, _, value in sent), b"1"]
    assert got[8].headers == (("framed", b"yes"),)
    assert got[8].key == b"7"
    assert got[9].key == Order(1, "a").dumps()


async def test_an_agent_names_the_codecs_of_its_topic(
    faust_app: MakeFaust, topic: str, produce: Produce
) -> None:
    app = faust_app()
    seen: list[Any] = []

    @app.agent(topic, key_type=str, value_serializer="raw")
    async def agent(stream: Any) -> None:
        async for event in stream.events():
            seen.append((event.key, event.value))

    produce(topic, [b"{"], key="k")
    async with app.running():
        await until(lambda: seen)
    assert seen == [("k", b"{")]


async def test_tables_keep_records_without_a_type(
    faust_app: MakeFaust, topic: str, produce: Produce
) -> None:
    app = faust_app()
    table = app.Table("orders", default=list)
    counts = app.Table("counts", default=int)
    seen: list[Any] = []

    @app.agent(app.topic(topic, key_type=str, value_type=Order))
    async def agent(stream: Any) -> None:
        async for user, order in stream.items():
            table[user] = [*table[user], order]
            counts[user] += 1
            seen.append(table[user])

    produce(topic, [Order(n, "a").dumps() for n in range(3)], key="a")
    async with app.running():
        await until(lambda: len(seen) == 3)
    assert seen[-1] == [Order(n, "a") for n in range(3)]


def test_an_unknown_codec_is_refused_where_it_is_named() -> None:
    with pytest.raises(KeyError, match="no codec is called 'jsn'; there are binary, json"):
        faust.App("x").topic("t", value_serializer="jsn")


def test_pickle_is_off_until_a_program_says_otherwise() -> None:
    data = codecs.get_codec("pickle_restricted").dumps({"a": 1})

    assert codecs.loads("pickle_restricted", data) == {"a": 1}
    with pytest.raises(ConfigError, match="allow_pickle"):
        codecs.dumps("pickle", 1)
    codecs.allow_pickle()
    try:
        with pytest.warns(faust_warning()):
            assert codecs.loads("pickle", codecs.dumps("pickle", 1)) == 1
    finally:
        codecs.allow_pickle(False)


def faust_warning() -> type[Warning]:
    from turbine.faust.exceptions import SecurityWarning

    return SecurityWarning


def test_a_codec_may_be_registered_under_a_name() -> None:
    codecs.register("letters", Letters())
    try:
        assert codecs.dumps("letters|binary", "ab") == b"YmE="
        assert repr(codecs.get_codec("letters|binary")) == "Letters() | binary()"
    finally:
        del codecs.codecs["letters"]
