"""How the type that a program names becomes a decoder of the core."""

import types
import typing
from typing import Any

from turbine.exceptions import DeclarationError

__all__ = ["check_type", "decoder_for", "is_model", "takes_json"]

_WORDS: tuple[tuple[Any, str], ...] = (
    (bytes, "raw"),
    (str, "str"),
    (int, "int"),
    (dict, "json"),
    (list, "json"),
    (object, "json"),
    (Any, "json"),
)


def _word_for(candidate: Any) -> str | None:
    # By identity: an annotated type need not be hashable, nor compare as one expects.
    return next((word for known, word in _WORDS if candidate is known), None)


def is_model(candidate: object) -> bool:
    """Whether *candidate* is a pydantic model class, without importing pydantic."""
    return isinstance(candidate, type) and hasattr(candidate, "model_validate_json")


def takes_json(value_type: Any) -> bool:
    """Whether values of a topic are JSON of any shape, so that text must be written with quotes."""
    return value_type is None or _word_for(value_type) == "json"


def check_type(kind: str, candidate: Any) -> None:
    """
    Refuse what cannot be a key or value type.

    Raises:
        DeclarationError: *candidate* is an instance, or pydantic cannot validate it.
    """
    if candidate is None or _word_for(candidate) is not None or is_model(candidate):
        return
    if isinstance(candidate, type | types.GenericAlias | types.UnionType) or typing.get_origin(
        candidate
    ):
        decoder_for(candidate, default="json")
        return
    raise DeclarationError(
        f"{kind}={candidate!r} is not a type: "
        f"write {kind}=str, bytes, int, dict, or a class that derives from turbine.Record"
    )


def decoder_for(candidate: Any, *, default: str) -> Any:
    """
    Give the decoder of a key or value type.

    Args:
        candidate: What the program named; None if nothing.
        default: Decoder without a type: ``"raw"`` for keys, ``"json"`` for values.

    Returns:
        ``"raw"``, ``"str"``, ``"int"``, ``"json"``, or a pydantic ``SchemaValidator``.

    Raises:
        DeclarationError: pydantic cannot validate the type.
    """
    if candidate is None:
        return default
    word = _word_for(candidate)
    if word is not None:
        return word
    if is_model(candidate):
        candidate.model_rebuild()
        return candidate.__pydantic_validator__
    from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter

    try:
        return TypeAdapter(candidate).validator
    except (PydanticSchemaGenerationError, PydanticUserError) as exc:
        reason = str(exc).splitlines()[0]
        raise DeclarationError(
            f"{candidate!r} cannot be read from a record ({reason}): "
            f"use str, bytes, int, dict, a dataclass, or a class that derives from turbine.Record"
        ) from None
