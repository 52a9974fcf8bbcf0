"""Clients of an embedded broker that asks for passwords and certificates."""

import asyncio
import json
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.admin._scram import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from support.wait import eventually
from turbine import EmbeddedBroker
from turbine.cli import cli
from turbine.exceptions import ConfigError

from .conftest import StartBroker

pytestmark = pytest.mark.embedded

MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
PASSWORD = "sesame, open"


def sasl(mechanism: str, user: str = "ada", password: str = PASSWORD) -> dict[str, Any]:
    return {
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": mechanism,
        "sasl.username": user,
        "sasl.password": password,
    }


def works(broker: EmbeddedBroker, settings: dict[str, Any]) -> None:
    """Write a record and read it."""
    common = {"bootstrap.servers": broker.address, **settings}
    producer = Producer(common)
    producer.produce("t", b"x")
    assert producer.flush(20) == 0
    consumer = Consumer({**common, "group.id": "g", "auto.offset.reset": "earliest"})
    consumer.subscribe(["t"])
    message = eventually(lambda: consumer.poll(0.1), why="a record")
    assert message is not None
    assert (message.error(), message.value()) == (None, b"x")
    consumer.close()


def error_of(broker: EmbeddedBroker, settings: dict[str, Any]) -> str:
    """What a client is told that stays outside."""
    errors: list[str] = []
    config: dict[str, Any] = {
        "bootstrap.servers": broker.address,
        "error_cb": lambda error: errors.append(error.str()),
        "log_level": 0,
    }
    client = AdminClient(config | settings)

    def told() -> bool:
        with pytest.raises(KafkaException):
            client.list_topics(timeout=0.1)
        client.poll(0)
        return any("are down" not in error for error in errors)

    eventually(told, why="an error")
    return next(error for error in errors if "are down" not in error)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_users_get_in_with_their_password_only(start_broker: StartBroker, mechanism: str) -> None:
    broker = start_broker(users={"ada": PASSWORD})
    works(broker, sasl(mechanism))
    for wrong in (sasl(mechanism, password="sesame"), sasl(mechanism, user="bob")):
        error = error_of(broker, wrong)
        assert "SASL authentication error" in error
        assert PASSWORD not in error


def test_a_mechanism_that_is_not_offered_is_refused_with_those_that_are(
    start_broker: StartBroker,
) -> None:
    broker = start_broker(users={"ada": PASSWORD}, mechanisms=["SCRAM-SHA-512"])
    assert "SCRAM-SHA-512" in error_of(broker, sasl("PLAIN"))
    works(broker, sasl("SCRAM-SHA-512"))


def test_who_does_not_authenticate_gets_nothing(start_broker: StartBroker) -> None:
    broker = start_broker(users={"ada": PASSWORD})
    client = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
    with pytest.raises(KafkaException):
        client.list_topics(timeout=0.5)


@pytest.mark.parametrize("mechanism", [None, *MECHANISMS])
def test_connections_are_encrypted(start_broker: StartBroker, mechanism: str | None) -> None:
    users = {"ada": PASSWORD} if mechanism else None
    broker = start_broker(tls=True, users=users)
    settings = {**(sasl(mechanism) if mechanism else {}), "ssl.ca.pem": broker.ca_certificate}
    settings["security.protocol"] = "sasl_ssl" if mechanism else "ssl"
    works(broker, settings)
    del settings["ssl.ca.pem"]
    assert "certificate" in error_of(broker, settings)


def test_clients_show_a_certificate_where_they_must(start_broker: StartBroker) -> None:
    broker = start_broker(tls=True, verify_clients=True)
    settings = {"security.protocol": "ssl", "ssl.ca.pem": broker.ca_certificate}
    assert error_of(broker, settings)
    assert broker.client_certificate is not None
    certificate, key = broker.client_certificate
    works(broker, {**settings, "ssl.certificate.pem": certificate, "ssl.key.pem": key})


async def test_aiokafka_gets_in_too(start_broker: StartBroker) -> None:
    broker = start_broker(tls=True, users={"ada": PASSWORD})
    for mechanism in MECHANISMS:
        producer = AIOKafkaProducer(
            bootstrap_servers=broker.address,
            security_protocol="SASL_SSL",
            ssl_context=ssl.create_default_context(cadata=broker.ca_certificate),
            sasl_mechanism=mechanism,
            sasl_plain_username="ada",
            sasl_plain_password=PASSWORD,
        )
        await asyncio.wait_for(producer.start(), 20)
        await producer.send_and_wait("t", b"x", partition=0)
        await producer.stop()


def test_users_of_scram_come_and_go_while_the_broker_runs(start_broker: StartBroker) -> None:
    broker = start_broker(users={"ada": PASSWORD})
    client = AdminClient({"bootstrap.servers": broker.address, **sasl("PLAIN")})
    kind = ScramMechanism.SCRAM_SHA_256
    credential = ScramCredentialInfo(kind, 4_096)
    bob = UserScramCredentialUpsertion("bob", credential, b"his own")
    client.alter_user_scram_credentials([bob])["bob"].result()
    works(broker, sasl("SCRAM-SHA-256", "bob", "his own"))
    assert error_of(broker, sasl("PLAIN", "bob", "his own"))
    described = describe(client, "bob")
    found = [(one.mechanism, one.iterations) for one in described.scram_credential_infos]
    assert found == [(kind, 4_096)]
    deletion = UserScramCredentialDeletion("bob", kind)
    client.alter_user_scram_credentials([deletion])["bob"].result()
    assert error_of(broker, sasl("SCRAM-SHA-256", "bob", "his own"))
    with pytest.raises(KafkaException, match="does not exist"):
        client.alter_user_scram_credentials([deletion])["bob"].result()
    with pytest.raises(KafkaException, match="does not exist"):
        describe(client, "bob")


def describe(client: AdminClient, user: str) -> Any:
    futures = client.describe_user_scram_credentials([user])
    assert isinstance(futures, dict)
    return futures[user].result()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mechanisms": ["GSSAPI"]}, 'no mechanism "GSSAPI"'),
        ({"users": {"ada": "x"}, "mechanisms": []}, "users need a mechanism"),
        ({"tls": ("/no/c", "/no/k")}, "certificate /no/c: "),
        ({"verify_clients": True}, "verify_clients goes with tls=True"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        EmbeddedBroker(**settings)


def test_the_command_line_takes_users_and_certificates(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    maker = start_broker(tls=True, verify_clients=True)
    assert maker.client_certificate is not None
    for name, text in zip(("cert", "key"), maker.client_certificate, strict=True):
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "turbine", "--json", "broker", "--port", "0"]
    security = ["--tls-cert", "cert", "--tls-key", "key", "--sasl-user", f"ada:{PASSWORD}"]
    with subprocess.Popen(
        [*command, *security], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        try:
            assert process.stdout is not None
            address = json.loads(process.stdout.readline())["address"]
            client = AdminClient(
                {
                    "bootstrap.servers": address,
                    **sasl("PLAIN"),
                    "security.protocol": "sasl_ssl",
                    "enable.ssl.certificate.verification": False,
                }
            )
            assert client.list_topics(timeout=20).brokers
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tls-cert", __file__], "give both --tls-cert and --tls-key"),
        (["--tls-client-ca", __file__], "give both --tls-cert and --tls-key"),
        (["--sasl-user", PASSWORD], "give NAME:PASSWORD"),
    ],
)
def test_the_command_line_says_what_to_give(options: list[str], words: str) -> None:
    result = CliRunner().invoke(cli, ["broker", *options])
    assert result.exit_code == 2
    assert words in result.output
    assert PASSWORD not in result.output


def test_everybody_may_do_everything_and_rules_are_refused(start_broker: StartBroker) -> None:
    broker = start_broker()
    client = AdminClient({"bootstrap.servers": broker.address})
    cluster = client.describe_cluster(include_authorized_operations=True).result()
    assert sorted(one.value for one in cluster.authorized_operations) == [5, *range(7, 13)]
    rule = AclBinding(
        ResourceType.TOPIC,
        "t",
        ResourcePatternType.LITERAL,
        "User:ada",
        "*",
        AclOperation.READ,
        AclPermissionType.DENY,
    )
    (created,) = client.create_acls([rule]).values()
    with pytest.raises(KafkaException, match="No Authorizer is configured"):
        created.result()
