"""What happens to a record that an agent cannot handle: one value for all of its choices."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from turbine import _declare
from turbine.exceptions import DeclarationError
from turbine.types import OnError

if TYPE_CHECKING:
    from turbine.topics import Topic

__all__ = ["Policy", "Retry", "policy"]

_RETRY = re.compile(r"retry\(\s*(\d+)\s*(?:,\s*([0-9.]+)\s*)?(?:,\s*['\"]?([a-z_]+)['\"]?\s*)?\)")
_LONGEST_S = 60.0
"""The longest wait between two tries."""


@dataclass(frozen=True)
class Retry:
    """
    ``on_error=Retry(3, 0.5)``: handle the record again, with growing waits in between.

    What a try that failed has written or sent already stays. The waits hold up everything that the
    same instance of the agent reads. In text: ``"retry(3, 0.5, dlq)"``.

    Attributes:
        times: How often it is tried again.
        backoff: Wait in front of the first new try, in seconds; each is twice as long as the one
            before, at most a minute.
        then: What happens when the last one has failed: ``"fail"``, ``"skip"``, ``"dlq"`` or
            ``"crash"``.
    """

    times: int
    backoff: float = 0.1
    then: str = "fail"

    def wait_s(self, attempt: int) -> float:
        """How long to wait in front of try *attempt*, from 1."""
        return min(self.backoff * 2.0 ** (attempt - 1), _LONGEST_S)


@dataclass(frozen=True)
class Policy:
    """
    A checked ``on_error``.

    Attributes:
        last: What the core does with the record: ``"fail"``, ``"skip"`` or ``"dlq"``.
        dlq: Topic for dead letters.
        retry: New tries in front of that.
        crashes: Whether the worker ends, with an exit code that is not 0, when the record fails.
    """

    last: OnError
    dlq: str | None
    retry: Retry | None = None
    crashes: bool = False


def policy(on_error: object, dlq: "str | Topic | None", guarantee: str) -> Policy:
    """
    Check ``on_error`` and ``dlq`` of an agent together.

    Raises:
        DeclarationError: They cannot work; the message says what to write.
    """
    retry = _retry(on_error)
    word = on_error if retry is None else retry.then
    crashes = word == "crash"
    try:
        last, topic = _declare.error_policy("fail" if crashes else word, dlq)
    except DeclarationError as exc:
        known = "'fail', 'skip', 'dlq', 'crash', 'retry(3, 0.5)'"
        if word in {"fail", "skip", "dlq", "crash"}:
            raise
        raise DeclarationError(f"{exc}; an agent knows {known}") from None
    if retry is not None and guarantee == "exactly_once":
        raise DeclarationError(
            "on_error='retry(...)' would commit what a failed try has written together with the "
            "next one: leave it out under exactly_once, and try again inside of the agent"
        )
    return Policy(last, topic, retry, crashes)


def _retry(on_error: object) -> Retry | None:
    if isinstance(on_error, str) and on_error.startswith("retry"):
        found = _RETRY.fullmatch(on_error)
        if found is None:
            raise DeclarationError(
                f"on_error={on_error!r} cannot be read: write 'retry(3)', 'retry(3, 0.5)' or "
                "'retry(3, 0.5, dlq)'"
            )
        times, backoff, then = found.groups()
        on_error = Retry(int(times), _seconds(backoff), then or "fail")
    if not isinstance(on_error, Retry):
        return None
    _declare.whole_number("times of Retry", on_error.times, least=1)
    if on_error.backoff < 0:
        raise DeclarationError(f"backoff={on_error.backoff!r} of Retry is negative")
    return on_error


def _seconds(text: str | None) -> float:
    if text is None:
        return 0.1
    try:
        return float(text)
    except ValueError:
        raise DeclarationError(f"{text!r} in on_error='retry(...)' is not a number") from None
