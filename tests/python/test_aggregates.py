"""Aggregates of rows give what pandas, pyarrow and Python's own arithmetic give."""

import datetime as dt
import decimal
import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbine import aggregates as agg
from turbine.exceptions import ComputeError, DeclarationError

FEW = settings(max_examples=25)

INT64 = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(-1e9, 1e9)
CENTS = st.decimals(-(10**9), 10**9, places=2)
KEYS = st.sampled_from(["a", "b", None, ""])


def rows(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[tuple[Any, Any]]]:
    """Keys and values, some of them null."""
    return st.lists(st.tuples(KEYS, st.none() | values), max_size=40)


def per_key(
    table: Sequence[tuple[Any, Any]], function: Callable[[list[Any]], Any]
) -> dict[Any, Any]:
    """Apply *function* to the values of each key that are not null, in order."""
    groups: dict[Any, list[Any]] = {}
    for key, value in table:
        groups.setdefault(key, []).extend([] if value is None else [value])
    return {key: function(values) for key, values in groups.items()}


def as_table(table: Sequence[tuple[Any, Any]], data_type: pa.DataType) -> pa.Table:
    """Write them as the columns ``k`` and ``v``."""
    columns = {
        "k": pa.array([key for key, _ in table], pa.string()),
        "v": pa.array([v for _, v in table], data_type),
    }
    return pa.table(columns)


def computed(
    table: Sequence[tuple[Any, Any]], value: agg.Aggregate, data_type: pa.DataType
) -> dict[Any, Any]:
    """Aggregate of the column ``v`` for each key."""
    done = agg.aggregate(as_table(table, data_type), key="k", value={"out": value})
    keys = done["k"].to_pylist()
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, done["out"].to_pylist(), strict=True))


def one(values: Sequence[Any], value: agg.Aggregate, data_type: pa.DataType | None = None) -> Any:
    """Aggregate of one group."""
    batch = pa.table({"v": pa.array(values, data_type)})
    return agg.aggregate(batch, value=value.alias("out"))["out"][0].as_py()


def only_if(function: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    """None without values."""
    return lambda values: function(values) if values else None


# -- numbers ---------------------------------------------------------------------------------


@FEW
@given(rows(st.integers(-(2**50), 2**50)))
def test_integers_are_added_to_the_last_bit(table: list[tuple[Any, Any]]) -> None:
    assert computed(table, agg.Sum("v"), pa.int64()) == per_key(table, only_if(sum))
    assert computed(table, agg.Count("v"), pa.int64()) == per_key(table, len)


@FEW
@given(rows(INT64))
def test_means_of_integers_are_rounded_once(table: list[tuple[Any, Any]]) -> None:
    mean = only_if(lambda values: float(Fraction(sum(values), len(values))))
    assert computed(table, agg.Mean("v"), pa.int64()) == per_key(table, mean)


@FEW
@given(rows(FLOATS))
def test_floats_are_added_as_fsum_adds_them(table: list[tuple[Any, Any]]) -> None:
    assert computed(table, agg.Sum("v"), pa.float64()) == per_key(table, only_if(math.fsum))
    mean = only_if(lambda values: math.fsum(values) / len(values))
    assert computed(table, agg.Mean("v"), pa.float64()) == per_key(table, mean)


@FEW
@given(rows(CENTS))
def test_decimals_are_exact(table: list[tuple[Any, Any]]) -> None:
    def mean(values: list[Decimal]) -> Decimal:
        with decimal.localcontext(prec=60, rounding=decimal.ROUND_HALF_EVEN):
            return (sum(values, Decimal(0)) / len(values)).quantize(Decimal("1e-6"))

    kind = pa.decimal128(14, 2)
    assert computed(table, agg.Sum("v"), kind) == per_key(table, only_if(sum))
    assert computed(table, agg.Mean("v"), kind) == per_key(table, only_if(mean))


@FEW
@given(rows(st.floats(width=32)), st.sampled_from([pa.float32(), pa.float64()]))
def test_least_and_greatest_floats_are_those_of_pyarrow(
    table: list[tuple[Any, Any]], kind: pa.DataType
) -> None:
    columns = {"k": pa.array([k for k, _ in table], pa.string())}
    theirs = pa.table({**columns, "v": pa.array([v for _, v in table], kind)})
    found = theirs.group_by("k").aggregate([("v", "min"), ("v", "max")]).to_pylist()
    least, most = computed(table, agg.Min("v"), kind), computed(table, agg.Max("v"), kind)
    for row in found:
        for ours, column in ((least, "v_min"), (most, "v_max")):
            got, expected = ours[row["k"]], row[column]
            assert got == expected or (math.isnan(got) and math.isnan(expected))
    assert set(least) == {row["k"] for row in found}


ORDERED: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int8(), st.integers(-128, 127)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.decimal128(14, 2), CENTS),
    (pa.string(), st.text(max_size=3)),
    (pa.large_string(), st.text(max_size=40)),
    (pa.binary(), st.binary(max_size=3)),
    (pa.bool_(), st.booleans()),
    (pa.date32(), st.dates()),
    (pa.timestamp("ms", "Europe/Berlin"), st.datetimes(timezones=st.just(dt.UTC)).map(
        lambda at: at.replace(year=2024, month=1, microsecond=0))),
    (pa.duration("us"), st.timedeltas(dt.timedelta(-9), dt.timedelta(9))),
    (pa.time64("us"), st.times()),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "values"), ORDERED, ids=[str(kind) for kind, _ in ORDERED])
def test_values_with_an_order_keep_their_type(
    kind: pa.DataType, values: st.SearchStrategy[Any]
) -> None:
    @FEW
    @given(rows(values))
    def check(table: list[tuple[Any, Any]]) -> None:
        expected: dict[str, tuple[agg.Aggregate, Callable[[list[Any]], Any]]] = {
            "min": (agg.Min("v"), only_if(min)),
            "max": (agg.Max("v"), only_if(max)),
            "list": (agg.CollectList("v"), only_if(list)),
            "set": (agg.CollectSet("v"), only_if(lambda v: sorted(set(v)))),
            "distinct": (agg.CountDistinct("v"), lambda v: len(set(v))),
            "largest": (agg.Largest("v", 3), only_if(lambda v: sorted(v, reverse=True)[:3])),
            "smallest": (agg.Smallest("v", 3), only_if(lambda v: sorted(v)[:3])),
        }
        done = agg.aggregate(
            as_table(table, kind), key="k", value={name: of for name, (of, _) in expected.items()}
        )
        for name, (_, function) in expected.items():
            found = dict(zip(done["k"].to_pylist(), done[name].to_pylist(), strict=True))
            assert found == per_key(table, function), name

    check()


def close(ours: Any, theirs: Any, scale: float) -> bool:
    """Equal to 1e-12 of the size of what was added up; pandas writes NaN for null."""
    if ours is None or math.isnan(ours):
        return math.isnan(theirs)
    return math.isclose(ours, theirs, rel_tol=1e-12, abs_tol=1e-12 * scale)


@FEW
@given(
    st.lists(st.tuples(st.floats(-1000, 1000), st.integers(-1000, 1000)), min_size=1, max_size=40)
)
def test_moments_are_those_of_pandas(pairs: list[tuple[float, int]]) -> None:
    frame = pd.DataFrame(pairs, columns=["x", "y"])
    value = {
        "var_x": agg.Variance("x"),
        "var_y": agg.Variance("y", ddof=1),
        "std_y": agg.StdDev("y", ddof=1),
        "cov": agg.Covariance("x", "y", ddof=1),
    }
    [ours] = agg.aggregate(pa.Table.from_pandas(frame), value=value).to_pylist()
    size = 1e6
    assert close(ours["var_x"], frame["x"].var(ddof=0), size)
    assert close(ours["var_y"], frame["y"].var(), size)
    assert close(ours["std_y"], frame["y"].std(), size)
    assert close(ours["cov"], frame["x"].cov(frame["y"]) if len(frame) > 1 else math.nan, size)


@FEW
@given(st.lists(st.integers(-(2**62), 2**62), min_size=2, max_size=20))
def test_the_variance_of_integers_is_exact(values: list[int]) -> None:
    exact = statistics.pvariance([Fraction(value) for value in values])
    assert math.isclose(one(values, agg.Variance("v")), float(exact), rel_tol=1e-15)


def test_the_correlation_is_that_of_pandas_and_null_for_a_constant() -> None:
    frame = pd.DataFrame(np.random.default_rng(7).normal(size=(500, 2)), columns=["x", "y"])
    frame["one"] = 1.0
    table = pa.Table.from_pandas(frame)
    value = {"xy": agg.Correlation("x", "y"), "none": agg.Correlation("x", "one")}
    [ours] = agg.aggregate(table, value=value).to_pylist()
    assert math.isclose(ours["xy"], frame["x"].corr(frame["y"]), rel_tol=1e-12)
    assert ours["none"] is None


@FEW
@given(rows(st.booleans()))
def test_flags_are_those_of_python(table: list[tuple[Any, Any]]) -> None:
    assert computed(table, agg.AnyTrue("v"), pa.bool_()) == per_key(table, only_if(any))
    assert computed(table, agg.AllTrue("v"), pa.bool_()) == per_key(table, only_if(all))


# -- chosen and collected values -------------------------------------------------------------


@FEW
@given(st.lists(st.tuples(st.none() | st.text(max_size=2), st.integers(0, 3)), max_size=30))
def test_chosen_values_are_those_of_python(table: list[tuple[str | None, int]]) -> None:
    batch = pa.table(
        {
            "v": pa.array([v for v, _ in table], pa.string()),
            "at": pa.array([at for _, at in table], pa.int64()),
        }
    )
    value = {
        "first": agg.First("v"),
        "last": agg.Last("v"),
        "first_by": agg.First("v", by="at"),
        "last_by": agg.Last("v", by="at"),
        "min": agg.ArgMin("v", by="at"),
        "max": agg.ArgMax("v", by="at"),
    }
    [by_time] = agg.aggregate(batch, value=value, time="at").to_pylist()
    there = [(v, at) for v, at in table if v is not None]
    if not there:
        assert set(by_time.values()) == {None}
        return
    earliest, latest = min(there, key=lambda row: row[1]), max(there, key=lambda row: row[1])
    [last] = [v for v, at in there if at == latest[1]][-1:]
    assert by_time == {
        "first": earliest[0],
        "last": last,
        "first_by": earliest[0],
        "last_by": last,
        "min": earliest[0],
        "max": latest[0],
    }
    [in_order] = agg.aggregate(batch, value=value).to_pylist()
    assert (in_order["first"], in_order["last"]) == (there[0][0], there[-1][0])


@FEW
@given(st.lists(st.none() | st.text(alphabet="abc", max_size=1), max_size=30), st.integers(1, 4))
def test_the_most_frequent_values_are_those_of_a_counter(values: list[str | None], k: int) -> None:
    counts = Counter(value for value in values if value is not None)
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    top = one(values, agg.TopK("v", k), pa.string())
    assert [(pair["value"], pair["count"]) for pair in top or []] == ranked[:k]
    assert one(values, agg.Mode("v"), pa.string()) == (ranked[0][0] if ranked else None)


@FEW
@given(st.lists(st.none() | st.floats(-10, 10) | st.just(math.nan), max_size=40))
def test_a_histogram_is_that_of_numpy_with_both_ends_open(values: list[float | None]) -> None:
    edges = [-5.0, 0.0, 2.5]
    numbers = [value for value in values if value is not None and not math.isnan(value)]
    expected, _ = np.histogram(numbers, bins=[-math.inf, *edges, math.inf])
    assert one(values, agg.Histogram("v", edges), pa.float64()) == expected.tolist()


def test_all_nan_are_one_value_and_zero_has_no_sign() -> None:
    values = [math.nan, -math.nan, 0.0, -0.0, None]
    assert one(values, agg.CountDistinct("v")) == 2
    assert one(values, agg.ApproxCountDistinct("v")) == 2


def test_nested_values_are_collected_as_they_are() -> None:
    values = [{"a": [1, 2]}, {"a": None}, {"a": [1, 2]}]
    assert one(values, agg.CollectList("v")) == values
    assert one(values, agg.Last("v")) == {"a": [1, 2]}
    assert one(values, agg.CountDistinct("v")) == 2


def test_dictionaries_are_read_as_what_they_stand_for() -> None:
    column = pa.array(["b", "a", "b"]).dictionary_encode()
    done = agg.aggregate(pa.table({"v": column}), key="v", value=agg.Max("v").alias("most"))
    assert done.to_pylist() == [{"v": "b", "most": "b"}, {"v": "a", "most": "a"}]
    assert done.schema.field("v").type == column.type


# -- sketches --------------------------------------------------------------------------------


@FEW
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=100), st.floats(0, 1))
def test_quantiles_of_few_values_are_those_of_numpy(values: list[float], q: float) -> None:
    expected = float(np.quantile(values, q))
    assert math.isclose(one(values, agg.Quantile("v", q)), expected, rel_tol=1e-9, abs_tol=1e-6)
    inverted = float(np.quantile(values, q, method="inverted_cdf"))
    assert one(values, agg.Quantile("v", q, method="kll")) in (inverted, *values)


@pytest.mark.parametrize(("method", "error"), [("tdigest", 0.005), ("kll", 0.02)])
@pytest.mark.parametrize("order", ["random", "sorted", "reversed"])
def test_quantiles_of_many_values_are_close(method: Any, error: float, order: str) -> None:
    values = np.random.default_rng(3).lognormal(size=50_000)
    given = {"random": values, "sorted": np.sort(values), "reversed": np.sort(values)[::-1]}[order]
    qs = [0.001, 0.1, 0.5, 0.9, 0.999]
    sketch = agg.Quantiles("v", qs, method=method).alias("out")
    [ours] = agg.aggregate(pa.table({"v": pa.array(given)}), value=sketch).to_pylist()
    for q, found in zip(qs, ours["out"].values(), strict=True):
        assert abs((values <= found).mean() - q) < error


@pytest.mark.parametrize("count", [0, 1, 100, 5_000, 200_000])
def test_numbers_of_different_values_are_estimated(count: int) -> None:
    table = pa.table({"v": pa.array([f"user-{i}" for i in range(count)] * 2, pa.string())})
    [ours] = agg.aggregate(table, value=agg.ApproxCountDistinct("v").alias("n")).to_pylist()
    assert abs(ours["n"] - count) <= 0.05 * count
    assert count > 100 or ours["n"] == count


# -- groups ----------------------------------------------------------------------------------


def test_keys_keep_their_types_and_come_in_the_order_of_their_first_rows() -> None:
    table = pa.table(
        {
            "day": pa.array([dt.date(2024, 1, 2), dt.date(2024, 1, 1), dt.date(2024, 1, 2)]),
            "level": pa.array([2, None, 2], pa.int8()),
            "v": [1, 2, 3],
        }
    )
    done = agg.aggregate(table, key=["day", "level"], value=agg.Sum("v"))
    assert done.schema.types == [pa.date32(), pa.int8(), pa.int64()]
    assert done.to_pylist() == [
        {"day": dt.date(2024, 1, 2), "level": 2, "sum_v": 4},
        {"day": dt.date(2024, 1, 1), "level": None, "sum_v": 2},
    ]


def test_no_rows_are_no_groups_and_without_keys_one_group() -> None:
    empty = pa.table({"k": pa.array([], pa.string()), "v": pa.array([], pa.int64())})
    assert agg.aggregate(empty, key="k", value=agg.Sum("v")).num_rows == 0
    both = agg.Multi(n=agg.Count(), total=agg.Sum("v"))
    assert agg.aggregate(empty, value=both).to_pylist() == [{"n": 0, "total": None}]


def test_an_expression_is_read_under_a_name_of_its_own() -> None:
    from turbine.functions import col

    table = pa.table({"k": ["a", "b", "a"], "v": [1, 2, 3]})
    twice = agg.Sum(col("v") * 2)
    done = agg.aggregate(table, key="k", value=twice.alias("twice"))
    assert done.to_pylist() == [{"k": "a", "twice": 8}, {"k": "b", "twice": 4}]
    with pytest.raises(DeclarationError, match="its column needs a name: write"):
        twice.specs()


def test_a_polars_frame_is_read_too() -> None:
    import polars as pl

    frame = pl.DataFrame({"k": ["a", "b", "a"], "v": [1, 2, 3]})
    done = agg.aggregate(frame, key="k", value=agg.Sum("v"))
    assert done.to_pylist() == [{"k": "a", "sum_v": 4}, {"k": "b", "sum_v": 2}]


# -- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: agg.Sum(""), "'' is no column: give its name"),
        (lambda: agg.Sum(cast("Any", 3)), "3 is no column"),
        (lambda: agg.Variance("v", ddof=-1), "ddof must be a whole number of at least 0"),
        (lambda: agg.Quantile("v", 1.5), "from 0 to 1"),
        (lambda: agg.Quantiles("v", []), "there must be one"),
        (lambda: agg.Quantiles("v", [0.5, 0.5]), "name each once"),
        (lambda: agg.Quantile("v", 0.5, method=cast("Any", "exact")), "write 'tdigest' or 'kll'"),
        (lambda: agg.Median("v", compression=5), "from 10 to 10,000"),
        (lambda: agg.TopK("v", 0), "k must be a whole number of at least 1"),
        (lambda: agg.CollectList("v", limit=0), "limit must be a whole number"),
        (lambda: agg.Histogram("v", [2, 1]), "ascending order"),
        (lambda: agg.ApproxCountDistinct("v", 3), "from 4 to 21"),
        (lambda: agg.Sum("v").alias(""), "no name of a column"),
        (agg.Multi, "no aggregate is given"),
        (lambda: agg.as_specs(agg.Sum), "write <class|write Sum\\(...\\)"),
        (lambda: agg.as_specs({"a": "v"}), "'v' is no aggregate"),
        (lambda: agg.as_specs([agg.Count(), agg.Count()]), "two aggregates have the output"),
        (lambda: agg.as_specs({"a": agg.Count().alias("b")}), "choose one name"),
    ],
)  # fmt: skip
def test_declarations_that_make_no_sense_are_refused(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(DeclarationError, match=message):
        make()


def test_an_aggregate_says_which_columns_it_cannot_read() -> None:
    table = pa.table({"name": ["a"], "v": [1]})
    with pytest.raises(DeclarationError, match='there is no column "w"; there are name, v'):
        agg.aggregate(table, value=agg.Sum("w"))
    with pytest.raises(
        DeclarationError, match=r"aggregate sum_name .* reads numbers, and the column"
    ):
        agg.aggregate(table, value=agg.Sum("name"))
    with pytest.raises(DeclarationError, match="'v' has the name of a key column"):
        agg.aggregate(table, key="v", value={"v": agg.Count()})


def test_a_sum_that_does_not_fit_is_refused_and_fits_as_a_decimal() -> None:
    table = pa.table({"v": [2**63 - 1, 1]})
    with pytest.raises(ComputeError, match=r"sum_v: .* cast the column to decimal128"):
        agg.aggregate(table, value=agg.Sum("v"))
    wide = table.cast(pa.schema({"v": pa.decimal128(38, 0)}))
    assert agg.aggregate(wide, value=agg.Sum("v")).to_pylist() == [{"sum_v": Decimal(2**63)}]


def test_a_collection_without_a_limit_is_refused_when_it_is_large() -> None:
    table = pa.table({"v": range(10_001)})
    with pytest.raises(ComputeError, match="more than 10000 values; pass limit="):
        agg.aggregate(table, value=agg.CollectList("v"))
    value = {"first": agg.CollectList("v", limit=2), "least": agg.CollectSet("v", limit=2)}
    assert agg.aggregate(table, value=value).to_pylist() == [{"first": [0, 1], "least": [0, 1]}]
