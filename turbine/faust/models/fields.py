"""Fields with rules: bounds of numbers, lengths of text, digits of decimals."""

import enum
import typing
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

from turbine.faust.exceptions import ValidationError
from turbine.faust.models.descriptors import FieldDescriptor, RecordField
from turbine.faust.models.tags import Tag
from turbine.faust.models.typing import remove_optional
from turbine.faust.utils import iso8601

__all__ = [
    "TYPE_TO_FIELD",
    "BooleanField",
    "BytesField",
    "DatetimeField",
    "DecimalField",
    "FieldDescriptor",
    "FloatField",
    "IntegerField",
    "NumberField",
    "StringField",
    "field_for_type",
]

N = TypeVar("N")
C = TypeVar("C", str, bytes)


class BooleanField(FieldDescriptor[bool]):
    """True or False."""

    def prepare_value(self, value: Any, *, coerce: bool | None = None) -> Any:
        """Convert anything to its truth."""
        return bool(value) if self.should_coerce(value, coerce) else value

    def validate(self, value: Any) -> Iterator[ValidationError]:
        """Yield an error unless it is a bool."""
        if not isinstance(value, bool):
            yield self.validation_error(f"{self.field} must be True or False, of type bool")


class NumberField(FieldDescriptor[N]):
    """
    A number.

    Attributes:
        max_value: The largest that is allowed; None: any.
        min_value: The smallest that is allowed; None: any.
    """

    def __init__(self, *, max_value: Any = None, min_value: Any = None, **options: Any) -> None:
        super().__init__(max_value=max_value, min_value=min_value, **options)
        self.max_value = max_value
        self.min_value = min_value

    def validate(self, value: Any) -> Iterator[ValidationError]:
        """Yield an error for each bound that is passed."""
        if self.max_value is not None and value > self.max_value:
            yield self.validation_error(f"{self.field} cannot be more than {self.max_value}")
        if self.min_value is not None and value < self.min_value:
            yield self.validation_error(f"{self.field} must be at least {self.min_value}")


class IntegerField(NumberField[int]):
    """A whole number."""

    def prepare_value(self, value: Any, *, coerce: bool | None = None) -> Any:
        """Convert with `int`."""
        return int(value) if self.should_coerce(value, coerce) else value


class FloatField(NumberField[float]):
    """A number of double precision."""

    def prepare_value(self, value: Any, *, coerce: bool | None = None) -> Any:
        """Convert with `float`."""
        return float(value) if self.should_coerce(value, coerce) else value


class DecimalField(NumberField[Decimal]):
    """
    An exact number.

    Attributes:
        max_digits: The most digits before the point; None: any.
        max_decimal_places: The most digits behind it; None: any.
    """

    def __init__(
        self,
        *,
        max_digits: int | None = None,
        max_decimal_places: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(max_digits=max_digits, max_decimal_places=max_decimal_places, **options)
        self.max_digits = max_digits
        self.max_decimal_places = max_decimal_places

    def prepare_value(self, value: Any, *, coerce: bool | None = None) -> Any:
        """Convert text and numbers; a float to the digits that it shows."""
        if not self.should_coerce(value, coerce) or isinstance(value, Decimal):
            return value
        return Decimal(str(value) if isinstance(value, float) else value)

    def to_python(self, value: Any) -> Any:
        """Convert what data holds if the class says ``decimals`` or ``coerce``."""
        return self.prepare_value(value, coerce=self.coerce or self.model._options.decimals)

    def validate(self, value: Any) -> Iterator[ValidationError]:
        """Yield an error for NaN, infinities and too many digits."""
        if not value.is_finite():
            yield self.validation_error(f"Illegal value in decimal: {value!r}")
            return
        yield from super().validate(value)
        _, digits, exponent = value.as_tuple()
        if self.max_decimal_places is not None and -exponent > self.max_decimal_places:
            yield self.validation_error(
                f"{self.field} must have at most {self.max_decimal_places} decimal places"
            )
        if self.max_digits is not None and len(digits) + exponent > self.max_digits:
            yield self.validation_error(f"{self.field} must have at most {self.max_digits} digits")


class CharField(FieldDescriptor[C]):
    """
    Text or bytes.

    Attributes:
        max_length: The most characters; None: any.
        min_length: The fewest; None: any.
        trim_whitespace: Is space around it cut off when it is converted?
        allow_blank: May it be empty?
    """

    def __init__(
        self,
        *,
        max_length: int | None = None,
        min_length: int | None = None,
        trim_whitespace: bool = False,
        allow_blank: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            max_length=max_length,
            min_length=min_length,
            trim_whitespace=trim_whitespace,
            allow_blank=allow_blank,
            **options,
        )
        self.max_length = max_length
        self.min_length = min_length
        self.trim_whitespace = trim_whitespace
        self.allow_blank = allow_blank

    def validate(self, value: Any) -> Iterator[ValidationError]:
        """Yield an error for a length that is not allowed."""
        if value is None:
            yield self.validation_error(f"{self.field} cannot be None")
            return
        if not value and not self.allow_blank:
            yield self.validation_error(f"{self.field} cannot be left blank")
        if self.min_length is not None and len(value) < self.min_length:
            yield self.validation_error(
                f"{self.field} must have at least {self.min_length} characters"
            )
        if self.max_length is not None and len(value) > self.max_length:
            yield self.validation_error(
                f"{self.field} must have at most {self.max_length} characters"
            )


class StringField(CharField[str]):
    """Text."""

    def prepare_value(self, value: Any, *, coerce: bool | None = None) -> Any:
        """Convert with `str`; None stays None."""
        if value is None or not self.should_coerce(value, coerce):
            return value
        text = str(value)
        return text.strip() if self.trim_whitespace else text


class BytesField(CharField[bytes]):
    """
    Bytes; in data they are text.

    Attributes:
        encoding: How text becomes bytes.
        errors: What to do with characters that the encoding does not have.
    """

    def __init__(
        self, *, encoding: str | None = None, errors: str | None = None, **options: Any
    ) -> None:
        self.encoding = encoding or "utf-8"
        self.errors = errors or "strict"
        super().__init__(encoding=self.encoding, errors=self.errors, **options)

    def prepare_value(self, value: Any, *, coerce: bool | None = None) -> Any:
        """Encode text; None stays None."""
        if value is None or not self.should_coerce(value, coerce):
            return value
        raw = value if isinstance(value, bytes) else value.encode(self.encoding, self.errors)
        return raw.strip() if self.trim_whitespace else raw


class DatetimeField(FieldDescriptor[datetime]):
    """A date and time."""

    def prepare_value(self, value: Any, *, coerce: bool | None = None) -> Any:
        """Read text with the class's ``date_parser``; a number stays as it is without one."""
        if value is None or isinstance(value, datetime) or not self.should_coerce(value, coerce):
            return value
        if self.date_parser is iso8601.parse and not isinstance(value, str):
            return value
        return self.date_parser(value)

    def to_python(self, value: Any) -> Any:
        """Convert what data holds if the class says ``isodates`` or ``coerce``."""
        return self.prepare_value(value, coerce=self.coerce or self.model._options.isodates)


TYPE_TO_FIELD: Final[dict[type, type[FieldDescriptor[Any]]]] = {
    bool: BooleanField,
    int: IntegerField,
    float: FloatField,
    Decimal: DecimalField,
    str: StringField,
    bytes: BytesField,
    datetime: DatetimeField,
}


def field_for_type(kind: Any) -> tuple[type[FieldDescriptor[Any]], Any]:
    """Give the descriptor class for a type, and the tag if the type is tagged."""
    kind, _ = remove_optional(kind)
    origin = typing.get_origin(kind)
    if isinstance(origin, type) and issubclass(origin, Tag):
        return field_for_type(typing.get_args(kind)[0])[0], kind
    if not isinstance(kind, type):
        return FieldDescriptor, None
    if hasattr(kind, "__is_model__"):
        return RecordField, None
    if issubclass(kind, enum.Enum):
        return FieldDescriptor, None
    for base in kind.__mro__:
        if base in TYPE_TO_FIELD:
            return TYPE_TO_FIELD[base], None
    return FieldDescriptor, None
