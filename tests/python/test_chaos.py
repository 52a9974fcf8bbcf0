"""Workers killed under load on a real Kafka: nothing is lost, doubled or forked."""

import shutil
from collections.abc import Iterator

import pytest

from support.brokers import Kafka
from support.chaos.nemesis import Plan
from support.chaos.points import TROUBLES, points
from support.chaos.run import Result, Run, Setting

KILLS = 25
MOST_S = 150
GUARANTEES = ("exactly_once", "at_least_once")

# One process: a second Kafka would only take the cores from the first.
pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.xdist_group("chaos")]


def told(result: Result) -> str:
    """What a failure shows."""
    faults = [f"{fault.kind}: {fault.text}" for fault in result.faults[:5]]
    return "\n".join([*faults, *result.events, str(result.report), str(result.directory)])


def run(setting: Setting, address: str, broker: Kafka | None = None) -> Result:
    """Run; logs stay only where something is wrong."""
    result = Run(setting, address, broker)()
    if not result.faults:
        shutil.rmtree(result.directory)
    return result


@pytest.fixture(scope="module")
def kafka() -> Iterator[str]:
    """A Kafka of its own: what runs here leaves others little of a broker."""
    broker = Kafka()
    broker.start()
    yield broker.address
    broker.stop()


@pytest.mark.timeout(MOST_S)
@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_workers_are_killed_at_random_moments_and_nothing_is_wrong(
    kafka: str, guarantee: str
) -> None:
    kills = KILLS if guarantee == "exactly_once" else KILLS // 3
    plan = Plan(kills=kills, pause_s=1.0, points=points(guarantee), at_points=0.2)
    plan.troubles = TROUBLES if guarantee == "exactly_once" else ()
    result = run(Setting(plan, guarantee=guarantee, seed=7), kafka)
    assert not result.faults, told(result)
    assert result.report["done"].get("kill", 0) + result.report["done"].get("failpoint", 0) >= kills
    assert result.report["outputs"] > 1_000


@pytest.mark.timeout(MOST_S)
@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_a_worker_is_killed_at_every_failpoint_and_nothing_is_wrong(
    kafka: str, guarantee: str
) -> None:
    tour = points(guarantee)
    setting = Setting(Plan(kills=0), guarantee=guarantee, workers=1, tour=tour, rate=500)
    result = run(setting, kafka)
    assert not result.faults, told(result)
    assert set(result.report["failpoints_fired"]) >= set(tour)


@pytest.mark.timeout(MOST_S)
def test_agents_are_killed_at_every_failpoint_of_their_tables_and_nothing_is_wrong(
    kafka: str,
) -> None:
    tour = [name for name in points("at_least_once", with_agents=True) if "tables::" in name]
    assert len(tour) >= 3
    setting = Setting(Plan(kills=0), guarantee="at_least_once", workers=1, tour=tour, rate=500)
    setting.with_agents = True
    result = run(setting, kafka)
    assert not result.faults, told(result)
    assert set(result.report["failpoints_fired"]) >= set(tour)


@pytest.mark.timeout(MOST_S)
def test_the_broker_is_killed_under_state_at_least_once_and_nothing_is_wrong() -> None:
    broker = Kafka()
    broker.start()
    try:
        plan = Plan(kills=2, broker_kills=2, pause_s=1.0)
        setting = Setting(plan, guarantee="at_least_once", seed=9)
        result = run(setting, broker.address, broker)
    finally:
        broker.stop()
    assert not result.faults, told(result)
    assert result.report["done"]["broker kill"] == 2


@pytest.mark.timeout(MOST_S)
@pytest.mark.parametrize(
    ("mutant", "kind"),
    [("drops", "lost"), ("repeats", "duplicate"), ("stale", "gap"), ("forgetful", "gap")],
)
def test_an_app_that_makes_a_mistake_is_found_out(kafka: str, mutant: str, kind: str) -> None:
    setting = Setting(Plan(kills=0), workers=1, rate=2_000, env={"MUTANT": mutant})
    setting.ends_from_nothing = mutant == "forgetful"
    setting.least = 2_000
    if mutant == "drops":
        # What it dropped does not come, however long one waits.
        setting.finish_s = 30.0
    result = run(setting, kafka)
    shutil.rmtree(result.directory, ignore_errors=True)
    assert kind in result.report["faults"], result.report
