"""
Typed records: `Record`, and the Arrow schema of a model.

A model describes the JSON of a topic. Agents get its instances, validated by pydantic.
Subscriptions get columns: the core decodes JSON straight into the schema that `arrow_schema`
derives from the model, and no Python runs for a record. So a model for a subscription must be one
whose rules the core can check; anything else is refused where it is declared.

=================================  ==========================================================
Python                             Arrow
=================================  ==========================================================
``bool``, ``int``, ``float``       ``bool``, ``int64``, ``float64``
``str``, ``UUID``                  ``utf8``
``bytes``                          ``binary`` (the UTF-8 bytes of a JSON string)
``datetime``                       ``timestamp[us, UTC]``; text without an offset is UTC
``AwareDatetime``                  ``timestamp[us, UTC]``; text without an offset is refused
``NaiveDatetime``                  ``timestamp[us]``; text with an offset is refused
``date``, ``time``                 ``date32``, ``time64[us]``
``timedelta``                      ``duration[us]``
``Decimal``                        ``decimal128(38, 9)``, or with the field's ``max_digits`` and
                                   ``decimal_places``
``Enum``, ``Literal``              ``utf8`` or ``int64``; other values are refused
``list[T]``, ``set[T]``,           ``list<T>``; a set keeps repeated items
``tuple[T, ...]``, ``Sequence[T]``
``dict[str, T]``                   ``map<utf8, T>``
a model                            ``struct``
``T | None``                       ``T``, nullable
``Any``, ``dict``, ``list``        ``utf8`` that holds JSON text, written back as JSON
=================================  ==========================================================

A column has the field's Python name; in JSON the field stands under its alias. Bounds (``gt``,
``ge``, ``lt``, ``le``), lengths and defaults work as in pydantic. Types are strict: ``"5"`` and
``true`` are no integers, ``5.0`` is one.
"""

import enum
import json
import types
import typing
from collections import abc
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, get_args, get_origin
from uuid import UUID

import pyarrow as pa
import pydantic
from pydantic.fields import FieldInfo

from turbine._constraints import (
    MAX_DECIMAL_DIGITS,
    constraints_of,
    default_of,
    json_names_of,
    model_metadata,
    refused,
)
from turbine.exceptions import DeclarationError

__all__ = ["Record", "arrow_schema"]

_RAW: Final = {"turbine.json": "1"}
_DECIMAL_PLACES: Final = 9

_PLAIN: Final[dict[Any, tuple[pa.DataType, str]]] = {
    bool: (pa.bool_(), "bool"),
    int: (pa.int64(), "int"),
    float: (pa.float64(), "float"),
    str: (pa.utf8(), "str"),
    bytes: (pa.binary(), "bytes"),
    datetime: (pa.timestamp("us", tz="UTC"), "datetime"),
    pydantic.AwareDatetime: (pa.timestamp("us", tz="UTC"), "datetime"),
    pydantic.NaiveDatetime: (pa.timestamp("us"), "datetime"),
    date: (pa.date32(), "date"),
    time: (pa.time64("us"), "time"),
    timedelta: (pa.duration("us"), "timedelta"),
    UUID: (pa.utf8(), "UUID"),
}
_PLAIN_METADATA: Final[dict[Any, dict[str, str]]] = {pydantic.AwareDatetime: {"turbine.aware": "1"}}
_PLAIN_CHECK: Final[dict[Any, dict[str, Any]]] = {UUID: {"uuid": True}}

_LISTS: Final = (list, set, frozenset, abc.Sequence, abc.Set, abc.Collection, abc.Iterable)
_DICTS: Final = (dict, abc.Mapping, abc.MutableMapping)

_ANYTHING: Final = (Any, object, pydantic.JsonValue)
_BARE: Final[dict[Any, str]] = {
    **dict.fromkeys((*_LISTS, tuple), "array"),
    **dict.fromkeys(_DICTS, "object"),
}

_INSTEAD: Final[dict[str, str]] = {
    "EmailStr": "str",
    "SecretStr": "str",
    "SecretBytes": "bytes",
    "AnyUrl": "str",
    "HttpUrl": "str",
    "IPv4Address": "str",
    "IPv6Address": "str",
    "Path": "str",
    "PosixPath": "str",
    "Pattern": "str",
    "PastDatetime": "datetime",
    "FutureDatetime": "datetime",
    "PastDate": "date",
    "FutureDate": "date",
    "complex": "float",
    "Json": "str",
}


class Record(pydantic.BaseModel):
    """
    Base of typed values.

    ::

        class Order(turbine.Record):
            user: str
            amount: Decimal

    A pydantic model like any other: any `pydantic.BaseModel` does as well.
    """


@dataclass(frozen=True)
class _Shape:
    """
    The Arrow side of an annotation.

    Attributes:
        type: Arrow type.
        nullable: Is JSON ``null`` a value of it?
        metadata: What the decoder needs to know beyond the type.
        check: What is allowed beyond the type.
    """

    type: pa.DataType
    nullable: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    check: dict[str, Any] = field(default_factory=dict)

    def field(self, name: str, extra: dict[str, str] | None = None) -> "pa.Field[Any]":
        """Make a field of this shape, with *extra* metadata."""
        metadata = {**self.metadata, **(extra or {})}
        if self.check:
            metadata["turbine.check"] = json.dumps(self.check)
        return pa.field(name, self.type, nullable=self.nullable, metadata=metadata or None)


def arrow_schema(model: type[pydantic.BaseModel]) -> pa.Schema:
    """
    Derive the Arrow schema of *model*, with what the decoder needs in its metadata.

    Args:
        model: A `Record` or other pydantic model.

    Returns:
        One field for each field of the model, in its order, named as in Python.

    Raises:
        DeclarationError: The model has a type or rule that the core cannot decode or check; the
            message names the field and what to write instead.
    """
    candidate: Any = model
    if not (isinstance(candidate, type) and issubclass(candidate, pydantic.BaseModel)):
        message = f"{candidate!r} is not a model: write a class that derives from turbine.Record"
        raise DeclarationError(message)
    if issubclass(model, pydantic.RootModel):
        message = (
            f"{model.__name__} is a RootModel, and a row needs named fields: "
            "write a class that derives from turbine.Record"
        )
        raise DeclarationError(message)
    metadata = typing.cast("dict[bytes | str, bytes | str]", model_metadata(model))
    return pa.schema(_fields(model, model.__name__, ()), metadata=metadata or None)


def _fields(
    model: type[pydantic.BaseModel], where: str, within: tuple[type, ...]
) -> "list[pa.Field[Any]]":
    if model in within:
        raise refused(
            where, model, "it contains itself; write Any to keep the inner part as JSON text"
        )
    if not model.__pydantic_complete__:
        try:
            model.model_rebuild()
        except (NameError, pydantic.errors.PydanticUndefinedAnnotation) as err:
            message = f"{model.__name__}: {err}; define or import the name before the declaration"
            raise DeclarationError(message) from err
    return [
        _field(name, info, model.model_config, f"{where}.{name}", (*within, model))
        for name, info in model.model_fields.items()
    ]


def _field(
    name: str,
    info: FieldInfo,
    config: pydantic.ConfigDict,
    where: str,
    within: tuple[type, ...],
) -> "pa.Field[Any]":
    shape = _shape(info.annotation, list(info.metadata), where, within)
    extra = json_names_of(name, info, config, where)
    if info.is_required():
        if shape.nullable:
            extra["turbine.required"] = "1"
        return shape.field(name, extra)
    default = default_of(info, where)
    if default == "null":
        # Without validation of defaults, pydantic lets `x: int = None` be None when missing. The
        # decoder cannot tell that null from one in the JSON.
        return replace(shape, nullable=True).field(name, extra)
    return shape.field(name, {**extra, "turbine.default": default})


def _shape(annotation: Any, rules: list[Any], where: str, within: tuple[type, ...]) -> _Shape:
    annotation, inner_rules = _unwrap(annotation)
    rules = [*inner_rules, *rules]
    origin = get_origin(annotation)
    if annotation in _ANYTHING or annotation in _BARE:
        return _raw(annotation, rules, where)
    for origins, make in _GENERIC:
        if origin in origins:
            return make(annotation, rules, where, within)
    if not isinstance(annotation, type) or annotation in _PLAIN or annotation is Decimal:
        return _plain(annotation, rules, where)
    return _class(annotation, rules, where, within)


def _raw(annotation: Any, rules: list[Any], where: str) -> _Shape:
    _no_rules(rules, "JSON text", where)
    if annotation in _ANYTHING:
        return _Shape(pa.utf8(), nullable=True, metadata=_RAW)
    return _Shape(pa.utf8(), metadata=_RAW, check={"json": _BARE[annotation]})


def _unwrap(annotation: Any) -> tuple[Any, list[Any]]:
    """Take `Annotated`, `NewType` and ``type X = ...`` apart."""
    rules: list[Any] = []
    while True:
        if get_origin(annotation) is Annotated:
            rules = [*annotation.__metadata__, *rules]
            annotation = annotation.__origin__
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType" and annotation is not pydantic.JsonValue:
            annotation = annotation.__value__
        else:
            return annotation, rules


def _plain(annotation: Any, rules: list[Any], where: str) -> _Shape:
    if annotation is Decimal:
        check, options = constraints_of("Decimal", rules, where)
        return _Shape(_decimal(options, where), check=check)
    try:
        arrow, kind = _PLAIN[annotation]
    except (KeyError, TypeError):
        instead = "write one of the types of turbine.models, or Any to keep JSON text"
        raise refused(where, annotation, instead) from None
    check, _ = constraints_of(kind, rules, where)
    return _Shape(
        arrow,
        metadata=_PLAIN_METADATA.get(annotation, {}),
        check={**_PLAIN_CHECK.get(annotation, {}), **check},
    )


def _decimal(options: dict[str, int], where: str) -> pa.DataType:
    digits = options.get("max_digits", MAX_DECIMAL_DIGITS)
    if "max_digits" in options and "decimal_places" not in options:
        raise refused(
            where, Decimal, "give decimal_places too: Field(max_digits=12, decimal_places=2)"
        )
    places = options.get("decimal_places", _DECIMAL_PLACES)
    if not 0 <= places <= digits <= MAX_DECIMAL_DIGITS:
        raise refused(where, Decimal, f"a column holds at most {MAX_DECIMAL_DIGITS} digits")
    return pa.decimal128(digits, places)


def _optional(annotation: Any, rules: list[Any], where: str, within: tuple[type, ...]) -> _Shape:
    kinds = [arg for arg in get_args(annotation) if arg is not types.NoneType]
    if len(kinds) != 1:
        instead = "a column has one type; write that type, or Any to keep JSON text"
        raise refused(where, annotation, instead)
    return replace(_shape(kinds[0], rules, where, within), nullable=True)


def _literal(annotation: Any, rules: list[Any], where: str, _: tuple[type, ...]) -> _Shape:
    _no_rules(rules, "Literal", where)
    return _listed(get_args(annotation), annotation, where)


def _listed(values: abc.Sequence[Any], annotation: Any, where: str) -> _Shape:
    """Enum and Literal: the values that are allowed."""
    known = [v.value if isinstance(v, enum.Enum) else v for v in values if v is not None]
    nullable = len(known) < len(values)
    if known and all(type(v) is str or isinstance(v, str) for v in known):
        return _Shape(pa.utf8(), nullable, check={"values": [str(v) for v in known]})
    if known and all(isinstance(v, int) and not isinstance(v, bool) for v in known):
        return _Shape(pa.int64(), nullable, check={"values": [int(v) for v in known]})
    raise refused(where, annotation, "its values must be all str or all int")


def _list(annotation: Any, rules: list[Any], where: str, within: tuple[type, ...]) -> _Shape:
    args = get_args(annotation)
    check, _ = constraints_of("list", rules, where)
    if get_origin(annotation) is tuple and args[-1:] != (...,):
        if len(set(args)) != 1:
            raise refused(where, annotation, "write tuple[T, ...] of one type, a model, or Any")
        check = {**check, "min_length": len(args), "max_length": len(args)}
    item = _shape(args[0], [], f"{where}[]", within)
    return _Shape(pa.list_(item.field("item")), check=check)


def _dict(annotation: Any, rules: list[Any], where: str, within: tuple[type, ...]) -> _Shape:
    args = get_args(annotation)
    key, rest = _unwrap(args[0])
    if key is not str or rest:
        raise refused(where, annotation, "names in JSON are text without rules; write dict[str, T]")
    if _unwrap(args[1])[0] in (Any, object):
        _no_rules(rules, "JSON text", where)
        return _Shape(pa.utf8(), metadata=_RAW, check={"json": "object"})
    _no_rules(rules, "dict", where)
    value = _shape(args[1], [], f"{where}[]", within)
    item: Any = value.field("value")  # a field keeps what a type alone would lose: null and rules
    return _Shape(pa.map_(pa.utf8(), item))


def _class(annotation: type, rules: list[Any], where: str, within: tuple[type, ...]) -> _Shape:
    if issubclass(annotation, enum.Enum):
        if issubclass(annotation, enum.Flag):
            raise refused(where, annotation, "write int")
        _no_rules(rules, "Enum", where)
        return _listed(list(annotation), annotation, where)
    if issubclass(annotation, pydantic.RootModel):
        model_metadata(annotation)
        root = annotation.model_fields["root"]
        return _shape(root.annotation, [*root.metadata, *rules], where, (*within, annotation))
    if issubclass(annotation, pydantic.BaseModel):
        _no_rules(rules, "a model", where)
        fields = _fields(annotation, where, within)
        return _Shape(pa.struct(fields), metadata=model_metadata(annotation))
    instead = _INSTEAD.get(annotation.__name__)
    if instead is None:
        instead = "a class that derives from turbine.Record, or Any to keep JSON text"
    raise refused(where, annotation, f"write {instead}")


def _no_rules(rules: list[Any], kind: str, where: str) -> None:
    constraints_of(kind, rules, where)


_GENERIC: Final[tuple[tuple[tuple[Any, ...], abc.Callable[..., _Shape]], ...]] = (
    ((typing.Union, types.UnionType), _optional),
    ((Literal,), _literal),
    ((*_LISTS, tuple), _list),
    (_DICTS, _dict),
)
