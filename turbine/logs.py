"""Where a worker's log lines go and what they look like."""

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from turbine import _native
from turbine.exceptions import ConfigError

__all__ = ["LEVELS", "JsonFormatter", "setup", "write_logs"]

LEVELS = ("debug", "info", "warning", "error", "critical")
_PLAIN = "%(asctime)s %(levelname)s %(name)s %(message)s"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and exception if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def setup(
    level: str = "info",
    *,
    logfile: Path | None = None,
    as_json: bool = False,
    stream: IO[str] | None = None,
) -> None:
    """
    Send log lines to *logfile*, else to *stream* (standard error).

    A terminal gets colours, everything else lines ``time level logger message``, or JSON lines.

    Raises:
        ConfigError: *logfile* cannot be written.
    """
    handler = (
        _file_handler(logfile)
        if logfile
        else _stream_handler(stream or sys.stderr, as_json=as_json)
    )
    if as_json:
        handler.setFormatter(JsonFormatter())
    elif handler.formatter is None:
        handler.setFormatter(logging.Formatter(_PLAIN))
    root = logging.getLogger()
    for old in [old for old in root.handlers if getattr(old, "_turbine", False)]:
        root.removeHandler(old)
        old.close()
    handler._turbine = True  # type: ignore[attr-defined]  # noqa: SLF001 - a mark of our own
    root.addHandler(handler)
    root.setLevel(level.upper())
    # What is above it, other handlers may want.
    _native.set_log_level(min(root.level, logging.INFO))


def _file_handler(path: Path) -> logging.Handler:
    try:
        return logging.FileHandler(path, encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"cannot write the log file {str(path)!r}: {exc.strerror}") from None


def _stream_handler(stream: IO[str], *, as_json: bool) -> logging.Handler:
    if as_json or not stream.isatty():
        return logging.StreamHandler(stream)
    from rich.console import Console
    from rich.logging import RichHandler

    handler = RichHandler(
        console=Console(file=stream),
        show_path=False,
        log_time_format="%H:%M:%S",
        rich_tracebacks=False,
    )
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler


def write_logs() -> None:
    """Pass the core's log lines on to `logging`."""
    for level, name, text in _native.take_logs():
        logging.getLogger(name).log(level, "%s", text)
