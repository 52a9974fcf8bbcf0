"""`turbine.faust.App`: what programs written for Faust declare."""

from typing import Any

import pytest

from turbine import App, faust


def test_every_name_of_the_package_can_be_imported() -> None:
    missing = [name for name in faust.__all__ if getattr(faust, name, None) is None]

    assert missing == []
    assert dir(faust) == sorted(faust.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = faust.Nothing


def test_an_app_is_a_native_app() -> None:
    assert isinstance(faust.App("orders", broker="aiokafka://localhost"), App)


def test_an_agent_leaves_failing_events_out_unless_it_says_otherwise() -> None:
    app = faust.App("orders")

    @app.agent("a")
    async def plain(stream: Any) -> None: ...

    @app.agent
    async def bare(stream: Any) -> None: ...

    @app.agent("b", on_error="fail")
    async def strict(stream: Any) -> None: ...

    assert [one.on_error for one in app.agents.values()] == ["skip", "skip", "fail"]
