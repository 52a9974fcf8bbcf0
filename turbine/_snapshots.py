"""Snapshots as the command line sees them: those of a URL, and those of a running worker."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from turbine._native import Snapshots
from turbine.exceptions import ConfigError, StateError

__all__ = ["Api", "Place", "Unit", "parse_id"]

_REQUEST_TIMEOUT_S = 10.0
_POLL_S = 0.1
_ID_FIELDS = 3
_ACCEPTED = 202
_OK = 200


class Unit(NamedTuple):
    """Whose snapshots: one partition of a subscription, or of the agents."""

    app: str
    name: str
    topic: str
    partition: int


def parse_id(text: str) -> tuple[int, int, int]:
    """
    Read what `turbine snapshot list` shows as the name of a snapshot.

    Raises:
        ConfigError: It is something else.
    """
    fields = text.split("-")
    if len(fields) != _ID_FIELDS or not all(field.isdecimal() for field in fields):
        raise ConfigError(
            f"{text!r} is no snapshot: 'turbine snapshot list' shows them as EPOCH-NUMBER-OFFSET, "
            "7-12-1042"
        )
    epoch, number, offset = map(int, fields)
    return epoch, number, offset


class Place:
    """
    The snapshots at a URL.

    Args:
        url: As the setting ``checkpoint_url``.
        app_id: Of one app; None for every app.

    Raises:
        ConfigError: The URL cannot be used.
    """

    def __init__(self, url: str, app_id: str | None) -> None:
        self.url, self.app_id = url, app_id
        self._native = Snapshots(url)

    def units(
        self, *, name: str | None = None, topic: str | None = None, partition: int | None = None
    ) -> list[Unit]:
        """Whose snapshots there are, of those that are named."""
        found = [Unit(*unit) for unit in self._native.units(self.app_id)]
        return [
            unit
            for unit in found
            if name in (None, unit.name)
            and topic in (None, unit.topic)
            and partition in (None, unit.partition)
        ]

    def list(self, unit: Unit) -> list[dict[str, Any]]:
        """The snapshots of *unit*, the freshest first; a damaged one has ``error``."""
        found: list[dict[str, Any]] = json.loads(self._native.list(*unit))
        return found

    def restore(
        self, unit: Unit, snapshot: tuple[int, int, int] | None, state_dir: Path | None
    ) -> dict[str, Any]:
        """
        Fetch and check a snapshot, the freshest if None, and load it into *state_dir*, if any.

        Raises:
            ConfigError: A worker uses the directory.
            StateError: There is none, or none that is whole.
        """
        directory = None if state_dir is None else str(state_dir)
        done = self._native.restore(*unit, snapshot=snapshot, state_dir=directory)
        found: dict[str, Any] = json.loads(done)
        return found


class Api:
    """
    The HTTP side of a running worker.

    Args:
        url: ``http://host:port``.
        token: Its bearer token, if it asks for one.

    Raises:
        ConfigError: The URL is none.
    """

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError(f"{url!r} is no address of a worker: write http://host:8400")
        self._url, self._parts, self._token = url, parts, token

    def create(self, timeout_s: float) -> Iterator[dict[str, Any]]:
        """
        Ask for a snapshot of every partition; each when it is there, or has failed.

        Raises:
            StateError: The worker takes none, or not all are there in time.
        """
        deadline = time.monotonic() + timeout_s
        wanted = {_unit(row): row["asked"] for row in self._ask("POST", _ACCEPTED)["tasks"]}
        while wanted:
            if time.monotonic() > deadline:
                raise StateError(
                    f"{len(wanted)} snapshots were not there within {timeout_s:.0f} s; the worker "
                    f"goes on: {self._url}/snapshots shows how far it is"
                )
            rows = {_unit(row): row for row in self._ask("GET", _OK)["tasks"]}
            for unit, number in list(wanted.items()):
                row = rows.get(unit)
                if row is None or row["answered"] >= number:
                    del wanted[unit]
                if row is not None and row["answered"] >= number:
                    yield row
            time.sleep(_POLL_S)

    def _ask(self, method: str, expected: int) -> dict[str, Any]:
        # Here, because every worker loads the commands.
        import http.client

        is_tls = self._parts.scheme == "https"
        kind = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
        connection = kind(self._parts.hostname or "", self._parts.port, timeout=_REQUEST_TIMEOUT_S)
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        try:
            connection.request(method, "/snapshots", headers=headers)
            response = connection.getresponse()
            body, status = response.read(), response.status
        except (OSError, http.client.HTTPException) as exc:
            raise StateError(
                f"no worker answers at {self._url} ({exc}): start one, or name it with --worker"
            ) from exc
        finally:
            connection.close()
        return self._answer(status, body, expected)

    def _answer(self, status: int, body: bytes, expected: int) -> dict[str, Any]:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise StateError(f"{self._url} answered {status} and no JSON: is it a Turbine worker?")
        if status != expected:
            raise StateError(f"{self._url}: {answer.get('error', f'status {status}')}")
        return answer


def _unit(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["name"], row["topic"], row["partition"]
