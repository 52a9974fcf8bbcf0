"""
`Record`: a typed value with named fields.

Plain Python objects that pydantic's core makes and writes. Fields of a record that a program makes
are not converted unless the class says ``coerce=True``; records, dates and decimals inside of
containers always are. What is not here: how a class is put together (`declare`).
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self, dataclass_transform

import pydantic
from pydantic_core import CoreSchema, SchemaSerializer, SchemaValidator

from turbine.faust.models import fields as rules
from turbine.faust.models import schemas
from turbine.faust.models.base import Model
from turbine.faust.models.declare import declare
from turbine.faust.models.descriptors import FieldDescriptor
from turbine.faust.models.options import ModelOptions

__all__ = ["Record"]


@dataclass_transform(
    field_specifiers=(
        FieldDescriptor,
        rules.BooleanField,
        rules.BytesField,
        rules.DatetimeField,
        rules.DecimalField,
        rules.FloatField,
        rules.IntegerField,
        rules.StringField,
    )
)
class Record(Model):
    """
    Base of typed values.

    ::

        class Order(faust.Record, serializer="json", isodates=True):
            account: str
            amount: int = 1
            placed: datetime | None = None


        Order("hank", 3) == Order.loads(Order("hank", 3).dumps())

    Args of the class: ``serializer``, ``abstract``, ``namespace``, ``include_metadata``,
    ``isodates``, ``decimals``, ``coerce``, ``coercions``, ``date_parser``, ``validation``,
    ``allow_blessed_key``, ``polymorphic_fields``, ``lazy_creation``; see `ModelOptions`. Subclasses
    inherit them.

    ``__post_init__`` is called when a record is complete, whether a program made it or it was read.
    """

    _options: ClassVar[ModelOptions] = ModelOptions()
    __pydantic_validator__: ClassVar[SchemaValidator]
    __pydantic_serializer__: ClassVar[SchemaSerializer]
    _has_own_init: ClassVar[bool] = False
    _pending_finalizers: ClassVar[Any] = None
    _preparations: ClassVar[Any]
    _fields_validator: ClassVar[SchemaValidator]
    _written: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init_subclass__(
        cls,
        *,
        abstract: bool = False,
        lazy_creation: bool = False,
        coercions: Any = None,
        **options: Any,
    ) -> None:
        super().__init_subclass__()
        pending = None
        if lazy_creation:
            pending = [lambda: declare(cls, options, coercions, is_abstract=abstract)]
        cls._pending_finalizers = pending
        if pending is None:
            declare(cls, options, coercions, is_abstract=abstract)

    @classmethod
    def make_final(cls) -> None:
        """Complete a class that was declared with ``lazy_creation=True``."""
        pending, cls._pending_finalizers = cls._pending_finalizers, None
        for finalize in pending or ():
            finalize()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        del source, handler
        return schemas.full_schema(cls)

    # -- making ----------------------------------------------------------------------------

    def __init__(self, *args: Any, **fields: Any) -> None:
        cls = type(self)
        if cls.__is_abstract__:
            raise NotImplementedError(
                f"{cls.__name__} is abstract: make one of its subclasses; a field that holds any "
                "of them is annotated with it"
            )
        # A name of their protocol; inside of a class it would be mangled.
        fields.pop("__faust", None)
        try:
            if fields.pop("__strict__", True):
                self.__dict__.update(self._bind(args, fields))
            else:
                self.__dict__.update(self._read(args, fields))
        except pydantic.ValidationError as exc:
            raise schemas.original(exc, cls) from None
        post_init = getattr(self, "__post_init__", None)
        if post_init is not None:
            post_init()
        if self._options.validation:
            self.validate_or_raise()

    @classmethod
    def _bind(cls, args: tuple[Any, ...], fields: dict[str, Any]) -> dict[str, Any]:
        """Give the values of all fields, as a call of a function would."""
        options = cls._options
        names = tuple(options.fields)
        if len(args) > len(names):
            raise TypeError(
                f"{cls.__name__}.__init__() takes {len(names)} values, {len(args)} were given"
            )
        given = dict(zip(names, args, strict=False))
        for name in fields:
            if name not in options.fieldset:
                raise TypeError(f"{cls.__name__} has no field {name!r}")
            if name in given:
                raise TypeError(f"{cls.__name__} got two values for its field {name!r}")
        given.update(fields)
        if len(given) < len(names) or options.defaults:
            given = {name: cls._value(name, given) for name in names}
        for name, prepare in cls._preparations.items():
            if given[name] is not None or name not in options.optionalset:
                given[name] = prepare(given[name])
        return given

    @classmethod
    def _value(cls, name: str, given: dict[str, Any]) -> Any:
        value = given.get(name)
        if value is not None:
            return value
        defaults = cls._options.defaults
        if name in defaults:
            default = defaults[name]
            return default.copy() if isinstance(default, list | dict | set) else default
        if name not in given:
            raise TypeError(f"{cls.__name__} needs a value for its field {name!r}")
        return None

    @classmethod
    def _read(cls, args: tuple[Any, ...], fields: dict[str, Any]) -> dict[str, Any]:
        """Give the values of all fields, and what else is in data."""
        descriptors = cls._options.descriptors
        given = {
            descriptors[name].input_name: value
            for name, value in zip(cls._options.fields, args, strict=False)
        }
        for name, value in fields.items():
            key = descriptors[name].input_name if name in descriptors else name
            given[key] = value
        values: dict[str, Any] = cls._fields_validator.validate_python(given)[0]
        return values

    @classmethod
    def from_data(cls, data: Any, *, preferred_type: Any = None) -> Any:
        """
        Make a record of what a codec gave.

        Args:
            data: A mapping; one that names its class makes a record of that if it may.
            preferred_type: The class that is wanted even if *data* names another.

        Raises:
            TypeError: A field is missing, or *data* is no mapping.
            ValueError: A value cannot be read.
        """
        if hasattr(data, "__is_model__"):
            return data
        if not isinstance(data, Mapping):
            raise TypeError(f"{cls.__name__} is made of a mapping, not of {type(data).__name__}")
        model = cls
        if preferred_type is not None or cls._blessed_key in data:
            model = cls._maybe_namespace(data, preferred_type=preferred_type) or cls
        if model.__is_abstract__:
            raise TypeError(f"{cls.__name__} is abstract, and the data does not name its class")
        return model._of_data(data)

    @classmethod
    def _of_data(cls, data: Any) -> Any:
        if not cls._has_own_init:
            try:
                return cls.__pydantic_validator__.validate_python(dict(data))
            except pydantic.ValidationError as exc:
                raise schemas.original(exc, cls) from None
        names = {field.input_name: name for name, field in cls._options.descriptors.items()}
        arguments = {names.get(key, key): value for key, value in data.items()}
        return cls(**arguments, __strict__=False)

    def derive(self, *objects: Model, **fields: Any) -> Self:
        """Copy it, with the values of *objects*, then of *fields*, instead of its own."""
        values: dict[str, Any] = {}
        records: list[Any] = [self, *objects]
        for one in records:
            own = one._options.fields
            values.update({name: value for name, value in one.__dict__.items() if name in own})
        return type(self)(**{**values, **fields})

    # -- writing ---------------------------------------------------------------------------

    def asdict(self) -> dict[str, Any]:
        """Give its fields by the names that data has; records in it stay records."""
        values = self.__dict__
        return self._prepare_dict({key: values[name] for name, key in self._written})

    def _prepare_dict(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Change what `asdict` gives; for subclasses."""
        return payload

    def to_representation(self) -> dict[str, Any]:
        """Give `asdict` with the name of the class, unless ``include_metadata=False``."""
        payload = self.asdict()
        if self._options.include_metadata:
            payload[self._blessed_key] = {"ns": self._options.namespace}
        return payload

    def __json__(self) -> Any:
        return self.to_representation()

    def _humanize(self) -> str:
        values = {
            name: self.__dict__[name] for name in self._options.fields if name in self.__dict__
        }
        more = {k: v for k, v in self.__dict__.items() if not k.startswith("__")}
        return ", ".join(f"{name}={value!r}" for name, value in {**values, **more}.items())

    # -- comparison ------------------------------------------------------------------------

    def _key(self) -> tuple[Any, ...]:
        values = self.__dict__
        return tuple([values[name] for name in self._options.fields])

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __lt__(self, other: Self) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self._key() < other._key()

    def __le__(self, other: Self) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self._key() <= other._key()

    def __gt__(self, other: Self) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self._key() > other._key()

    def __ge__(self, other: Self) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self._key() >= other._key()
