"""What a model says beyond types, for the core to check: rules, defaults, aliases."""

import json
import math
from collections import abc
from decimal import Decimal
from typing import Any, Final

import pydantic
import pydantic_core
from pydantic.fields import FieldInfo

from turbine.exceptions import DeclarationError

MAX_DECIMAL_DIGITS: Final = 38

_BOUNDS: Final = ("gt", "ge", "lt", "le")
_LENGTHS: Final = ("min_length", "max_length")
# What the core checks, by kind of column.
_CHECKED: Final[dict[str, tuple[str, ...]]] = {
    "int": _BOUNDS,
    "float": _BOUNDS,
    "Decimal": _BOUNDS,
    "str": _LENGTHS,
    "list": _LENGTHS,
}
# True of every decoded value, or without meaning for one: nothing to check.
_ALWAYS: Final = ("strict", "allow_inf_nan", "union_mode")
_CHANGES_VALUES: Final = (
    "str_strip_whitespace",
    "str_to_lower",
    "str_to_upper",
    "coerce_numbers_to_str",
)
_CONTAINERS: Final = (list, dict, set, frozenset, tuple, str, bytes, int, float, bool)


def refused(where: str, annotation: Any, instead: str) -> DeclarationError:
    """
    Make the error for a field that a batch cannot have.

    Args:
        where: Model and field, as ``Order.price``.
        annotation: The type as it was written.
        instead: What to write instead, or why not.

    Returns:
        The error, to raise.
    """
    name = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    name = name.replace("typing.", "")
    return DeclarationError(f"{where}: {name} cannot be a column of a batch: {instead}")


def constraints_of(
    kind: str, rules: list[Any], where: str
) -> tuple[dict[str, Any], dict[str, int]]:
    """
    Sort the rules of a field.

    Args:
        kind: Type of the column, as ``"int"``.
        rules: Metadata of the field as pydantic keeps it.
        where: Model and field, for the message.

    Returns:
        What the decoder checks, and ``max_digits`` and ``decimal_places``.

    Raises:
        DeclarationError: A rule that the decoder cannot check.
    """
    check: dict[str, Any] = {}
    options: dict[str, int] = {}
    for name, value in _flat(rules):
        if name in _CHECKED.get(kind, ()):
            check[name] = _bound(value, where) if name in _BOUNDS else int(value)
        elif kind == "Decimal" and name in ("max_digits", "decimal_places"):
            options[name] = int(value)
        elif name not in _ALWAYS:
            message = (
                f"{where}: a batch cannot check {name} on {kind}; remove it from the model and "
                "check the column in the handler, or read the topic with an agent"
            )
            raise DeclarationError(message)
    return check, options


def _flat(rules: abc.Iterable[Any]) -> abc.Iterator[tuple[str, Any]]:
    """Walk through pydantic's and annotated-types' markers as (name, value)."""
    for rule in rules:
        ours = type(rule).__module__.startswith(("annotated_types", "pydantic"))
        if isinstance(rule, pydantic.PlainSerializer | pydantic.WrapSerializer) or rule is None:
            continue
        if isinstance(rule, FieldInfo):
            yield from _flat(rule.metadata)
        elif hasattr(rule, "__is_annotated_types_grouped_metadata__"):
            yield from _flat(rule)
        elif ours:
            values = {name: v for name, v in _attributes(rule).items() if v is not None}
            if "func" in values or not values:
                yield type(rule).__name__, rule
            else:
                yield from values.items()
        elif hasattr(rule, "__get_pydantic_core_schema__"):
            # Markers of other libraries say nothing to pydantic, unless they change its schema.
            yield type(rule).__name__, rule


def _attributes(rule: Any) -> dict[str, Any]:
    slots = getattr(type(rule), "__slots__", ())
    named = {name: getattr(rule, name) for name in slots if hasattr(rule, name)}
    return {**named, **getattr(rule, "__dict__", {})}


def _bound(value: Any, where: str) -> int | float:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = float(value) if isinstance(value, float | Decimal) else math.nan
    if not math.isfinite(number) or Decimal(str(number)) != Decimal(str(value)):
        message = f"{where}: the bound {value!r} must be a finite number of at most 15 digits"
        raise DeclarationError(message)
    return number


def default_of(info: FieldInfo, where: str) -> str:
    """
    Write the value of a missing field as JSON text.

    Args:
        info: A field that is not required.
        where: Model and field, for the message.

    Returns:
        JSON text.

    Raises:
        DeclarationError: The default is not the same for every record, or has no JSON form.
    """
    factory: Any = info.default_factory
    if factory is None:
        default = info.default
    elif factory in _CONTAINERS or (
        isinstance(factory, type) and issubclass(factory, pydantic.BaseModel)
    ):
        default = factory()
    else:
        name = getattr(factory, "__name__", repr(factory))
        message = (
            f"{where}: default_factory={name} would have to run for every record; write a constant "
            "default, or T | None = None and fill the column in the handler"
        )
        raise DeclarationError(message)
    try:
        return pydantic_core.to_json(default, by_alias=True).decode()
    except pydantic_core.PydanticSerializationError as err:
        message = f"{where}: the default {default!r} has no JSON form: {err}"
        raise DeclarationError(message) from err


def json_names_of(
    name: str, info: FieldInfo, config: pydantic.ConfigDict, where: str
) -> dict[str, str]:
    """
    Find the names under which a field stands in the JSON.

    Args:
        name: Name of the field.
        info: The field.
        config: Settings of its model.
        where: Model and field, for the message.

    Returns:
        Metadata for the decoder; empty if the only name is *name*.

    Raises:
        DeclarationError: An alias that is a path.
    """
    alias = info.validation_alias if info.validation_alias is not None else info.alias
    choices = alias.choices if isinstance(alias, pydantic.AliasChoices) else [alias]
    if any(isinstance(choice, pydantic.AliasPath) for choice in choices):
        message = f"{where}: AliasPath cannot be decoded into a column; declare the outer object"
        raise DeclarationError(message)
    names = [choice for choice in choices if isinstance(choice, str)]
    if config.get("validate_by_alias") is False:
        names = []
    if not names or config.get("populate_by_name") or config.get("validate_by_name"):
        names.append(name)
    return {} if names == [name] else {"turbine.names": json.dumps(names)}


def model_metadata(model: type[pydantic.BaseModel]) -> dict[str, str]:
    """
    Read what a model says about its objects as a whole.

    Args:
        model: The model.

    Returns:
        Metadata for the decoder.

    Raises:
        DeclarationError: The model has validators, or settings that change values.
    """
    decorators = model.__pydantic_decorators__
    validators = [
        *decorators.validators,
        *decorators.field_validators,
        *decorators.root_validators,
        *decorators.model_validators,
    ]
    if validators:
        message = (
            f"{model.__name__}.{validators[0]} is a validator, and no Python runs for the records "
            "of a batch: check the columns in the handler, or read the topic with an agent"
        )
        raise DeclarationError(message)
    for setting in _CHANGES_VALUES:
        if model.model_config.get(setting):
            message = f"{model.__name__}: {setting} changes values, which a batch cannot; remove it"
            raise DeclarationError(message)
    extra = model.model_config.get("extra")
    if extra == "allow":
        message = (
            f"{model.__name__}: extra='allow' has no column for unknown names; write "
            "extra='ignore', or leave model out to have the schema inferred"
        )
        raise DeclarationError(message)
    return {"turbine.extra": "forbid"} if extra == "forbid" else {}
