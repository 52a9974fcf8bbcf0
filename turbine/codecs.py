"""
Formats of the keys and values of topics.

A topic names one, as a word or with its choices::

    orders = app.topic("orders", value_format="avro")
    prices = app.topic("prices", value_format=Avro(schema=PRICE, framing="raw"))

A subscription decodes what it reads in the format of its topic, and encodes what it returns in the
format of the topic that it writes. Nothing of a format runs in Python.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias

from turbine import _declare
from turbine.exceptions import DeclarationError

__all__ = [
    "Arrow",
    "Avro",
    "Csv",
    "Format",
    "FormatArg",
    "Framing",
    "Int32",
    "Int64",
    "Json",
    "MessagePack",
    "Protobuf",
    "Raw",
    "Strategy",
    "String",
    "format_of",
]

Framing: TypeAlias = Literal["confluent", "single_object", "raw"]
"""What is in front of the data of a record: a registry's id, a fingerprint, or nothing."""

Strategy: TypeAlias = Literal["topic", "record", "topic_record"]
"""How a registry's subject is named: ``{topic}-value``, ``{record}`` or ``{topic}-{record}``."""

SchemaArg: TypeAlias = str | Mapping[str, Any] | Sequence[Any]
"""An Avro schema: its JSON, or what that JSON stands for."""


class Format:
    """What all formats have in common."""

    kind: ClassVar[str]

    def config(self) -> dict[str, Any]:
        """Describe the format to the core (`Format` there)."""
        return {"kind": self.kind}


@dataclasses.dataclass(frozen=True)
class Json(Format):
    """One JSON object a record; what every topic has that names no format."""

    kind: ClassVar[str] = "json"


@dataclasses.dataclass(frozen=True)
class Avro(Format):
    """
    Avro.

    Attributes:
        schema: What rows look like, or are written with; None: the model's, or what the registry
            has.
        framing: What is in front of the data of a record.
        writers: Other schemas that records may have been written with; with ``framing="raw"`` the
            one that they were.
        subject: Name under which a registry keeps the schemas, instead of one by *strategy*.
        strategy: How that name is made.
        auto_register: Register a schema that the registry does not have; otherwise that is an
            error.
    """

    schema: SchemaArg | None = None
    framing: Framing = "confluent"
    writers: Sequence[SchemaArg] = ()
    subject: str | None = None
    strategy: Strategy = "topic"
    auto_register: bool = False
    kind: ClassVar[str] = "avro"

    def __post_init__(self) -> None:
        """Refuse choices that cannot work together."""
        _declare.one_of("framing", self.framing, ("confluent", "single_object", "raw"))
        _declare.one_of("strategy", self.strategy, ("topic", "record", "topic_record"))
        if self.framing == "confluent":
            if self.writers:
                raise DeclarationError(
                    "Avro(writers=...) has no use with a registry, which knows the writers' "
                    "schemas: leave it out"
                )
        elif self.schema is None:
            raise DeclarationError(
                f"Avro(framing={self.framing!r}) needs schema=: "
                "such records do not say what they were written with"
            )
        elif self.subject is not None or self.auto_register:
            raise DeclarationError(
                f"Avro(framing={self.framing!r}) does not use a registry: "
                "leave subject and auto_register out"
            )

    def config(self) -> dict[str, Any]:
        """Describe the format to the core (`AvroFormat` there)."""
        return {
            "kind": self.kind,
            "schema": None if self.schema is None else _schema_text("schema", self.schema),
            "writers": [_schema_text("writers", writer) for writer in self.writers],
            "framing": self.framing,
            "subject": self.subject,
            "strategy": self.strategy,
            "auto_register": self.auto_register,
        }


@dataclasses.dataclass(frozen=True)
class Protobuf(Format):
    """
    Protobuf messages.

    Attributes:
        schema: Text of a ``.proto`` file, a dict of such files by the names under which they import
            each other, the bytes of a ``FileDescriptorSet``, or a class that ``protoc`` generated.
        message: Full name of the message; needed if the schema has several.
        framing: What is in front of a message: nothing, or a registry's id (Confluent's frame).
        schema_id: The registry's id of the schema, for frames that are written.
    """

    schema: "str | Mapping[str, str] | bytes | type[Any] | None" = None
    message: str | None = None
    framing: Literal["raw", "confluent"] = "raw"
    schema_id: int | None = None
    kind: ClassVar[str] = "protobuf"

    def __post_init__(self) -> None:
        """Refuse choices that cannot work together."""
        _declare.one_of("framing", self.framing, ("raw", "confluent"))
        is_schema = isinstance(self.schema, str | bytes | Mapping)
        if not is_schema and not hasattr(self.schema, "DESCRIPTOR"):
            raise DeclarationError(
                f"Protobuf(schema={self.schema!r}) is no schema: write the text of a .proto file, "
                "the bytes of a FileDescriptorSet, or a class that protoc generated"
            )
        if self.schema_id is not None:
            _declare.whole_number("schema_id", self.schema_id, least=0)
            if self.framing == "raw":
                raise DeclarationError(
                    "Protobuf(schema_id=...) is written in Confluent's frame only: "
                    "add framing='confluent'"
                )

    def config(self) -> dict[str, Any]:
        """Describe the format to the core (`ProtobufFormat` there)."""
        files: dict[str, str] = {}
        descriptors, message = None, self.message
        if isinstance(self.schema, str):
            files = {"schema.proto": self.schema}
        elif isinstance(self.schema, Mapping):
            files = dict(self.schema)
        elif isinstance(self.schema, bytes):
            descriptors = self.schema.hex()
        else:
            descriptor = getattr(self.schema, "DESCRIPTOR")  # noqa: B009 - generated classes only
            descriptors = _descriptor_set(descriptor.file).hex()
            message = message or descriptor.full_name
        return {
            "kind": self.kind,
            "descriptors": descriptors,
            "files": files,
            "message": message,
            "is_framed": self.framing == "confluent",
            "schema_id": self.schema_id,
        }


@dataclasses.dataclass(frozen=True)
class MessagePack(Format):
    """One MessagePack map a record."""

    kind: ClassVar[str] = "msgpack"


@dataclasses.dataclass(frozen=True)
class Csv(Format):
    """
    One line of separated values a record, quoted as RFC 4180 has it.

    Attributes:
        columns: Names of the cells, in their order; () takes those of the model, or, where rows are
            written, of the batch.
        delimiter: Character between two cells.
        quote: Character around cells that need it.
        null: What an unquoted cell holds that is null.
    """

    columns: Sequence[str] = ()
    delimiter: str = ","
    quote: str = '"'
    null: str = ""
    kind: ClassVar[str] = "csv"

    def __post_init__(self) -> None:
        """Refuse choices that cannot work together."""
        if isinstance(self.columns, str) or not all(isinstance(c, str) for c in self.columns):
            raise DeclarationError(
                f"Csv(columns={self.columns!r}) is not a list of names: write "
                "columns=['id', 'name']"
            )
        if len(set(self.columns)) != len(self.columns):
            raise DeclarationError(
                f"Csv(columns={list(self.columns)!r}) names a cell twice: name it once"
            )
        for option in ("delimiter", "quote"):
            value = getattr(self, option)
            if not _is_separator(value):
                raise DeclarationError(
                    f"Csv({option}={value!r}) is not possible: write one ASCII character that "
                    "is no letter, digit or line break"
                )
        if self.delimiter == self.quote:
            raise DeclarationError(
                f"Csv(delimiter={self.delimiter!r}, quote={self.quote!r}) are the same: "
                "a cell would never end"
            )

    def config(self) -> dict[str, Any]:
        """Describe the format to the core (`CsvFormat` there)."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "delimiter": ord(self.delimiter),
            "quote": ord(self.quote),
            "null": self.null,
        }


@dataclasses.dataclass(frozen=True)
class Arrow(Format):
    """Arrow IPC."""

    kind: ClassVar[str] = "arrow"


@dataclasses.dataclass(frozen=True)
class Raw(Format):
    """The bytes as they are, in one column."""

    kind: ClassVar[str] = "raw"


@dataclasses.dataclass(frozen=True)
class String(Format):
    """UTF-8 text, in one column."""

    kind: ClassVar[str] = "string"


@dataclasses.dataclass(frozen=True)
class Int32(Format):
    """Four bytes, the highest first, as Kafka's ``IntegerSerializer`` writes them; for keys."""

    kind: ClassVar[str] = "int32"


@dataclasses.dataclass(frozen=True)
class Int64(Format):
    """Eight bytes, the highest first, as Kafka's ``LongSerializer`` writes them; for keys."""

    kind: ClassVar[str] = "int64"


FormatArg: TypeAlias = (
    Format
    | Literal[
        "json", "avro", "protobuf", "msgpack", "csv", "arrow", "raw", "string", "int32", "int64"
    ]
    | None
)
"""A format as a program may name it: its word, or an object with its choices; None: JSON."""

_BY_NAME: dict[str, type[Format]] = {
    kind.kind: kind
    for kind in (Json, Avro, Protobuf, MessagePack, Csv, Arrow, Raw, String, Int32, Int64)
}


def format_of(option: str, value: object) -> Format:
    """
    Turn the value of the option *option* into a format.

    Raises:
        DeclarationError: It is not a format.
    """
    if value is None:
        return Json()
    if isinstance(value, Format):
        return value
    if isinstance(value, type) and issubclass(value, Format):
        return value()
    return _BY_NAME[_declare.one_of(option, value, _BY_NAME)]()


def _descriptor_set(file: Any) -> bytes:
    """Give the ``FileDescriptorSet`` of *file* and all that it imports, imports first."""
    found: dict[str, bytes] = {}

    def add(one: Any) -> None:
        for needed in one.dependencies:
            add(needed)
        found.setdefault(one.name, one.serialized_pb)

    add(file)
    # Field 1, repeated, a length and bytes each.
    return b"".join(b"\x0a" + _varint(len(data)) + data for data in found.values())


def _varint(value: int) -> bytes:
    """Groups of seven bits, the lowest first; all but the last have the high bit set."""
    more, last = divmod(value, 128)
    return bytes([last]) if not more else bytes([last | 128]) + _varint(more)


def _is_separator(value: object) -> bool:
    return (
        isinstance(value, str)
        and len(value) == 1
        and value.isascii()
        and not value.isalnum()
        and value not in "\r\n"
    )


def _schema_text(option: str, schema: SchemaArg) -> str:
    if isinstance(schema, str):
        return schema
    try:
        return json.dumps(schema)
    except (TypeError, ValueError) as exc:
        raise DeclarationError(
            f"{option} is not an Avro schema ({exc}): write its JSON, or the dict of it"
        ) from None
