"""The latency of word counts, as `bench/wordcount_latency.py` has it, against a plain search."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
feed: Any = importlib.import_module("wordcount_feed")
latency: Any = importlib.import_module("wordcount_latency")
curves: Any = importlib.import_module("curves")

WORDS = st.lists(st.integers(0, 3), min_size=1, max_size=30)
OUTPUTS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(0, 99)))


@given(ids=WORDS, rows=OUTPUTS, skip=st.integers(0, 5))
def test_a_word_is_answered_by_the_least_count_that_includes_it(
    ids: list[int], rows: list[tuple[int, int, int]], skip: int
) -> None:
    fed = feed.Fed(np.array(ids), np.arange(len(ids)), 0.0)
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    took_ms, lost = latency.latencies(fed, latency.Outputs(*columns), skip)
    wanted: list[int] = []
    for place, word in enumerate(ids):
        ordinal = ids[: place + 1].count(word)
        found = [(count, at) for one, count, at in rows if one == word and count >= ordinal]
        if place >= skip and found:
            wanted.append(min(found)[1] - place)
    assert took_ms.tolist() == sorted(wanted)
    assert lost == max(len(ids) - skip, 0) - len(wanted)


def test_the_dictionary_has_five_thousand_words_of_seven_letters_and_is_always_the_same() -> None:
    words = feed.words()
    assert len(set(words)) == 5_000
    assert {len(word) for word in words} == {7}
    assert words == feed.words()


def test_a_drawing_has_a_line_for_each_program_and_leaves_out_what_is_not_above_zero() -> None:
    svg = curves.log_log({"a & b": [(1, 2), (10, 0), (100, 3)]}, title="t", x="x", y="y")
    assert svg.count("<polyline") == 1
    assert svg.count("<circle") == 2
    assert "a &amp; b" in svg
