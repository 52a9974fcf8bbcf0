"""Read the value of a setting from whatever a keyword, a module or the environment holds."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta, tzinfo
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from turbine.exceptions import ConfigError

__all__ = [
    "anything",
    "boolean",
    "byte_size",
    "choice",
    "directory",
    "guarantee",
    "integer",
    "kafka_properties",
    "mapping",
    "no_partitioner",
    "optional",
    "registry_urls",
    "seconds",
    "store",
    "text",
    "timezone",
    "url",
]

T = TypeVar("T")

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})
_SIZE = re.compile(r"(\d+)\s*([kmg]?)i?b?", re.IGNORECASE)
_SIZE_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)?", re.IGNORECASE)
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
_SERVICE_LINK = re.compile(r"tcp://.+:\d+")


def text(value: object) -> str:
    """Text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ConfigError(f"expects text, not {value!r}")
    return value


def anything(value: object) -> object:
    """Leave a value as it is."""
    return value


def no_partitioner(value: object) -> None:
    """
    Read nothing but None.

    Raises:
        ConfigError: A partitioner; leaving it out would place records elsewhere.
    """
    if value is not None:
        raise ConfigError(
            "expects None: choose a partition where you send, as send(..., partition=number)"
        )


def boolean(value: object) -> bool:
    """True or False; the environment writes 1, true, yes, on and their opposites."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ConfigError(f"expects true or false, not {value!r}")


def integer(
    *, least: int, most: int | None = None, none_of: str | None = None
) -> Callable[[object], int]:
    """
    Make a reader of whole numbers from *least* to *most*.

    Args:
        least: Smallest allowed number.
        most: Largest allowed number; no limit if None.
        none_of: What the number is, for the hint about a Kubernetes service link.
    """
    return partial(_whole_number, least=least, most=most, none_of=none_of)


def _whole_number(value: object, *, least: int, most: int | None, none_of: str | None) -> int:
    limits = f"a whole number from {least}" + ("" if most is None else f" to {most}")
    if none_of is not None and isinstance(value, str) and _SERVICE_LINK.fullmatch(value):
        raise ConfigError(
            f"expects {none_of}, not {value!r}: that is what Kubernetes sets for a service of "
            "this name; set enableServiceLinks: false in the pod, or rename the service"
        )
    if isinstance(value, bool):
        raise ConfigError(f"expects {limits}, not {value!r}")
    try:
        number = int(value) if isinstance(value, str | int) else None
    except ValueError:
        number = None
    if number is None or number < least or (most is not None and number > most):
        raise ConfigError(f"expects {limits}, not {value!r}")
    return number


def seconds(value: object) -> float:
    """Seconds as a number, a `timedelta`, or text such as ``"250ms"`` or ``"2.8"``."""
    if isinstance(value, timedelta):
        number = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    elif isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        number = float(match[1]) * _DURATION_UNITS[(match[2] or "s").lower()]
    else:
        raise ConfigError(f"expects seconds, as 2.5, '250ms' or a timedelta, not {value!r}")
    if not 0 <= number < float("inf"):
        raise ConfigError(f"expects a time that is not negative, not {value!r}")
    return number


def positive_seconds(value: object) -> float:
    """Read a length of time that is not zero."""
    length_s = seconds(value)
    if not length_s:
        raise ConfigError("expects a time above zero, as 2.5 or '250ms'")
    return length_s


def byte_size(value: object) -> int:
    """Bytes as a number, or text such as ``"64MB"`` (1 KB is 1024 bytes)."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        size = int(match[1]) * _SIZE_UNITS[match[2].lower()]
        if size > 0:
            return size
    raise ConfigError(f"expects bytes, as 67108864 or '64MB', not {value!r}")


def choice(*allowed: str) -> Callable[[object], str]:
    """Make a reader of one of the *allowed* words; an enum member counts by its value."""
    return partial(_one_of, allowed)


def _one_of(allowed: Sequence[str], value: object) -> str:
    word = getattr(value, "value", value)
    if isinstance(word, str) and word.lower() in allowed:
        return word.lower()
    raise ConfigError(f"expects {' or '.join(map(repr, allowed))}, not {value!r}")


def guarantee(value: object) -> str:
    """``"at_least_once"`` or ``"exactly_once"``."""
    return choice("at_least_once", "exactly_once")(value)


def store(value: object) -> str:
    """``"rocksdb"`` or ``"memory"``, also as ``"rocksdb://"``."""
    word = value.removesuffix("://") if isinstance(value, str) else value
    return choice("rocksdb", "memory")(word)


def directory(value: object) -> Path:
    """A directory; ``~`` is the home directory."""
    if isinstance(value, Path) or (isinstance(value, str) and value):
        return Path(value).expanduser()
    raise ConfigError(f"expects a directory, not {value!r}")


def timezone(value: object) -> tzinfo:
    """A time zone object, or a name such as ``"Europe/Berlin"``."""
    if isinstance(value, tzinfo):
        return value
    if isinstance(value, str) and value:
        try:
            return ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ConfigError(
                f"does not know the time zone {value!r}: write a name such as 'Europe/Berlin' or "
                "'UTC'"
            ) from None
    raise ConfigError(f"expects a time zone, as 'Europe/Berlin', not {value!r}")


def kafka_properties(value: object) -> dict[str, str]:
    """
    Settings of the Kafka client by its own names; True and False become ``true`` and ``false``.

    Text holds ``name=value`` pairs separated by ``;``, as an environment variable needs it.
    """
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(";") if part.strip()]
        if not all(sign for _, sign, _ in pairs):
            raise ConfigError(f"expects 'name=value;name=value', not {value!r}")
        return {name.strip(): item.strip() for name, _, item in pairs}
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"expects a dict of client settings, as {{'security.protocol': 'ssl'}}, not {value!r}"
        )
    return {str(name): _property(str(name), item) for name, item in value.items()}


def _property(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ConfigError(f"expects text or a number for {name!r}, not {value!r}")


def url(value: object) -> str:
    """Address of a web server, without the slash at its end."""
    word = str(value)
    if urlsplit(word).scheme not in {"http", "https"} or not urlsplit(word).hostname:
        raise ConfigError(f"expects an address as 'http://host:6066', not {value!r}")
    return word.rstrip("/")


def mapping(value: object) -> Mapping[Any, Any]:
    """A dict; None is an empty one."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    raise ConfigError(f"expects a dict, not {value!r}")


def registry_urls(value: object) -> tuple[str, ...]:
    """Addresses of a schema registry, with commas between or as a list."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, Sequence):
        raise ConfigError(f"expects an address as 'http://host:8081', not {value!r}")
    urls = tuple(str(part).strip() for part in parts if str(part).strip())
    for url in urls:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise ConfigError(f"expects an address as 'http://host:8081', not {url!r}")
    return urls


def optional(read: Callable[[object], T]) -> Callable[[object], T | None]:
    """Make a reader that also takes None."""
    return partial(_or_none, read)


def _or_none(read: Callable[[object], T], value: object) -> T | None:
    return None if value is None else read(value)
