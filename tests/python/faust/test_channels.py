"""Channels of Faust programs: what they say of their types, and what sending to them takes."""

from typing import Any

import pytest

from turbine import faust
from turbine.faust.types.auth import AuthProtocol, SASLMechanism


class Point(faust.Record):
    x: int


@pytest.fixture
def app() -> faust.App:
    return faust.App("channels")


def test_a_channel_has_the_types_of_its_schema(app: faust.App) -> None:
    schema = faust.Schema(key_type=str, value_type=bytes)
    channel = app.channel(schema=schema, value_type=Point, maxsize=3)

    assert (channel.key_type, channel.value_type) == (str, Point)
    assert channel.schema is schema
    assert channel.clone().value_type is Point
    assert channel.clone(maxsize=5).maxsize == 5
    assert channel.derive() is channel


async def test_what_is_about_bytes_has_no_meaning_in_a_channel(app: faust.App) -> None:
    channel = app.channel()
    done: list[Any] = []

    sent = await channel.send(
        key="k", value=Point(1), value_serializer="json", callback=done.append, force=True
    )
    soon = channel.send_soon(value=Point(2), schema=faust.Schema(), callback=done.append)

    assert done == [sent, soon]
    assert [(await channel.get()).value for _ in range(2)] == [Point(1), Point(2)]


def test_credentials_take_the_enums_that_programs_import() -> None:
    plain = faust.SASLCredentials(username="a", password="b", mechanism=SASLMechanism.SCRAM_SHA_512)

    assert plain.mechanism == "SCRAM-SHA-512"
    assert plain.protocol is AuthProtocol.SASL_PLAINTEXT
    assert plain.client_settings(None)["sasl.mechanism"] == "SCRAM-SHA-512"
