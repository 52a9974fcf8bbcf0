"""Fixtures of the broker's tests."""

from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from turbine import EmbeddedBroker


class StartBroker(Protocol):
    """Start an embedded broker of the test's own; it is stopped at the end of the test."""

    def __call__(self, **settings: Any) -> EmbeddedBroker: ...


@pytest.fixture
def start_broker() -> Iterator[StartBroker]:
    started: list[EmbeddedBroker] = []

    def start(**settings: Any) -> EmbeddedBroker:
        started.append(EmbeddedBroker(**settings))
        return started[-1]

    yield start
    for broker in started:
        broker.stop()
