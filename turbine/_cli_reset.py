"""What ``turbine reset`` does, apart from reading its options."""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from turbine._cli_units import Unit, local_state, parse_partition, select
from turbine.exceptions import ConfigError

if TYPE_CHECKING:
    from turbine._native import Admin, LocalState
    from turbine.app import App

__all__ = ["Step", "plan"]

_GENERATIONS = 1 << 32


@dataclass(frozen=True)
class Step:
    """
    One thing that is to be done.

    Attributes:
        what: ``state``, ``changelog`` or ``offsets``.
        of: Whose.
        where: Directory, topic or partition.
        action: In words.
        run: Does it.
    """

    what: str
    of: str
    where: str
    action: str
    run: Callable[[], object]

    def row(self) -> dict[str, Any]:
        """The line of a table."""
        return {"what": self.what, "of": self.of, "where": self.where, "action": self.action}


@contextlib.contextmanager
def plan(
    app: "App",
    name: str | None,
    *,
    mode: str = "reset",
    partitions: Sequence[str] = (),
    to_earliest: bool = False,
    with_changelog: bool = False,
) -> Iterator[list[Step]]:
    """
    Find out what is to be done; nothing is, until the steps are run.

    While it is open, no worker can open the state of this machine.

    Args:
        app: The app.
        name: A subscription, or ``agents``; None means all.
        mode: ``reset``, ``adopt-local`` or ``rewind``.
        partitions: ``TOPIC:NUMBER``, for the last two; empty means all that have state.
        to_earliest: Begin at the oldest records, wherever the app begins otherwise.
        with_changelog: Delete changelogs too.

    Raises:
        ConfigError: Something is named that is not there, or workers are running.
        KafkaError: No broker answers.
    """
    from turbine._native import Admin

    units = select(app, name)
    admin = Admin(app.conf.bootstrap, app.conf.client)
    _refuse_members(admin, units)
    with local_state(app) as state:
        if mode == "reset":
            _refuse_partitions(partitions)
            start_at = app.conf.start_at
            steps = _reset(admin, state, units, start_at=start_at, to_earliest=to_earliest)
            steps += _changelogs(admin, units, with_changelog=with_changelog)
        else:
            wanted = [parse_partition(text) for text in partitions]
            make = _adopt if mode == "adopt-local" else _rewind
            steps = [step for unit in units for step in make(admin, state, unit, wanted)]
        yield steps


def _refuse_members(admin: "Admin", units: Sequence[Unit]) -> None:
    for group in dict.fromkeys(unit.group for unit in units):
        members = admin.members(group)
        if members:
            who = ", ".join(members[:3])
            raise ConfigError(
                f"workers are running in group {group} ({who}): stop them first; what they "
                f"have in memory would be committed on top of the reset"
            )


def _refuse_partitions(partitions: Sequence[str]) -> None:
    if partitions:
        raise ConfigError(
            "--partition goes with --adopt-local and --rewind: a reset is one of all partitions, "
            "because a changelog and a group have all of them"
        )


def _reset(
    admin: "Admin",
    state: "LocalState | None",
    units: Sequence[Unit],
    *,
    start_at: str,
    to_earliest: bool,
) -> list[Step]:
    from turbine._native import is_beginning

    steps = []
    groups: dict[str, list[Unit]] = {}
    has_state = set()
    for unit in units:
        groups.setdefault(unit.group, []).append(unit)
        tasks = _marks(state, unit)
        if tasks and state is not None:
            has_state.add(unit.group)
            newest = max(mark[0] for mark in tasks.values())
            where = f"{len(tasks)} partitions, newest offset {newest}"
            steps.append(
                Step("state", unit.name, unit.topic, f"delete {where}", _remover(state, unit))
            )
    there = set(admin.list_topics())
    for group, members in groups.items():
        found = [admin.group_offsets(group, unit.topic).values() for unit in members]
        is_begun = group in has_state or not all(
            is_beginning(*one) for each in found for one in each
        )
        if is_begun or to_earliest:
            known = [unit for unit in members if unit.topic in there]
            oldest = to_earliest or start_at == "earliest"
            starts = {unit.topic: _starts(admin, unit, is_oldest=oldest) for unit in known}
            steps.append(_begin(admin, group, starts))
    return steps


def _starts(admin: "Admin", unit: Unit, *, is_oldest: bool) -> dict[int, int]:
    # What the app has written on itself is not to be missed.
    which = 0 if is_oldest or unit.is_internal else 1
    return {partition: ends[which] for partition, ends in admin.watermarks(unit.topic).items()}


def _begin(admin: "Admin", group: str, starts: dict[str, dict[int, int]]) -> Step:
    """Commit where all begins anew, and a generation: state of any other is void."""

    def run() -> None:
        from turbine._native import receipt

        generation, now_ms = secrets.randbelow(_GENERATIONS - 1) + 1, int(time.time() * 1_000)
        admin.delete_group(group)
        for topic, each in starts.items():
            beside = {at: receipt(at, 0, 0, generation, now_ms) for at in each.values()}
            offsets = {partition: (at, beside[at]) for partition, at in each.items()}
            admin.set_group_offsets(group, topic, offsets)

    text = ", ".join(f"{topic} {_span(each)}" for topic, each in starts.items())
    return Step("offsets", group, text, "begin anew there; state of all machines is void", run)


def _remover(state: "LocalState", unit: Unit) -> Callable[[], object]:
    return lambda: state.remove(unit.owner, unit.topic)


def _changelogs(admin: "Admin", units: Sequence[Unit], *, with_changelog: bool) -> list[Step]:
    there = set(admin.list_topics())
    names = dict.fromkeys(name for unit in units for name in unit.changelogs if name in there)
    if names and not with_changelog:
        raise ConfigError(
            f"the changelog {', '.join(names)} would bring the old state back: add --changelog to "
            f"delete it too, or keep the state and see --adopt-local and --rewind"
        )
    return [
        Step("changelog", name, name, "delete the topic", _topic_remover(admin, name))
        for name in names
    ]


def _topic_remover(admin: "Admin", name: str) -> Callable[[], object]:
    return lambda: admin.delete_topics([name])


def _adopt(
    admin: "Admin", state: "LocalState | None", unit: Unit, wanted: Sequence[tuple[str, int]]
) -> Iterator[Step]:
    marks = _chosen(_marks(state, unit), unit, wanted)
    log = admin.watermarks(unit.topic) if marks else {}
    identity = admin.identity(unit.topic) if marks else (None, None)
    committed = _committed(admin, unit) if marks else {}
    for partition, (at, token, digest) in marks.items():
        start, end = log.get(partition, (0, -1))
        if not start <= at <= end:
            raise ConfigError(
                f"the state of {unit.name} on {unit.topic}[{partition}] is at {at}, and the topic "
                f"has {start} to {end}: nothing goes on there, see --rewind and reset"
            )
        before = committed.get(partition, "nothing")
        action = f"commit {at} instead of {before}: nothing is written again"

        def run(
            partition: int = partition, at: int = at, token: int = token, digest: int = digest
        ) -> None:
            from turbine._native import receipt

            place = (unit.owner, unit.topic, partition)
            generation = 0 if state is None else state.generation(*place)
            offsets = {partition: (at, receipt(at, token, digest, generation))}
            admin.set_group_offsets(unit.group, unit.topic, offsets)
            if state is not None:
                state.adopt(unit.owner, unit.topic, partition, identity)

        yield Step("offsets", unit.name, f"{unit.topic}[{partition}]", action, run)


def _rewind(
    admin: "Admin", state: "LocalState | None", unit: Unit, wanted: Sequence[tuple[str, int]]
) -> Iterator[Step]:
    committed = admin.group_offsets(unit.group, unit.topic)
    for partition, (at, _, _) in _chosen(_marks(state, unit), unit, wanted).items():
        if partition not in committed:
            raise ConfigError(
                f"group {unit.group} has no offset for {unit.topic}[{partition}] to go back to: "
                f"see --adopt-local, which goes on at {at}, and reset"
            )
        offset, text = committed[partition]
        action = f"forget the state at {at}, build it up to {offset} and go on there"

        def run(partition: int = partition, offset: int = offset, text: str = text) -> None:
            from turbine._native import receipt

            if not text.startswith("turbine:"):
                offsets = {partition: (offset, receipt(offset))}
                admin.set_group_offsets(unit.group, unit.topic, offsets)
            if state is not None:
                state.forget(unit.owner, unit.topic, partition)

        yield Step("state", unit.name, f"{unit.topic}[{partition}]", action, run)


def _chosen(
    marks: dict[int, tuple[int, int, int]], unit: Unit, wanted: Sequence[tuple[str, int]]
) -> dict[int, tuple[int, int, int]]:
    if not wanted:
        return marks
    return {
        number: marks[number] for topic, number in wanted if topic == unit.topic and number in marks
    }


def _marks(state: "LocalState | None", unit: Unit) -> dict[int, tuple[int, int, int]]:
    """Partition to what its state has seen: offset, token, hash."""
    tasks = state.tasks() if state is not None else []
    return {
        partition: mark
        for owner, topic, partition, _, mark in tasks
        if mark is not None and (owner, topic) == (unit.owner, unit.topic)
    }


def _committed(admin: "Admin", unit: Unit) -> dict[int, int]:
    found = admin.group_offsets(unit.group, unit.topic)
    return {partition: offset for partition, (offset, _) in found.items()}


def _span(offsets: dict[int, int]) -> str:
    low, high = min(offsets.values(), default=0), max(offsets.values(), default=0)
    return f"at {low}" if low == high else f"at {low} to {high}"
