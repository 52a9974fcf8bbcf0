"""Checks that declarations share; each says what to write instead."""

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from turbine.exceptions import DeclarationError
from turbine.naming import check_topic_name
from turbine.types import ON_ERROR, OnError

if TYPE_CHECKING:
    from turbine.topics import Topic

_OTHER_WORDS = {"output": "publish_to", "parallelism": "concurrency", "schema": "model"}
"""Options of other libraries, and what they are called here."""

__all__ = [
    "check_no_loop",
    "check_takes_one",
    "error_policy",
    "first_line",
    "is_kind",
    "one_of",
    "parameters",
    "refuse_unknown",
    "topic_name",
    "whole_number",
]


def whole_number(name: str, value: object, *, least: int) -> int:
    """Return *value* if it is a whole number from *least*."""
    if type(value) is not int or value < least:
        raise DeclarationError(
            f"{name}={value!r} is not possible: write a whole number from {least}"
        )
    return value


def one_of(name: str, value: object, allowed: Iterable[str]) -> str:
    """Return *value* if it is one of *allowed*; name the closest otherwise."""
    words = list(allowed)
    if isinstance(value, str) and value in words:
        return value
    close = difflib.get_close_matches(str(value), words, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "write one of " + ", ".join(map(repr, words))
    raise DeclarationError(f"{name}={value!r} is not possible: {hint}")


def refuse_unknown(what: str, options: Iterable[str], known: Iterable[str]) -> None:
    """Refuse options that nobody reads; name the closest."""
    for option in options:
        close = difflib.get_close_matches(_OTHER_WORDS.get(option, option), list(known), n=1)
        hint = f"did you mean {close[0]}=?" if close else "leave it out"
        raise DeclarationError(f"{what} has no option {option}=: {hint}")


def topic_name(kind: str, value: "str | Topic") -> str:
    """Name of the one topic that *value* stands for."""
    name = getattr(value, "get_topic_name", None)
    if name is not None:
        return str(name())
    if not isinstance(value, str):
        raise DeclarationError(
            f"{kind}={value!r} is not a topic: write {kind}='orders' or {kind}=app.topic(...)"
        )
    return check_topic_name(value)


def error_policy(on_error: object, dlq: "str | Topic | None") -> tuple[OnError, str | None]:
    """Check a policy and its dead-letter topic together."""
    policy = cast("OnError", one_of("on_error", on_error, ON_ERROR))
    if policy == "dlq" and dlq is None:
        raise DeclarationError(
            "on_error='dlq' needs a topic for dead letters: add dlq='orders-dead'"
        )
    if policy != "dlq" and dlq is not None:
        raise DeclarationError(
            f"dlq={dlq!r} is never written to with on_error={policy!r}: write on_error='dlq'"
        )
    return policy, None if dlq is None else topic_name("dlq", dlq)


def check_no_loop(sources: Iterable[str], target: "str | Topic | None", kind: str) -> None:
    """Refuse a target that is one of the sources: every record would come back for ever."""
    if target is None:
        return
    name = topic_name(kind, target)
    if name in set(sources):
        raise DeclarationError(
            f"{kind}={name!r} is also what is read, so that every record would come back: name "
            "another topic"
        )


def parameters(fn: Callable[..., Any]) -> list[inspect.Parameter]:
    """Parameters that a caller has to pass by position."""
    try:
        found = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return []
    return [
        parameter
        for parameter in found
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        and parameter.default is parameter.empty
    ]


def check_takes_one(fn: Callable[..., Any], kind: str, word: str) -> None:
    """Refuse a function that cannot be called with one value."""
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(None)
    except TypeError:
        names = ", ".join(signature.parameters)
        raise DeclarationError(
            f"{kind} takes one parameter, ({word}), and {getattr(fn, '__name__', fn)!s} takes "
            f"({names}): "
            f"write 'def {getattr(fn, '__name__', 'f')}({word})'"
        ) from None


def is_kind(fn: Any, test: Callable[[Any], bool]) -> bool:
    """Whether *test* holds for a function, a `functools.partial` of one, or a callable object."""
    if test(fn):
        return True
    inner = getattr(fn, "func", fn)
    return test(inner) or test(vars(type(inner)).get("__call__"))


def first_line(fn: Callable[..., Any]) -> str:
    """First line of the documentation of *fn*."""
    inner = getattr(fn, "func", fn)
    lines = (inspect.getdoc(inner) or "").strip().splitlines()
    return lines[0] if lines else ""
