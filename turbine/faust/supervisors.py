"""
What Faust programs name as ``supervisor_strategy``.

An agent is always started again after an exception; the names only say what else happens.
"""

from typing import Any, ClassVar

__all__ = [
    "CrashingSupervisor",
    "ForfeitOneForAllSupervisor",
    "ForfeitOneForOneSupervisor",
    "OneForAllSupervisor",
    "OneForOneSupervisor",
    "supervision",
]


class OneForOneSupervisor:
    """The failing event is left out, and the instance that failed is started again."""

    options: ClassVar[dict[str, Any]] = {}


class OneForAllSupervisor(OneForOneSupervisor):
    """As `OneForOneSupervisor`, and all other instances of the agent are started again too."""

    options: ClassVar[dict[str, Any]] = {"restarts_all": True}


class ForfeitOneForOneSupervisor(OneForOneSupervisor):
    """The partition of the failing event stops in front of it."""

    options: ClassVar[dict[str, Any]] = {"on_error": "fail"}


class ForfeitOneForAllSupervisor(ForfeitOneForOneSupervisor):
    """The same: partitions are what stops here, not instances."""


class CrashingSupervisor(OneForOneSupervisor):
    """The worker ends, with an exit code that is not 0."""

    options: ClassVar[dict[str, Any]] = {"on_error": "crash"}


_BY_NAME = {
    cls.__name__: cls
    for cls in (
        OneForOneSupervisor,
        OneForAllSupervisor,
        ForfeitOneForOneSupervisor,
        ForfeitOneForAllSupervisor,
        CrashingSupervisor,
    )
}


def supervision(strategy: object) -> dict[str, Any]:
    """
    Return the options of an agent that *strategy* stands for.

    Args:
        strategy: A class, its name, as ``"mode.CrashingSupervisor"``, or None.

    Raises:
        ValueError: Nothing has that name.
    """
    if strategy is None:
        return {}
    name = strategy if isinstance(strategy, str) else getattr(strategy, "__name__", "")
    found = _BY_NAME.get(name.rpartition(":")[2].rpartition(".")[2])
    if found is None:
        raise ValueError(f"there is no supervisor {strategy!r}: there are {', '.join(_BY_NAME)}")
    return dict(found.options)
