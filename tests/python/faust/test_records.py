"""Records of Faust programs: how they are made, compared, written and read."""

# mypy: disable-error-code="arg-type, assignment, attr-defined, comparison-overlap, misc, operator, union-attr, unreachable"
# ruff: noqa: DTZ001, E501 - dates without a time zone are what many programs send

import abc
import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar, Literal, NamedTuple, Optional

import pytest
from pydantic import TypeAdapter

from turbine import faust
from turbine.exceptions import DeclarationError
from turbine.faust.exceptions import ValidationError
from turbine.faust.models.fields import IntegerField, StringField


class Account(faust.Record, serializer="json"):
    id: str
    name: str
    active: bool = True


class User(faust.Record, serializer="json"):
    id: str
    account: Account
    tags: list[str] = []  # noqa: RUF012 - each record gets one of its own


class Node(faust.Record, serializer="json", include_metadata=False):
    type: str
    parent: Optional["Node"] = None


def test_fields_are_given_by_position_or_by_name() -> None:
    assert Account("1", "a", False) == Account("1", active=False, name="a")
    assert Account(id="1", name="a").active is True


@pytest.mark.parametrize(
    ("args", "fields", "message"),
    [
        (("1",), {}, "Account needs a value for its field 'name'"),
        (("1", "a", True, 4), {}, r"Account.__init__\(\) takes 3 values, 4 were given"),
        (("1", "a"), {"nmae": 1}, "Account has no field 'nmae'"),
        (("1", "a"), {"id": 1}, "Account got two values for its field 'id'"),
    ],
)
def test_what_does_not_fit_is_a_type_error(args: Any, fields: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Account(*args, **fields)


def test_a_default_that_can_be_changed_is_one_for_each_record() -> None:
    first = User("1", Account("1", "a"))
    first.tags.append("x")

    assert User("2", Account("1", "a")).tags == []
    assert User.from_data({"id": "3", "account": None}).tags == []


def test_a_field_without_a_default_after_one_with_a_default_is_refused() -> None:
    with pytest.raises(TypeError, match="the field 'b' of Wrong has no default and follows a"):

        class Wrong(faust.Record):
            a: int = 1
            b: str


def test_an_unknown_option_of_a_class_is_refused_with_the_closest() -> None:
    with pytest.raises(DeclarationError, match="no option isodate=: did you mean isodates="):
        type("Wrong", (faust.Record,), {}, isodate=True)


def test_the_class_has_descriptors_and_instances_have_values() -> None:
    user = User("1", Account("7", "a"))

    assert User.id.ident == "User.id"
    assert User.account.id.ident == "Account.id"
    assert User.account.id.getattr(user) == "7"
    assert repr(Account.active) == "<BooleanField: Account.active: bool = True>"
    # A name that descriptors have too.
    assert Node.parent.parent.type.getattr(Node("a", Node("b", Node("c")))) == "c"
    with pytest.raises(AttributeError):
        _ = User.account.nothing


def test_records_are_compared_and_hashed_by_their_fields() -> None:
    one, other = Account("1", "a"), Account("1", "a")

    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other, Account("2", "a")}) == 2
    assert one != object()
    assert Account("1", "a") < Account("1", "b")
    with pytest.raises(TypeError):
        _ = one < object()


def test_a_record_shows_its_fields() -> None:
    assert repr(Account("1", "a")) == "<Account: id='1', name='a', active=True>"


def test_data_may_have_more_than_the_class_and_it_stays_an_attribute() -> None:
    account = Account.from_data({"id": "1", "name": "a", "more": 3})

    assert vars(account)["more"] == 3
    assert account.asdict() == {"id": "1", "name": "a", "active": True}


def test_null_for_a_field_with_a_default_is_the_default() -> None:
    assert Account.from_data({"id": "1", "name": "a", "active": None}).active is True


def test_the_name_of_the_class_is_written_unless_it_is_switched_off() -> None:
    namespace = f"{__name__}.Account"

    assert Account("1", "a").to_representation()["__faust"] == {"ns": namespace}
    assert Node("a").dumps() == b'{"type":"a","parent":null}'
    assert faust.registry[namespace] is Account
    assert faust.maybe_model(Account("1", "a").to_representation()) == Account("1", "a")
    assert faust.maybe_model({"__faust": {"ns": "nobody.knows"}}) == {
        "__faust": {"ns": "nobody.knows"}
    }


def test_data_names_another_class_only_where_that_class_allows_it() -> None:
    class Event(faust.Record, namespace="test.Event"):
        kind: str

    class Click(Event, namespace="test.Click", polymorphic_fields=True):
        x: int = 0

    class Key(Event, namespace="test.Key"):
        code: int = 0

    class Holder(faust.Record, namespace="test.Holder"):
        event: Event

    def read(event: faust.Record) -> Any:
        return Holder.loads(Holder(event).dumps(serializer="json"), serializer="json").event

    assert read(Click("click", 3)) == Click("click", 3)
    assert type(read(Key("key", 3))) is Event


def test_an_abstract_class_has_no_instances_and_its_options_are_inherited() -> None:
    class Base(faust.Record, abstract=True, isodates=True, serializer="json"):
        at: datetime

    class Real(Base):
        name: str = ""

    at = datetime(2026, 3, 1, 12)
    with pytest.raises(NotImplementedError, match="Base is abstract"):
        Base(at)
    assert Real.loads(Real(at).dumps()).at == at


def test_an_asdict_of_a_class_beside_the_record_does_not_count() -> None:
    class Other:
        def asdict(self) -> dict[str, Any]:
            return {}

    class Both(faust.Record, Other):
        a: int

    assert Both(1).asdict() == {"a": 1}


def test_asdict_cannot_be_replaced_but_changed() -> None:
    with pytest.raises(RuntimeError, match="_prepare_dict"):

        class Wrong(faust.Record):
            def asdict(self) -> dict[str, Any]:
                return {}

    class Sparse(faust.Record):
        a: int | None = None
        b: int | None = None

        def _prepare_dict(self, payload: dict[str, Any]) -> dict[str, Any]:
            return {k: v for k, v in payload.items() if v is not None}

    assert Sparse(b=2).asdict() == {"b": 2}


def test_a_dataclass_above_a_record_leaves_it_a_record() -> None:
    @dataclasses.dataclass
    class Point(faust.Record, serializer="json", include_metadata=False):
        x: int
        y: int = 0

    assert Point(1) == Point(1, 0)
    assert dataclasses.asdict(Point(1, 2)) == {"x": 1, "y": 2}
    assert Point.loads(Point(1, 2).dumps()) == Point(1, 2)
    assert isinstance(Point.x, IntegerField)
    assert len({Point(1), Point(1)}) == 1


def test_abc_can_be_mixed_in() -> None:
    class Base(faust.Record, abc.ABC, abstract=True):
        @abc.abstractmethod
        def area(self) -> int: ...

    class Square(Base):
        side: int

        def area(self) -> int:
            return self.side**2

    assert Square.from_data({"side": 3}).area() == 9


def test_post_init_runs_however_a_record_is_made() -> None:
    class Point(faust.Record, serializer="json"):
        x: int
        y: int

        def __post_init__(self) -> None:
            self.total: int = self.x + self.y

    point = Point(1, 2)

    assert point.total == 3
    assert Point.loads(point.dumps()).total == 3
    assert "total" not in point.asdict()


def test_a_class_may_have_an_init_of_its_own() -> None:
    class Point(faust.Record, serializer="json", include_metadata=False):
        x: int
        y: int

        def __init__(self, x: int, y: int, **kwargs: Any) -> None:
            self._model_init(x * 10, y, **kwargs)

    assert Point(1, 2).asdict() == {"x": 10, "y": 2}
    assert TypeAdapter(list[Point]).validate_json('[{"x": 1, "y": 2}]') == [Point(1, 2)]


def test_derive_changes_a_copy() -> None:
    first = Account("1", "a")

    assert first.derive(active=False) == Account("1", "a", False)
    assert first.derive(Account("2", "b"), name="c") == Account("2", "c")
    assert first == Account("1", "a")


def test_values_are_taken_as_they_are_and_validation_says_what_is_wrong() -> None:
    class Person(faust.Record):
        age: int
        name: str = StringField(max_length=3)

    wrong = Person("Batman", "Robin")

    assert wrong.age == "Batman"
    assert not wrong.is_valid()
    assert [error.field.ident for error in wrong.validation_errors] == ["Person.age", "Person.name"]


def test_a_class_with_validation_refuses_values_and_converts_them() -> None:
    class Order(faust.Record, validation=True, serializer="json"):
        quantity: int = IntegerField(min_value=1)
        side: Literal["BUY", "SELL"] = "BUY"

    assert Order("3").quantity == 3
    with pytest.raises(ValidationError, match="quantity must be at least 1"):
        Order(0)
    with pytest.raises(ValidationError):
        Order.loads(b'{"quantity": 0}')
    with pytest.raises(ValueError, match="invalid literal"):
        Order.loads(b'{"quantity": "x"}')


def test_data_cannot_say_of_itself_that_it_is_valid() -> None:
    class Order(faust.Record, validation=True, serializer="json"):
        quantity: int = IntegerField(min_value=1)

    with pytest.raises(ValidationError, match="quantity must be at least 1"):
        Order.loads(b'{"quantity": 0, "__validation_errors__": []}')


@pytest.mark.parametrize("data", [3, [1], "text", None])
def test_what_is_no_mapping_is_no_record(data: Any) -> None:
    with pytest.raises(TypeError, match="Account is made of a mapping, not of"):
        Account.from_data(data)


def test_fields_may_have_other_names_in_data() -> None:
    class Place(faust.Record, serializer="json", include_metadata=False):
        location: str = StringField(input_name="in", output_name="out")
        secret: str = StringField(exclude=True, required=False)

    assert Place.loads(b'{"in": "here"}').location == "here"
    assert Place("here", "x").dumps() == b'{"out":"here"}'


def test_a_custom_date_parser_reads_dates() -> None:
    def parse(text: str) -> datetime:
        return datetime.fromtimestamp(int(text), UTC)

    class Seen(faust.Record, coerce=True, date_parser=parse):
        at: datetime

    assert Seen.from_data({"at": "0"}).at == datetime(1970, 1, 1, tzinfo=UTC)
    assert Seen("0").at == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_number_in_a_field_of_dates_stays_a_number() -> None:
    class Raw(faust.Record, isodates=True, serializer="json"):
        date: datetime
        value: float

    assert Raw.loads(Raw(1_500, 2.5).dumps()).date == 1_500


def test_class_variables_are_no_fields() -> None:
    class Point(faust.Record):
        x: int
        limit: ClassVar[int] = 3
        text: "ClassVar[str]" = "a"

    assert list(Point._options.fields) == ["x"]
    assert Point.limit == 3


def test_containers_of_plain_types_are_what_the_annotation_says() -> None:
    class Pair(NamedTuple):
        account: Account
        n: int

    class Holder(faust.Record, serializer="json"):
        numbers: set[int]
        point: tuple[int, int]
        pair: Pair
        amounts: Mapping[str, list[Decimal]]

    holder = Holder({1, 2}, (3, 4), Pair(Account("1", "a"), 5), {"a": [Decimal("1.10")], "b": []})

    read = Holder.loads(holder.dumps())
    assert read == holder
    assert type(read.pair) is Pair


def test_pydantic_reads_and_writes_records_in_its_own_types() -> None:
    adapter = TypeAdapter(dict[str, list[User]])
    users = {"a": [User("1", Account("2", "b"), ["x"])]}

    assert adapter.validate_json(adapter.dump_json(users)) == users


def test_a_missing_field_of_a_record_inside_is_named() -> None:
    with pytest.raises(TypeError, match=r"needs a value for its field 'account\.name'"):
        User.from_data({"id": "1", "account": {"id": "2"}})
