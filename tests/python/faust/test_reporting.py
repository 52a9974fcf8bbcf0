"""Monitors that tell somebody else: StatsD, Datadog, Prometheus."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from support.fixtures import MakeTopic, Produce
from support.wait import eventually_async as until
from turbine import faust
from turbine.faust.sensors.datadog import DatadogMonitor
from turbine.faust.sensors.opentelemetry import OpenTelemetryMonitor
from turbine.faust.sensors.prometheus import setup_prometheus_sensors
from turbine.faust.sensors.statsd import StatsdMonitor

MakeFaust = Callable[..., faust.App]


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(10)
        yield listening


def count_sold(app: faust.App, topic: str, seen: list[Any]) -> None:
    """Have an agent that counts what it has seen with the app's monitor."""

    @app.agent(topic)
    async def agent(stream: Any) -> None:
        async for value in stream:
            seen.append(value)
            app.monitor.count("sold")


async def test_a_server_gets_what_the_worker_has_counted_once(
    faust_app: MakeFaust, make_topic: MakeTopic, produce: Produce, server: socket.socket
) -> None:
    topic, app = make_topic(partitions=1), faust_app()
    seen: list[Any] = []
    host, port = server.getsockname()
    app.monitor = StatsdMonitor(host=host, port=port, prefix="shop")

    count_sold(app, topic, seen)
    produce(topic, range(7))
    async with app.running():
        await until(lambda: len(seen) == 7)
    lines: list[str] = []
    while not any("sold" in line for line in lines):
        lines += server.recv(65_536).decode().splitlines()
    counted: dict[str, int] = {}
    for line in lines:
        name, _, rest = line.partition(":")
        if rest.endswith("|c"):
            counted[name] = counted.get(name, 0) + int(rest.removesuffix("|c"))
    assert counted["shop.messages_received"] == counted["shop.sold"] == 7
    assert counted[f"shop.topic.messages_received.{topic}"] == 7
    assert f"shop.read_offset.{topic}.0:7|g" in lines


async def test_opentelemetry_reads_what_the_worker_has_counted(
    faust_app: MakeFaust, make_topic: MakeTopic, produce: Produce
) -> None:
    sdk = pytest.importorskip("opentelemetry.sdk.metrics")
    export = pytest.importorskip("opentelemetry.sdk.metrics.export")
    reader = export.InMemoryMetricReader()
    topic, app = make_topic(partitions=1), faust_app()
    seen: list[Any] = []
    monitor = OpenTelemetryMonitor(sdk.MeterProvider([reader]), prefix="shop")
    app.monitor = monitor

    count_sold(app, topic, seen)
    produce(topic, range(7))
    async with app.running():
        await until(lambda: len(seen) == 7)
        monitor.look()
        found = {
            (metric.name, *sorted(point.attributes.items())): point.value
            for of in reader.get_metrics_data().resource_metrics
            for scope in of.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        }
    assert found["shop.messages_received",] == 7
    assert found["shop.topic.messages_received", ("topic", topic)] == 7
    assert found["shop.count", ("name", "sold")] == 7
    assert found["shop.read_offset", ("partition", 0), ("topic", topic)] == 7


def test_datadog_has_tags_instead_of_longer_names() -> None:
    monitor = DatadogMonitor(prefix="shop")
    assert monitor.line("events", 3, "c", {}) == "shop.events:3|c"
    tags = {"topic": "orders", "partition": 2}
    line = "shop.read_offset:9|g|#topic:orders,partition:2"
    assert monitor.line("read_offset", 9, "g", tags) == line


def test_what_was_sent_is_not_sent_again_and_packets_are_small() -> None:
    from turbine.faust.sensors.statsd import _packets

    monitor = StatsdMonitor()
    monitor.count("sold", 2)
    assert "faust-app.sold:2|c" in list(monitor.lines())
    assert not [line for line in monitor.lines() if "sold" in line]
    monitor.count("sold")
    assert "faust-app.sold:1|c" in list(monitor.lines())
    packets = list(_packets(["x" * 600] * 5))
    assert [len(packet) for packet in packets] == [1_201, 1_201, 600]


async def test_the_metrics_are_where_a_program_puts_them() -> None:
    app = faust.App("shown")
    setup_prometheus_sensors(app, pattern="/prom")
    setup_prometheus_sensors(app)
    transport = httpx.ASGITransport(app=app.asgi)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        for path in ("/prom", "/metrics"):
            assert (await client.get(path)).status_code == 200
