"""
How the type of a field becomes a schema of pydantic's core.

Records are lenient: a plain ``str`` or ``int`` is taken as it came. What is converted: records,
dates and decimals wherever they stand, the containers around them, named tuples, sets and tuples,
and the types that ``coercions`` names. With ``coerce=True`` also enums, UUIDs, and the other types
that pydantic reads. What is not here: the rules of single fields (`fields`), and of a record as a
whole (`schemas`).
"""

import dataclasses
import enum
import types
import typing
from collections import abc, defaultdict
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, TypeAdapter
from pydantic_core import CoreSchema, SchemaValidator, core_schema

from turbine.faust.utils import iso8601
from turbine.faust.utils.json import str_to_decimal

__all__ = ["NodeType", "TypeExpression", "remove_optional", "to_datetime", "to_decimal"]

_LISTS: Final = (
    list,
    abc.Sequence,
    abc.MutableSequence,
    abc.Iterable,
    abc.Collection,
)
_SETS: Final = (set, abc.Set, abc.MutableSet)
_DICTS: Final = (dict, abc.Mapping, abc.MutableMapping)
_COERCED: Final = (enum.Enum, UUID, date, time, timedelta, PurePath)
_JSON: Final = (str, list, dict, int, float, Decimal)


class NodeType(enum.Enum):
    """What a type expression can be made of."""

    UNION = "UNION"
    LITERAL = "LITERAL"
    DATETIME = "DATETIME"
    DECIMAL = "DECIMAL"
    NAMEDTUPLE = "NAMEDTUPLE"
    TUPLE = "TUPLE"
    SET = "SET"
    DICT = "DICT"
    LIST = "LIST"
    MODEL = "MODEL"
    USER = "USER"


_NAMED: Final = {
    NodeType.DATETIME,
    NodeType.DECIMAL,
    NodeType.MODEL,
    NodeType.NAMEDTUPLE,
    NodeType.USER,
}
_CONTAINERS: Final = {NodeType.TUPLE, NodeType.SET}


def to_datetime(value: Any, parse: Callable[[str], datetime] = iso8601.parse) -> Any:
    """Read a date that is text; anything else stays as it is."""
    return parse(value) if isinstance(value, str) else value


def to_decimal(value: Any) -> Any:
    """Read a number exactly; None and decimals stay as they are."""
    if value is None or isinstance(value, Decimal):
        return value
    return str_to_decimal(value if isinstance(value, str) else str(value))


def _is_union(kind: Any) -> bool:
    origin = typing.get_origin(kind)
    return origin is typing.Union or origin is types.UnionType


def remove_optional(kind: Any) -> tuple[Any, bool]:
    """Give the type without None, and whether None was in it."""
    if not _is_union(kind):
        return kind, False
    rest = tuple(one for one in typing.get_args(kind) if one is not types.NoneType)
    optional = len(rest) < len(typing.get_args(kind))
    return (rest[0] if len(rest) == 1 else typing.Union[rest]), optional  # noqa: UP007


class TypeExpression:
    """
    The schema of one type.

    Args:
        kind: The type as it is annotated.
        user_types: Functions that make a value of a type from what JSON gave.
        date_parser: Reads the text of dates; None: ISO 8601.
        coerce: Are enums, UUIDs and other types of the standard library converted too?

    Attributes:
        found_types: What it is made of: kinds of nodes, and the types of each.
        schema: Converts values; records in it are references by `reference`.
        records: Record classes that the schema refers to.
    """

    def __init__(
        self,
        kind: Any,
        *,
        user_types: Mapping[Any, Callable[[Any], Any]] | None = None,
        date_parser: Callable[[str], datetime] | None = None,
        coerce: bool = False,
    ) -> None:
        self.kind = kind
        self.found_types: defaultdict[NodeType, set[Any]] = defaultdict(set)
        self.records: set[Any] = set()
        self._seen: set[NodeType] = set()
        self._user_types = user_types or {}
        self._date_parser = date_parser or iso8601.parse
        self._coerce = coerce
        self.schema = self._build(kind)

    @property
    def is_converted(self) -> bool:
        """Does it change what JSON gives, or may a bad value make it fail?"""
        return bool(self._seen & _NAMED)

    @property
    def is_container(self) -> bool:
        """Are there sets or tuples in it, of types that are taken as they come?"""
        return not self.is_converted and bool(self._seen & _CONTAINERS)

    def as_function(self, **_: Any) -> Callable[[Any], Any]:
        """Give the conversion as a function of one value."""
        from turbine.faust.models.schemas import with_definitions

        nullable = core_schema.nullable_schema(self.schema)
        return SchemaValidator(with_definitions(nullable, self.records)).validate_python

    def _build(self, kind: Any) -> CoreSchema:
        kind, optional = remove_optional(kind)
        schema = self._of(kind)
        return core_schema.nullable_schema(schema) if optional else schema

    def _of(self, kind: Any) -> CoreSchema:
        for known, handler in self._user_types.items():
            if _is_subclass(kind, known):
                return self._user(kind, handler)
        if _is_union(kind):
            return self._union(typing.get_args(kind))
        origin = typing.get_origin(kind) or kind
        if origin is typing.Annotated:
            return self._of(typing.get_args(kind)[0])
        return self._class(origin, kind) if isinstance(origin, type) else core_schema.any_schema()

    def _class(self, origin: type, kind: Any) -> CoreSchema:
        if hasattr(origin, "__is_model__"):
            return self._record(origin)
        if issubclass(origin, Decimal):
            return self._function(NodeType.DECIMAL, kind, to_decimal)
        if issubclass(origin, datetime):
            parse = self._date_parser
            return self._function(NodeType.DATETIME, kind, lambda value: to_datetime(value, parse))
        if issubclass(origin, str | bytes | int | float) and not issubclass(origin, enum.Enum):
            return core_schema.any_schema()
        if issubclass(origin, tuple):
            return self._tuple(origin, typing.get_args(kind))
        container = self._container(origin, typing.get_args(kind))
        return container or self._other(origin, kind)

    def _function(self, node: NodeType, kind: Any, function: Callable[[Any], Any]) -> CoreSchema:
        self._note(node, kind)
        return core_schema.no_info_plain_validator_function(function)

    def _note(self, node: NodeType, kind: Any) -> None:
        self._seen.add(node)
        if node in {NodeType.DECIMAL, NodeType.DATETIME, NodeType.MODEL, NodeType.USER}:
            self.found_types[node].add(kind)

    def _user(self, kind: Any, handler: Callable[[Any], Any]) -> CoreSchema:
        return self._function(
            NodeType.USER, kind, lambda value: handler(value) if isinstance(value, _JSON) else value
        )

    def _union(self, kinds: tuple[Any, ...]) -> CoreSchema:
        """Records are told apart by the name they carry; other mixtures stay as they are."""
        from turbine.faust.models.base import Model

        if all(_is_subclass(kind, Model) for kind in kinds):
            return self._record(Model)
        self._seen.add(NodeType.UNION)
        return core_schema.any_schema()

    def _record(self, kind: Any) -> CoreSchema:
        from turbine.faust.models.base import from_data_field
        from turbine.faust.models.schemas import reference

        self._note(NodeType.MODEL, kind)
        if kind.__is_abstract__:
            return core_schema.no_info_plain_validator_function(from_data_field)
        self.records.add(kind)
        return core_schema.nullable_schema(core_schema.definition_reference_schema(reference(kind)))

    def _tuple(self, kind: type, arguments: tuple[Any, ...]) -> CoreSchema:
        if hasattr(kind, "_fields") and hasattr(kind, "_make"):
            return self._named_tuple(kind)
        self._seen.add(NodeType.TUPLE)
        if not arguments:
            return core_schema.tuple_schema([core_schema.any_schema()], variadic_item_index=0)
        if arguments[-1] is Ellipsis:
            return core_schema.tuple_schema([self._build(arguments[0])], variadic_item_index=0)
        length = len(arguments)
        return core_schema.no_info_before_validator_function(
            lambda value: tuple(value)[:length],
            core_schema.tuple_schema([self._build(one) for one in arguments]),
        )

    def _named_tuple(self, kind: Any) -> CoreSchema:
        self._seen.add(NodeType.NAMEDTUPLE)
        hints = typing.get_type_hints(kind)
        names: tuple[str, ...] = kind._fields
        items = core_schema.tuple_schema([self._build(hints.get(name, Any)) for name in names])
        return core_schema.no_info_after_validator_function(kind._make, items)

    def _container(self, origin: type, arguments: tuple[Any, ...]) -> CoreSchema | None:
        if origin is frozenset:
            self._seen.add(NodeType.SET)
            return core_schema.frozenset_schema(self._item(arguments))
        if origin in _SETS:
            self._seen.add(NodeType.SET)
            return core_schema.set_schema(self._item(arguments))
        if origin in _LISTS:
            self._seen.add(NodeType.LIST)
            return core_schema.list_schema(self._item(arguments))
        if origin in _DICTS:
            self._seen.add(NodeType.DICT)
            keys, values = (self._build(one) for one in arguments or (Any, Any))
            return core_schema.dict_schema(keys, values)
        return None

    def _item(self, arguments: tuple[Any, ...]) -> CoreSchema:
        return self._build(arguments[0]) if arguments else core_schema.any_schema()

    def _other(self, origin: type, kind: Any) -> CoreSchema:
        """Types that only pydantic knows."""
        always = issubclass(origin, BaseModel) or dataclasses.is_dataclass(origin)
        if always or (self._coerce and issubclass(origin, _COERCED)):
            self._seen.add(NodeType.USER)
            adapter: TypeAdapter[Any] = TypeAdapter(kind)
            return core_schema.no_info_plain_validator_function(adapter.validate_python)
        return core_schema.any_schema()


def _is_subclass(kind: Any, known: Any) -> bool:
    try:
        return issubclass(kind, known)
    except TypeError:
        return False
