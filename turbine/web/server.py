"""
The server of an app's pages, on the event loop of its worker.

The port is bound before the worker joins its groups, so that the brokers can be told where the
other workers find this one; pages are answered from then until the worker drains.
"""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from turbine.exceptions import ConfigError

if TYPE_CHECKING:
    from turbine.app import App
    from turbine.settings import Settings

__all__ = ["PageServer"]

logger = logging.getLogger("turbine.web")

_PORTS_TRIED = 100
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - only compared
_GRACE_S = 2
"""Longest wait for answers that are under way when the worker drains."""


class _Server(uvicorn.Server):
    """Signals belong to the worker."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield


class PageServer:
    """
    Serves the pages of one app.

    Attributes:
        url: Where other workers reach it.

    Raises:
        ConfigError: The port is taken, or the address is not one of this machine.
    """

    def __init__(self, app: "App") -> None:
        self._app = app
        path = _socket_path(app.conf)
        self._socket = _bind(app.conf) if path is None else _listen_at(path)
        self.url = _url(app.conf, 0 if path else self._socket.getsockname()[1])
        self._server: _Server | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens at."""
        name = self._socket.getsockname()
        return (name, 0) if isinstance(name, str) else (name[0], name[1])

    async def start(self) -> None:
        """Serve from now on."""
        config = uvicorn.Config(
            self._app.asgi,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=_GRACE_S,
        )
        config.load()
        config.ssl = self._app.conf.web_ssl_context
        self._server = _Server(config)
        serving = self._server.serve(sockets=[self._socket])
        self._running = asyncio.create_task(serving, name="turbine pages")
        logger.info("pages at %s", self.url)
        _tell_of_open_address(self._app.conf)

    async def stop(self) -> None:
        """Answer what is under way, and end."""
        if self._server is None or self._running is None:
            self.close()
            return
        self._server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await self._running
        self.close()

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()


def _bind(conf: "Settings") -> socket.socket:
    """Listen at the port of the settings; a default that is taken moves to the next free one."""
    host, port = conf.web_bind, conf.web_port
    is_chosen = conf.source("web_port") != "default"
    for tried in range(port, port + (1 if is_chosen else _PORTS_TRIED)):
        try:
            listening = _listen(host, tried)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                raise ConfigError(
                    f"pages cannot be served at web_bind={host!r}, port {tried}: {exc.strerror}"
                ) from None
            continue
        if tried != port:
            logger.info("port %d is taken: the pages are served at %d", port, tried)
        return listening
    taken = f"web_port={port}" if is_chosen else f"every port from {port} to {tried}"
    raise ConfigError(
        f"{taken} is taken by another process on {host}: choose another one (worker --web-port), "
        "0 for any free one, or --without-web"
    )


def _socket_path(conf: "Settings") -> Path | None:
    """
    Where ``web_transport`` puts the socket; None: pages are served over TCP.

    Raises:
        ConfigError: It is something else.
    """
    transport = conf.web_transport
    if transport is None or transport.startswith("tcp:"):
        return None
    path = transport.removeprefix("unix://").removeprefix("unix:")
    if path == transport or not path:
        raise ConfigError(
            f"web_transport={transport!r} is not possible: write unix:///PATH, or leave it out for "
            "TCP"
        )
    return Path(path)


def _listen_at(path: Path) -> socket.socket:
    """Listen at a socket in the file system; one that a dead worker has left is replaced."""
    if path.is_socket():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            if not asking.connect_ex(str(path)):
                raise ConfigError(
                    f"web_transport: another worker serves its pages at {path}: write another path"
                )
        path.unlink()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        listening.listen(128)
        listening.setblocking(False)
    except OSError as exc:
        listening.close()
        raise ConfigError(f"web_transport: there can be no socket at {path}: {exc}") from None
    return listening


def _tell_of_open_address(conf: "Settings") -> None:
    """Pages ask for no token: say so where somebody else may reach them without being told."""
    if conf.web_bind in _EVERYWHERE and conf.source("web_bind") == "default":
        logger.warning(
            "the pages can be reached from other machines (web_bind=%s, as in Faust) and ask for "
            "no token: set web_bind='127.0.0.1' (--web-bind, FAUST_WEB_BIND) to keep them here, or "
            "write the address to say that it is meant",
            conf.web_bind,
        )


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def _url(conf: "Settings", port: int) -> str:
    if conf.canonical_url is not None:
        return conf.canonical_url
    host = conf.web_host
    if host is None:
        host = socket.gethostname() if conf.web_bind in _EVERYWHERE else conf.web_bind
    scheme = "http" if conf.web_ssl_context is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
