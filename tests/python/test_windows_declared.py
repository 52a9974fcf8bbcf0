"""Windows as they are declared: what the core is told, and what is refused with which sentence."""

from datetime import timedelta
from typing import Any, cast

import pyarrow as pa
import pytest

from turbine import aggregates, windowing, windows
from turbine.exceptions import DeclarationError

COUNT = {"n": aggregates.Count()}
MISSPELT: Any = {"kye": "user"}


def kind(window: windows.Window) -> dict[str, Any]:
    """What the core is told about how rows are assigned."""
    return dict(window.spec("w")["kind"])


@pytest.mark.parametrize(
    ("window", "told"),
    [
        (
            windows.tumbling("10s", value=COUNT),
            {"type": "tumbling", "size_ms": 10_000, "offset_ms": 0},
        ),
        (
            windows.tumbling(timedelta(hours=1), value=COUNT, offset=-1_800),
            {"type": "tumbling", "size_ms": 3_600_000, "offset_ms": -1_800_000},
        ),
        (
            windows.hopping(10, "100ms", value=COUNT),
            {"type": "hopping", "size_ms": 10_000, "step_ms": 100, "offset_ms": 0},
        ),
        (windows.sliding("250ms", value=COUNT), {"type": "sliding", "size_ms": 250}),
        (
            windows.session("5m", value=COUNT, max_duration="1h"),
            {"type": "session", "gap_ms": 300_000, "max_duration_ms": 3_600_000},
        ),
        (windows.count(3, 1, value=COUNT), {"type": "count", "rows": 3, "step": 1}),
        (windows.everything(value=COUNT), {"type": "global"}),
        (
            windows.calendar("day", timezone="Europe/Paris", value=COUNT),
            {"type": "calendar", "unit": "day", "timezone": "Europe/Paris"},
        ),
    ],
)
def test_lengths_become_milliseconds(window: windows.Window, told: dict[str, Any]) -> None:
    assert kind(window) == told


def test_the_core_is_told_everything_that_was_said() -> None:
    window = windows.tumbling(
        1, key=["user", "kind"], value=COUNT, grace=2, emit="early(500ms)", persistent=True
    )
    spec = window.spec("orders", on_late="update")
    assert (spec["name"], spec["key"]) == ("orders", ["user", "kind"])
    assert spec["emit"] == {"type": "early", "interval_ms": 500}
    assert (spec["grace_ms"], spec["on_late"], spec["persistent"]) == (2_000, "update", True)
    assert [one["output"] for one in spec["aggregates"]] == ["n"]
    assert window.keyed_by("kind")
    assert not window.keyed_by("country")


@pytest.mark.parametrize(
    ("declare", "sentence"),
    [
        (lambda: windows.tumbling(0, value=COUNT), "size=0 is not possible"),
        (lambda: windows.tumbling("0.5ms", value=COUNT), "write whole milliseconds from 1"),
        (lambda: windows.tumbling("soon", value=COUNT), "size expects seconds"),
        (lambda: windows.tumbling(10, value=COUNT, **MISSPELT), "did you mean key="),
        (lambda: windows.hopping(10, 3, value=COUNT), "step=3 does not divide size=10"),
        (lambda: windows.session(10, value=COUNT, max_duration=5), "is shorter than gap=10"),
        (lambda: windows.count(0, value=COUNT), "write a whole number from 1"),
        (lambda: windows.count(5, value=COUNT, grace=1), "grace= makes no sense"),
        (lambda: windows.sliding(5, value=COUNT, emit="changes"), "emit= makes no sense"),
        (lambda: windows.everything(value=COUNT, emit="final"), "write emit='changes'"),
        (lambda: windows.tumbling(1, value=COUNT, emit="often"), "write 'final', 'changes'"),
        (lambda: windows.calendar("day", value=COUNT, timezone="Mars/Base"), "an IANA name"),
        (
            lambda: windows.calendar(cast("Any", "fortnight"), value=COUNT),
            "write one of 'hour', 'day'",
        ),
        (lambda: windows.tumbling(1, key=["a", "a"], value=COUNT), "names a column twice"),
        (
            lambda: windows.tumbling(1, key="n", value=COUNT),
            "an aggregate is called 'n', and the result has such a column already",
        ),
        (
            lambda: windows.tumbling(1, value=COUNT, max_open=5, persistent=True),
            "leave one of them out",
        ),
    ],
)
def test_what_is_not_possible_is_refused_with_what_to_write(declare: Any, sentence: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        declare()
    assert sentence in str(refused.value)


class Handler:
    """A handler with one window of each kind."""

    def __init__(self) -> None:
        self.closed: list[Any] = []
        self.tumbling = windowing.PersistentTumbling(
            self,
            name="t",
            size_ms=1_000,
            key=["user"],
            value=aggregates.Multi(n=aggregates.Count(), total=aggregates.Sum("amount")),
            on_close_each=lambda state, window, value: self.closed.append((window, value)),
        )
        self.sliding = windowing.InMemorySliding(
            self,
            name="s",
            size_ms=1_000,
            slide_ms=100,
            key=["user"],
            value=aggregates.Count().alias("n"),
            early_fire_interval_ms=50,
            on_early_fire=lambda state, panes: ("early", panes.num_rows),
            on_close=lambda state, panes: ("final", panes.num_rows),
        )


def test_a_handler_knows_its_windows() -> None:
    host = Handler()
    hosted = windowing.hosted_windows(host)
    assert [one.name for one in hosted] == ["t", "s"]
    assert hosted[0].declared.spec("x")["name"] == "t"
    assert hosted[0].declared.persistent
    assert hosted[1].declared.max_open == 1_000_000
    assert hosted[1].declared.emit == windows.early("50ms")
    assert windowing.hosted_windows(object.__new__(Handler)) == ()


def test_callbacks_get_windows_one_by_one_with_their_values_by_name() -> None:
    host = Handler()
    row = {"user": "a", "window_start_ms": 0, "window_end_ms": 1_000, "n": 2, "total": 1.5}
    outputs = host.tumbling.call_back(None, pa.RecordBatch.from_pylist([row]))
    [(window, value)] = host.closed
    assert outputs == []
    assert window == windowing.Window(0, 1_000, {"user": "a"})
    assert (value.n, value.total) == (2, 1.5)


def test_early_and_final_results_go_to_their_own_callbacks() -> None:
    rows = [
        {"user": u, "window_start_ms": 0, "window_end_ms": 1_000, "n": 2, "window_result": r}
        for u, r in [("a", "early"), ("b", "final"), ("c", "evicted")]
    ]
    outputs = Handler().sliding.call_back(None, pa.RecordBatch.from_pylist(rows))
    assert outputs == [("early", 1), ("final", 2)]


def test_an_update_outside_of_a_handler_says_where_it_belongs() -> None:
    with pytest.raises(RuntimeError, match=r"call update\(batch, state\) in process\(\)"):
        Handler().tumbling.update(pa.RecordBatch.from_pylist([{"user": "a"}]))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "needs name="),
        ({"name": "t|x", "key": ["u"], "value": COUNT}, "cannot name a window"),
        ({"name": "t", "key": "user", "value": COUNT}, "write key=['user']"),
        ({"name": "t", "key": ["user"], "value": COUNT}, "needs one of on_close="),
        (
            {"name": "t", "key": ["u"], "value": COUNT, "allowed_latness_ms": 5},
            "did you mean allowed_lateness_ms=",
        ),
        (
            {
                "name": "t",
                "key": ["u"],
                "value": COUNT,
                "on_close": print,
                "early_fire_interval_ms": 5,
            },
            "needs one of on_early_fire=",
        ),
    ],
)
def test_a_window_of_a_handler_is_refused_with_what_to_write(options: Any, sentence: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        windowing.InMemoryTumbling(object.__new__(Handler), size_ms=1_000, **options)
    assert sentence in str(refused.value)
