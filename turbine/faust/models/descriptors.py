"""
Descriptors of fields: what ``Model.field`` is, and what a field may demand of its value.

Instances keep values in their ``__dict__``, so reading one costs what it costs for any object; the
class gives the descriptor. `turbine.faust.models.fields` has those with rules of their own.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any, Generic, Self, TypeVar

from turbine.faust.exceptions import ValidationError
from turbine.faust.models.typing import NodeType, TypeExpression, remove_optional
from turbine.faust.utils import iso8601

__all__ = ["FieldDescriptor", "RecordField"]

T = TypeVar("T")

_OWN = (
    "field",
    "input_name",
    "output_name",
    "type",
    "model",
    "required",
    "default",
    "parent",
    "coerce",
    "exclude",
    "date_parser",
    "tag",
)


class FieldDescriptor(Generic[T]):
    """
    A field of a record class.

    ::

        class Withdrawal(faust.Record):
            account_id: str
            amount: float = 0.0

        stream.group_by(Withdrawal.account_id)

    Derive from it for rules of your own: `prepare_value` converts, `validate` yields what is wrong.
    Options of a derived class must be handed on to ``super().__init__``.

    Attributes:
        field: Name of the attribute.
        input_name: Name in data that is read; None: *field*.
        output_name: Name in data that is written; None: *input_name*.
        type: Type as it is annotated.
        model: The record class.
        required: Must it be given?
        default: Value if it is not.
        parent: Descriptor of the field that holds this record: ``User.account.id``.
        coerce: Are values converted to the type?
        exclude: Is it left out of what is written?
        tag: The class of `turbine.faust.models.tags` around its values.
        options: What else it was made with.
        related_models: Record classes in its type.
    """

    def __init__(
        self,
        *,
        field: str | None = None,
        input_name: str | None = None,
        output_name: str | None = None,
        type: Any = None,  # noqa: A002 - the words of Faust
        model: Any = None,
        required: bool = True,
        default: T | None = None,
        parent: "FieldDescriptor[Any] | None" = None,
        coerce: bool | None = None,
        exclude: bool | None = None,
        date_parser: Callable[[Any], datetime] | None = None,
        tag: Any = None,
        **options: Any,
    ) -> None:
        self.field: str = field or ""
        self.input_name = input_name or self.field
        self.output_name = output_name or self.input_name
        self.type = type
        self.model = model
        self.required = required
        self.default = default
        self.parent = parent
        self.coerce = bool(coerce)
        self.exclude = bool(exclude)
        self.date_parser = date_parser or iso8601.parse
        self.tag = tag
        self.options = options
        self.lazy_coercion = False
        self.related_models: set[Any] = set()

    def __set_name__(self, owner: Any, name: str) -> None:
        self.field, self.model = name, owner

    def __get__(self, instance: Any, owner: Any) -> Any:
        # Only reached where the instance has no value of that name.
        if instance is None:
            return self
        raise AttributeError(f"{owner.__name__} has no value for its field {self.field!r}")

    def clone(self, **changes: Any) -> Self:
        """Make another one with *changes*."""
        return type(self)(**{**self.as_dict(), **changes})

    def as_dict(self) -> Mapping[str, Any]:
        """Give what it was made with."""
        own = self.__dict__
        return {**{name: own[name] for name in _OWN}, **own["options"]}

    # -- conversion ------------------------------------------------------------------------

    def expression(self) -> TypeExpression:
        """Give the schema of the type."""
        kind = self.type if self.tag is None else Any
        expression = TypeExpression(
            kind,
            user_types=self.options.get("model_coercions"),
            date_parser=self.date_parser,
            coerce=self.coerce,
        )
        self.related_models = set(expression.found_types[NodeType.MODEL])
        return expression

    def should_coerce(
        self,
        value: Any,
        coerce: bool | None = None,  # noqa: FBT001 - as Faust programs call it
    ) -> bool:
        """Is *value* converted? *coerce* instead of the field's own rule."""
        wanted = self.coerce if coerce is None else coerce
        return wanted and (self.required or value is not None)

    def prepare_value(self, value: Any, *, coerce: bool | None = None) -> Any:
        """Convert what a program sets; *coerce* instead of the field's own rule."""
        del coerce
        return value

    def to_python(self, value: Any) -> Any:
        """Convert what data holds."""
        return self.prepare_value(value)

    # -- validation ------------------------------------------------------------------------

    def validate(self, value: T) -> Iterable[ValidationError]:
        """Yield what is wrong with *value*."""
        del value
        return iter(())

    def validate_all(self, value: Any) -> Iterator[ValidationError]:
        """Yield what is wrong with *value*, also if it cannot be converted."""
        try:
            prepared = self.prepare_value(value, coerce=not self.coerce)
        except (TypeError, ValueError) as exc:
            yield self.validation_error(
                f"{self.field} is not correct type for {self}, got {type(value)!r}: {exc!r}"
            )
            return
        except Exception as exc:  # noqa: BLE001 - a field of the program's own
            yield self.validation_error(
                f"{self.field} got internal error for value {value!r} {exc!r}"
            )
            return
        if prepared is not None or self.required:
            yield from self.validate(prepared)

    def validation_error(self, reason: str) -> ValidationError:
        """Make the error that names this field."""
        return ValidationError(reason, field=self)

    # -- names -----------------------------------------------------------------------------

    def getattr(self, obj: Any) -> T:
        """Give the value in *obj*: of ``User.account.id`` in a ``User``."""
        path = []
        node: FieldDescriptor[Any] | None = self
        while node is not None:
            path.append(node.__dict__["field"])
            node = node.__dict__["parent"]
        value: T = attrgetter(".".join(reversed(path)))(obj)
        return value

    @property
    def ident(self) -> str:
        """Its class and name: ``Account.id``."""
        return f"{self.model.__name__}.{self.field}"

    def __repr__(self) -> str:
        default = "" if self.required else f" = {self.default!r}"
        kind = getattr(self.type, "__name__", self.type)
        owner = getattr(self.model, "__name__", "?")
        return f"<{type(self).__name__}: {owner}.{self.field}: {kind}{default}>"


class RecordField(FieldDescriptor[Any]):
    """A field that holds a record."""

    def __get__(self, instance: Any, owner: Any) -> Any:
        value = super().__get__(instance, owner)
        return _Path(self) if value is self else value


class _Path(RecordField):
    """What the class gives for such a field: its attributes are the fields of the record."""

    def __init__(self, field: FieldDescriptor[Any]) -> None:
        self.__dict__ = field.__dict__

    def __getattribute__(self, name: str) -> Any:
        own = super().__getattribute__
        if not name.startswith("_"):
            record, _ = remove_optional(own("__dict__")["type"])
            descriptors = record._options.descriptors
            if name in descriptors:
                return descriptors[name].clone(parent=self).__get__(None, record)
        return own(name)
