"""Expressions over columns, against Arrow's own kernels and plain Python."""

import hashlib
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbine import functions as f
from turbine._native import Expression, Splitter, shard_rows
from turbine.exceptions import ComputeError, DeclarationError
from turbine.functions import Expr, col, lit, when

pc: Any = pyarrow.compute

INTS = st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5)
FLOATS = st.none() | st.floats() | st.sampled_from([0.0, -0.0, 1.5, -2.5])
TEXTS = st.none() | st.text(max_size=8) | st.sampled_from(["", "a,b", "ß", "  x ", "12", "Z\u0301"])
# The core knows the rules of zones up to 2100.
TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def batch(**columns: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns)


def values(expr: Expr, **columns: Any) -> list[Any]:
    result: list[Any] = expr.evaluate(batch(**columns)).to_pylist()
    return result


def one(expr: Expr) -> Any:
    return values(expr, _=[0])[0]


def same(got: Any, wanted: Any) -> bool:
    """Equal, with NaN equal to NaN."""
    return got.type == wanted.type and all(
        a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))
        for a, b in zip(got.to_pylist(), wanted.to_pylist(), strict=True)
    )


# -- numbers -----------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=20))
def test_floats_compute_as_arrow_does(rows: list[tuple[float | None, float | None]]) -> None:
    a, b = (pa.array(column, pa.float64()) for column in zip(*rows, strict=True))
    for mine, arrow in [
        (col("a") + col("b"), pc.add(a, b)),
        (col("a") - col("b"), pc.subtract(a, b)),
        (col("a") * col("b"), pc.multiply(a, b)),
        (-col("a"), pc.negate(a)),
        (col("a") < col("b"), pc.less(a, b)),
        (col("a") <= col("b"), pc.less_equal(a, b)),
        (col("a") == col("b"), pc.equal(a, b)),
        (col("a") != col("b"), pc.not_equal(a, b)),
        (f.min2(col("a"), col("b")), pc.min_element_wise(a, b)),
        (f.max2(col("a"), col("b")), pc.max_element_wise(a, b)),
        (f.floor(col("a")), pc.floor(a)),
        (f.ceil(col("a")), pc.ceil(a)),
        (f.round(col("a")), pc.round(a, round_mode="half_to_even")),
        (f.abs(col("a")), pc.abs(a)),
        (f.sign(col("a")), pc.sign(a)),
        (f.is_nan(col("a")), pc.is_nan(a)),
        (f.is_finite(col("a")), pc.is_finite(a)),
        (f.coalesce(col("a"), col("b"), 1.0), pc.coalesce(a, b, 1.0)),
        (col("a").is_null(), pc.is_null(a)),
    ]:
        assert same(mine.evaluate(batch(a=a, b=b)), arrow), mine


def _exact(op: Callable[[int, int], int], a: int | None, b: int | None) -> int | None:
    """What Python computes, null where that is no int64."""
    if a is None or b is None:
        return None
    try:
        result = op(a, b)
    except ZeroDivisionError:
        return None
    return result if -(2**63) <= result < 2**63 else None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(INTS, INTS), min_size=1, max_size=20))
def test_integers_are_exact_or_null(rows: list[tuple[int | None, int | None]]) -> None:
    a, b = (pa.array(column, pa.int64()) for column in zip(*rows, strict=True))
    for expr, op in [
        (col("a") + col("b"), lambda x, y: x + y),
        (col("a") - col("b"), lambda x, y: x - y),
        (col("a") * col("b"), lambda x, y: x * y),
        (col("a") // col("b"), lambda x, y: x // y),
        (col("a") % col("b"), lambda x, y: x % y),
    ]:
        wanted = [_exact(op, x, y) for x, y in rows]
        assert expr.evaluate(batch(a=a, b=b)).to_pylist() == wanted, expr
    for compare, arrow in [(col("a") < col("b"), pc.less(a, b)), (col("a") == 3, pc.equal(a, 3))]:
        assert compare.evaluate(batch(a=a, b=b)).equals(arrow)


def test_values_that_cannot_be_computed_are_counted_or_raise() -> None:
    rows = batch(a=[1, 2, 2**63 - 1], b=[0, 1, 1])
    for expr, what in [
        (col("a") / col("b"), "division by zero"),
        (col("a") + col("b"), "Overflow"),
    ]:
        array, failed = Expression(expr.to_json()).evaluate(rows)
        assert (array.null_count, failed) == (1, 1)
        with pytest.raises(ComputeError, match=what):
            expr.evaluate(rows, on_compute_error="fail")
    assert values(f.divide_or_zero(col("a"), col("b")), a=[1, 4], b=[0, 2]) == [0.0, 2.0]
    assert values(f.divide_or_null(col("a"), 0), a=[1]) == [None]
    assert (values(f.abs(col("a")), a=[-(2**63), -3, 4, None])) == [None, 3, 4, None]


def test_integers_keep_their_type_and_a_constant_takes_it() -> None:
    rows = batch(small=pa.array([100], pa.int8()), unsigned=pa.array([2**63], pa.uint64()))
    assert (col("small") + 1).check(rows.schema) == pa.int8()
    assert (col("small") + 1000).check(rows.schema) == pa.int64()
    assert (col("small") + col("unsigned")).check(rows.schema) == pa.int64()
    assert (col("small") / 3).check(rows.schema) == pa.float64()
    assert (col("unsigned") > col("small")).evaluate(rows).to_pylist() == [True]
    assert (col("small") + 100).evaluate(rows).to_pylist() == [None]


def test_decimals_stay_exact() -> None:
    rows = batch(d=pa.array([Decimal("0.10"), None], pa.decimal128(10, 2)))
    assert (col("d") + Decimal("0.2")).evaluate(rows).to_pylist() == [Decimal("0.30"), None]
    assert (col("d") * 3).evaluate(rows).to_pylist() == [Decimal("0.30"), None]
    assert (col("d") == Decimal("0.1")).evaluate(rows).to_pylist() == [True, None]


# -- choices, casts ----------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.none() | st.booleans(), st.none() | st.booleans()), min_size=1))
def test_conditions_join_as_kleene_says(rows: list[tuple[bool | None, bool | None]]) -> None:
    a, b = (pa.array(column, pa.bool_()) for column in zip(*rows, strict=True))
    both = batch(a=a, b=b)
    assert (col("a") & col("b")).evaluate(both).equals(pc.and_kleene(a, b))
    assert (col("a") | col("b")).evaluate(both).equals(pc.or_kleene(a, b))
    assert (~col("a")).evaluate(both).equals(pc.invert(a))


def test_the_first_true_condition_decides_and_guards_its_value() -> None:
    expr = when(col("b") == 0).then(-1).when(col("a") > 2).then(col("a") / col("b")).otherwise(0)
    rows = batch(a=[1, 9, 1, None], b=[0, 3, 1, 1])
    assert expr.evaluate(rows, on_compute_error="fail").to_pylist() == [-1.0, 3.0, 0.0, 0.0]
    assert values(when(col("a") > 1).then("big"), a=[1, 2]) == [None, "big"]
    assert values(f.clip(col("a"), 0, 5), a=[-1, 3, 9, None]) == [0, 3, 5, None]
    assert values(f.if_null(col("a"), 7), a=[None, 1]) == [7, 1]
    assert values(col("a").is_in([1, 3]), a=[1, 2, None]) == [True, False, None]


def test_casts_lose_nothing_silently() -> None:
    texts = ["12", "x", None]
    assert values(col("t").cast(int), t=texts) == [12, None, None]
    assert values(f.cast_or_default(col("t"), "int64", 0), t=texts) == [12, 0, 0]
    with pytest.raises(ComputeError, match="x"):
        col("t").cast(int).evaluate(batch(t=texts), on_compute_error="fail")
    assert values(f.cast_or_null(col("x"), pa.int8()), x=[1.9, -1.9, 300.0, math.nan]) == [
        1,
        -1,
        None,
        None,
    ]
    assert values(col("n").cast(str), n=[1, None]) == ["1", None]
    assert one(lit(Decimal("1.5")).cast("double")) == 1.5


# -- text --------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=10))
def test_text_is_what_python_and_arrow_make_of_it(texts: list[str | None]) -> None:
    t = pa.array(texts, pa.string())
    for mine, wanted in [
        (f.length(col("t")), [None if x is None else len(x) for x in texts]),
        (f.substr(col("t"), 1, 2), [None if x is None else x[1:3] for x in texts]),
        (f.substr(col("t"), -2), [None if x is None else x[-2:] for x in texts]),
        (f.trim(col("t"), " x"), [None if x is None else x.strip(" x") for x in texts]),
        (f.replace(col("t"), "a", "bb"), pc.replace_substring(t, "a", "bb").to_pylist()),
        (f.split(col("t"), ","), [None if x is None else x.split(",") for x in texts]),
        (f.starts_with(col("t"), "a"), pc.starts_with(t, "a").to_pylist()),
        (f.ends_with(col("t"), "b"), pc.ends_with(t, "b").to_pylist()),
        (f.contains(col("t"), ","), pc.match_substring(t, ",").to_pylist()),
        (f.regex_match(col("t"), "^a"), pc.match_substring_regex(t, "^a").to_pylist()),
        (
            f.concat(col("t"), "!", separator="-"),
            [None if x is None else f"{x}-!" for x in texts],
        ),
        (
            f.md5(col("t")),
            [None if x is None else hashlib.md5(x.encode()).hexdigest() for x in texts],
        ),
        (
            f.sha256(col("t")),
            [None if x is None else hashlib.sha256(x.encode()).hexdigest() for x in texts],
        ),
    ]:
        assert mine.evaluate(batch(t=t)).to_pylist() == wanted, mine
    for kind in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        other = batch(t=t.cast(kind))
        assert f.upper(col("t")).evaluate(other).equals(f.upper(col("t")).evaluate(batch(t=t)))
        assert (col("t") == "a,b").evaluate(other).equals(pc.equal(t, "a,b"))


def test_groups_of_patterns_are_caught_by_name_and_number() -> None:
    text = lit("order-17 of ann")
    assert one(f.regex_extract(text, r"(?P<word>\w+)-(?P<n>\d+)", "n")) == "17"
    assert one(f.regex_extract(text, r"(\w+)-(\d+)", 2)) == "17"
    assert one(f.regex_extract(text, r"\d+")) == "17"
    assert one(f.regex_extract(text, "nothing")) is None
    assert one(f.regex_replace(text, r"(\d)", "<$1>")) == "order-<1><7> of ann"
    with pytest.raises(DeclarationError, match='no group "q"'):
        one(f.regex_extract(text, "(?P<n>x)", "q"))
    with pytest.raises(DeclarationError, match="is not a pattern"):
        one(f.regex_match(text, "("))


def test_hashes_are_those_of_other_programs() -> None:
    assert one(f.hash64(lit("abc"))) == 0x44BC2CF5AD770999  # the specification of xxHash64
    assert one(f.murmur2(lit("21"))) == -973932308 & 0x7FFFFFFF  # Kafka's own tests
    assert values(f.murmur2(col("n")), n=[21]) == [-973932308 & 0x7FFFFFFF]


# -- times -------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.lists(TIMES, min_size=1, max_size=10), st.sampled_from(["UTC", "Europe/Berlin"]))
def test_the_calendar_is_pythons(times: list[datetime], zone: str) -> None:
    rows = batch(t=pa.array(times, pa.timestamp("us", "UTC")))
    local = [time.astimezone(ZoneInfo(zone)) for time in times]
    parts: list[tuple[Any, Callable[[datetime], int]]] = [
        (f.year, lambda t: t.year),
        (f.quarter, lambda t: (t.month + 2) // 3),
        (f.month, lambda t: t.month),
        (f.week, lambda t: t.isocalendar()[1]),
        (f.day, lambda t: t.day),
        (f.day_of_year, lambda t: t.timetuple().tm_yday),
        (f.weekday, lambda t: t.weekday()),
        (f.hour, lambda t: t.hour),
        (f.minute, lambda t: t.minute),
        (f.second, lambda t: t.second),
    ]
    for mine, part in parts:
        got = mine(col("t"), timezone=zone).evaluate(rows).to_pylist()
        assert got == [part(time) for time in local], mine
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    ms = [(time - epoch) // timedelta(milliseconds=1) for time in times]
    assert f.epoch_ms(col("t")).evaluate(rows).to_pylist() == ms
    day = f.date_trunc("day", col("t"), timezone=zone).evaluate(rows).to_pylist()
    assert [t.astimezone(ZoneInfo(zone)).date() for t in day] == [t.date() for t in local]
    months = f.date_trunc("month", col("t")).evaluate(rows).to_pylist()
    assert months == [t.replace(day=1, hour=0, minute=0, second=0, microsecond=0) for t in times]
    week = f.date_trunc("week", col("t")).evaluate(rows).to_pylist()
    assert all(t.weekday() == 0 and t <= own for t, own in zip(week, times, strict=True))
    back = f.parse_ts(f.format_ts(col("t"))).evaluate(rows).to_pylist()
    assert back == times


def test_days_of_a_zone_have_the_hours_its_clocks_give_them() -> None:
    before = datetime(2026, 3, 28, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    after = one(f.date_add(lit(before), 1, "day", timezone="Europe/Berlin"))
    assert after - before.astimezone(UTC) == timedelta(hours=23)
    assert one(f.date_add(lit(date(2026, 1, 31)), 1, "month")).day == 28
    assert one(f.date_diff(lit(date(2024, 2, 29)), lit(date(2026, 2, 28)), "years")) == 1
    assert one(f.date_diff(lit(date(2026, 3, 1)), lit(date(2026, 2, 1)), "day")) == -28


def test_integers_are_ms_since_the_epoch() -> None:
    assert values(f.year(col("ts")), ts=[0, -1]) == [1970, 1969]
    assert values(f.format_ts(col("ts"), "%H:%M:%S%.3f"), ts=[1_500]) == ["00:00:01.500"]


def test_text_that_is_no_time_cannot_be_computed() -> None:
    texts = ["05.03.2026 14:00", "soon", None]
    times = values(f.parse_ts(col("t"), "%d.%m.%Y %H:%M"), t=texts)
    assert times == [datetime(2026, 3, 5, 14, tzinfo=UTC), None, None]
    with pytest.raises(ComputeError, match="soon"):
        f.parse_ts(col("t")).evaluate(batch(t=["soon"]), on_compute_error="fail")
    assert values(f.parse_ts_or_null(col("t")), t=["2026-01-01T00:00:00+01:00", ""]) == [
        datetime(2025, 12, 31, 23, tzinfo=UTC),
        None,
    ]


def test_times_compare_and_add() -> None:
    rows = batch(t=pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("ms", "UTC")))
    assert (col("t") >= "2026-01-01").evaluate(rows).to_pylist() == [True]
    assert (col("t") < datetime(2026, 1, 1, 1, tzinfo=UTC)).evaluate(rows).to_pylist() == [True]
    later = (col("t") + timedelta(hours=1)).evaluate(rows).to_pylist()
    assert later == [datetime(2026, 1, 1, 1, tzinfo=UTC)]
    assert (col("t") - col("t")).evaluate(rows).to_pylist() == [timedelta()]


# -- as data, and on batches -------------------------------------------------------------------


def test_an_expression_reads_as_it_was_written_and_survives_json() -> None:
    expr = when((col("a") > 1) & ~col("b").is_null()).then(f.round(col("a") / 3, 2)).otherwise(None)
    text = repr(expr.alias("x"))
    assert text == (
        "when(((col('a') > 1) & ~is_null(col('b')))).then(round((col('a') / 3), digits=2))"
        ".otherwise(None).alias('x')"
    )
    assert repr(Expr.from_json(expr.alias("x").to_json())) == text
    assert expr.columns == ["a", "b"]
    long = col("n") == 0
    for n in range(1, 500):
        long = long | (col("n") == n)
    assert values(long, n=[499, 500]) == [True, False]


def test_mistakes_are_said_in_one_sentence() -> None:
    rows = batch(a=[1], t=["x"])
    mistakes: list[tuple[Callable[[], Any], str]] = [
        (lambda: col("c").evaluate(rows), 'there is no column "c": there are a, t'),
        (lambda: (col("a") + col("t")).evaluate(rows), "t is text: cast it"),
        (lambda: (col("a") == "1").evaluate(rows), "do not meet in one type"),
        (lambda: (col("a") & col("a")).evaluate(rows), "compare it first"),
        (lambda: f.filter(rows, col("a")), "no predicate"),
        (lambda: f.filter(rows, cast("Expr", True)), "no condition"),
        (lambda: bool(col("a") > 1), "join conditions by"),
        (lambda: lit(2**64), "at most 64 bits"),
        (lambda: lit({}), "is not a constant"),
        (lambda: lit("x", "int64").check(rows.schema), "no value of type int64"),
        (lambda: col("a").cast("number").check(rows.schema), "not a type of a column"),
        (lambda: col("a").is_in([None]), "is_null"),
        (lambda: f.select(rows, col("a") + 1), "has no name"),
        (lambda: f.explode(rows, "a"), "is int64"),
        (lambda: Expr.from_json("{"), "not the JSON"),
        (lambda: Expr.from_json('{"x": 1}'), "is not an expression"),
        (lambda: f.year(col("t")).check(rows.schema), "works on times"),
        (lambda: f.year(col("a"), "Mars").check(rows.schema), "not a time zone"),
        (lambda: f.date_trunc("eon", col("a")).check(rows.schema), "not a unit"),
        (lambda: f.format_ts(col("a"), "%Q").check(rows.schema), "not a format"),
        (lambda: when(True), "no condition"),  # type: ignore[arg-type]
    ]
    for wrong, sentence in mistakes:
        with pytest.raises(DeclarationError) as caught:
            wrong()
        assert sentence in str(caught.value)
        assert "\n" not in str(caught.value)


def test_batches_are_selected_extended_and_filtered() -> None:
    rows = batch(a=[1, 2, None], s=[{"x": 1}, None, {"x": 3}])
    selected = f.select(rows, col("a"), (col("s.x") + 1).alias("y"), one=1)
    assert selected.to_pydict() == {"a": [1, 2, None], "y": [2, None, 4], "one": [1, 1, 1]}
    assert f.with_columns(rows, a=col("a") * 10, b=col("a")).to_pydict() == {
        "a": [10, 20, None],
        "s": rows["s"].to_pylist(),
        "b": [1, 2, None],
    }
    assert f.filter(rows, col("a") > 1).to_pydict() == {"a": [2], "s": [None]}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.none() | st.lists(st.none() | st.integers(0, 9), max_size=4), max_size=10))
def test_lists_become_rows(lists: list[list[int | None] | None]) -> None:
    rows = batch(n=list(range(len(lists))), v=pa.array(lists, pa.list_(pa.int64())))
    flat = [(n, x) for n, xs in enumerate(lists) for x in xs or []]
    kept = [(n, x) for n, xs in enumerate(lists) for x in xs or [None]]
    for keep_empty, wanted in [(False, flat), (True, kept)]:
        got = f.explode(rows, "v", keep_empty=keep_empty)
        assert list(zip(*got.to_pydict().values(), strict=True)) == wanted
    cut = f.explode(rows.slice(len(lists) // 2), "v").to_pydict()
    assert cut["n"] == [n for n, _ in flat if n >= len(lists) // 2]


def test_rows_are_split_by_predicates_and_by_keys() -> None:
    rows = batch(n=[1, 5, 9, None])
    splitter = Splitter([(col("n") > 6).to_json(), (col("n") > 2).to_json()])
    parts, failed = splitter.split(rows)
    assert [(at, part.to_pydict()["n"]) for at, part in parts] == [
        (0, [9]),
        (1, [5]),
        (2, [1, None]),
    ]
    assert failed == 0
    keys = batch(k=[f"u{n % 10}" for n in range(100)], n=list(range(100)))
    shards = [part.to_pydict() for part in shard_rows(keys, "k", 3) if part is not None]
    assert sorted(n for part in shards for n in part["n"]) == list(range(100))
    assert all(part["n"] == sorted(part["n"]) for part in shards)
    assert sum(len(set(part["k"])) for part in shards) == 10
