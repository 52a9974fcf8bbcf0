"""What the commands do, apart from reading their options."""

import contextlib
import ipaddress
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from turbine.exceptions import (
    AppNotFound,
    BrokerUnavailable,
    ConfigError,
    KafkaError,
    SendError,
    TurbineError,
)

if TYPE_CHECKING:
    from turbine.app import App
    from turbine.settings import Settings
    from turbine.worker import Runtime

__all__ = [
    "NO_BROKER",
    "Invocation",
    "add_to_path",
    "enter",
    "explain",
    "ignored",
    "logs_of_app",
    "partitions_of",
    "partitions_or_none",
    "run_broker",
    "run_worker",
    "until_signal",
]

F = TypeVar("F", bound=Callable[..., Any])

_ADMIN_TIMEOUT_MS = 3_000
_LOG_INTERVAL_S = 0.5

NO_BROKER = "Is a broker listening there? 'turbine broker' starts one for development."
"""The next step when no broker answers."""


@dataclass
class Invocation:
    """
    The options in front of a command.

    Attributes:
        app: The app, if a program started its own command line.
        app_name: What ``-A`` names.
        quiet: Whether only results and problems are shown.
        debug: Whether problems come with a traceback.
        as_json: Whether output is for programs.
        loglevel: Level that was asked for.
        logfile: File for log lines.
        datadir: Directory for local state.
        has_entered: Whether `enter` has been called.
    """

    app: "App | None" = None
    app_name: str | None = None
    quiet: bool = False
    debug: bool = False
    as_json: bool = False
    loglevel: str | None = None
    logfile: Path | None = None
    datadir: Path | None = None
    has_entered: bool = False

    def enter(self, workdir: Path | None) -> None:
        """Go to *workdir*, if any, and let its modules be imported; once."""
        if not self.has_entered:
            self.has_entered = True
            enter(workdir)

    def load(self) -> "App":
        """
        Give the app, imported and with its modules discovered.

        Raises:
            AppNotFound: None is named, or it cannot be imported.
        """
        app = self.app if self.app is not None else self._find()
        if self.datadir is not None:
            app.conf.datadir = self.datadir
        if self.debug:
            app.conf.debug = True
        self._discover(app)
        return app

    def settings(self) -> "Settings":
        """Settings of the app, or without an app those of the environment."""
        if self.app is None and self.app_name is None:
            from turbine.settings import Settings

            return Settings()
        return self.load().conf

    def start_logging(self, level: str | None = None) -> None:
        """Set log lines up for a command that runs for long."""
        from turbine import logs

        fallback = "debug" if self.debug else "warning" if self.quiet else "info"
        logs.setup(level or self.loglevel or fallback, logfile=self.logfile, as_json=self.as_json)

    def _find(self) -> "App":
        from turbine._find_app import find_app

        if not self.app_name:
            raise AppNotFound(
                "no app is named: write 'turbine -A proj.module COMMAND' or "
                "'turbine -A path/to/file.py COMMAND', or set TURBINE_APP"
            )
        return find_app(self.app_name)

    def _discover(self, app: "App") -> None:
        from turbine._find_app import describe

        try:
            app.discover()
        except TurbineError:
            raise
        except Exception as exc:
            raise AppNotFound(f"a module of the app cannot be imported\n{describe(exc)}") from exc


def enter(workdir: Path | None) -> None:
    """Go to *workdir*, if any, and let its modules be imported."""
    if workdir is not None:
        os.chdir(workdir)
    add_to_path(Path.cwd())


def add_to_path(directory: Path) -> None:
    """Let modules of *directory* be imported, as ``python file.py`` does."""
    text = str(directory.resolve())
    if text not in sys.path:
        sys.path.insert(0, text)


def explain(exc: Exception) -> str:
    """The sentence for a problem, with the next step where there is a usual one."""
    text = str(exc) or type(exc).__name__
    if isinstance(exc, OSError) and exc.strerror:
        text = f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror
    low = text.lower()
    if "address already in use" in low or "address in use" in low:
        return f"{text}\nAnother process has this port: choose another one, or 0 for any free one."
    if isinstance(exc, KafkaError) and not isinstance(exc, SendError):
        return f"{text}\n{NO_BROKER}"
    return text


def ignored(*names: str) -> Callable[[F], F]:
    """Take an option of Faust that has no effect here, and show it in no help."""
    return click.option(*names, hidden=True, expose_value=False, help="No effect.")


def logs_of_app(app: "App") -> None:
    """
    Send log lines where the app's settings say, besides or instead.

    Raises:
        ConfigError: ``logging_config`` is not what `logging.config.dictConfig` takes.
    """
    if app.conf.logging_config is not None:
        from logging.config import dictConfig

        try:
            dictConfig(app.conf.logging_config)
        except (ValueError, TypeError, AttributeError, ImportError) as exc:
            raise ConfigError(f"logging_config cannot be used: {exc}") from None
    for handler in app.conf.loghandlers or ():
        logging.getLogger().addHandler(handler)


# -- topics ----------------------------------------------------------------------------------


def partitions_of(conf: "Settings") -> dict[str, int]:
    """
    Ask the cluster for its topics.

    Raises:
        KafkaError: No broker answers.
    """
    from turbine._native import Admin

    with _naming_the_broker(conf):
        return Admin(conf.bootstrap, conf.client).list_topics(_ADMIN_TIMEOUT_MS)


def partitions_or_none(conf: "Settings") -> dict[str, int] | None:
    """As `partitions_of`; None when no broker answers."""
    try:
        return partitions_of(conf)
    except KafkaError:
        return None


@contextlib.contextmanager
def _naming_the_broker(conf: "Settings") -> Iterator[None]:
    try:
        yield
    except BrokerUnavailable as exc:
        message = f"no broker answers at {conf.bootstrap} ({exc})"
        raise BrokerUnavailable(message, code=exc.code, retryable=True) from exc


# -- worker ----------------------------------------------------------------------------------


def run_worker(app: "App", given: Invocation) -> int:
    """Run a worker of *app* until it is stopped; the exit code."""
    from turbine.worker import run

    def announce(runtime: "Runtime") -> None:
        if given.quiet:
            return
        from turbine import banner

        banner.show_banner(
            app,
            http_address=runtime.http_address,
            partitions=partitions_or_none(app.conf),
            as_json=given.as_json,
        )

    with _naming_the_broker(app.conf):
        return run(app, http=app.conf.web_enabled, on_start=announce)


# -- broker ----------------------------------------------------------------------------------


@contextlib.contextmanager
def run_broker(**options: Any) -> Iterator[tuple[str, str | None]]:
    """Run an embedded broker; gives ``host:port``, of several nodes all, and its registry's URL."""
    from turbine._native import EmbeddedBroker

    broker = EmbeddedBroker(**options)
    try:
        yield broker.address, broker.schema_registry_url
    finally:
        broker.stop()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach *host*."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def until_signal() -> None:
    """Wait for INT or TERM, and pass the core's log lines on meanwhile."""
    from turbine.logs import write_logs

    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        while not stop.wait(_LOG_INTERVAL_S):
            write_logs()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
