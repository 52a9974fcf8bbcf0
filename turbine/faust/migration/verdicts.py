"""
How each name that a Faust program uses is treated: one row a name, where there is something to say.

Whether a name exists is asked of the classes themselves, so that a row cannot promise what is not
there; a name without a row that exists is the same as in Faust.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["NOTES", "Status", "Verdict"]

Status: TypeAlias = Literal["same", "better", "differs", "no effect", "missing"]


@dataclass(frozen=True)
class Verdict:
    """
    What becomes of a name.

    Attributes:
        status: ``same``; ``better``: the same, and more; ``differs``: read the note; ``no effect``:
            taken and left at that; ``missing``: the program stops there.
        note: One sentence; what to write instead.
    """

    status: Status
    note: str = ""


def _better(note: str) -> Verdict:
    return Verdict("better", note)


def _differs(note: str) -> Verdict:
    return Verdict("differs", note)


def _missing(note: str) -> Verdict:
    return Verdict("missing", note)


def _without(note: str) -> Verdict:
    return Verdict("no effect", note)


NOTES: dict[str, dict[str, Verdict]] = {
    "faust": {
        "App": _better("Agents commit what was handled and nothing beyond it."),
        "Service": _better("An exception in a task is logged and counted, and ends nothing."),
        "Monitor": _better("Read from the core's metrics: nothing is counted a record in Python."),
        "Sensor": _better("What no sensor overrides costs nothing."),
        "livecheck": _missing("Use turbine.testing."),
    },
    "app": {
        "LiveCheck": _missing("Use turbine.testing."),
        "agent": _better("Failing events are left out as in Faust; on_error= chooses otherwise."),
        "cache": _differs("memory:// or one redis://; others are named, and replaced by memory."),
        "command": _better("Runs inside a client; what it sent is acknowledged when it ends."),
        "crontab": _better("Follows changes of the clock; tz= and timezone= both work."),
        "monitor": _better("Read from the core's metrics; also /metrics."),
        "on_produce_message": _differs("Sync; not for answers to ask() and records of tables."),
        "page": _better("Starlette's request with Faust's names; also as app.asgi."),
        "sensors": _better("What no sensor overrides costs nothing."),
        "service": _better("Stopped before the worker drains."),
        "table_route": _better("All methods, and the answer as it comes; waits while keys move."),
        "task": _differs("An exception is logged and counted; it does not end the worker."),
        "timer": _better("Does not drift; on_leader= needs no topic."),
        "topics": _differs("A dict by name."),
        "trace": _missing("Use OpenTelemetry in the program."),
        "traced": _missing("Use OpenTelemetry in the program."),
    },
    "agent option": {
        "concurrency": _better("A key always meets the same instance, so that its order stays."),
        "use_reply_headers": _without("Questions and answers always have headers."),
    },
    "topic option": {
        "acks": _without("An event is done when it was handled."),
        "allow_empty": _without("A record without a value is None."),
        "maxsize": _without("Buffers are bounded by bytes."),
        "pattern": _better("Works, and finds topics that come later."),
        "replicas": Verdict("same"),
    },
    "table option": {
        "on_window_close": _differs(
            "Once a window, also after a restart, with the next record or by time."
        ),
        "on_changelog_event": _missing("Read the changelog as a topic."),
        "recovery_buffer_size": _without("Restoring is done in the core."),
        "standby_buffer_size": _without("Snapshots take the place of standbys: checkpoint_url."),
        "use_partitioner": _missing("Send to a topic with the table's key, and write there."),
    },
    "stream": {
        "join": _missing("Faust declares joins and has none either."),
        "left_join": _missing("Faust declares joins and has none either."),
        "inner_join": _missing("Faust declares joins and has none either."),
        "outer_join": _missing("Faust declares joins and has none either."),
        "take": _better("Tables may be written inside of it."),
    },
    "table": {
        "as_ansitable": Verdict("same"),
        "clear": _better("Works with every store."),
        "hopping": _better("Sizes below a second work; an index of keys is not needed."),
        "relative_to_stream": _better("Can be read outside of a stream too."),
        "tumbling": _better("Sizes below a second work; an index of keys is not needed."),
    },
}
"""Kind of the name, name, verdict."""
