"""A worker with some state, and what it says of its snapshots."""

from typing import Any

import httpx

from support.wait import eventually
from support.workers import WorkerProcess
from turbine._native import Snapshots

COUNTS = """
import os
import turbine

app = turbine.App(os.environ["APP_ID"], broker="kafka://" + os.environ["KAFKA"])
counts = app.Table("counts", key_type=str, value_type=int, default=int)

@app.agent(os.environ["IN"], value_type=str)
async def count(words):
    async for word in words:
        counts[word] += 1
"""

Unit = tuple[str, str, str, int]


def ask(worker: WorkerProcess) -> int:
    """Ask for a snapshot; its number."""
    answer = httpx.post(f"http://127.0.0.1:{worker.port}/snapshots", timeout=10)
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    return int(answer.json()["tasks"][0]["asked"])


def row(worker: WorkerProcess) -> dict[str, Any]:
    """What ``/snapshots`` says of the only task."""
    status, body = worker.get("/snapshots")
    assert status == httpx.codes.OK
    found: dict[str, Any] = body["tasks"][0]
    return found


def committed(worker: WorkerProcess) -> list[int | None]:
    """Offsets that the broker has."""
    return [row["committed"] for row in worker.assignments()]


def take(worker: WorkerProcess) -> dict[str, Any]:
    """Take a snapshot; what became of it."""
    number = ask(worker)
    eventually(lambda: row(worker)["answered"] >= number, 60, "the snapshot is answered")
    return row(worker)


def listed(url: str) -> tuple[Snapshots, Unit]:
    """Open the archive at *url*, and name the only unit in it."""
    archive = Snapshots(url)
    (unit,) = archive.units()
    return archive, unit
