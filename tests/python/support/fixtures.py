"""Types of the fixtures in ``conftest.py``, for the signatures of tests."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from support.kafka import Got, Headers
from support.workers import WorkerProcess

if TYPE_CHECKING:
    import turbine


class MakeTopic(Protocol):
    """Create a topic with a name of its own; returns the name."""

    def __call__(
        self, name: str = "t", partitions: int = 4, config: Mapping[str, str] | None = None
    ) -> str: ...


class Produce(Protocol):
    """Write one record a value and wait for the acknowledgements; see `Cluster.produce`."""

    def __call__(
        self,
        topic: str,
        values: Any,
        *,
        key: Any = None,
        keys: Sequence[Any] | None = None,
        partition: int | None = None,
        headers: Headers = (),
        timestamp_ms: int = 0,
    ) -> None: ...


class Consume(Protocol):
    """Read a topic until so many records are there; see `Cluster.consume`."""

    def __call__(self, topic: str, at_least: int, deadline_s: float = 30.0) -> list[Got]: ...


class MakeWorker(Protocol):
    """Prepare a worker process, not started yet; it is killed at the end of the test."""

    def __call__(
        self,
        source: str,
        *,
        app_id: str | None = None,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        web: bool | Literal["default"] = True,
    ) -> WorkerProcess: ...


class MakeApp(Protocol):
    """Make an app on the broker of the test, with an id of its own and without HTTP."""

    def __call__(self, id: str | None = None, **settings: Any) -> "turbine.App":  # noqa: A002
        ...
