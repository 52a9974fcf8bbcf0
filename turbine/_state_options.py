"""Options of a subscription about the state that its handler keeps."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from turbine import _declare
from turbine._window_options import ms
from turbine.exceptions import DeclarationError

__all__ = ["STATE_FORMATS", "StateFormat", "StateOptions", "read_state"]

StateFormat = Literal["json", "msgpack"]
"""How lists and dicts are kept in the state."""

STATE_FORMATS = ("json", "msgpack")
_RESERVED = "_turbine_"


@dataclass(frozen=True)
class StateOptions:
    """
    What the options about state say, checked.

    Attributes:
        is_kept: Whether the handler keeps anything.
        ttl_ms: How long values live in event time, by the prefix of their key.
        format: How lists and dicts are kept.
        on_timer: What takes the timers: a function, or the method of a class.
        timer_takes_ctx: Whether it is called with ``ctx``.
    """

    is_kept: bool = False
    ttl_ms: tuple[tuple[str, int], ...] = ()
    format: StateFormat = "json"
    on_timer: Callable[..., Any] | None = None
    timer_takes_ctx: bool = False

    def config(self, *, keyed: bool) -> dict[str, Any] | None:
        """Describe it to the core; None without state."""
        if not self.is_kept:
            return None
        return {
            "ttl_ms": [list(rule) for rule in self.ttl_ms],
            "format": self.format,
            "timers": self.on_timer is not None,
            "keyed": keyed,
        }


def read_state(
    fn: Any,
    options: Mapping[str, Any],
    *,
    name: str,
    default_format: str,
    takes_state: bool,
    is_async: bool,
    has_time: bool,
) -> StateOptions:
    """
    Check the options together.

    Args:
        fn: The handler, a function or a class.
        options: ``state_ttl``, ``state_format`` and ``on_timer``, as far as they are given.
        name: Name of the subscription.
        default_format: The format of the app.
        takes_state: Whether the handler is called with ``state``.
        is_async: Whether the handler is async.
        has_time: Whether rows have an event time.

    Raises:
        DeclarationError: They cannot work; the message says what to write.
    """
    given = [word for word in ("state_ttl", "state_format", "on_timer") if options.get(word)]
    method = getattr(fn, "on_timer", None) if isinstance(fn, type) else None
    if not takes_state:
        if given or method is not None:
            what = f"{given[0]}=" if given else "the method on_timer"
            raise DeclarationError(
                f"{what} is about state, and the handler of {name} takes none: write "
                "'def f(batch, state)', or in a class 'def process(self, batch, state)'"
            )
        return StateOptions()
    if method is not None and options.get("on_timer"):
        raise DeclarationError(
            f"{name} has on_timer= and a method on_timer: leave out on_timer=, the method is called"
        )
    on_timer = method or options.get("on_timer")
    takes_ctx = False
    if on_timer is not None:
        takes_ctx = _check_on_timer(on_timer, name, in_class=method is not None, is_async=is_async)
    chosen = options.get("state_format") or default_format
    return StateOptions(
        is_kept=True,
        ttl_ms=_lifetimes(options.get("state_ttl"), has_time=has_time),
        format="msgpack"
        if _declare.one_of("state_format", chosen, STATE_FORMATS) == "msgpack"
        else "json",
        on_timer=on_timer,
        timer_takes_ctx=takes_ctx,
    )


def _check_on_timer(fn: Any, name: str, *, in_class: bool, is_async: bool) -> bool:
    """Whether it takes ``ctx``."""
    if not callable(fn):
        raise DeclarationError(
            f"on_timer={fn!r} is not a function: write 'def on_timer(timer_id, state)'"
        )
    extra = [one.name for one in _declare.parameters(fn)][2 + in_class :]
    count = len(_declare.parameters(fn)) - in_class
    if count < 2 or extra not in ([], ["ctx"]):  # noqa: PLR2004 - timer_id and state
        first = "self, " if in_class else ""
        raise DeclarationError(
            f"on_timer of {name} is called with the timer's id and the state that it was set on: "
            f"write 'def on_timer({first}timer_id, state)', with ctx behind if it wants to"
        )
    if _declare.is_kind(fn, inspect.iscoroutinefunction) != is_async:
        raise DeclarationError(
            f"on_timer of {name} and its handler run in one place: make both async, or neither"
        )
    return bool(extra)


def _lifetimes(given: Any, *, has_time: bool) -> tuple[tuple[str, int], ...]:
    if not given:
        return ()
    if not isinstance(given, Mapping):
        raise DeclarationError(
            f"state_ttl={given!r} is not a mapping: write state_ttl={{'seen:': 3_600_000}}, prefix "
            "of keys to milliseconds"
        )
    if not has_time:
        raise DeclarationError(
            "state_ttl counts event time, and the rows have none: add event_time='column', or "
            "event_time='timestamp' for that of the records"
        )
    return tuple((_prefix(prefix), _ms(prefix, length)) for prefix, length in given.items())


def _prefix(prefix: Any) -> str:
    if not isinstance(prefix, str) or not prefix:
        raise DeclarationError(
            f"state_ttl has the prefix {prefix!r}: write the text that keys begin with"
        )
    if prefix.startswith(_RESERVED):
        raise DeclarationError(f"state_ttl: keys that begin with {_RESERVED} are the library's own")
    return prefix


def _ms(prefix: str, length: Any) -> int:
    name = f"state_ttl[{prefix!r}]"
    if isinstance(length, int):
        return _declare.whole_number(name, length, least=1)
    return ms(name, length)
