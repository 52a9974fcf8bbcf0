"""What a crash may do to what a handler writes: at-least-once or exactly-once, as declared."""

from typing import TYPE_CHECKING, Literal, cast

from turbine import _parsers
from turbine.exceptions import ConfigError, DeclarationError

if TYPE_CHECKING:
    from turbine.app import App

__all__ = ["Guarantee", "guarantee", "refuse_without_app_id"]

Guarantee = Literal["at_least_once", "exactly_once"]
"""``"at_least_once"``: outputs may come twice after a crash. ``"exactly_once"``: they do not."""


def guarantee(app: "App", declared: object, *, name: str) -> Guarantee:
    """
    Read ``processing_guarantee=`` of a handler; the app's if *declared* is None.

    Raises:
        DeclarationError: It is not a guarantee, or exactly-once and the app has no id of its own.
    """
    try:
        word = app.conf.processing_guarantee if declared is None else _parsers.guarantee(declared)
    except ConfigError as exc:
        raise DeclarationError(
            str(exc).replace("expects", "processing_guarantee expects", 1)
        ) from None
    if word == "exactly_once":
        refuse_without_app_id(app, name)
    return cast("Guarantee", word)


def refuse_without_app_id(app: "App", name: str) -> None:
    """Refuse exactly-once under the id that every app has that was not given one."""
    if app.conf.source("id") == "default":
        raise DeclarationError(
            f"{name}: processing_guarantee='exactly_once' needs an id that only this app has, "
            "because its transactions are named after it: write turbine.App('orders', ...)"
        )
