"""Addresses of brokers, in every spelling that programs use."""

import re
from collections.abc import Iterable

from turbine.exceptions import ConfigError

__all__ = ["DEFAULT_PORT", "parse_brokers"]

DEFAULT_PORT = 9092
_SCHEMES = frozenset({"kafka", "aiokafka", "confluent"})
_ENTRY = re.compile(r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?P<rest>.*)", re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.-]+)?")
_LAST_PORT = 65_535


def parse_brokers(value: object) -> tuple[str, ...]:
    """
    Read broker addresses.

    Args:
        value: ``"host"``, ``"host:port"``, ``"kafka://host:port"``, several of them separated by
            ``,`` or ``;``, or a list of such texts. ``aiokafka://`` and ``confluent://`` mean the
            same as ``kafka://``.

    Returns:
        ``host:port`` texts in their order, without repeats.

    Raises:
        ConfigError: An address cannot be read, or there is none.
    """
    entries = list(_entries(value))
    if not entries:
        raise ConfigError("no broker is named: write broker='kafka://localhost:9092'")
    return tuple(dict.fromkeys(_parse_entry(entry) for entry in entries))


def _entries(value: object) -> Iterable[str]:
    if isinstance(value, str):
        for part in re.split(r"[,;]", value):
            if part.strip():
                yield part.strip()
    elif isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        for item in value:
            yield from _entries(item)
    else:
        # URL objects of other libraries are welcome through their text.
        text = str(value)
        if value is None or "://" not in text:
            raise ConfigError(
                f"a broker is text, not {value!r}: write broker='kafka://localhost:9092'"
            )
        yield from _entries(text)


def _parse_entry(entry: str) -> str:
    match = _ENTRY.fullmatch(entry)
    scheme, rest = (match["scheme"], match["rest"]) if match else (None, entry)
    if scheme is not None and scheme.lower() not in _SCHEMES:
        raise ConfigError(
            f"the broker address {entry!r} has the scheme {scheme!r}: write kafka://host:port"
            f" (TLS and SASL are set by kafka={{'security.protocol': ...}})"
        )
    if "@" in rest:
        raise ConfigError(
            "a broker address carries no user or password: "
            "set kafka={'sasl.username': ..., 'sasl.password': ...}"
        )
    return _host_and_port(rest.removesuffix("/"), entry)


def _host_and_port(rest: str, entry: str) -> str:
    if rest.startswith("["):
        host, bracket, tail = rest[1:].partition("]")
        if not bracket or not _IPV6.fullmatch(host) or (tail and not tail.startswith(":")):
            raise ConfigError(f"cannot read the broker address {entry!r}: write [::1]:9092")
        return f"[{host}]:{_port(tail[1:], entry) if tail else DEFAULT_PORT}"
    host, colon, port = rest.partition(":")
    host = host or "localhost"
    if not _HOST.fullmatch(host):
        raise ConfigError(f"cannot read the broker address {entry!r}: write kafka://host:port")
    return f"{host}:{_port(port, entry) if colon else DEFAULT_PORT}"


def _port(text: str, entry: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) <= _LAST_PORT:
        return int(text)
    raise ConfigError(
        f"the broker address {entry!r} has the port {text!r}: a port is a number from 1 to "
        f"{_LAST_PORT}"
    )
