"""The Arrow schema of a model, and every declaration that is refused."""

import datetime as dt
import enum
import json
import re
import typing
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypeVar

import pyarrow as pa
import pydantic
import pytest
from annotated_types import MultipleOf
from pydantic import AliasChoices, AliasPath, AwareDatetime, ConfigDict, Field, NaiveDatetime

from turbine.exceptions import DeclarationError, TurbineError
from turbine.models import Record, arrow_schema

UserId = NewType("UserId", str)
T = TypeVar("T")


class Kind(enum.StrEnum):
    BUY = "buy"
    SELL = "sell"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Point(Record):
    x: float
    y: float | None = None


class Page(Record, Generic[T]):
    items: list[T]


class Row(NamedTuple):
    a: int


def field_of(annotation: Any, default: Any = ...) -> Any:
    model = pydantic.create_model("Model", __base__=Record, v=(annotation, default))
    return arrow_schema(model).field("v")


def meta(field: Any) -> dict[str, str]:
    """Metadata without the common prefix."""
    pairs = (field.metadata or {}).items()
    return {k.decode().removeprefix("turbine."): v.decode() for k, v in pairs}


def check(field: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(meta(field)["check"])
    return found


@pytest.mark.parametrize(
    ("annotation", "arrow"),
    [
        (bool, pa.bool_()),
        (int, pa.int64()),
        (float, pa.float64()),
        (str, pa.utf8()),
        (bytes, pa.binary()),
        (UserId, pa.utf8()),
        (uuid.UUID, pa.utf8()),
        (dt.datetime, pa.timestamp("us", tz="UTC")),
        (AwareDatetime, pa.timestamp("us", tz="UTC")),
        (NaiveDatetime, pa.timestamp("us")),
        (dt.date, pa.date32()),
        (dt.time, pa.time64("us")),
        (dt.timedelta, pa.duration("us")),
        (Decimal, pa.decimal128(38, 9)),
        (Annotated[Decimal, Field(max_digits=12, decimal_places=2)], pa.decimal128(12, 2)),
        (Annotated[Decimal, Field(decimal_places=4)], pa.decimal128(38, 4)),
        (Kind, pa.utf8()),
        (Level, pa.int64()),
        (Literal["a", "b"], pa.utf8()),
        (Literal[1, 2], pa.int64()),
        (pydantic.StrictInt, pa.int64()),
        (pydantic.FiniteFloat, pa.float64()),
    ],
)
def test_a_plain_type_has_one_arrow_type(annotation: Any, arrow: Any) -> None:
    field = field_of(annotation)
    assert field.type == arrow
    assert not field.nullable
    assert field_of(typing.Union[annotation, None]).nullable  # noqa: UP007 - some are no types


@pytest.mark.parametrize(
    "annotation",
    [list[int], set[int], frozenset[int], tuple[int, ...], Sequence[int]],
)
def test_sequences_are_lists(annotation: Any) -> None:
    field = field_of(annotation)
    assert field.type == pa.list_(pa.field("item", pa.int64(), nullable=False))


def test_null_is_told_apart_inside_lists_and_maps() -> None:
    assert field_of(list[int | None]).type.value_field.nullable
    assert not field_of(list[int]).type.value_field.nullable
    assert field_of(dict[str, int | None]).type.item_field.nullable
    assert not field_of(Mapping[str, int]).type.item_field.nullable


def test_models_are_structs_and_generic_ones_too() -> None:
    field = field_of(Page[Point])
    (items,) = field.type
    assert items.name == "items"
    assert [f.name for f in items.type.value_type] == ["x", "y"]
    assert items.type.value_type.field("y").nullable


def test_root_models_are_what_they_hold() -> None:
    class Tags(pydantic.RootModel[list[str]]):
        pass

    assert field_of(Tags).type == pa.list_(pa.field("item", pa.utf8(), nullable=False))
    with pytest.raises(DeclarationError, match="Tags is a RootModel, and a row needs named fields"):
        arrow_schema(Tags)


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [(dict, "object"), (dict[str, Any], "object"), (list, "array"), (tuple, "array")],
)
def test_json_without_a_type_is_kept_as_text(annotation: Any, kind: str) -> None:
    field = field_of(annotation)
    assert (field.type, meta(field)["json"]) == (pa.utf8(), "1")
    assert check(field) == {"json": kind}


def test_anything_is_json_text_that_may_be_null() -> None:
    for annotation in (Any, object, pydantic.JsonValue):
        field = field_of(annotation)
        assert field.nullable
        assert meta(field) == {"json": "1", "required": "1"}


def test_rules_travel_to_the_decoder() -> None:
    assert check(field_of(pydantic.PositiveInt)) == {"gt": 0}
    assert check(field_of(Annotated[float, Field(ge=0, le=0.5)])) == {"ge": 0, "le": 0.5}
    assert check(field_of(pydantic.conint(ge=3))) == {"ge": 3}
    assert check(field_of(Annotated[str, Field(min_length=2, max_length=9)])) == {
        "min_length": 2,
        "max_length": 9,
    }
    assert check(field_of(pydantic.conlist(int, min_length=1))) == {"min_length": 1}
    assert check(field_of(tuple[int, int])) == {"min_length": 2, "max_length": 2}
    assert check(field_of(Annotated[Decimal, Field(gt=Decimal("0.1"))])) == {"gt": 0.1}
    assert check(field_of(Kind)) == {"values": ["buy", "sell"]}
    assert check(field_of(Level)) == {"values": [1, 2]}
    assert check(field_of(uuid.UUID)) == {"uuid": True}
    assert check(field_of(Annotated[int, Field(gt=3)] | None)) == {"gt": 3}
    items = field_of(list[Annotated[int, Field(gt=3)]]).type.value_field
    assert check(items) == {"gt": 3}
    literal = field_of(Literal["a", None])  # noqa: PYI061 - this spelling is what is tested
    assert literal.nullable
    assert check(literal) == {"values": ["a"]}
    assert meta(field_of(AwareDatetime))["aware"] == "1"


def test_missing_fields_are_required_null_or_their_default() -> None:
    assert meta(field_of(int)) == {}
    assert meta(field_of(int | None)) == {"required": "1"}
    assert meta(field_of(int | None, None)) == {}
    assert meta(field_of(int | None, 5)) == {"default": "5"}
    assert meta(field_of(Decimal, Decimal("1.5"))) == {"default": '"1.5"'}
    assert meta(field_of(list[int], Field(default_factory=list)))["default"] == "[]"
    assert json.loads(meta(field_of(Point, Point(x=1)))["default"]) == {"x": 1, "y": None}
    assert field_of(int, None).nullable


def test_json_names_are_the_aliases() -> None:
    assert json.loads(meta(field_of(int, Field(alias="V")))["names"]) == ["V"]
    choices = Field(validation_alias=AliasChoices("a", "b"))
    assert json.loads(meta(field_of(int, choices))["names"]) == ["a", "b"]

    class ByName(Record):
        model_config = ConfigDict(populate_by_name=True, alias_generator=str.upper)
        user: str

    assert json.loads(meta(arrow_schema(ByName).field("user"))["names"]) == ["USER", "user"]


def test_forbidden_names_are_marked_on_model_and_field() -> None:
    class Strict(Record):
        model_config = ConfigDict(extra="forbid")
        a: int

    assert arrow_schema(Strict).metadata == {b"turbine.extra": b"forbid"}
    assert meta(field_of(Strict)) == {"extra": "forbid"}
    assert arrow_schema(Point).metadata is None


def test_the_columns_are_the_fields_in_their_order() -> None:
    class Order(Record):
        id: int
        user: UserId
        at: dt.datetime
        points: list[Point] = Field(default_factory=list)

    assert arrow_schema(Order).names == ["id", "user", "at", "points"]


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (int | str, "Model.v: int | str cannot be a column of a batch: a column has one type"),
        (complex, "write float"),
        (pydantic.SecretStr, "write str"),
        (pydantic.AnyUrl, "write str"),
        (Row, "write a class that derives from turbine.Record"),
        (dict[int, str], "write dict[str, T]"),
        (tuple[int, str], "write tuple[T, ...] of one type"),
        (Literal[1, "a"], "its values must be all str or all int"),
        (Literal[True], "its values must be all str or all int"),
        (list[int | str], "Model.v[]: int | str cannot be a column"),
        (Annotated[str, Field(pattern="x")], "a batch cannot check pattern on str"),
        (Annotated[int, MultipleOf(5)], "a batch cannot check multiple_of on int"),
        (Annotated[bytes, Field(min_length=1)], "a batch cannot check min_length on bytes"),
        (Annotated[Decimal, Field(max_digits=5)], "give decimal_places too"),
        (
            Annotated[Decimal, Field(max_digits=40, decimal_places=2)],
            "a column holds at most 38 digits",
        ),
        (Annotated[int, pydantic.AfterValidator(abs)], "a batch cannot check AfterValidator"),
        (Annotated[str, pydantic.StringConstraints(to_lower=True)], "cannot check to_lower"),
        (Annotated[dict[str, int], Field(min_length=1)], "cannot check min_length on dict"),
        (Annotated[float, Field(gt=float("inf"))], "must be a finite number"),
        (pydantic.Json[int], "a batch cannot check Json on int"),
        (enum.IntFlag("Bits", "A B"), "write int"),
    ],
)
def test_what_a_batch_cannot_have_is_refused_with_an_alternative(
    annotation: Any, message: str
) -> None:
    with pytest.raises(DeclarationError, match=re.escape(message)) as caught:
        field_of(annotation)
    assert str(caught.value).startswith("Model.v")
    assert isinstance(caught.value, TurbineError)


@pytest.mark.parametrize(
    ("default", "message"),
    [
        (Field(default_factory=lambda: 1), "would have to run for every record"),
        (Field(validation_alias=AliasPath("a", 0)), "AliasPath cannot be decoded"),
    ],
)
def test_defaults_and_aliases_that_need_python_are_refused(default: Any, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        field_of(int, default)


def test_validators_are_refused_because_no_python_runs_for_a_record() -> None:
    class Checked(Record):
        a: int

        @pydantic.field_validator("a")
        @classmethod
        def positive(cls, value: int) -> int:
            return abs(value)

    with pytest.raises(DeclarationError, match=r"Checked\.positive is a validator"):
        arrow_schema(Checked)
    with pytest.raises(DeclarationError, match=r"Checked\.positive is a validator"):
        field_of(list[Checked])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ConfigDict(extra="allow"), "write extra='ignore'"),
        (ConfigDict(str_strip_whitespace=True), "str_strip_whitespace changes values"),
    ],
)
def test_settings_that_a_batch_cannot_follow_are_refused(config: ConfigDict, message: str) -> None:
    model = pydantic.create_model("Model", __config__=config, a=(int, ...))
    with pytest.raises(DeclarationError, match=message):
        arrow_schema(model)


def test_a_model_that_contains_itself_is_refused() -> None:
    class Node(Record):
        children: list["Node"]

    Node.model_rebuild()
    with pytest.raises(DeclarationError, match=r"Node\.children\[\].*it contains itself"):
        arrow_schema(Node)


def test_a_name_that_is_not_defined_yet_is_refused() -> None:
    class Later(Record):
        a: "NotYet"  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(DeclarationError, match="define or import the name before"):
        arrow_schema(Later)


def test_what_is_no_model_is_refused() -> None:
    for wrong in (int, Point(x=1), None):
        with pytest.raises(DeclarationError, match="write a class that derives from"):
            arrow_schema(wrong)  # type: ignore[arg-type]
