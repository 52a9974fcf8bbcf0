"""Types of the fixtures, for the signatures of tests."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from turbine.testing._eventually import Eventually

if TYPE_CHECKING:
    from turbine.agents import Agent
    from turbine.app import App
    from turbine.testing._process import WorkerProcess
    from turbine.testing._topics import TopicHandle
    from turbine.testing._worker import WorkerHandle

__all__ = ["MakeApp", "MakeProcess", "MakeTopic", "StartWorker"]


class MakeTopic(Protocol):
    """The fixture ``turbine_topics``."""

    def __call__(
        self,
        name: str,
        *,
        partitions: int = 4,
        key_type: Any = None,
        value_type: Any = None,
        config: Mapping[str, object] | None = None,
        unique: bool = True,
    ) -> "TopicHandle":
        """
        Create a topic.

        Args:
            name: Begin of its name, which nobody else uses.
            partitions: Number of partitions.
            key_type: How the test reads keys, as in `App.topic`; None: bytes.
            value_type: How the test reads values, as in `App.topic`; None: JSON of any shape.
            config: Settings of the topic, by Kafka's names; unless they say otherwise, records
                stay whatever their age.
            unique: False: the name is taken as it is, for apps whose topics have fixed names.
        """


class MakeApp(Protocol):
    """The fixture ``turbine_app``."""

    def __call__(self, given: "App | str | None" = None, /, **settings: Any) -> "App":
        """
        Make an app on the broker of the test, without HTTP, under an id that nobody else uses.

        Args:
            given: Begin of its id; or an app of yours, which is borrowed: it is on the broker of
                the test until the end of the test.
            **settings: Settings of the app, as in `App`.
        """


class StartWorker(Protocol):
    """The fixture ``turbine_worker``."""

    def __call__(
        self, app: "App | Agent", *, wait: bool = True, timeout: float = 20.0
    ) -> "Eventually[WorkerHandle]":
        """
        Start a worker of *app*, which is stopped at the end of the test.

        Args:
            app: An app with everything declared, or an agent of it.
            wait: Wait until its groups are stable and share all partitions.
            timeout: Longest time to wait, in seconds.
        """


class MakeProcess(Protocol):
    """The fixture ``turbine_process``."""

    def __call__(
        self,
        app: str,
        *,
        env: Mapping[str, str] | None = None,
        wait: bool = True,
        timeout: float = 30.0,
    ) -> "Eventually[WorkerProcess]":
        """
        Start ``turbine -A app worker`` in a process of its own, killed at the end of the test.

        Args:
            app: As for ``-A``: ``module:app`` or ``path/to/file.py``. It finds the broker in
                ``TURBINE_BROKER``, so it must not name one itself.
            env: More variables.
            wait: Wait until it is ready.
            timeout: Longest time to wait, in seconds.
        """
