"""
Schemas of record classes for pydantic's core.

With them bytes of JSON become records without Python code, but for dates, decimals and
``__post_init__``.
"""

from collections.abc import Callable, Iterable
from typing import Any

import pydantic
from pydantic_core import CoreSchema, SchemaSerializer, SchemaValidator, core_schema

from turbine.faust.models.descriptors import FieldDescriptor, RecordField
from turbine.faust.models.fields import TYPE_TO_FIELD
from turbine.faust.models.typing import NodeType, TypeExpression

__all__ = [
    "Compiled",
    "fields_validator",
    "full_schema",
    "is_prepared",
    "make_serializer",
    "make_validator",
    "original",
    "preparations",
    "reference",
    "with_definitions",
]

_EXACT = {int: core_schema.int_schema(strict=True), float: core_schema.float_schema(strict=True)}


_NO_FIELD = ("()", "()]")
"""Ends of what stands in the path of an error and is no field: functions, and choices."""


class Compiled:
    """
    A class attribute that is made when it is asked for first: all classes may be declared by then.

    Args:
        make: Makes it for a class.
    """

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __set_name__(self, owner: Any, name: str) -> None:
        self._name = name

    def on(self, cls: Any, name: str) -> None:
        """Stand in for the attribute *name* of *cls*, whatever its bases have."""
        self._name = name
        setattr(cls, name, self)

    def __get__(self, instance: Any, owner: Any) -> Any:
        value = self._make(owner)
        setattr(owner, self._name, value)
        return value


def reference(cls: Any) -> str:
    """Name a class in schemas."""
    return f"{cls._options.namespace}:{id(cls)}"


def with_definitions(schema: CoreSchema, records: Iterable[Any]) -> CoreSchema:
    """Add the schemas of *records*, and of those in them, which *schema* refers to."""
    definitions: dict[Any, CoreSchema] = {}
    pending = list(records)
    while pending:
        cls = pending.pop()
        if cls in definitions:
            continue
        definitions[cls], inner = _record(cls)
        pending.extend(inner)
    if not definitions:
        return schema
    return core_schema.definitions_schema(schema, list(definitions.values()))


def full_schema(cls: Any) -> CoreSchema:
    """Give the schema of *cls* with all that it refers to."""
    return with_definitions(core_schema.definition_reference_schema(reference(cls)), [cls])


def make_validator(cls: Any) -> SchemaValidator:
    """Make what reads records of *cls* from data."""
    return SchemaValidator(full_schema(cls))


def make_serializer(cls: Any) -> SchemaSerializer:
    """Make what writes records of *cls*."""
    return SchemaSerializer(full_schema(cls))


def fields_validator(cls: Any) -> SchemaValidator:
    """Make what converts a dict of data into one of fields, and gives ``(fields, None)``."""
    arguments, records = _arguments(cls)
    return SchemaValidator(with_definitions(arguments, records))


def original(error: pydantic.ValidationError, cls: Any) -> Exception:
    """Give the error that a program expects: `TypeError` for a missing field, else its cause."""
    for found in error.errors(include_url=False):
        where = ".".join(str(part) for part in found["loc"] if not str(part).endswith(_NO_FIELD))
        if found["type"] == "missing":
            return TypeError(f"{cls.__name__} needs a value for its field {where!r}")
        cause = found.get("ctx", {}).get("error")
        if isinstance(cause, Exception):
            return cause
    return error


def _first_of(*schemas: CoreSchema) -> CoreSchema:
    """Take the first that a value fits."""
    labelled: list[CoreSchema | tuple[CoreSchema, str]] = [(schema, "()") for schema in schemas]
    return core_schema.union_schema(labelled, mode="left_to_right")


def _represent(record: Any) -> Any:
    return record.to_representation()


_WRITE = core_schema.plain_serializer_function_ser_schema(_represent)


def _record(cls: Any) -> tuple[CoreSchema, set[Any]]:
    """Make the schema that stands under the reference of *cls*."""
    from turbine.faust.models.base import Model

    if cls._has_own_init:
        function = core_schema.no_info_plain_validator_function(
            lambda data: cls.from_data(data, preferred_type=cls),
            ref=reference(cls),
            serialization=_WRITE,
        )
        return function, set()
    arguments, records = _arguments(cls)
    schema: CoreSchema = core_schema.dataclass_schema(
        cls,
        arguments,
        list(cls._options.fields),
        post_init=hasattr(cls, "__post_init__"),
    )
    if cls._options.validation:
        schema = core_schema.no_info_after_validator_function(_validated, schema)
    if Model._is_any_polymorphic:
        schema = core_schema.no_info_wrap_validator_function(_chooser(cls), schema)
    instance = core_schema.is_instance_schema(Model)
    either = core_schema.json_or_python_schema(
        schema,
        _first_of(instance, schema),
        ref=reference(cls),
        serialization=_WRITE,
    )
    return either, records


def _validated(record: Any) -> Any:
    record.validate_or_raise()
    return record


def _chooser(cls: Any) -> Callable[[Any, Any], Any]:
    def choose(data: Any, read: Any) -> Any:
        named = cls._maybe_namespace(data, preferred_type=cls)
        return read(data) if named is None or named is cls else named.from_data(data)

    return choose


def _arguments(cls: Any) -> tuple[CoreSchema, set[Any]]:
    records: set[Any] = set()
    fields = []
    for name, descriptor in cls._options.descriptors.items():
        schema, inner = _field(descriptor)
        records |= inner
        fields.append(
            core_schema.dataclass_field(
                name,
                _optional(schema, cls._options.defaults[name])
                if name in cls._options.defaults
                else schema,
                validation_alias=descriptor.input_name,
            )
        )
    arguments = core_schema.dataclass_args_schema(cls.__name__, fields, extra_behavior="allow")
    return arguments, records


def _optional(schema: CoreSchema, default: Any) -> CoreSchema:
    """Let a field be missing; null counts as missing."""
    if default is None:
        return core_schema.with_default_schema(core_schema.nullable_schema(schema), default=None)
    instead = core_schema.no_info_after_validator_function(
        lambda _: default, core_schema.none_schema()
    )
    either = _first_of(instead, schema)
    if isinstance(default, list | dict | set):
        return core_schema.with_default_schema(either, default_factory=default.copy)
    return core_schema.with_default_schema(either, default=default)


def _field(descriptor: FieldDescriptor[Any]) -> tuple[CoreSchema, set[Any]]:
    """Make the schema of a field as data holds it."""
    expression = descriptor.expression()
    if _is_scalar(descriptor, expression):
        return _scalar(descriptor), set()
    schema = expression.schema
    if expression.is_container:
        schema = _first_of(schema, core_schema.any_schema())
    elif not expression.is_converted:
        schema = core_schema.any_schema()
    else:
        schema = core_schema.nullable_schema(schema)
    if type(descriptor) not in _PLAIN:
        schema = core_schema.no_info_after_validator_function(descriptor.to_python, schema)
    return _tagged(descriptor, schema), expression.records


_PLAIN = (FieldDescriptor, RecordField)
_BUILT_IN = frozenset(TYPE_TO_FIELD.values())


def _is_scalar(descriptor: FieldDescriptor[Any], expression: TypeExpression) -> bool:
    return type(descriptor) in _BUILT_IN and not expression.found_types[NodeType.USER]


def _scalar(descriptor: FieldDescriptor[Any]) -> CoreSchema:
    options = descriptor.model._options
    kind = next(kind for kind, field in TYPE_TO_FIELD.items() if field is type(descriptor))
    by_option = {"datetime": options.isodates, "Decimal": options.decimals}
    if not (descriptor.coerce or by_option.get(kind.__name__)):
        return _tagged(descriptor, core_schema.any_schema())
    convert = core_schema.no_info_plain_validator_function(descriptor.to_python)
    exact = _EXACT.get(kind)
    if exact is None:
        return _tagged(descriptor, convert)
    return _tagged(descriptor, _first_of(exact, convert))


def _tagged(descriptor: FieldDescriptor[Any], schema: CoreSchema) -> CoreSchema:
    if descriptor.tag is None:
        return schema
    return core_schema.no_info_after_validator_function(
        lambda value: descriptor.tag(value, field=descriptor.field), schema
    )


def is_prepared(descriptor: FieldDescriptor[Any]) -> bool:
    """Is what a program sets converted before it is kept?"""
    expression = descriptor.expression()
    has_rule = type(descriptor) not in _PLAIN and (
        descriptor.coerce or type(descriptor) not in _BUILT_IN
    )
    return has_rule or descriptor.tag is not None or _is_converted(descriptor, expression)


def _is_converted(descriptor: FieldDescriptor[Any], expression: TypeExpression) -> bool:
    return expression.is_converted and not _is_scalar(descriptor, expression)


def preparations(cls: Any) -> dict[str, Callable[[Any], Any]]:
    """Give the functions that convert what a program sets, by field."""
    return {
        name: _preparation(descriptor)
        for name, descriptor in cls._options.descriptors.items()
        if is_prepared(descriptor)
    }


def _preparation(descriptor: FieldDescriptor[Any]) -> Callable[[Any], Any]:
    steps: list[Callable[[Any], Any]] = []
    expression = descriptor.expression()
    if _is_converted(descriptor, expression):
        steps.append(expression.as_function())
    if type(descriptor) not in _PLAIN:
        steps.append(descriptor.prepare_value)
    if descriptor.tag is not None:
        steps.append(lambda value: descriptor.tag(value, field=descriptor.field))

    def prepare(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    return steps[0] if len(steps) == 1 else prepare
