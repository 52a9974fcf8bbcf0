"""
What all models share: the registry, names in data, validation, and their text.

Data may say which class it is of: ``{"__faust": {"ns": "shop.Order"}, ...}``. Only classes
that are declared are found by such a name, and only where no other class is asked for, or where the
named one allows it.
"""

import warnings
from collections.abc import Iterator, MutableMapping
from typing import Any, ClassVar

from turbine.faust.exceptions import ValidationError
from turbine.faust.models.options import ModelOptions
from turbine.faust.serializers.codecs import CodecArg, dumps, loads

__all__ = ["Model", "from_data_field", "maybe_model", "registry"]

registry: MutableMapping[str, Any] = {}
"""Classes by the names that data calls them by."""


def maybe_model(arg: Any) -> Any:
    """Make the record that *arg* says it is; give *arg* itself if it says nothing."""
    try:
        model = registry[arg["__faust"]["ns"]]
    except (KeyError, TypeError):
        return arg
    return model.from_data(arg)


def from_data_field(data: Any) -> Any:
    """
    Make the record that *data* says it is, as the value of a field of any model.

    Raises:
        KeyError: It names a class that is not declared.
    """
    if data is None or hasattr(data, "__is_model__"):
        return data
    return Model._maybe_reconstruct(data)


class Model:
    """
    Base of `Record`: a typed value that can be written and read.

    Attributes:
        validation_errors: What is wrong with it.
    """

    __is_model__: ClassVar[bool] = True
    __is_abstract__: ClassVar[bool] = True
    __validation_errors__: list[ValidationError] | None = None

    _blessed_key: ClassVar[str] = "__faust"
    _is_any_polymorphic: ClassVar[bool] = False
    _options: ClassVar[ModelOptions]

    @classmethod
    def from_data(cls, data: Any, *, preferred_type: Any = None) -> Any:
        """Make a record of what a codec gave."""
        raise NotImplementedError

    @classmethod
    def _maybe_namespace(cls, data: Any, *, preferred_type: Any = None) -> Any:
        """
        Give the class that *data* names, if it may.

        Raises:
            KeyError: Any class would do, and the named one is not declared.
        """
        if data is None or isinstance(data, bytes | str):
            return None
        try:
            name = data[cls._blessed_key]["ns"]
        except (KeyError, TypeError, IndexError):
            return None
        if preferred_type is None or preferred_type is Model:
            return registry[name]
        named = registry.get(name)
        return named if named is not None and named._options.is_polymorphic else None

    @classmethod
    def _maybe_reconstruct(cls, data: Any) -> Any:
        named = cls._maybe_namespace(data)
        return named.from_data(data) if named else data

    @classmethod
    def loads(
        cls,
        s: bytes,
        *,
        default_serializer: CodecArg | None = None,
        serializer: CodecArg | None = None,
    ) -> Any:
        """
        Read a record.

        Args:
            s: As `dumps` wrote it.
            default_serializer: The old name of *serializer*.
            serializer: Codec if the class has none of its own.
        """
        if default_serializer is not None:
            warnings.warn(
                "default_serializer= is now called serializer=", DeprecationWarning, stacklevel=2
            )
        data = loads(cls._options.serializer or serializer or default_serializer, s)
        return cls.from_data(data)

    def dumps(self, *, serializer: CodecArg | None = None) -> bytes:
        """Write the record with *serializer*, or the codec of its class."""
        written: bytes = dumps(serializer or self._options.serializer, self.to_representation())
        return written

    def to_representation(self) -> Any:
        """Give the record in plain types, with the name of its class."""
        raise NotImplementedError

    def derive(self, *objects: "Model", **fields: Any) -> Any:
        """Copy it, with the values of *objects*, then of *fields*, instead of its own."""
        raise NotImplementedError

    # -- validation ------------------------------------------------------------------------

    def validate(self) -> list[ValidationError]:
        """Give what is wrong with it; looked for once."""
        errors = self.__validation_errors__
        if errors is None:
            errors = list(self._itervalidate())
            self.__dict__["__validation_errors__"] = errors
        return errors

    def _itervalidate(self) -> Iterator[ValidationError]:
        for name, descriptor in self._options.descriptors.items():
            yield from descriptor.validate_all(getattr(self, name))

    def is_valid(self) -> bool:
        """Is nothing wrong with it?"""
        return not self.validate()

    def validate_or_raise(self) -> None:
        """
        Check it.

        Raises:
            ValidationError: The first of what is wrong.
        """
        # Data may hold any name: what it says of itself is not believed.
        self.__dict__.pop("__validation_errors__", None)
        for error in self.validate():
            raise error

    @property
    def validation_errors(self) -> list[ValidationError]:
        """What is wrong with it."""
        return self.validate()

    # -- text ------------------------------------------------------------------------------

    def _humanize(self) -> str:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._humanize()}>"
