"""The test kit without pytest: for unittest, notebooks, and Hypothesis' state machines."""

from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from turbine.testing._broker import Broker, EmbeddedBroker
from turbine.testing._clock import Clock
from turbine.testing._harness import Harness

__all__ = ["Kit"]


class Kit(Harness):
    """
    What the fixtures give, as one object: `topic`, `app`, `worker`, `broker`, `clock`.

    ::

        with Kit() as kit:
            numbers = kit.topic("numbers")
            worker = kit.worker(kit.app().agent(numbers)(handle)).wait()

    Args:
        broker: A broker that goes on afterwards; a new embedded one if None.
        clock: A virtual clock for the apps and the new broker; None: the time of this machine.
        **options: Options of the new broker, as ``nodes=3``.
    """

    def __init__(
        self, broker: Broker | None = None, *, clock: Clock | None = None, **options: Any
    ) -> None:
        self._own = EmbeddedBroker(clock, **options) if broker is None else None
        chosen = self._own or broker
        assert chosen is not None  # noqa: S101 - one of the two
        self._folder: TemporaryDirectory[str] | None = None
        super().__init__(chosen, self._make_folder, clock)

    def _make_folder(self) -> Path:
        self._folder = TemporaryDirectory(prefix="turbine-")
        return Path(self._folder.name)

    def close(self) -> None:
        """
        Stop what runs.

        Raises:
            AssertionError: An error was logged, or something was left behind.
        """
        wrong = self.finish()
        if self._own is not None:
            self._own.stop()
        if self._folder is not None:
            self._folder.cleanup()
        if wrong:
            raise AssertionError("\n".join(wrong))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            self.close()
        except AssertionError:
            if exc is None:
                raise
