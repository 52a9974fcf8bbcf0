"""Where `turbine state` reads: the directory of a stopped worker, or a running one over HTTP."""

import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from turbine.exceptions import ConfigError, StateError

if TYPE_CHECKING:
    from urllib.error import HTTPError

__all__ = ["DirectorySource", "Source", "WorkerSource", "open_source", "rows"]

_TIMEOUT_S = 10.0
_PAGE_ROWS = 1_000

Row = dict[str, Any]


class Source(Protocol):
    """Tables and their rows; a row has *key*, *value*, *topic*, *partition*."""

    def stats(self, table: str | None) -> list[Row]:
        """One row a partition."""

    def get(self, table: str, key: str, scope: str | None, partition: int | None) -> list[Row]:
        """Every partition's row of *key*."""

    def page(self, table: str, query: dict[str, Any]) -> tuple[list[Row], str | None]:
        """Rows, and what ``after`` is for the next ones."""


class DirectorySource:
    """The ``state_dir`` of a worker that does not run."""

    def __init__(self, directory: Path) -> None:
        from turbine._native import StoredState

        try:
            self._stored = StoredState(directory)
        except ConfigError as exc:
            if "in use" not in str(exc):
                raise
            raise ConfigError(
                f"{exc}; or ask it: turbine state --url http://HOST:PORT (its --api-port)"
            ) from exc

    def stats(self, table: str | None) -> list[Row]:
        """Count what there is."""
        return list(json.loads(self._stored.stats(table=table)))

    def get(self, table: str, key: str, scope: str | None, partition: int | None) -> list[Row]:
        """Read one key."""
        return list(json.loads(self._stored.get(table, key, scope=scope, partition=partition)))

    def page(self, table: str, query: dict[str, Any]) -> tuple[list[Row], str | None]:
        """Read some rows."""
        page = json.loads(self._stored.page(table, **query))
        return page["rows"], page["next"]


class WorkerSource:
    """A running worker; it has the partitions that it was assigned."""

    def __init__(self, url: str, token: str | None) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"--url {url}: give http://HOST:PORT, the address in its banner")
        self._url = url.rstrip("/")
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def stats(self, table: str | None) -> list[Row]:
        """Tell how fresh every partition is."""
        tables = self._ask("/tables", {})["tables"]
        return [
            {"table": found["name"], **partition}
            for found in tables
            if table in (None, found["name"])
            for partition in found["partitions"]
        ]

    def get(self, table: str, key: str, scope: str | None, partition: int | None) -> list[Row]:
        """Read one key."""
        path = f"/tables/{_quoted(table)}/{_quoted(key)}"
        try:
            answer = self._ask(path, {"scope": scope, "partition": partition})
        except KeyError:
            return []
        return list(answer["rows"])

    def page(self, table: str, query: dict[str, Any]) -> tuple[list[Row], str | None]:
        """Read some rows."""
        page = self._ask(f"/tables/{_quoted(table)}", query)
        return page["rows"], page["next"]

    def _ask(self, path: str, query: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in query.items() if value not in (None, "")}
        # Here, because every worker loads the commands.
        import urllib.error
        import urllib.request

        url = f"{self._url}{path}" + (f"?{urllib.parse.urlencode(given)}" if given else "")
        request = urllib.request.Request(url, headers=self._headers)  # noqa: S310 - the scheme is checked
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
                return dict(json.load(answer))
        except urllib.error.HTTPError as exc:
            why = _reason(exc)
            if exc.code == 404 and "has no key" in why:  # noqa: PLR2004
                raise KeyError(why) from exc
            raise (ConfigError if exc.code < 500 else StateError)(why) from exc  # noqa: PLR2004
        except OSError as exc:
            reason = getattr(exc, "reason", exc)
            raise ConfigError(
                f"no worker answers at {self._url} ({reason}): look at the address in its banner, "
                "or name the state_dir of a stopped worker with --dir"
            ) from exc


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _reason(exc: "HTTPError") -> str:
    with exc:
        body = exc.read()
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"{exc.url}: {exc}"


def open_source(url: str | None, token: str | None, directory: Path) -> Source:
    """
    Open a worker at *url*, or without one the state in *directory*.

    Raises:
        ConfigError: Neither is there, or a running worker has the directory.
        StateError: The state is damaged.
    """
    return WorkerSource(url, token) if url is not None else DirectorySource(directory)


def rows(source: Source, table: str, query: dict[str, Any], limit: int) -> Iterator[Row]:
    """Give up to *limit* rows of *table*, page by page."""
    after = None
    while limit > 0:
        asked = {**query, "after": after, "limit": min(limit, _PAGE_ROWS)}
        page, after = source.page(table, asked)
        yield from page
        limit -= len(page)
        if after is None:
            return
