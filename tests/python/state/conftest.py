"""What the tests of state share."""

from collections.abc import Callable
from typing import Any

import pytest

import turbine
from support.failing import runtime_of
from support.fixtures import MakeApp, MakeTopic, Produce
from support.wait import eventually_async


class Bench:
    """A subscription on one partition, and a way to hand it rows."""

    def __init__(self, make: MakeApp, source: str, produce: Produce) -> None:
        self._make = make
        self._produce = produce
        self._sent = 0
        self.source = source

    def app(self, handler: Any, **options: Any) -> turbine.App:
        """Make an app with *handler*; always the same app, as far as its state goes."""
        app = self._make("bench-" + self.source)
        app.subscribe(self.source, name="bench", **options)(handler)
        return app

    def send(self, *rows: dict[str, Any]) -> None:
        """Write rows to the topic."""
        self._produce(self.source, list(rows))
        self._sent += len(rows)

    async def through(self, app: turbine.App) -> None:
        """Wait until everything that was sent is handled, stored and counted as done."""
        native = runtime_of(app).native

        def is_through() -> bool:
            return [row["committed"] for row in native.assignments()] == [self._sent]

        await eventually_async(is_through, why="the rows are through")

    async def run(self, handler: Any, *rows: dict[str, Any], **options: Any) -> None:
        """Run a worker until *rows* are through."""
        app = self.app(handler, **options)
        self.send(*rows)
        async with app.running():
            await self.through(app)

    def batch(self, work: Callable[[turbine.State], Any]) -> Any:
        """Make a handler that calls *work* once a batch."""

        def handler(batch: Any, state: turbine.State) -> None:
            work(state)

        return handler

    async def once(self, work: Callable[[turbine.State], Any], **options: Any) -> Any:
        """Call *work* in the handler of one batch; what it returned."""
        found: list[Any] = []
        await self.run(self.batch(lambda state: found.append(work(state))), {"n": 0}, **options)
        return found[0]


@pytest.fixture
def bench(app_factory: MakeApp, make_topic: MakeTopic, produce: Produce) -> Bench:
    return Bench(app_factory, make_topic("in", partitions=1), produce)
