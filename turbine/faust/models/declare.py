"""How a record class is put together from its annotations and options."""

import inspect
import sys
import typing
from collections.abc import Callable
from typing import Any, ClassVar

from turbine import _declare
from turbine.faust.models import schemas
from turbine.faust.models.base import Model, registry
from turbine.faust.models.descriptors import FieldDescriptor
from turbine.faust.models.fields import field_for_type
from turbine.faust.models.options import ModelOptions, namespace_of
from turbine.faust.models.typing import remove_optional

__all__ = ["declare"]

_KNOWN = (
    "serializer",
    "namespace",
    "include_metadata",
    "isodates",
    "allow_blessed_key",
    "decimals",
    "coerce",
    "polymorphic_fields",
    "validation",
    "date_parser",
)
_TAGS = ("personal", "sensitive", "secret")


def declare(cls: Any, given: dict[str, Any], coercions: Any, *, is_abstract: bool) -> None:
    """
    Complete the record class *cls*.

    Raises:
        TypeError: A field without a default follows one with a default.
        RuntimeError: ``asdict`` is overridden.
        DeclarationError: An option does not exist.
    """
    _declare.refuse_unknown(f"class {cls.__name__}(Record)", given.keys() - {*_KNOWN}, _KNOWN)
    options = _options(cls, given, coercions)
    cls._options = options
    cls.__is_abstract__ = is_abstract
    if is_abstract:
        return
    if cls.asdict is not _record_class(cls).asdict:
        raise RuntimeError(
            f"{cls.__name__}.asdict() cannot be replaced: write _prepare_dict(self, payload)"
        )
    _index(cls, options)
    options.descriptors = _descriptors(cls, options)
    for name, descriptor in options.descriptors.items():
        setattr(cls, name, descriptor)
    cls._written = tuple(
        (name, field.output_name)
        for name, field in options.descriptors.items()
        if not field.exclude
    )
    _methods(cls)
    registry[options.namespace] = cls
    if options.is_polymorphic and not Model._is_any_polymorphic:
        Model._is_any_polymorphic = True
        for other in registry.values():
            _compiled(other)


def _record_class(cls: Any) -> Any:
    # Classes beside a record may have an asdict of their own, which does not count.
    return next(
        base
        for base in reversed(cls.__mro__)
        if issubclass(base, Model) and "asdict" in base.__dict__
    )


def _options(cls: Any, given: dict[str, Any], coercions: Any) -> ModelOptions:
    before = getattr(cls, "_options", None)
    options = ModelOptions() if before is None else before.inherit()
    if coercions is not None:
        options.coercions.update(coercions)
    own = cls.__dict__.get("Options")
    if own is not None:
        vars(options).update({k: v for k, v in vars(own).items() if not k.startswith("__")})
        del cls.Options
    for name, value in given.items():
        if value is not None:
            setattr(options, name, value)
    if options.validation:
        options.coerce = True
    options.namespace = given.get("namespace") or namespace_of(cls)
    return options


# -- fields --------------------------------------------------------------------------------


def _index(cls: Any, options: ModelOptions) -> None:
    fields = _annotations(cls)
    defaults: dict[str, Any] = {}
    for name, kind in fields.items():
        given = _given(cls, name)
        if isinstance(given, FieldDescriptor):
            if not given.required:
                defaults[name] = given.default
        elif given is not ...:
            defaults[name] = given
        if remove_optional(kind)[1]:
            defaults.setdefault(name, None)
    _check_order(cls)
    options.fields = fields
    options.fieldset = frozenset(fields)
    options.fieldpos = dict(enumerate(fields))
    options.defaults = defaults
    options.optionalset = frozenset(defaults)


def _given(cls: Any, name: str) -> Any:
    """What the class or its bases assign to *name*; an ellipsis if nothing."""
    return next((base.__dict__[name] for base in cls.__mro__ if name in base.__dict__), ...)


def _check_order(cls: Any) -> None:
    before: list[str] = []
    for name in _local(cls):
        given = cls.__dict__.get(name, ...)
        has_default = given is not ... and not (
            isinstance(given, FieldDescriptor) and given.required
        )
        if has_default:
            before.append(name)
        elif before and given is ...:
            raise TypeError(
                f"the field {name!r} of {cls.__name__} has no default and follows "
                f"{', '.join(before)}, which has: put it before, or give it a default"
            )


def _annotations(cls: Any) -> dict[str, Any]:
    """Types of the fields: those of bases first, class variables left out."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if not issubclass(base, Model) or base.__module__.startswith("turbine.faust.models."):
            continue
        names = {base.__name__: base, cls.__name__: cls}
        scope = vars(sys.modules[base.__module__]) if base.__module__ in sys.modules else {}
        for name, kind in inspect.get_annotations(base).items():
            resolved = _resolved(kind, scope, names)
            if typing.get_origin(resolved) is not ClassVar and resolved is not ClassVar:
                found[name] = resolved
    return found


def _resolved(kind: Any, scope: dict[str, Any], names: dict[str, Any]) -> Any:
    """Evaluate names in an annotation; what is not defined yet stays as it is."""

    def holder() -> None: ...

    holder.__annotations__ = {"kind": kind}
    try:
        return typing.get_type_hints(holder, scope, names, include_extras=True)["kind"]
    except NameError:
        return kind
    except TypeError:
        # A ClassVar inside of text is not allowed in the annotations of a function.
        return ClassVar if "ClassVar" in str(kind) else kind


def _descriptors(cls: Any, options: ModelOptions) -> dict[str, FieldDescriptor[Any]]:
    found: dict[str, FieldDescriptor[Any]] = {}
    tagged: dict[str, set[str]] = {word: set() for word in (*_TAGS, "tagged")}
    for name, kind in options.fields.items():
        descriptor = found[name] = _descriptor(cls, options, name, kind)
        descriptor.expression()
        for source in (descriptor.tag, *descriptor.related_models):
            _note_tags(tagged, name, source)
    for word, names in tagged.items():
        setattr(options, f"{word}_fields", frozenset(names))
        setattr(options, f"has_{word}_fields", bool(names))
    return found


def _descriptor(cls: Any, options: ModelOptions, name: str, kind: Any) -> FieldDescriptor[Any]:
    given = cls.__dict__.get(name) if name in _local(cls) else _given(cls, name)
    common: dict[str, Any] = {
        "field": name,
        "type": kind,
        "model": cls,
        "required": name not in options.defaults,
        "default": options.defaults.get(name),
        "coerce": options.coerce,
        "model_coercions": options.coercions,
    }
    made, tag = field_for_type(kind)
    if not isinstance(given, FieldDescriptor):
        return made(**common, date_parser=options.date_parser, tag=tag)
    common["input_name"] = given.input_name or name
    common["output_name"] = given.output_name or common["input_name"]
    return given.clone(**common)


def _local(cls: Any) -> Any:
    return inspect.get_annotations(cls)


def _note_tags(tagged: dict[str, set[str]], name: str, source: Any) -> None:
    """Remember which tags a field has, by its own or in the records that it holds."""
    if source is None:
        return
    options = getattr(source, "_options", None)
    marks = typing.get_origin(source) or source
    for word in _TAGS:
        if options is None:
            is_marked = getattr(marks, f"is_{word}", False)
        else:
            is_marked = getattr(options, f"has_{word}_fields")
        if is_marked:
            tagged[word].add(name)
            tagged["tagged"].add(name)


# -- methods -------------------------------------------------------------------------------


def _methods(cls: Any) -> None:
    """
    Set what subclasses have of their own.

    Each class gets ``__init__``, ``__eq__`` and ``__hash__`` in its own namespace, so that
    ``@dataclass`` above it leaves them alone.
    """
    record = _record_class(cls)
    cls._has_own_init = _is_own(cls, "__init__", record)
    cls._model_init = record.__init__
    for name in ("__init__", "__eq__"):
        if name not in cls.__dict__:
            setattr(cls, name, getattr(cls, name))
    if "__hash__" not in cls.__dict__ or (
        cls.__dict__["__hash__"] is None and cls.__eq__ is record.__eq__
    ):
        cls.__hash__ = next(
            b.__dict__["__hash__"] for b in cls.__mro__ if b.__dict__.get("__hash__") is not None
        )
    _compiled(cls)
    if any(schemas.is_prepared(field) for field in cls._options.descriptors.values()):
        cls.__setattr__ = _set_prepared


def _is_own(cls: Any, name: str, record: Any) -> bool:
    return getattr(cls, name) is not getattr(record, name)


def _compiled(cls: Any) -> None:
    makers: dict[str, Callable[[Any], Any]] = {
        "__pydantic_validator__": schemas.make_validator,
        "__pydantic_serializer__": schemas.make_serializer,
        "_fields_validator": schemas.fields_validator,
        "_preparations": schemas.preparations,
    }
    for name, make in makers.items():
        schemas.Compiled(make).on(cls, name)


def _set_prepared(self: Any, name: str, value: Any) -> None:
    prepare = type(self)._preparations.get(name)
    if prepare is not None and (value is not None or name not in self._options.optionalset):
        value = prepare(value)
    object.__setattr__(self, name, value)
