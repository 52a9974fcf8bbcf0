"""The comparison with Apache Kafka itself: the same seed is the same, and differences are found."""

from collections.abc import Sequence

import pytest

from support.conformance.compare import Result, compare
from support.conformance.plan import Plan

from .conftest import StartBroker

pytestmark = pytest.mark.embedded


def differences(ours: str, theirs: str, seeds: Sequence[int]) -> Result:
    return list(compare(ours, theirs, seeds, jobs=1))[-1]


def test_a_seed_always_means_the_same_sequence() -> None:
    assert Plan(7).operations() == Plan(7).operations()
    assert Plan(7).operations() != Plan(8).operations()


def test_two_brokers_of_a_kind_do_not_differ(start_broker: StartBroker) -> None:
    result = differences(start_broker().address, start_broker().address, range(20))
    assert result.sequences == 20
    assert not result.differences, result.differences[0].text()


def test_a_difference_is_found_and_made_short(start_broker: StartBroker) -> None:
    """One of the two shows nobody its offsets."""
    other = start_broker()
    other.fail("OffsetFetch", "GROUP_AUTHORIZATION_FAILED", times=None)
    result = differences(start_broker().address, other.address, range(8))
    assert result.steady
    for difference in result.steady:
        assert [name for name, _ in difference.operations] == ["committed"], difference.text()
        assert f"--seed {difference.seed}" in difference.text()
