"""One setting: how it is read, its default, and the variables, option and help that go with it."""

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, Protocol, Self, TypeVar, overload

__all__ = ["ENV_PREFIX", "Setting"]

T = TypeVar("T")

ENV_PREFIX = "TURBINE_"

_KINDS = {
    "boolean": "true or false",
    "byte_size": "bytes",
    "check_app_id": "text",
    "credentials": "credentials",
    "directory": "directory",
    "guarantee": "at_least_once or exactly_once",
    "kafka_properties": "names and values",
    "parse_brokers": "addresses",
    "registry_urls": "addresses",
    "positive_seconds": "seconds",
    "seconds": "seconds",
    "ssl_context": "ssl.SSLContext",
    "store": "rocksdb or memory",
    "text": "text",
    "timezone": "time zone",
}


class _Owner(Protocol):
    """What holds the values of rows."""

    def _read(self, row: "Setting[T]") -> T: ...

    def _assign(self, row: "Setting[Any]", value: object) -> None: ...


class Setting(Generic[T]):
    """
    One row of the table of settings.

    Attributes:
        name: Keyword of `App` and attribute of ``app.conf``.
        parse: Reads a value, from whatever place it is.
        default: Value when no place has one.
        help: One sentence.
        aliases: Other spellings.
        legacy_env: Variables that Faust reads for it, without a prefix; see `turbine.faust`.
        flag: Option of the command line.
        client: Name in the client library; the value goes there and nowhere else.
        has_effect: Whether something depends on it; otherwise it is read and left at that.
    """

    name: str

    def __init__(
        self,
        parse: Callable[[object], T],
        default: object,
        help: str,  # noqa: A002 - the word that users read in `--help`
        *,
        aliases: tuple[str, ...] = (),
        legacy_env: tuple[str, ...] = (),
        flag: str = "",
        client: str = "",
        has_effect: bool = True,
    ) -> None:
        self.parse = parse
        self.default = default
        self.help = help
        self.aliases = aliases
        self.legacy_env = legacy_env
        self.flag = flag
        self.client = client
        self.has_effect = has_effect

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.name = name

    @property
    def env_names(self) -> tuple[str, ...]:
        """Variables that are read, the preferred one first."""
        return tuple(f"{ENV_PREFIX}{name.upper()}" for name in (self.name, *self.aliases))

    @property
    def kind(self) -> str:
        """What a value is, in words."""
        return _kind(self.parse)

    def client_text(self, value: Any) -> str:
        """Write *value* for the client library, whose times are in milliseconds."""
        return str(round(value * 1_000) if self.client.endswith(".ms") else value)

    @overload
    def __get__(self, conf: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self, conf: _Owner, owner: type[Any]) -> T: ...
    def __get__(self, conf: _Owner | None, owner: type[Any]) -> Self | T:
        return self if conf is None else conf._read(self)  # noqa: SLF001 - two halves of one class

    def __set__(self, conf: _Owner, value: Any) -> None:
        conf._assign(self, value)  # noqa: SLF001 - two halves of one class


def _kind(parse: Callable[[object], Any]) -> str:
    if not isinstance(parse, partial):
        return _KINDS.get(parse.__name__, "any")
    made_by = parse.func.__name__
    if made_by == "_one_of":
        return " or ".join(parse.args[0])
    if made_by == "_whole_number":
        return "whole number"
    return _kind(parse.args[0])
