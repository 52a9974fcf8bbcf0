"""Fixtures of the tests of programs written for Faust."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from turbine import faust

MakeFaust = Callable[..., faust.App]


@pytest.fixture
def faust_app(broker: str, tmp_path: Path) -> MakeFaust:
    """Make Faust apps with an id and a directory of their own, and no pages."""

    def make(id: str | None = None, **settings: Any) -> faust.App:  # noqa: A002 - the app's own word
        given: dict[str, Any] = {
            "broker": f"kafka://{broker}",
            "datadir": tmp_path / uuid.uuid4().hex,
            "web_enabled": False,
        }
        return faust.App(id or f"app-{uuid.uuid4().hex[:8]}", **(given | settings))

    return make
