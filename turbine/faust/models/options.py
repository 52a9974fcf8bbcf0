"""What a record class was declared with."""

import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turbine.faust.models.descriptors import FieldDescriptor

__all__ = ["ModelOptions", "namespace_of"]

_INHERITED = (
    "serializer",
    "include_metadata",
    "polymorphic_fields",
    "allow_blessed_key",
    "isodates",
    "decimals",
    "validation",
    "coerce",
    "date_parser",
)


class ModelOptions:
    """
    Options of a class, which its subclasses inherit, and indexes of its fields.

    Attributes:
        serializer: Codec of `Record.dumps` and `Record.loads`.
        namespace: Name of the class in ``{"__faust": {"ns": ...}}``.
        include_metadata: Is that name written?
        polymorphic_fields: May data name this class where a field says another?
        allow_blessed_key: The same.
        isodates: Are ``datetime`` fields read from text?
        decimals: Are ``Decimal`` fields read from text?
        validation: Is each new record validated?
        coerce: Are values converted to the types of their fields?
        coercions: Functions that make a value of a type.
        date_parser: Reads dates; None: ISO 8601.
        fields: Types by name, in the order of positional arguments.
        fieldset: Names of the fields.
        fieldpos: Names by position.
        optionalset: Names of fields that may be left out.
        defaults: Values of fields that were left out.
        descriptors: Descriptors by name.
    """

    serializer: Any = None
    namespace: str = ""
    include_metadata: bool = True
    polymorphic_fields: bool = False
    allow_blessed_key: bool = False
    isodates: bool = False
    decimals: bool = False
    validation: bool = False
    coerce: bool = False
    date_parser: Callable[[Any], datetime] | None = None
    has_tagged_fields: bool = False
    has_personal_fields: bool = False
    has_sensitive_fields: bool = False
    has_secret_fields: bool = False

    def __init__(self) -> None:
        self.coercions: dict[Any, Callable[[Any], Any]] = {}
        self.fields: Mapping[str, Any] = {}
        self.fieldset: frozenset[str] = frozenset()
        self.fieldpos: Mapping[int, str] = {}
        self.optionalset: frozenset[str] = frozenset()
        self.defaults: Mapping[str, Any] = {}
        self.descriptors: Mapping[str, FieldDescriptor[Any]] = {}
        self.tagged_fields: frozenset[str] = frozenset()
        self.personal_fields: frozenset[str] = frozenset()
        self.sensitive_fields: frozenset[str] = frozenset()
        self.secret_fields: frozenset[str] = frozenset()

    def inherit(self) -> "ModelOptions":
        """Give the options that a subclass starts with."""
        options = type(self)()
        for name in _INHERITED:
            setattr(options, name, getattr(self, name))
        options.coercions = dict(self.coercions)
        return options

    @property
    def is_polymorphic(self) -> bool:
        """May data choose the class instead of the field?"""
        return self.allow_blessed_key or self.polymorphic_fields


def namespace_of(cls: type) -> str:
    """
    Name a class as data does: its module and qualified name.

    The main program goes by the name under which others would import it: the packages around its
    file, and the file without its suffix.
    """
    if cls.__module__ != "__main__":
        return f"{cls.__module__}.{cls.__qualname__}"
    file = getattr(sys.modules["__main__"], "__file__", None)
    if file is None:
        return f"__main__.{cls.__qualname__}"
    path = Path(file).absolute()
    names = [path.stem]
    for folder in path.parents:
        if not (folder / "__init__.py").exists():
            break
        names.insert(0, folder.name)
    return ".".join((*names, cls.__qualname__))
