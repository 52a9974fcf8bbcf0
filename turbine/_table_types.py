"""How the key and value types of a table become a codec of the core."""

from typing import TYPE_CHECKING, Any

from turbine._decoders import decoder_for, is_model
from turbine.exceptions import DeclarationError

if TYPE_CHECKING:
    from turbine._native import TableCodec

__all__ = ["codec_for"]

_WORDS: tuple[tuple[Any, str], ...] = (
    (None, "json"),
    (bytes, "raw"),
    (str, "str"),
    (int, "int"),
    (float, "float"),
    (bool, "bool"),
    (dict, "json"),
    (list, "json"),
    (object, "json"),
    (Any, "json"),
)


def codec_for(name: str, key_type: Any, value_type: Any) -> "TableCodec":
    """
    Make the codec of table *name*.

    Args:
        name: Of the table, for messages.
        key_type: ``str``, ``bytes``, ``int``, ``float``, ``bool``, or what pydantic can write as
            JSON; None: what JSON can hold.
        value_type: The same.

    Raises:
        DeclarationError: pydantic cannot write and read the type.
    """
    from turbine._native import TableCodec

    return TableCodec(name, _form("key_type", key_type), _form("value_type", value_type))


def _form(kind: str, candidate: Any) -> Any:
    word = next((word for known, word in _WORDS if candidate is known), None)
    if word is not None:
        return word
    if is_model(candidate):
        candidate.model_rebuild()
        return candidate.__pydantic_validator__, candidate.__pydantic_serializer__
    if isinstance(candidate, str | bytes | int | float | list | dict):
        raise DeclarationError(
            f"{kind}={candidate!r} is not a type: write {kind}=str, int, or a class that derives "
            "from turbine.Record"
        )
    decoder_for(candidate, default="json")
    from pydantic import TypeAdapter

    adapter = TypeAdapter(candidate)
    return adapter.validator, adapter.serializer
