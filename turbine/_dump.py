"""What a worker is doing right now, for people: stacks and partitions."""

import asyncio
import io
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turbine._native import Worker
    from turbine.timers import Job

__all__ = ["describe_worker"]


def describe_worker(
    native: "Worker", loop: asyncio.AbstractEventLoop | None, jobs: "Sequence[Job]"
) -> str:
    """
    Partitions with their state and offsets, then the stack of every task and thread.

    Works from any thread, also while *loop* is blocked.
    """
    out = io.StringIO()
    print("partitions:", file=out)
    for row in native.assignments():
        print(
            f"  {row['name']} {row['topic']}[{row['partition']}] {row['state']}"
            f" committed={row['committed']} position={row['position']} end={row['end']}"
            f" in_flight={row['in_flight']}",
            file=out,
        )
    for job in jobs:
        print(
            f"{job.kind} {job.name}: calls={job.calls} errors={job.errors} missed={job.missed}",
            file=out,
        )
    for task in asyncio.all_tasks(loop) if loop else ():
        print(f"task {task.get_name()}:", file=out)
        out.writelines(traceback.StackSummary.extract(_frames(task.get_coro())).format())
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 - the documented way
        print(f"thread {names.get(ident, ident)}:", file=out)
        traceback.print_stack(frame, file=out)
    return out.getvalue()


def _frames(waiting: object) -> Iterator[tuple[FrameType, int]]:
    """Frames from a task's own function down to what it waits for, with their lines."""
    while waiting is not None:
        for kind in ("cr", "ag", "gi"):
            frame = getattr(waiting, f"{kind}_frame", None)
            if frame is not None:
                yield frame, frame.f_lineno
                break
        else:
            return
        inner = "gi_yieldfrom" if kind == "gi" else f"{kind}_await"
        waiting = getattr(waiting, inner, None)
