"""What ``turbine doctor`` does, apart from reading its options."""

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from turbine._cli_units import Unit, local_state, select
from turbine.exceptions import ConfigError

if TYPE_CHECKING:
    from turbine._native import Admin, LocalState
    from turbine.app import App

__all__ = ["commands", "diagnose", "words"]

_TIMEOUT_S = 3

_WORDS = {
    "state_ahead": (
        "The state has seen records whose results are not committed. No crash leaves that: "
        "somebody set the offsets of the group back, or the broker lost them (a group that was "
        "deleted, a cluster restored from an older copy)."
    ),
    "offsets_lost": (
        "There is state, and the group has no offset. Offsets expire after a week without a "
        "commit, or the group was deleted. The state alone does not say whether its last commit "
        "took effect."
    ),
    "foreign_offsets": (
        "The offset of the group was not committed by Turbine: somebody set it with another tool, "
        "or another program uses the group."
    ),
    "newer_metadata": "A newer version of Turbine has committed. Run that one, or a later one.",
    "another_cluster": (
        "The state was written for a topic in another Kafka cluster: its offsets mean other "
        "records here. Is the app pointed at the right broker? If the topic was copied with its "
        "offsets, the state is right."
    ),
    "another_topic": (
        "The topic was deleted and created again since the state was written: its offsets mean "
        "other records now. Where the same records were written again, the state is right; "
        "else forget it."
    ),
    "another_history": (
        "The state is at the committed offset, but by another commit than the last one, and "
        "nothing leads from one to the other."
    ),
    "input_truncated": (
        "Records that were never read are gone from the topic: its retention is shorter than the "
        "time the app stood still."
    ),
    "log_truncated": (
        "The topic ends in front of the committed offset: it was created again, or lost records."
    ),
    "gap_too_large": (
        "The state lacks more records than halt_if_gap_exceeds allows. Raise it to let them be "
        "replayed, or start the worker that has the newer state."
    ),
    "gap_open": (
        "The state lacks records, and neither changelog nor snapshot nor the topic itself has them."
    ),
    "replay_diverged": (
        "The records of the gap were replayed and gave other outputs than those that are "
        "committed: the handler is not deterministic, so its state cannot be built again this "
        "way. A changelog (changelog=True) closes gaps for such handlers."
    ),
    "commit_refused": (
        "The broker aborted the same commit again and again: see its log, and whether a record is "
        "larger than it takes (max.message.bytes)."
    ),
    "producer_refused": (
        "The broker refuses the transactional producer: see that the user may write with "
        "transactional ids that begin with the app id."
    ),
    "store_failed": (
        "The state cannot be read or written: see the disk, its room and its rights. Nothing is "
        "lost, and nothing has to be reset: what is damaged is set aside at the next start and "
        "restored from changelog, snapshot or input; what was not written is done again."
    ),
    "not_applied": (
        "A commit took effect, and the state could not be brought up to it. Nothing is lost, and "
        "nothing has to be reset: with room on the disk, the next start does it."
    ),
    "out_of_order": "A defect of Turbine. Please report it with the log; a restart may help.",
}

_NEEDS_NO_RESET = {"store_failed", "not_applied"}
_STORE_SAYS = re.compile(r"the state in .* (cannot be (read|written|opened)|is damaged) \(")


def words(code: str) -> str:
    """Explain a reason."""
    return _WORDS.get(code, "See the log of the worker.")


def commands(prefix: str, row: dict[str, Any]) -> list[tuple[str, str]]:
    """
    List the ways out, as (command, what it does); none where a start is one.

    Args:
        prefix: How the command line begins, as ``turbine -A shop``.
        row: A row of `diagnose`.
    """
    if row["code"] in _NEEDS_NO_RESET:
        return []
    name, place = row["name"], f"{row['topic']}:{row['partition']}"
    return [
        (
            f"{prefix} reset {name} --adopt-local --partition {place}",
            "the state is right: go on where it is, write nothing again",
        ),
        (
            f"{prefix} reset {name} --rewind --partition {place}",
            "the offset is right: build the state up to it, and write what follows again",
        ),
        (
            f"{prefix} reset {name} --changelog",
            "neither: forget state, changelog and offsets, and begin anew",
        ),
    ]


def diagnose(app: "App", name: str | None = None, url: str | None = None) -> list[dict[str, Any]]:
    """
    Look at every partition: through a running worker, or at its state and the broker.

    Args:
        app: The app.
        name: A subscription, or ``agents``; None means all.
        url: Of a running worker; None looks for one on this machine first.

    Returns:
        Rows with ``name``, ``topic``, ``partition``, ``state``, ``local``, ``committed``,
        ``code`` and ``text`` (both None where all is well).

    Raises:
        ConfigError: The worker at *url* does not answer.
        KafkaError: No broker answers.
    """
    found = _worker(url or f"http://{app.conf.api_host}:{app.conf.api_port}", app.conf.api_token)
    if found is not None:
        names = {unit.name: {unit.name, unit.owner} for unit in select(app, name)}
        return [_running(line, names) for line in found if name is None or line["name"] == name]
    if url is not None:
        raise ConfigError(f"no worker answers at {url}: is the port that of its API (8400)?")
    return list(_stopped(app, select(app, name)))


def _worker(url: str, token: str | None) -> list[dict[str, Any]] | None:
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"{url!r} is no URL of a worker: write http://HOST:PORT")
    # Here, because every worker loads the commands.
    import urllib.error
    import urllib.request

    request = urllib.request.Request(f"{url.rstrip('/')}/assignments")  # noqa: S310 - see above
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            found = json.load(answer)
    except urllib.error.HTTPError as exc:
        raise ConfigError(f"the worker at {url} refuses: {exc.code} {exc.reason}") from exc
    except (OSError, ValueError):
        return None
    return found if isinstance(found, list) else None


def _running(line: dict[str, Any], names: dict[str, set[str]]) -> dict[str, Any]:
    halt = line.get("halt") or {}
    known = next((name for name, all_of in names.items() if line["group"] in all_of), line["name"])
    failed = line["state"] == "failed"
    return {
        "name": line["name"] if line["name"] in names else known,
        "topic": line["topic"],
        "partition": line["partition"],
        "state": line["state"],
        "local": halt.get("local"),
        "committed": line["committed"],
        "code": halt.get("reason") or (_code_in(line["error"]) if failed else None),
        "text": line["error"],
    }


def _code_in(text: str | None) -> str:
    """The reason that a sentence of the core begins with, or tells of."""
    code = (text or "").partition(":")[0]
    if code in _WORDS:
        return code
    return "store_failed" if _STORE_SAYS.search(text or "") else "failed"


def _stopped(app: "App", units: list[Unit]) -> Iterator[dict[str, Any]]:
    from turbine._native import Admin

    admin = Admin(app.conf.bootstrap, app.conf.client)
    with local_state(app) as state:
        for unit in units:
            yield from _judged(admin, state, unit)


def _judged(admin: "Admin", state: "LocalState | None", unit: Unit) -> Iterator[dict[str, Any]]:
    committed = admin.group_offsets(unit.group, unit.topic)
    identity = admin.identity(unit.topic)
    for partition, log in sorted(admin.watermarks(unit.topic).items()):
        row: dict[str, Any] = {
            "name": unit.name,
            "topic": unit.topic,
            "partition": partition,
            "state": "no state here",
            "local": None,
            "committed": committed.get(partition, (None, ""))[0],
            "code": None,
            "text": None,
        }
        if state is not None and _has_state(state, unit, partition):
            found = (committed.get(partition), log, identity)
            row |= _verdict(state, unit, partition, found)
        yield row


def _has_state(state: "LocalState", unit: Unit, partition: int) -> bool:
    wanted = (unit.owner, unit.topic, partition)
    return any((owner, topic, number) == wanted for owner, topic, number, *_ in state.tasks())


def _verdict(
    state: "LocalState",
    unit: Unit,
    partition: int,
    found: tuple[tuple[int, str] | None, tuple[int, int], tuple[str | None, str | None]],
) -> dict[str, Any]:
    said = json.loads(state.judge(unit.owner, unit.topic, partition, *found))
    texts = {
        "fresh": "begins anew",
        "live": f"goes on at {said['at']}",
        "adopt": f"goes on at {said['at']}, where its state is",
        "catch_up": f"catches up to {said['at']}",
        "halt": "halts",
    }
    halt = said["halt"] or {}
    return {
        "state": texts[said["then"]],
        "local": said["local"],
        "code": halt.get("reason"),
        "text": said["text"],
    }
