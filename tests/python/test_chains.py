"""The checker of the chaos runs: it finds what it is there for, and nothing else."""

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from support.chaos.chains import At, AtLeastOnce, Chains, ExactlyOnce, Marks, Output

KEYS = ["a", "b", "c"]


def story(length: int = 60, seed: int = 7) -> tuple[list[tuple[At, str, int]], list[Output]]:
    """Records, and the outputs of an app that makes no mistake."""
    chance = random.Random(seed)
    records, outputs = [], []
    state = dict.fromkeys(KEYS, (0, 0, 0))
    for offset in range(length):
        key, value = chance.choice(KEYS), chance.randrange(100)
        at = At(0, offset)
        count, total, before = state[key]
        state[key] = count + 1, total + value, chance.randrange(1, 1 << 50)
        records.append((at, key, value))
        is_odd = count % 2 == 1
        outputs.append(Output(at, key, *state[key][:2], before, state[key][2], is_odd, "w"))
    return records, outputs


def kinds(chains: Chains, outputs: Iterable[Output]) -> list[str]:
    """What is wrong with *outputs*."""
    for record in story()[0]:
        chains.record(*record)
    return [fault.kind for one in outputs for fault in chains.output(one)]


def later(outputs: list[Output], key: str, from_count: int) -> Output:
    return next(one for one in outputs if one.key == key and one.count == from_count)


@pytest.mark.parametrize("chains", [ExactlyOnce, AtLeastOnce])
def test_an_app_without_mistakes_has_no_faults(chains: Callable[[], Chains]) -> None:
    made = chains()
    assert kinds(made, story()[1]) == []
    assert made.outstanding() == 0
    assert (made.records, made.outputs, made.repeats) == (60, 60, 0)


@pytest.mark.parametrize("chains", [ExactlyOnce, AtLeastOnce])
def test_an_output_that_is_not_there_is_lost_and_the_last_one_is_outstanding(
    chains: Callable[[], Chains],
) -> None:
    outputs = story()[1]
    made = chains()
    assert "lost" in kinds(made, [one for one in outputs if one != later(outputs, "a", 3)])
    made = chains()
    assert kinds(made, outputs[:-1]) == []
    assert made.outstanding() == 1


def test_the_same_output_again_is_a_duplicate_only_where_once_was_promised() -> None:
    outputs = story()[1]
    twice = [*outputs, later(outputs, "b", 4)]
    assert kinds(ExactlyOnce(), twice) == ["duplicate"]
    relaxed = AtLeastOnce()
    assert kinds(relaxed, twice) == []
    assert relaxed.repeats == 1


@pytest.mark.parametrize("chains", [ExactlyOnce, AtLeastOnce])
def test_state_that_was_taken_back_is_a_gap_although_its_sums_are_right(
    chains: Callable[[], Chains],
) -> None:
    """The handler ran again with another nonce; its output was suppressed, its state kept."""
    outputs = story()[1]
    victim = later(outputs, "c", 5)
    forked = [replace(one, before=12345) if one == victim else one for one in outputs]
    assert kinds(chains(), forked) == ["gap"]


@pytest.mark.parametrize("chains", [ExactlyOnce, AtLeastOnce])
@pytest.mark.parametrize("change", [{"count": 99}, {"total": -1}, {"is_odd": None}])
def test_state_that_the_input_does_not_lead_to_is_a_divergence(
    chains: Callable[[], Chains], change: dict[str, Any]
) -> None:
    outputs = story()[1]
    victim = max((one for one in outputs if one.key == "a"), key=lambda one: one.count)
    if "is_odd" in change:
        change = {"is_odd": not victim.is_odd}
    wrong = [replace(one, **change) if one == victim else one for one in outputs]
    assert "divergence" in kinds(chains(), wrong)


def test_work_that_is_repeated_goes_on_from_any_state_that_was_given_out() -> None:
    """A crash behind the outputs and in front of the state: the batch runs again."""
    outputs = [one for one in story()[1] if one.key == "a"]
    third, fourth = outputs[2], outputs[3]
    again = replace(third, nonce=777)
    chains = AtLeastOnce()
    assert kinds(chains, [*outputs[:3], again, replace(fourth, before=777)]) == []
    assert chains.repeats == 1
    chains = AtLeastOnce()
    # From a state that nobody has ever shown.
    assert kinds(chains, [*outputs[:3], replace(again, before=3)]) == ["gap"]


def test_what_is_forgotten_behind_the_newest_records_does_not_matter() -> None:
    chains = AtLeastOnce()
    nonce = 0
    for offset in range(3 * AtLeastOnce.KEPT):
        chains.record(At(0, offset), "k", 1)
        count = offset + 1
        found = Output(At(0, offset), "k", count, count, nonce, count, bool(offset % 2), "w")
        assert list(chains.output(found)) == []
        nonce = count
    assert chains.outstanding() == 0


def test_a_mark_is_missing_until_it_is_there_and_then_wrong_again() -> None:
    exact, relaxed = Marks("dead letter", is_exact=True), Marks("dead letter", is_exact=False)
    for marks in (exact, relaxed):
        marks.expect(At(1, 5))
        assert marks.outstanding() == 1
        assert list(marks.found(At(1, 5))) == []
        assert marks.outstanding() == 0
        assert [fault.kind for fault in marks.found(At(1, 6))] == ["divergence"]
    assert [fault.kind for fault in exact.found(At(1, 5))] == ["duplicate"]
    assert list(relaxed.found(At(1, 5))) == []
