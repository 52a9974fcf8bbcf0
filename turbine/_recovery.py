"""What a subscription says about getting its state back, checked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

from turbine import _declare
from turbine.exceptions import ConfigError, DeclarationError
from turbine.naming import changelog_topic, check_topic_name

if TYPE_CHECKING:
    from turbine.app import App
    from turbine.subscriptions import Subscription

__all__ = [
    "CHANGELOG_CONFIG",
    "OnCrashRecovery",
    "Recovery",
    "RecoveryOptions",
    "changelog_of",
    "changelogs",
    "check_recovery",
    "read_recovery",
    "recovery_config",
    "refuse_on_agents",
]

OnCrashRecovery = Literal["replay", "accept"]
"""What happens where the state is behind the committed offset."""

CHANGELOG_CONFIG = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
"""A commit that is missing in the middle makes all behind it worthless: nothing goes by itself."""


class RecoveryOptions(TypedDict, total=False):
    """
    Options of `App.subscribe` about getting state back.

    Attributes:
        changelog: Whether changes of the state go to Kafka too, to ``{app_id}-{name}-changelog``,
            so that another machine can have it. Without that a lost disk costs a replay of what
            `checkpoint_url` has not saved.
        on_crash_recovery: What happens, under exactly-once, where the state is behind the committed
            offset and no changelog closes the gap: ``"replay"`` lets the function see the records
            again, without writing, and compares what it returns; ``"accept"`` goes on without them.
        halt_if_gap_exceeds: A gap of more records than this ends the worker, before anything else.
    """

    changelog: bool | None
    on_crash_recovery: OnCrashRecovery | None
    halt_if_gap_exceeds: int | None


@dataclass(frozen=True)
class Recovery:
    """
    What `RecoveryOptions` say, checked.

    Attributes:
        changelog: Whether there is a changelog, if there is state.
        on_gap: ``"replay"`` or ``"accept"``.
        halt_if_gap_exceeds: Largest gap in records, if there is a limit.
    """

    changelog: bool = True
    on_gap: OnCrashRecovery | None = None
    halt_if_gap_exceeds: int | None = None


def read_recovery(options: Mapping[str, Any]) -> Recovery:
    """
    Check the options.

    Raises:
        DeclarationError: One has no meaning; the message says what to write.
    """
    changelog = options.get("changelog")
    if changelog is not None and not isinstance(changelog, bool):
        raise DeclarationError(
            f"changelog={changelog!r} is not possible: write changelog=False to keep changes of "
            "the state out of Kafka; the topic is named after app and subscription"
        )
    on_gap = options.get("on_crash_recovery")
    if on_gap is not None:
        _declare.one_of("on_crash_recovery", on_gap, ("replay", "accept"))
    limit = options.get("halt_if_gap_exceeds")
    if limit is not None:
        _declare.whole_number("halt_if_gap_exceeds", limit, least=0)
    return Recovery(
        changelog=changelog is not False,
        on_gap=cast("OnCrashRecovery | None", on_gap),
        halt_if_gap_exceeds=limit,
    )


def refuse_on_agents(options: Iterable[str]) -> None:
    """
    Refuse options of agents that only subscriptions have.

    Raises:
        DeclarationError: One is there.
    """
    for option in options:
        if option in RecoveryOptions.__annotations__:
            raise DeclarationError(
                f"app.agent has no option {option}=: the tables of agents always have a changelog, "
                "in the transaction of each commit, so there is no gap to close; leave it out, or "
                "keep the state in a subscription: @app.subscribe"
            )


def check_recovery(one: "Subscription") -> None:
    """
    Refuse what means nothing without exactly-once, and what could not be done after a crash.

    Raises:
        DeclarationError: Something of it is there; the message says what to write.
    """
    recovery = one.line.recovery
    if one.guarantee == "exactly_once":
        return _check_replay(one)
    for option, value in (
        ("on_crash_recovery", recovery.on_gap),
        ("halt_if_gap_exceeds", recovery.halt_if_gap_exceeds),
    ):
        if value is not None:
            raise DeclarationError(
                f"{one.name}: {option}={value!r} is about a gap between state and committed "
                "offset, which only exactly-once can have: leave it out, or add "
                "processing_guarantee='exactly_once'"
            )
    return None


def _check_replay(one: "Subscription") -> None:
    """Refuse a replay that would not have all that the state was made of."""
    windows = [name for name, window in one.line.windows.items() if not window.persistent]
    recovery = one.line.recovery
    replays = one.keeps_state and not recovery.changelog and recovery.on_gap != "accept"
    if replays and windows:
        raise DeclarationError(
            f"{one.name}: changelog=False cannot be exact with windows in memory "
            f"({', '.join(windows)}): a replay begins at a snapshot of the state, and such windows "
            "are in none. Add persistent=True to the windows; or leave changelog=False out; or say "
            "on_crash_recovery='accept' to go on without the records of a gap"
        )


def changelog_of(one: "Subscription") -> str | None:
    """Topic that the state of *one* is written to, if it has state and a changelog."""
    if not (one.keeps_state and one.line.recovery.changelog):
        return None
    app = one.app
    return check_topic_name(changelog_topic(app.conf.group, one.name))


def recovery_config(one: "Subscription") -> dict[str, Any]:
    """Describe it to the core."""
    recovery = one.line.recovery
    return {
        "changelog": changelog_of(one),
        "on_gap": recovery.on_gap or "replay",
        "halt_if_gap_exceeds": recovery.halt_if_gap_exceeds,
    }


def changelogs(app: "App", known: Mapping[str, int]) -> dict[str, int]:
    """
    Name the changelogs of the subscriptions of *app*, with their partitions: those of the source.

    Args:
        app: The app.
        known: Topic name to partition count, of all topics there are.

    Raises:
        ConfigError: One exists with another number of partitions.
    """
    wanted: dict[str, int] = {}
    for one in app.subscriptions.values():
        name = changelog_of(one)
        if name is None:
            continue
        partitions = max((known[topic] for topic in one.reads if topic in known), default=0)
        if name in known and known[name] != partitions:
            raise ConfigError(
                f"the changelog {name} has {known[name]} partitions, and what the subscription "
                f"{one.name} reads has {partitions}: a partition of its state is restored from the "
                "changelog's partition with the same number. "
                + _remedy(name, known[name], partitions)
            )
        if partitions:
            wanted[name] = partitions
    return wanted


def _remedy(name: str, has: int, wants: int) -> str:
    if has < wants:
        return (
            "Keys have moved to other partitions too, so the state has to be made again: run "
            f"'kafka-topics.sh --delete --topic {name}', remove the state directory, and let the "
            "subscription read its topic from the start"
        )
    return (
        f"Delete it with 'kafka-topics.sh --delete --topic {name}' if it is of an earlier topic; "
        "it is made again at the next start"
    )
