"""`Worker`: a program that runs an app without its command line."""

from typing import TYPE_CHECKING, Any, NoReturn

from turbine import logs

if TYPE_CHECKING:
    from turbine.faust.app import App

__all__ = ["Worker"]


class Worker:
    """
    Runs *app* as a program.

    Args:
        app: The app.
        *services: Classes of services that start with it.
        loglevel: Least level of log lines, as ``"info"``.
        logfile: File for them.
        debug: Whether they are detailed.
        **options: Taken, and without effect.
    """

    def __init__(
        self,
        app: "App",
        *services: Any,
        loglevel: str | int | None = None,
        logfile: Any = None,
        debug: bool = False,
        **options: object,
    ) -> None:
        del options
        self.app = app
        self.loglevel = "debug" if debug and loglevel is None else loglevel or "warning"
        self.logfile = logfile
        for service in services:
            app.service(service)

    def execute_from_commandline(self) -> NoReturn:
        """Run until INT or TERM, drain, and end the process."""
        import logging

        level = self.loglevel
        name = logging.getLevelName(level) if isinstance(level, int) else level
        name = {"warn": "warning", "crit": "critical"}.get(str(name).lower(), str(name).lower())
        logs.setup(name, logfile=self.logfile)
        self.app.run()
        raise SystemExit(0)
