"""Aggregates written in Python: a call a batch, refused where they break their contract."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from turbine import _native, functions
from turbine import aggregates as agg
from turbine.exceptions import ComputeError, DeclarationError


@dataclass(frozen=True)
class Weighted(agg.Custom):
    """Sum of a column times another, times a constant."""

    reads = ("column", "weight")
    column: str
    weight: str
    factor: int = 1

    def zero(self, types: Sequence[pa.DataType]) -> pa.RecordBatch:
        return pa.record_batch({"total": pa.array([0], pa.int64())})

    def result_type(self, types: Sequence[pa.DataType]) -> pa.DataType:
        return pa.int64()

    def update(self, groups: Any, columns: Sequence[Any], state: pa.RecordBatch) -> Any:
        products = pc.multiply(pc.multiply(columns[0], columns[1]), self.factor)
        rows = pa.table({"g": groups, "v": products})
        sums: Any = rows.group_by("g", use_threads=False).aggregate([("v", "sum")])
        added: Any = pc.fill_null(sums["v_sum"].combine_chunks(), 0)
        return self.merge(state, pa.record_batch({"total": added}))

    def merge(self, state: pa.RecordBatch, other: pa.RecordBatch) -> pa.RecordBatch:
        return pa.record_batch({"total": pc.add(state["total"], other["total"])})

    def finish(self, state: pa.RecordBatch) -> Any:
        return state["total"]


ROWS = pa.table({"k": ["a", "b", "a", None], "v": [1, 2, 3, None], "w": [10, 10, 10, 1]})


def test_a_custom_aggregate_stands_beside_the_others() -> None:
    value = {"sum": Weighted("v", "w"), "n": agg.Count(), "twice": Weighted("v", "w", factor=2)}
    assert agg.aggregate(ROWS, key="k", value=value).to_pylist() == [
        {"k": "a", "sum": 40, "n": 2, "twice": 80},
        {"k": "b", "sum": 20, "n": 1, "twice": 40},
        {"k": None, "sum": 0, "n": 1, "twice": 0},
    ]


def test_no_rows_are_the_empty_state() -> None:
    done = agg.aggregate(ROWS.slice(0, 0), value=Weighted("v", "w"))
    assert done.to_pylist() == [{"weighted_v_w": 0}]


def test_a_custom_aggregate_reads_expressions() -> None:
    value = {
        "a": Weighted(cast("Any", functions.col("v") * 2), "w"),
        "b": Weighted(cast("Any", functions.col("v") * 3), "w"),
    }
    assert agg.aggregate(ROWS, value=value).to_pylist() == [{"a": 120, "b": 180}]


def test_the_same_declaration_has_the_same_name_in_the_core() -> None:
    def name(one: agg.Aggregate) -> object:
        return one.specs("x")[0]["options"]["name"]

    assert name(Weighted("v", "w", 7)) == name(Weighted("v", "w", 7).alias("other"))
    assert name(Weighted("v", "w", 7)) != name(Weighted("v", "w", 8))


def broken(**methods: Callable[..., Any]) -> agg.Aggregate:
    """Replace methods of `Weighted`."""
    made: Any = dataclass(frozen=True)(type("Broken", (Weighted,), methods))
    one: agg.Aggregate = made("v", "w").alias("out")
    return one


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (broken(update=lambda *_: 1 / 0), "out: update: ZeroDivisionError: division by zero"),
        (broken(update=lambda *_: 3), "out: update returned <class 'int'>"),
        (broken(update=lambda self, g, c, state: state.slice(1)), "update returned 2 rows for 3"),
        (
            broken(update=lambda *_: pa.record_batch({"total": ["a", "b", "c"]})),
            "or other columns than zero has",
        ),
        (broken(finish=lambda self, state: state["total"][:1]), "finish returned 1 values"),
        (broken(finish=lambda self, state: pa.array([1.5] * 3)), "they must be Int64"),
        (broken(zero=lambda *_: pa.record_batch({"a": [1, 2]})), "zero must return"),
    ],
    ids=range(7),
)
def test_what_a_method_does_wrong_is_said_with_its_name(one: agg.Aggregate, message: str) -> None:
    with pytest.raises(ComputeError, match=message):
        agg.aggregate(ROWS, key="k", value=one)


def test_a_name_that_was_never_declared_is_refused() -> None:
    [spec] = agg.as_specs(Weighted("v", "w").alias("out"))
    spec["options"]["name"] = "nobody"
    with pytest.raises(DeclarationError, match="no custom aggregate nobody; declare it first"):
        _native.aggregate(ROWS, [], json.dumps([spec]), None)


def test_a_class_without_its_methods_cannot_be_used() -> None:
    class Bare(agg.Custom):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Bare()  # type: ignore[abstract]
