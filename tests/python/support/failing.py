"""Running an app until it fails."""

from collections.abc import Callable

import pytest

import turbine
from support.wait import eventually_async
from turbine.worker import Runtime


def runtime_of(app: turbine.App) -> Runtime:
    """Return the running worker of *app*."""
    runtime = app._runtime
    assert isinstance(runtime, Runtime)
    return runtime


async def failure_of(app: turbine.App, also: Callable[[], object] = lambda: True) -> str:
    """
    Run *app* until a partition has stopped; return why.

    Args:
        app: An app that will not go well.
        also: Must be true too before the worker is drained.
    """

    async def until_it_fails() -> None:
        async with app.running():
            runtime = runtime_of(app)
            await eventually_async(lambda: runtime.failures and also(), why="a partition stops")

    with pytest.raises(turbine.HandlerError) as caught:
        await until_it_fails()
    return str(caught.value)
