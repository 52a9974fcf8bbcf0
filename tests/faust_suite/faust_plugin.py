"""
The plugin of pytest with which Faust's tests run: what their ``conftest.py`` would give.

Their own cannot be loaded: it imports aiohttp, redis and the insides of Faust's web server.
"""

import asyncio
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aliases
import pytest
from lists import Lists

LISTS = Lists.load(Path(__file__).with_name("tests.toml"))
aliases.install(LISTS.absent)
# A program says so before it uses pickle; their tests do not know of it.
importlib.import_module("turbine.faust.serializers.pickles").allow_pickle()


def pytest_configure(config: pytest.Config) -> None:
    for marker in ("app", "conf", "logging", "time", "http_session", "allow_lingering_tasks"):
        config.addinivalue_line("markers", f"{marker}: of Faust's tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the list says."""
    kept, left = [], []
    for item in items:
        file, _, test = item.nodeid.partition("::")
        (kept if LISTS.reason(file, test) is None else left).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left)


@pytest.fixture
def app(request: pytest.FixtureRequest) -> Any:
    """Give an app that never meets a broker."""
    from turbine import faust

    for name in [name for name in os.environ if name.startswith(("F_", "FAUST_"))]:
        del os.environ[name]
    options: dict[str, Any] = {}
    for kind in ("app", "conf"):
        marker = request.node.get_closest_marker(kind)
        options.update(marker.kwargs if marker else {})
    app = faust.App(options.pop("name", "testid"), **{"store": "memory://", **options})
    getattr(app, "finalize", lambda: None)()
    return app


def _program(*before: str) -> Callable[..., tuple[int, bytes, bytes]]:
    """Give a function that runs the program of Faust's tests of the command line."""

    def run(*args: str) -> tuple[int, bytes, bytes]:
        command = [sys.executable, "tests/integration/app.py", *before, *args]
        done = subprocess.run(command, capture_output=True, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def faust() -> Callable[..., tuple[int, bytes, bytes]]:
    return _program()


@pytest.fixture
def faust_json() -> Callable[..., tuple[int, Any, bytes]]:
    run = _program("--json")

    def read(*args: str) -> tuple[int, Any, bytes]:
        code, out, err = run(*args)
        return code, json.loads(out), err

    return read


@pytest.fixture
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def loop(event_loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
    return event_loop
