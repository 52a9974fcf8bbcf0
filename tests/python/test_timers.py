"""Tasks, timers and crontabs, on a clock that the test turns."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbine import App, DeclarationError
from turbine.timers import Crontab, Job, Timer

BERLIN = ZoneInfo("Europe/Berlin")


class StopTheJob(BaseException):
    """Ends a job from inside its function, as a cancellation would."""


class TurnedClock:
    """A clock on which sleeping takes no time, and only sleeping and `work` let time pass."""

    can_be_set = True

    def __init__(self, start: datetime | None = None) -> None:
        self.passed_s = 0.0
        self.start = start or datetime(2030, 1, 1, tzinfo=UTC)
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self.passed_s

    def now(self, zone: tzinfo) -> datetime:
        return datetime.fromtimestamp(self.start.timestamp() + self.passed_s, zone)

    async def sleep(self, delay_s: float) -> None:
        assert delay_s > 0
        self.sleeps.append(delay_s)
        self.passed_s += delay_s
        await asyncio.sleep(0)

    def work(self, duration_s: float) -> None:
        self.passed_s += duration_s


def run(
    declare: Callable[[App], Callable[[Any], Job]], clock: TurnedClock, work: list[float]
) -> Job:
    """Run a job whose n-th call takes ``work[n]`` seconds; it ends after the last."""
    left = list(work)

    async def body() -> None:
        clock.work(left.pop(0))
        if not left:
            raise StopTheJob

    job = declare(App("timers"))(body)
    with pytest.raises(StopTheJob):
        asyncio.run(job.run(clock))
    return job


def timer_calls(interval_s: float, work: list[float]) -> tuple[list[float], Job]:
    """When the calls of a timer began."""
    clock, begun = TurnedClock(), []
    left = list(work)

    async def body() -> None:
        begun.append(clock.passed_s)
        clock.work(left.pop(0))
        if not left:
            raise StopTheJob

    job = App("timers").timer(interval_s)(body)
    with pytest.raises(StopTheJob):
        asyncio.run(job.run(clock))
    return begun, job


def crontab_calls(
    expression: str, start: datetime, calls: int, *, takes_s: float = 0.0, zone: Any = None
) -> list[str]:
    """When the calls of a crontab began, in its time zone."""
    clock, begun = TurnedClock(start), []

    async def body() -> None:
        begun.append(clock.now(start.tzinfo or UTC).strftime("%d %H:%M"))
        clock.work(takes_s)
        if len(begun) == calls:
            raise StopTheJob

    job = App("timers").crontab(expression, timezone=zone or start.tzinfo)(body)
    with pytest.raises(StopTheJob):
        asyncio.run(job.run(clock))
    return begun


# -- timers ------------------------------------------------------------------------------------


def test_a_timer_waits_one_interval_before_its_first_call() -> None:
    begun, _ = timer_calls(2.0, [0.0])
    assert begun == [2.0]


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=40),
    st.sampled_from([0.5, 1.0, 4.0]),
)
def test_a_timer_does_not_drift_whatever_its_calls_take(
    tenths: list[int], interval_s: float
) -> None:
    work = [interval_s * tenth / 10 for tenth in tenths]
    begun, job = timer_calls(interval_s, work)
    assert begun == pytest.approx([interval_s * tick for tick in range(1, len(work) + 1)])
    assert job.missed == 0


@given(st.lists(st.floats(0.0, 5.0), min_size=1, max_size=30))
def test_a_slow_call_leaves_ticks_out_and_is_never_doubled(work: list[float]) -> None:
    begun, job = timer_calls(1.0, work)
    for started, took, following in zip(begun, work, begun[1:], strict=False):
        assert following >= started + took - 1e-9
        assert following - started <= took + 1.0 + 1e-9
    assert job.calls == len(work)
    # Every tick since the start was either called or counted as missed.
    assert int(begun[-1] + 1e-9) <= job.calls + job.missed


def test_a_timer_that_takes_too_long_says_so(caplog: pytest.LogCaptureFixture) -> None:
    begun, job = timer_calls(1.0, [2.5, 0.0])
    assert begun == [1.0, 4.0]
    assert job.missed == 2
    assert "2 ticks left out" in caplog.text


def test_an_interval_may_be_a_timedelta() -> None:
    timer = App("timers").timer(timedelta(milliseconds=250))(noop)
    assert isinstance(timer, Timer)
    assert timer.interval_s == 0.25


# -- failures ----------------------------------------------------------------------------------


def test_a_failing_call_is_logged_and_counted_and_the_next_one_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = 0

    async def sometimes() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise StopTheJob
        raise ValueError(f"call {calls}")

    job = App("timers").timer(1.0, name="sometimes")(sometimes)
    with pytest.raises(StopTheJob):
        asyncio.run(job.run(TurnedClock()))
    assert (job.calls, job.errors) == (3, 2)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "timer sometimes failed" in caplog.text
    assert "ValueError: call 2" in caplog.text


def test_a_failing_task_ends_quietly(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise ValueError("no")

    job = App("timers").task(broken)
    asyncio.run(job.run())
    assert (job.calls, job.errors) == (1, 1)
    assert "ValueError: no" in caplog.text


async def test_a_cancelled_job_ends() -> None:
    started = asyncio.Event()

    async def for_ever() -> None:
        started.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(App("timers").task(for_ever).run())
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_job_may_ask_for_the_app() -> None:
    app = App("timers")
    seen: list[App | None] = []

    async def with_app(app: App) -> None:
        seen.append(app)

    async def without() -> None:
        seen.append(None)

    for job in (app.task(with_app), app.task(name="other")(without)):
        await job.run()
    assert seen == [app, None]
    assert [job.kind for job in app.jobs] == ["task", "task"]


# -- crontabs ----------------------------------------------------------------------------------


def test_a_crontab_runs_at_the_minutes_it_names() -> None:
    start = datetime(2030, 1, 1, 10, 7, 30, tzinfo=UTC)
    assert crontab_calls("*/15 * * * *", start, 4) == [
        "01 10:15",
        "01 10:30",
        "01 10:45",
        "01 11:00",
    ]


def test_a_crontab_reads_its_own_time_zone() -> None:
    start = datetime(2030, 1, 1, 0, 0, tzinfo=UTC)
    assert crontab_calls("0 9 * * *", start, 1, zone="Asia/Tokyo") == ["02 00:00"]


def test_a_crontab_without_a_time_zone_has_the_one_of_the_app() -> None:
    app = App("timers", timezone="Europe/Berlin")
    assert app.crontab("* * * * *")(noop).timezone == BERLIN
    assert app.crontab("* * * * *", tz=UTC)(noop).timezone == UTC


def test_a_crontab_that_takes_too_long_leaves_minutes_out() -> None:
    start = datetime(2030, 1, 1, 10, 0, 0, tzinfo=UTC)
    assert crontab_calls("* * * * *", start, 3, takes_s=150) == ["01 10:01", "01 10:04", "01 10:07"]
    job = run(lambda app: app.crontab("* * * * *"), TurnedClock(start), [150, 0])
    assert job.missed == 2


def test_what_falls_into_the_missing_hour_runs_right_after_it() -> None:
    # Clocks go from 02:00 to 03:00 on 31 March 2030.
    start = datetime(2030, 3, 30, 12, 0, tzinfo=BERLIN)
    assert crontab_calls("30 2 * * *", start, 2) == ["31 03:00", "01 02:30"]


def test_what_falls_into_the_repeated_hour_runs_once() -> None:
    # Clocks go from 03:00 back to 02:00 on 27 October 2030.
    start = datetime(2030, 10, 26, 12, 0, tzinfo=BERLIN)
    assert crontab_calls("30 2 * * *", start, 2) == ["27 02:30", "28 02:30"]


def test_a_crontab_looks_at_the_wall_clock_while_it_waits() -> None:
    clock = TurnedClock(datetime(2030, 1, 1, tzinfo=UTC))
    run(lambda app: app.crontab("0 12 * * *"), clock, [0])
    assert max(clock.sleeps) <= 30
    assert sum(clock.sleeps) == pytest.approx(12 * 3_600)


# -- declarations ------------------------------------------------------------------------------


async def noop() -> None: ...
async def two(app: Any, other: Any) -> None: ...
def plain() -> None: ...


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda app: app.timer(0)(noop), "longer than zero"),
        (lambda app: app.timer(-1)(noop), "not negative"),
        (lambda app: app.timer("often")(noop), "the interval of a timer expects seconds"),
        (lambda app: app.timer(None)(noop), "the interval of a timer expects seconds"),
        (lambda app: app.timer(1)(plain), "write 'async def plain()'"),
        (lambda app: app.timer(1)(two), r"takes \(app, other\)"),
        (lambda app: app.task(plain), "write 'async def plain()'"),
        (lambda app: app.crontab("every day")(noop), "write five fields"),
        (lambda app: app.crontab("61 * * * *")(noop), "write five fields"),
        (lambda app: app.crontab("0 0 30 2 *")(noop), "Bad day-of-month"),
        (lambda app: app.crontab(5)(noop), "a crontab is text"),
        (lambda app: app.crontab("* * * * *", timezone="Mars")(noop), "time zone"),
        (lambda app: app.crontab("* * * * *")(plain), "write 'async def plain()'"),
    ],
)
def test_a_wrong_job_is_refused_with_what_to_write(
    declare: Callable[[App], object], message: str
) -> None:
    app = App("timers")
    with pytest.raises(DeclarationError, match=message.replace("()", r"\(\)")):
        declare(app)
    assert app.jobs == []


def test_a_job_can_be_called_as_the_function_it_is() -> None:
    job = App("timers").crontab("* * * * *")(noop)
    assert isinstance(job, Crontab)
    assert asyncio.run(job()) is None
