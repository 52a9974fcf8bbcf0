"""The schema registry of the package: what its clients, ours and others, are promised."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

import turbine
from support.failing import failure_of
from support.fixtures import MakeApp, MakeTopic, Produce
from support.registry import Registry, frame
from turbine import testing
from turbine.codecs import Avro
from turbine.settings import Settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
    from confluent_kafka.schema_registry.error import SchemaRegistryError
    from confluent_kafka.serialization import MessageField, SerializationContext

USER = {"type": "record", "name": "User", "fields": [{"name": "name", "type": "string"}]}
OLDER = {
    **USER,
    "fields": [*USER["fields"], {"name": "age", "type": ["null", "int"], "default": None}],
}
BROKEN = {**USER, "fields": [{"name": "age", "type": "int"}]}


@pytest.fixture
def client(registry: Registry) -> Iterator[SchemaRegistryClient]:
    """The client of confluent-kafka."""
    with SchemaRegistryClient({"url": registry.url}) as one:
        yield one


@pytest.fixture
def registry() -> Iterator[Registry]:
    one = Registry()
    yield one
    one.stop()


def test_the_client_of_confluent_is_served(client: SchemaRegistryClient) -> None:
    user = Schema(json.dumps(USER), "AVRO")
    number = client.register_schema("users-value", user)
    assert client.get_schema(number).schema_str == user.schema_str
    assert client.lookup_schema("users-value", user).version == 1
    assert client.get_subjects() == ["users-value"]
    assert client.test_compatibility("users-value", Schema(json.dumps(OLDER), "AVRO"))
    assert not client.test_compatibility("users-value", Schema(json.dumps(BROKEN), "AVRO"))
    with pytest.raises(SchemaRegistryError) as caught:
        client.register_schema("users-value", Schema(json.dumps(BROKEN), "AVRO"))
    assert caught.value.http_status_code == 409
    client.set_compatibility("users-value", "NONE")
    assert client.register_schema("users-value", Schema(json.dumps(BROKEN), "AVRO")) == number + 1
    assert client.get_versions("users-value") == [1, 2]
    assert client.delete_subject("users-value") == [1, 2]


def test_serializers_of_confluent_work_with_it(
    registry: Registry, client: SchemaRegistryClient
) -> None:
    context = SerializationContext("users", MessageField.VALUE)
    data = AvroSerializer(client, json.dumps(USER))({"name": "x"}, context)
    assert data == frame(registry.latest("users-value")["id"], b"\x02x")
    assert AvroDeserializer(client)(data, context) == {"name": "x"}


def test_what_is_registered_outlives_a_registry_with_a_directory(tmp_path: Path) -> None:
    first = Registry(data_dir=str(tmp_path))
    number = first.register("users-value", USER)
    first.stop()
    second = Registry(data_dir=str(tmp_path))
    assert second.latest("users-value")["id"] == number
    second.stop()


def test_a_broker_brings_a_registry_where_it_is_asked_to() -> None:
    broker = testing.EmbeddedBroker(schema_registry=True)
    assert broker.schema_registry_url is not None
    assert httpx.get(f"{broker.schema_registry_url}/subjects").json() == []
    broker.stop()
    plain = testing.EmbeddedBroker()
    assert plain.schema_registry_url is None
    plain.stop()


# -- our client ----------------------------------------------------------------------------------


def reading(app: turbine.App, topic: str) -> None:
    @app.subscribe(app.topic(topic, value_format="avro"))
    def none(batch: pa.RecordBatch) -> None:
        del batch


@pytest.mark.parametrize("password", ["right", "wrong"])
async def test_a_user_is_shown_to_the_registry(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, password: str
) -> None:
    registry = Registry(users={"ann": "right"})
    topic = make_topic("in", partitions=1)
    produce(topic, [frame(1, b"\x02")])
    app = app_factory(
        schema_registry=registry.url,
        schema_registry_username="ann",
        schema_registry_password=password,
    )
    reading(app, topic)
    said = await failure_of(app)
    registry.stop()
    if password == "right":
        assert "does not have the schema with id 1" in said
    else:
        assert "401" in said
        assert "schema_registry_password" in said
        assert "wrong" not in said.replace("wrong user or password", "")


async def test_an_address_that_is_no_registry_is_named(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, registry: Registry
) -> None:
    topic = make_topic("in", partitions=1)
    produce(topic, [frame(1, b"\x02")])
    app = app_factory(schema_registry=f"{registry.url}/elsewhere")
    reading(app, topic)
    said = await failure_of(app)
    assert "/elsewhere/schemas/ids/1" in said


async def test_another_address_is_asked_when_one_does_not_answer(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, registry: Registry
) -> None:
    topic = make_topic("in", partitions=1)
    produce(topic, [frame(1, b"\x02")])
    gone = Registry()
    gone.stop()
    app = app_factory(schema_registry=[gone.url, registry.url])
    reading(app, topic)
    assert "does not have the schema with id 1" in await failure_of(app)


async def test_a_schema_that_the_registry_refuses_stops_the_partition(
    app_factory: MakeApp, make_topic: MakeTopic, produce: Produce, registry: Registry
) -> None:
    source, target = make_topic("in", partitions=1), make_topic("out", partitions=1)
    registry.register(f"{target}-value", USER)
    produce(source, [{"age": 1}])
    app = app_factory(schema_registry=registry.url)
    avro = Avro(schema=BROKEN, auto_register=True)

    @app.subscribe(source, publish_to=app.topic(target, value_format=avro))
    def same(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    said = await failure_of(app)
    assert "does not take this schema" in said
    assert "not compatible" in said


# -- settings ------------------------------------------------------------------------------------


def test_the_registry_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURBINE_SCHEMA_REGISTRY", "http://a:8081, https://b:8081")
    monkeypatch.setenv("TURBINE_SCHEMA_REGISTRY_TOKEN", "s3cret")
    conf = Settings()
    found = conf.registry()
    assert found is not None
    assert found["urls"] == ["http://a:8081", "https://b:8081"]
    assert found["token"] == "s3cret"
    assert "s3cret" not in str(list(conf.items()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"schema_registry": "localhost:8081"}, "http://host:8081"),
        ({"schema_registry": 5}, "expects an address"),
        (
            {"schema_registry_token": "t", "schema_registry_username": "u"},
            "keep one",
        ),
        ({"schema_registry_key_location": "key.pem"}, "set both"),
    ],
)
def test_settings_that_cannot_work_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(turbine.ConfigError, match=said):
        Settings(**{"schema_registry": "http://a:1", **options}).validate()
