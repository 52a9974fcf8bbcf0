"""Formats as programs declare them."""

import asyncio
from typing import Any, cast

import pytest

import turbine
from support.fixtures import Consume, MakeApp, MakeTopic
from turbine import codecs
from turbine._worker_config import worker_config
from turbine.codecs import Avro
from turbine.exceptions import DeclarationError

PRICE = {"type": "record", "name": "Price", "fields": [{"name": "cents", "type": "long"}]}


@pytest.fixture
def app() -> turbine.App:
    return turbine.App("formats", web_enabled=False)


def subscription_config(app: turbine.App) -> dict[str, Any]:
    config: dict[str, Any] = worker_config(app, http=False)["subscriptions"][0]
    return config


def test_a_format_is_a_word_an_object_or_a_class() -> None:
    assert codecs.format_of("value_format", None) == codecs.Json()
    assert codecs.format_of("value_format", "msgpack") == codecs.MessagePack()
    assert codecs.format_of("value_format", codecs.Raw) == codecs.Raw()
    assert codecs.format_of("value_format", Avro(subject="s")) == Avro(subject="s")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: codecs.format_of("value_format", "jsn"), "did you mean 'json'"),
        (lambda: codecs.format_of("key_format", 5), "key_format=5 is not possible"),
        (lambda: Avro(framing="raw"), "needs schema="),
        (lambda: Avro(framing="raw", schema=PRICE, subject="s"), "does not use a registry"),
        (lambda: Avro(writers=[PRICE]), "knows the writers' schemas"),
        (
            lambda: Avro(strategy=cast("Any", "record-name")),
            "strategy='record-name' is not possible",
        ),
    ],
)
def test_a_format_that_cannot_work_is_refused(make: Any, said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        make()


def test_a_topic_is_read_and_written_in_its_format(app: turbine.App) -> None:
    source = app.topic("in", value_format=codecs.Raw())
    app.topic("out", value_format="string")

    @app.subscribe(source, publish_to="out")
    def same(batch: Any) -> Any:
        return batch

    config = subscription_config(app)
    assert (config["value_format"], config["output_format"]) == (
        {"kind": "raw"},
        {"kind": "string"},
    )


def test_a_topic_that_is_read_by_name_has_the_format_of_its_declaration(app: turbine.App) -> None:
    app.topic("in", value_format="raw")

    @app.subscribe("in")
    def same(batch: Any) -> Any:
        return batch

    assert subscription_config(app)["value_format"] == {"kind": "raw"}


def test_avro_schema_is_short_for_single_objects(app: turbine.App) -> None:
    @app.subscribe("in", avro_schema=PRICE)
    def same(batch: Any) -> Any:
        return batch

    assert app.subscriptions["same"].value_format == Avro(schema=PRICE, framing="single_object")


def test_avro_schema_is_the_readers_schema_of_an_avro_topic(app: turbine.App) -> None:
    @app.subscribe(app.topic("in", value_format="avro"), avro_schema=PRICE)
    def same(batch: Any) -> Any:
        return batch

    assert app.subscriptions["same"].value_format == Avro(schema=PRICE, framing="confluent")


def test_two_schemas_are_refused(app: turbine.App) -> None:
    def same(batch: Any) -> Any:
        return batch

    declare = app.subscribe(app.topic("in", value_format="csv"), avro_schema=PRICE)
    with pytest.raises(DeclarationError, match="say different things"):
        declare(same)


@pytest.mark.cases_alike
@pytest.mark.parametrize("kind", ["avro", "msgpack", "arrow"])
async def test_send_writes_no_json_to_a_topic_of_another_format(
    app_factory: MakeApp, make_topic: MakeTopic, consume: Consume, kind: Any
) -> None:
    app = app_factory()
    topic = app.topic(make_topic("out", partitions=1), value_format=kind)
    async with app.client():
        with pytest.raises(turbine.EncodeError, match="holds"):
            await topic.send(value={"a": 1})
        with pytest.raises(turbine.EncodeError, match="subscription"):
            topic.send_soon(value="text")
        await (await topic.send(value=b"encoded"))
    got = await asyncio.to_thread(consume, topic.name, 1)
    assert [one.value for one in got] == [b"encoded"]
