"""Settings of Faust programs: the four ways to set them, its variables, credentials."""

import logging
import ssl
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import turbine
from turbine import faust
from turbine.exceptions import ConfigError
from turbine.settings import BY_NAME, ROWS

SPELLINGS = sorted(BY_NAME)


def test_a_setting_is_taken_from_a_keyword_an_object_the_environment_and_conf(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TURBINE_TOPIC_PARTITIONS", "1")
    app = faust.App("orders")
    assert app.conf.topic_partitions == 1
    app.config_from_object(SimpleNamespace(TOPIC_PARTITIONS=2))
    assert app.conf.topic_partitions == 2
    keyword = faust.App("orders", topic_partitions=3)
    assert keyword.conf.topic_partitions == 3
    keyword.conf.topic_partitions = 4
    assert (keyword.conf.topic_partitions, keyword.conf.source("topic_partitions")) == (
        4,
        "assigned",
    )


def test_an_app_may_be_a_number() -> None:
    number: Any = 1
    assert faust.App(number).conf.id == "1"


@pytest.mark.parametrize(
    ("variable", "value", "name", "expected"),
    [
        ("BROKER_URL", "kafka://env:1", "broker", ("env:1",)),
        ("APP_STORE", "memory://", "store", "memory"),
        ("WEB_PORT", "7", "web_port", 7),
        ("FAUST_WEB_PORT", "8", "web_port", 8),
        ("F_DATADIR", "/tmp/there", "datadir", Path("/tmp/there")),
        ("FAUST_DEBUG", "yes", "debug", True),
        ("BROKER_SESSION_TIMEOUT", "20", "broker_session_timeout", 20.0),
    ],
)
def test_variables_of_faust_count_and_win_over_keywords(
    variable: str, value: str, name: str, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    app = faust.App("orders", broker="kw:1", web_port=9, datadir="/kw", store="rocksdb://")
    assert (getattr(app.conf, name), app.conf.source(name)) == (expected, "environment")
    native = turbine.App("orders", web_port=9)
    assert native.conf.source("broker") == "default", "only programs of Faust read its variables"
    assert native.conf.web_port == 9


def test_a_prefix_stands_in_front_of_faust_s_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE_BROKER_URL", "mine:1")
    monkeypatch.setenv("BROKER_URL", "other:1")
    assert faust.App("orders", env_prefix="MINE").conf.bootstrap == "mine:1"
    monkeypatch.setenv("APP_ENV_PREFIX", "MINE_")
    assert faust.App("orders").conf.bootstrap == "mine:1"


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_PORT", "tcp://10.0.0.7:80")
    with pytest.raises(ConfigError, match=r"WEB_PORT expects a port.*enableServiceLinks"):
        _ = faust.App("orders").conf.web_port


@given(st.sampled_from(SPELLINGS))
def test_none_is_not_given(name: str) -> None:
    if name in {"id", "app_id"}:
        return
    app = faust.App("orders", **{name: None})
    assert app.conf.source(BY_NAME[name].name) == "default"


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not row.has_effect])
def test_a_setting_without_effect_says_so_once_in_the_debug_log(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "turbine.settings"):
        app = faust.App("orders", **{name: "something"})
        setattr(app.conf, name, "else")
    assert [(one.levelname, name in one.getMessage()) for one in caplog.records] == [
        ("DEBUG", True)
    ]
    assert getattr(app.conf, name) == "else", "it can be asked for"


def test_an_unknown_setting_is_a_warning_with_the_closest_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faust.App("orders", topic_partition=3, enable_web=True, loglevel="info")
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 3
    assert "did you mean topic_partitions?" in messages[0]


# -- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "group"),
    [
        ({}, "orders"),
        ({"version": 2}, "orders-v2"),
        ({"version": 2, "id_format": "{id}.{self.version}"}, "orders.2"),
        ({"version": 1, "id_format": "{id}.{self.version}"}, "orders"),
    ],
)
def test_group_topics_and_changelogs_are_named_as_faust_names_them(
    settings: dict[str, Any], group: str
) -> None:
    app = faust.App("orders", **settings)

    @app.agent(name="count")
    async def count(stream: Any) -> None: ...

    table = app.Table("totals", default=int)
    assert count.group == group
    assert count.topics == (f"{group}-count",)
    assert table.changelog == f"{group}-totals-changelog"


@pytest.mark.parametrize("text", ["{nothing}", "{", "{self.nothing}", "{0}"])
def test_a_format_that_cannot_be_filled_says_what_may_stand_in_it(text: str) -> None:
    with pytest.raises(ConfigError, match=r"write {id} and {version}"):
        faust.App("orders", version=2, id_format=text).conf.validate()


def test_a_group_that_kafka_refuses_is_refused() -> None:
    with pytest.raises(ConfigError, match="letters, digits"):
        faust.App("orders", version=2, id_format="{id} {version}").conf.validate()


# -- the client ------------------------------------------------------------------------------


class Mechanism(Enum):
    SCRAM = "SCRAM-SHA-256"


def test_user_and_password_reach_the_client_without_tls() -> None:
    app = faust.App(
        "orders", broker_credentials=faust.SASLCredentials(username="ada", password="pw")
    )
    assert app.conf.client == {
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "ada",
        "sasl.password": "pw",
    }


def test_a_context_beside_user_and_password_is_tls() -> None:
    context = ssl.create_default_context()
    given = faust.SASLCredentials(username="a", password="b", mechanism=Mechanism.SCRAM)
    own = faust.SASLCredentials(username="a", password="b", ssl_context=context)
    for app in (
        faust.App("orders", broker_credentials=given, ssl_context=context),
        faust.App("orders", broker_credentials=own),
    ):
        assert app.conf.client["security.protocol"] == "sasl_ssl"
        assert app.conf.client["ssl.endpoint.identification.algorithm"] == "https"
        assert {"ssl.ca.pem", "ssl.ca.location"} & app.conf.client.keys()


def test_a_context_that_checks_nothing_is_taken_as_it_is() -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for kept in ({"broker_credentials": context}, {"ssl_context": context}):
        client = faust.App("orders", **kept).conf.client
        assert client["security.protocol"] == "ssl"
        assert client["ssl.endpoint.identification.algorithm"] == "none"
        assert client["enable.ssl.certificate.verification"] == "false"


def test_kerberos_and_plain_tls_have_credentials_too() -> None:
    kerberos = faust.App("orders", broker_credentials=faust.GSSAPICredentials())
    assert kerberos.conf.client["sasl.kerberos.service.name"] == "kafka"
    plain = faust.App("orders", broker_credentials=faust.SSLCredentials())
    assert plain.conf.client["security.protocol"] == "ssl"


def test_tokens_from_python_say_what_to_write_instead() -> None:
    app = faust.App("orders", broker_credentials=faust.OAuthCredentials(oauth_cb=object()))
    with pytest.raises(ConfigError, match=r"sasl\.oauthbearer\.token"):
        _ = app.conf.client


def test_an_unknown_mechanism_is_refused() -> None:
    with pytest.raises(ConfigError, match="SCRAM-SHA-512"):
        faust.SASLCredentials(mechanism="magic")


@pytest.mark.parametrize("name", ["broker_consumer", "broker_producer"])
def test_a_second_cluster_is_refused(name: str) -> None:
    faust.App("orders", broker="a:1;b:1", **{name: "b:1"}).conf.validate()
    with pytest.raises(ConfigError, match="one cluster"):
        faust.App("orders", broker="a:1", **{name: "c:1"}).conf.validate()


def test_a_partitioner_is_refused_as_records_would_go_elsewhere() -> None:
    with pytest.raises(ConfigError, match="partition=number"):
        faust.App("orders", producer_partitioner=lambda *_: 0)
