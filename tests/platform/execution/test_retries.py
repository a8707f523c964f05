"""When an interrupted trial starts again, and when it, or the study, is given up; by a clock of our own."""

import logging
from collections import defaultdict
from pathlib import Path
from platform.execution.retries import DEATHS, LONGEST, Retries
from platform.study.settings import Recovery

import pytest

from tests.platform.execution.conftest import Clock
from trainers.errors import EnvironmentFault

DIED = EnvironmentFault("its worker died")


@pytest.fixture
def steps() -> dict[int, int]:
    """The newest checkpoint of each trial."""
    return defaultdict(int)


@pytest.fixture
def retries(clock: Clock, steps: dict[int, int]) -> Retries:
    return Retries(Recovery(retries=2, give_up_minutes=10.0), steps.__getitem__)


def test_each_attempt_waits_longer_until_there_is_a_new_checkpoint(
    retries: Retries, clock: Clock, steps: dict[int, int]
) -> None:
    waits = []
    for count in range(12):
        if count == 9:
            steps[3] = 10
        assert retries.interrupted(3, DIED) == "" and retries.waiting
        started = clock.now
        while retries.due() is None:
            clock.now += 0.5
        waits.append(clock.now - started)
        assert not retries.waiting and retries.due() is None
    assert waits == [1, 2, 4, 8, 16, 32, LONGEST, LONGEST, LONGEST, 1, 2, 4]


def test_a_preempted_trial_that_progresses_is_never_given_up(
    retries: Retries, clock: Clock, steps: dict[int, int]
) -> None:
    for step in range(100):
        steps[0] = step
        clock.now += 3600
        retries.progressed(1)
        assert retries.interrupted(0, DIED) == ""


def test_a_trial_that_stops_again_and_again_where_others_go_on_has_failed(
    retries: Retries, clock: Clock
) -> None:
    for count in range(1, DEATHS + 1):
        clock.now += 10
        reason = retries.interrupted(0, DIED)
        assert bool(reason) == (count == DEATHS)
        retries.progressed(1)
    assert reason == f"stopped {DEATHS} times at step 0, where others went on: its worker died"


def test_a_trials_own_progress_before_says_nothing_of_its_fault(retries: Retries, clock: Clock) -> None:
    for _ in range(2 * DEATHS):
        clock.now += 10
        assert retries.interrupted(0, DIED) == ""
        retries.progressed(0)


def test_an_old_interruption_ends_no_study_that_goes_on(retries: Retries, clock: Clock) -> None:
    """The trial has waited for a place for hours."""
    retries.interrupted(0, DIED)
    clock.now += 7200
    retries.progressed(1)
    assert retries.interrupted(0, DIED) == ""


def test_a_fault_that_lasts_ends_the_study(retries: Retries, clock: Clock) -> None:
    retries.interrupted(0, DIED)
    clock.now += 599
    assert retries.interrupted(0, DIED) == "", "no other trial has gone on"
    clock.now += 2
    with pytest.raises(EnvironmentFault, match=r"^its worker died; given up after 10 minutes, everything is"):
        retries.interrupted(0, DIED)


def test_an_exception_of_a_trials_own_is_retried_as_often_as_set(
    retries: Retries, steps: dict[int, int]
) -> None:
    assert [retries.raised(5) for _ in range(3)] == [True, True, False]
    assert not retries.waiting
    steps[5] = 8
    assert retries.raised(5) and retries.due() == 5


def test_trials_wait_for_room_on_a_full_disk(
    retries: Retries, clock: Clock, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    full = EnvironmentFault("no room for 600,000 bytes", str(small_disk / "not" / "made"), 600_000)
    (small_disk / "other").write_bytes(b"x" * 800_000)
    with caplog.at_level(logging.WARNING):
        for number in range(2):
            assert retries.interrupted(number, full) == ""
        clock.now += 500
        assert retries.due() is None and not retries.has_room()
        (small_disk / "other").unlink()
        assert not retries.has_room(), "it looks every few seconds"
        clock.now += 10
        assert retries.has_room() and {retries.due(), retries.due()} == {0, 1}
    assert [record.getMessage() for record in caplog.records] == [
        "no room for 600,000 bytes; trials wait, at most 10 minutes",
        f"{small_disk}/not/made: there is room again; trials go on",
    ]
    assert list(small_disk.iterdir()) == []
    (small_disk / "other").write_bytes(b"x" * 800_000)
    retries.interrupted(0, full)
    clock.now += 601
    with pytest.raises(EnvironmentFault, match="given up after 10 minutes"):
        retries.has_room()
