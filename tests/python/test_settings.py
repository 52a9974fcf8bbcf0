"""Settings: where each comes from, in which spelling, and what is refused."""

import logging
import string
from datetime import timedelta
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbine import _parsers
from turbine._brokers import parse_brokers
from turbine.exceptions import ConfigError
from turbine.settings import BY_NAME, ROWS, Settings

# -- brokers -----------------------------------------------------------------------------------

HOSTS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z]{2,5})?", fullmatch=True)
PORTS = st.integers(1, 65_535)
SCHEMES = st.sampled_from(["", "kafka://", "aiokafka://", "confluent://", "KAFKA://"])


@given(st.lists(st.tuples(SCHEMES, HOSTS, PORTS), min_size=1, max_size=5), st.data())
def test_every_spelling_of_several_brokers_gives_the_same_addresses(
    entries: list[tuple[str, str, int]], data: st.DataObject
) -> None:
    text = ""
    for scheme, host, port in entries:
        text += data.draw(st.sampled_from([",", ";", " , ", "; "])) if text else ""
        text += f"{scheme}{host}:{port}"
    expected = tuple(dict.fromkeys(f"{host}:{port}" for _, host, port in entries))
    assert parse_brokers(text) == expected
    assert parse_brokers([f"{scheme}{host}:{port}" for scheme, host, port in entries]) == expected
    assert parse_brokers(",".join(expected)) == expected


@given(st.text(alphabet=string.printable, max_size=40))
def test_any_text_is_addresses_or_a_config_error(text: str) -> None:
    try:
        addresses = parse_brokers(text)
    except ConfigError as exc:
        assert len(str(exc)) > 20  # noqa: PT017 - either outcome is fine, a bare error is not
        return
    assert addresses
    for address in addresses:
        host, _, port = address.rpartition(":")
        assert host
        assert 1 <= int(port) <= 65_535


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kafka://", ("localhost:9092",)),
        ("kafka://broker", ("broker:9092",)),
        ("broker/", ("broker:9092",)),
        ("[::1]", ("[::1]:9092",)),
        ("kafka://[fe80::1%eth0]:19092", ("[fe80::1%eth0]:19092",)),
        ("a:1;a:1,b", ("a:1", "b:9092")),
    ],
)
def test_a_missing_part_of_an_address_has_its_default(text: str, expected: tuple[str, ...]) -> None:
    assert parse_brokers(text) == expected


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("amqp://host", "kafka://host:port"),
        ("host:0", "1 to 65535"),
        ("host:99999", "1 to 65535"),
        ("host:9092/path", "1 to 65535"),
        ("user:pw@host:9092", "sasl.username"),
        ("", "kafka://localhost:9092"),
        (" , ; ", "kafka://localhost:9092"),
        ([], "kafka://localhost:9092"),
        (9092, "broker='kafka://localhost:9092'"),
        (None, "broker='kafka://localhost:9092'"),
        (b"host", "broker='kafka://localhost:9092'"),
        ("[::1:9092", "[::1]:9092"),
        ("ho st", "kafka://host:port"),
    ],
)
def test_a_wrong_address_says_what_to_write(value: object, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_brokers(value)
    assert hint in str(caught.value)


# -- where a setting comes from ----------------------------------------------------------------


def test_the_order_is_assigned_keyword_object_environment_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conf = Settings()
    assert (conf.api_port, conf.source("api_port")) == (8_400, "default")
    monkeypatch.setenv("TURBINE_API_PORT", "1")
    assert (conf.api_port, conf.source("api_port")) == (1, "environment")
    conf.update_from_object({"api_port": 2})
    assert (conf.api_port, conf.source("api_port")) == (2, "object")

    conf = Settings(api_port=3)
    conf.update_from_object({"api_port": 2})
    assert (conf.api_port, conf.source("api_port")) == (3, "keyword")
    conf.api_port = 4
    assert (conf.api_port, conf.source("api_port")) == (4, "assigned")


def test_both_spellings_of_a_setting_are_one_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    conf = Settings(app_id="orders", brokers="h:1", state_dir="/tmp/x")
    assert (conf.id, conf.bootstrap, str(conf.datadir)) == ("orders", "h:1", "/tmp/x")
    monkeypatch.setenv("TURBINE_BROKERS", "env:1")
    assert Settings().bootstrap == "env:1"
    monkeypatch.setenv("TURBINE_BROKER", "first:1")
    assert Settings().bootstrap == "first:1"


def test_two_spellings_with_different_values_are_refused() -> None:
    with pytest.raises(ConfigError, match="broker= and brokers= mean the same"):
        Settings(broker="a", brokers="b")
    assert Settings(broker="a", brokers="a:9092").bootstrap == "a:9092"


def test_a_module_gives_only_what_is_a_setting() -> None:
    module = SimpleNamespace(BROKER="m:1", topic_partitions=3, logging="a module", _private=1)
    conf = Settings()
    conf.update_from_object(module)
    assert (conf.bootstrap, conf.topic_partitions) == ("m:1", 3)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_every_default_can_be_read_and_has_help(name: str) -> None:
    row = ROWS[name]
    Settings().validate()
    getattr(Settings(), name)
    assert row.help.endswith(".")


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("api_port", "http", "a whole number from 0 to 65535"),
        ("api_port", True, "a whole number"),
        ("api_port", 1.5, "a whole number"),
        ("api_port", "tcp://10.0.0.7:8400", "enableServiceLinks"),
        ("version", 0, "from 1"),
        ("broker_commit_interval", -1, "not negative"),
        ("broker_commit_interval", "soon", "seconds"),
        ("drain_timeout", float("nan"), "not negative"),
        ("fetch_buffer_bytes", "0", "bytes"),
        ("fetch_buffer_bytes", "many", "bytes"),
        ("store", "redis://", "'rocksdb' or 'memory'"),
        ("web_enabled", "perhaps", "true or false"),
        ("consumer_auto_offset_reset", "none", "'earliest' or 'latest'"),
        ("timezone", "Mars/Base", "time zone"),
        ("timezone", 3, "time zone"),
        ("kafka", ["a"], "a dict"),
        ("kafka", {"a": None}, "text or a number"),
        ("kafka", "just words", "name=value"),
        ("id", "with space", "letters, digits"),
        ("id", "", "letters, digits"),
        ("api_host", "", "text"),
        ("datadir", 3, "a directory"),
        ("processing_guarantee", "twice", "'at_least_once' or 'exactly_once'"),
    ],
)
def test_a_wrong_value_names_its_setting_and_what_it_expects(
    name: str, value: object, word: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings(**{name: value})
    assert word in str(caught.value)


def test_a_wrong_variable_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURBINE_API_PORT", "x")
    with pytest.raises(ConfigError, match="TURBINE_API_PORT expects"):
        Settings().validate()


@pytest.mark.parametrize(
    ("value", "expected"),
    [(2, 2.0), ("250ms", 0.25), ("2.5", 2.5), ("1m", 60.0), (timedelta(minutes=2), 120.0)],
)
def test_a_time_may_be_a_number_a_text_or_a_timedelta(value: object, expected: float) -> None:
    assert _parsers.seconds(value) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "expected"), [(7, 7), ("64MB", 64 << 20), ("1k", 1024), ("2 GiB", 2 << 30)]
)
def test_a_size_may_have_a_unit(value: object, expected: int) -> None:
    assert _parsers.byte_size(value) == expected


@given(
    st.dictionaries(st.from_regex(r"[a-z.]{1,10}", fullmatch=True), st.integers() | st.booleans())
)
def test_client_settings_become_text(properties: dict[str, Any]) -> None:
    conf = Settings(kafka=properties)
    assert set(conf.kafka) == set(properties)
    for name, value in properties.items():
        assert conf.kafka[name] == (str(value).lower() if isinstance(value, bool) else str(value))


def test_client_settings_in_the_environment_are_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURBINE_KAFKA", "sasl.mechanism=PLAIN; sasl.password=a=b")
    assert Settings().kafka == {"sasl.mechanism": "PLAIN", "sasl.password": "a=b"}


# -- Faust's settings --------------------------------------------------------------------------


def test_settings_of_faust_reach_the_client_library_and_kafka_wins() -> None:
    conf = Settings(producer_linger=0.02, broker_session_timeout=60, kafka={"linger.ms": 5})
    assert conf.client == {"linger.ms": "5", "session.timeout.ms": "60000"}


def test_settings_of_faust_without_meaning_are_left_out_quietly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        Settings(stream_wait_empty=False, broker_max_poll_records=10)
    assert not caplog.records


def test_the_store_is_named_as_in_faust_or_by_its_word() -> None:
    assert Settings().store == "rocksdb"
    assert [Settings(store=word).store for word in ("memory://", "rocksdb://", "memory")] == [
        "memory",
        "rocksdb",
        "memory",
    ]


@pytest.mark.parametrize("name", ["broker_credentials", "ssl_context"])
def test_security_is_never_left_out_quietly(name: str) -> None:
    with pytest.raises(ConfigError, match=r"security\.protocol"):
        Settings(**{name: object()})


def test_an_enum_counts_by_its_value() -> None:
    guarantee = Enum("guarantee", {"AT_LEAST_ONCE": "at_least_once"})
    assert (
        Settings(processing_guarantee=guarantee.AT_LEAST_ONCE).processing_guarantee
        == "at_least_once"
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("topic_partition", "did you mean topic_partitions?"),
        ("stat_dir", "did you mean state_dir?"),
        ("qqqqqqqqqqqq", "it has no effect"),
    ],
)
def test_an_unknown_setting_is_a_warning_with_the_closest_name(
    name: str, hint: str, caplog: pytest.LogCaptureFixture
) -> None:
    conf = Settings(**{name: 1})
    setattr(conf, name, 2)
    assert [hint in record.getMessage() for record in caplog.records] == [True]


def test_a_misspelt_variable_is_a_warning_at_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TURBINE_API_PROT", "1")
    monkeypatch.setenv("TURBINE_SERVICE_HOST", "10.0.0.1")
    Settings().validate()
    assert [record.getMessage() for record in caplog.records] == [
        "unknown environment variable TURBINE_API_PROT; did you mean TURBINE_API_PORT?"
    ]


# -- what follows ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "earliest"),
        ({"from_latest": True}, "latest"),
        ({"from_earliest": True, "consumer_auto_offset_reset": "latest"}, "earliest"),
        ({"consumer_auto_offset_reset": "latest"}, "latest"),
    ],
)
def test_a_group_without_offsets_starts_at_the_earliest_record_unless_told_otherwise(
    settings: dict[str, object], expected: str
) -> None:
    assert Settings(**settings).start_at == expected


def test_both_ends_as_the_start_are_refused() -> None:
    with pytest.raises(ConfigError, match="from_earliest and from_latest"):
        Settings(from_earliest=True, from_latest=True).validate()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "worker.internal"])
def test_an_open_address_without_a_token_does_not_start(host: str) -> None:
    with pytest.raises(ConfigError, match="api_token"):
        Settings(api_host=host).validate()
    Settings(api_host=host, api_token="secret").validate()
    Settings(api_host=host, web_enabled=False).validate()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST"]
)
def test_loopback_needs_no_token(host: str) -> None:
    Settings(api_host=host).validate()


@pytest.mark.parametrize("token", ["with space", "tab\t", "ümlaut", "new\nline"])
def test_a_token_that_no_header_carries_is_refused(token: str) -> None:
    with pytest.raises(ConfigError, match="ASCII"):
        Settings(api_token=token).validate()


def test_only_a_port_that_was_chosen_is_explicit(monkeypatch: pytest.MonkeyPatch) -> None:
    def explicit(conf: Settings) -> bool:
        http = conf.http()
        assert http is not None
        return bool(http["port_is_explicit"])

    assert not explicit(Settings())
    assert explicit(Settings(api_port=8_400))
    assert not explicit(Settings(api_port=0))
    monkeypatch.setenv("TURBINE_API_PORT", "9000")
    assert explicit(Settings())
    assert Settings(web_enabled=False).http() is None


def test_the_token_is_masked_where_settings_are_listed() -> None:
    conf = Settings(api_token="s3cret")
    assert "s3cret" not in repr(list(conf.items()))
    assert "s3cret" not in repr(conf)


def test_a_version_changes_the_group_and_the_directory() -> None:
    conf = Settings(id="orders", version=3)
    assert (conf.group, str(conf.data_path)) == ("orders-v3", "orders-v3-data")
    assert Settings(id="orders").group == "orders"


def test_no_two_rows_share_a_spelling() -> None:
    spellings = [name for row in ROWS.values() for name in (row.name, *row.aliases)]
    assert len(spellings) == len(set(spellings)) == len(BY_NAME)
