"""Codecs with a schema in a registry: they write Confluent's frame, and read any version."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.registry import Registry, frame
from turbine import faust
from turbine.exceptions import ConfigError, DecodeError, RegistryError
from turbine.faust.serializers.registered import (
    AvroSerializer,
    JsonSerializer,
    SchemaRegistryClient,
)


class Item(faust.Record, namespace="registered.Item"):
    name: str


class Order(faust.Record, namespace="registered.Order"):
    id: int
    items: list[Item]
    note: str = ""


def _schema(*more: Any) -> dict[str, Any]:
    item = {"type": "record", "name": "Item", "fields": [{"name": "name", "type": "string"}]}
    items = {"name": "items", "type": {"type": "array", "items": item}}
    return {
        "type": "record",
        "name": "Order",
        "fields": [{"name": "id", "type": "long"}, items, *more],
    }


NOTE = {"name": "note", "type": "string", "default": "none"}


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    made = Registry()
    yield made
    made.stop()


def test_avro_is_written_in_the_frame_of_the_registry(registry: Registry) -> None:
    codec = AvroSerializer(registry.url, "orders-value", _schema(NOTE))
    order = Order(7, [Item("a")], "x")

    raw = order.dumps(serializer=codec)
    [expected] = registry.framed(_schema(NOTE), [{"id": 7, "items": [{"name": "a"}], "note": "x"}])

    assert raw[5:] == expected[5:]
    assert json.loads(codec.client.schema_of(int.from_bytes(raw[1:5])))["name"] == "Order"
    assert Order.from_data(codec.loads(raw)) == order
    assert (codec | codec.clone()).nodes[1].client is codec.client


def test_avro_of_an_earlier_version_is_read_as_the_present_one(registry: Registry) -> None:
    [earlier] = registry.framed(_schema(), [{"id": 1, "items": []}])
    codec = AvroSerializer(SchemaRegistryClient(registry.url), "orders-value", _schema(NOTE))

    assert codec.loads(earlier) == {"id": 1, "items": [], "note": "none"}


def test_json_has_the_frame_too(registry: Registry) -> None:
    codec = JsonSerializer(registry.url, "json-value", {"type": "object"})
    raw = codec.dumps(Order(1, [Item("a")]).to_representation())

    assert raw[:1] == b"\x00"
    assert Order.from_data(codec.loads(raw)) == Order(1, [Item("a")])
    assert registry.latest("json-value")["schemaType"] == "JSON"


def test_what_goes_wrong_is_said_in_a_sentence(registry: Registry) -> None:
    codec = AvroSerializer(registry.url, "orders-value", _schema())

    with pytest.raises(DecodeError, match="has no id of a schema in front"):
        codec.loads(b"{}")
    with pytest.raises(RegistryError, match="answers 404"):
        codec.loads(frame(999, b""))
    with pytest.raises(RegistryError, match="does not answer"):
        SchemaRegistryClient("http://127.0.0.1:1").schema_of(1)
    with pytest.raises(ConfigError, match="write http://host:8081"):
        SchemaRegistryClient("localhost:8081")
