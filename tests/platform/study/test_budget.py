"""Budgets: each limit ends a study with its reason, stops what runs at its next rung, can be extended."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from platform.orchestration import orchestrator as conductor_module
from platform.orchestration.orchestrator import Orchestrator
from platform.storage import ledger as ledger_module
from platform.storage.layout import Storage
from platform.storage.ledger import Ledger, read_trials
from platform.study.budget import Budget, Spent, extended, parse_extension, plateau
from platform.study.settings import Resources, Scheduler
from platform.study.study import Study
from typing import Any

import pytest

from tests.platform.world import World, proposals_at_once
from tests.platform.world import extended as extended_world
from trainers.errors import InputError
from trainers.report import Report

MakeStudy = Callable[..., Study]
PLATEAU = Budget(trials=100, plateau_percent=1.0, plateau_trials=3)


@pytest.fixture
def make(toy: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """``make(trials=9, hours=2)``: a study of that budget on one GPU, trials of two rungs."""
    proposals_at_once(monkeypatch)

    def world(scheduler: Scheduler | None = None, **limits: Any) -> World:
        budget = Budget(**{"trials": 9} | limits)
        fixed = {"steps": 24, "limit": 2.0}
        search = tuple(dimension for dimension in toy().search if dimension.name not in fixed)
        changes = {"search": search, "fixed": fixed, "resources": Resources(gpus=1), "budget": budget}
        study = toy(scheduler=scheduler or Scheduler(), **changes)
        return World(study, Storage.open(tmp_path), slots=2)

    return world


Make = Callable[..., World]


@dataclass
class Clock:
    """In the place of the module ``time`` of those who count it."""

    now: float = 1e9

    def time(self) -> float:
        return self.now

    monotonic = perf_counter = time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    for module in (conductor_module, ledger_module):
        monkeypatch.setattr(module, "time", found)
    return found


def begun(world: World) -> tuple[Orchestrator, dict[int, Any]]:
    """A driver with two trials that run."""
    orchestrator = world.open()
    found = [orchestrator.next() or pytest.fail() for _ in range(2)]
    return orchestrator, {number: world.work(number, task) for number, task in found}


def first(work: Any) -> Report:
    report: Report = next(work)
    return report


# Limits in numbers


def test_the_first_limit_that_is_reached_is_named() -> None:
    budget = Budget(trials=1, hours=2.0, gpu_hours=10.0, cost=30.0, cost_per_gpu_hour=4.0)
    assert Spent(1.99, 7.4).ends(budget) == ""
    assert Spent(2.0, 0.0).ends(budget) == "hours: 2 of 2"
    assert Spent(0.5, 10.25).ends(Budget(trials=1, gpu_hours=10.0)) == "GPU-hours: 10.2 of 10"
    assert Spent(0.5, 7.5).ends(budget) == "cost: 30 of 30"
    assert Spent(1e9, 1e9).ends(Budget(trials=1)) == ""


@pytest.mark.parametrize(
    ("volumes", "over"),
    [
        ([], False),
        ([1.0, 1.0, 1.0], False),  # of three trials none is the growth since three trials
        ([1.0, 1.0, 1.0, 1.0], True),
        ([1.0, 1.0, 1.0, 1.02], False),
        ([0.990, 0.995, 1.0, 1.0], False),  # 1 % is not less than 1 %
        ([0.991, 0.995, 1.0, 1.0], True),
        ([0.0, 0.0, 0.0, 0.0], False),  # nothing has been found yet
        ([0.1, 0.5, 1.0, 1.0, 1.0, 1.0], True),
    ],
)
def test_a_plateau_is_little_growth_in_the_last_trials(volumes: list[float], over: bool) -> None:
    assert bool(plateau(volumes, PLATEAU)) == over
    assert plateau(volumes, Budget(trials=9)) == ""


def test_a_plateau_is_told_in_words() -> None:
    told = "the hypervolume grew by 0.5 % in the last 3 completed trials, less than 1 %"
    assert plateau([0.995, 1.0, 1.0, 1.0], PLATEAU) == told


# Studies that end


def test_trials_end_a_study_without_a_word(make: Make) -> None:
    world = make(trials=3)
    orchestrator = world.open()
    world.drive(orchestrator)
    assert orchestrator.over and orchestrator.ending == "" and len(orchestrator.ledger.trials) == 3


@pytest.mark.parametrize("scheduler", [Scheduler(), Scheduler(name="asha", grace=3)], ids=["none", "asha"])
def test_hours_end_a_study_at_the_next_rung_of_what_runs(make: Make, scheduler: Scheduler) -> None:
    world = make(scheduler, hours=2.0)
    world.rungs = (8, 16, 24)
    orchestrator, trials = begun(world)
    for number, work in trials.items():
        assert orchestrator.reported(number, first(work))
    orchestrator.started -= 2 * 3600
    assert orchestrator.next() is None and orchestrator.ending == "hours: 2 of 2"
    for number, work in trials.items():
        report = first(work)
        assert not report.done and not orchestrator.reported(number, report)
    assert orchestrator.over and {t.status for t in orchestrator.ledger.trials.values()} == {"paused"}
    orchestrator.close()
    told = [(status, tags["reason"]) for _, status, tags in world.recorder.of("finish")]
    reason = f"waits at step {16 if scheduler.name == 'none' else 8} of 24: hours: 2 of 2"
    assert told == [("SCHEDULED", reason)] * 2 + [("KILLED", reason)] * 2


def test_who_waited_before_the_study_ended_was_not_stopped_by_that(make: Make) -> None:
    world = make(Scheduler(name="asha", grace=3, min_results=2), hours=2.0)
    world.slots = 1
    orchestrator = world.open()
    while not (paused := orchestrator.ledger.of_status("paused")):
        number, task = orchestrator.next() or pytest.fail()
        for report in world.work(number, task):
            if not orchestrator.reported(number, report or pytest.fail()):
                break
    orchestrator.started -= 2 * 3600
    assert orchestrator.ending
    orchestrator.close()
    (_, status, tags) = world.recorder.of("finish")[-1]
    assert status == "KILLED" and tags["reason"] == paused[0].reason
    assert tags["reason"].endswith("others did better there")


def test_a_trial_that_comes_to_its_end_when_time_is_over_is_completed(make: Make) -> None:
    world = make(hours=2.0)
    orchestrator, trials = begun(world)
    for number, work in trials.items():
        orchestrator.reported(number, first(work))
    orchestrator.started -= 2 * 3600
    for number, work in trials.items():
        assert not orchestrator.reported(number, first(work))
    assert {t.status for t in orchestrator.ledger.trials.values()} == {"completed"}


@pytest.mark.parametrize(
    ("limits", "ending"),
    [
        ({"gpu_hours": 3.5}, "GPU-hours: 4 of 3.5"),
        ({"cost": 7.0, "cost_per_gpu_hour": 2.0}, "cost: 8 of 7"),
    ],
)
def test_what_trials_take_ends_a_study(
    make: Make, clock: Clock, limits: dict[str, float], ending: str
) -> None:
    """Two trials on a GPU each hold them for two hours."""
    world = make(**limits)
    orchestrator, trials = begun(world)
    for _ in range(2):
        assert orchestrator.ending == ""
        clock.now += 3600
        for number, work in trials.items():
            orchestrator.reported(number, first(work))
    assert orchestrator.ending == ending and orchestrator.spent.gpu_hours == 4
    assert [t.status for t in orchestrator.ledger.trials.values()] == ["completed", "completed"]
    orchestrator.ledger.close()
    clock.now += 3600
    assert world.open().over  # another driver finds it over too


def test_who_waits_for_a_place_after_a_restart_is_not_paid_for(make: Make, clock: Clock) -> None:
    world = make(gpu_hours=9.0)
    orchestrator, _ = begun(world)
    orchestrator.ledger.close()
    again = world.open()
    again.next()  # one place where there were two
    clock.now += 3600
    assert again.spent.gpu_hours == 1.0


def test_a_trial_that_never_reports_is_paid_for(make: Make, clock: Clock) -> None:
    orchestrator, trials = begun(make(gpu_hours=2.0))
    clock.now += 1800
    orchestrator.ended(next(iter(trials)), "failed", "out of memory")
    clock.now += 1800
    assert orchestrator.spent.gpu_hours == 1.5 and not orchestrator.ending
    clock.now += 1800
    assert orchestrator.spent.gpu_hours == 2.0 and orchestrator.ending == "GPU-hours: 2 of 2"


def test_what_is_prepared_before_the_first_trial_takes_none_of_the_hours(make: Make, clock: Clock) -> None:
    """Nor does it when the study goes on: a cohort may be encoded anew."""
    world = make(hours=2.0)
    for driver in range(3):
        ledger = Ledger(world.folder)
        clock.now += 4000
        orchestrator = world.orchestrator(ledger)
        assert orchestrator.elapsed == driver * 1000 and not orchestrator.ending
        number, _ = orchestrator.next() or pytest.fail()
        clock.now += 1000
        orchestrator.ended(number, "failed", "out of memory")
        ledger.close()


def test_a_hypervolume_that_stands_still_ends_a_study(make: Make) -> None:
    world = make(trials=100, plateau_percent=1.0, plateau_trials=3)
    world.scores = lambda step, steps, config: {1: {"fid": 5.0, "ms_ssim": 0.5}}
    orchestrator = world.open()
    world.drive(orchestrator)
    assert orchestrator.ending == "the hypervolume grew by 0 % in the last 3 completed trials, less than 1 %"
    assert 4 <= len(orchestrator.ledger.of_status("completed")) <= 5
    assert len(orchestrator.ledger.trials) <= 6


def test_a_study_that_has_ended_stays_so(make: Make) -> None:
    """What still runs may lift the hypervolume off its plateau: Tune was told that nothing comes any more."""
    world = make(trials=100, plateau_percent=1.0, plateau_trials=3)
    better = iter([5.0] * 8 + [1.0] * 100)  # of reports: the fifth trial is far better
    world.scores = lambda step, steps, config: {1: {"fid": next(better), "ms_ssim": 0.5}}
    world.slots = 1
    orchestrator = world.open()
    for _ in range(4):
        number, task = orchestrator.next() or pytest.fail()
        late = orchestrator.ledger.trials[number]
        for report in world.work(number, task):
            orchestrator.reported(number, report or pytest.fail())
    assert orchestrator.over and (ending := orchestrator.ending)
    late.reports[24]["scores"]["1"]["fid"] = 1.0
    orchestrator._curve.volumes([])  # forget
    assert plateau(orchestrator.hypervolumes(), world.study.budget) == ""
    assert orchestrator.ending == ending and orchestrator.over


# More of it


def test_more_hours_go_on_where_the_study_stopped(make: Make) -> None:
    world = make(hours=2.0, trials=3)
    orchestrator, trials = begun(world)
    orchestrator.started -= 2 * 3600
    for number, work in trials.items():
        orchestrator.reported(number, first(work))
    orchestrator.ledger.close()
    longer = extended_world(world, hours=50.0)
    again = longer.open()
    assert not again.over and again.ending == ""
    longer.drive(again)
    assert longer.handed_out[:4] == [0, 1, 0, 1]  # those that only the budget stopped, before the new one
    assert {t.status for t in read_trials(world.folder).values()} == {"completed"}
    assert set(longer.trained.values()) == {1}


def test_more_trials_after_a_plateau_look_for_it_anew(make: Make) -> None:
    world = make(trials=100, plateau_percent=1.0, plateau_trials=3)
    world.scores = lambda step, steps, config: {1: {"fid": 5.0, "ms_ssim": 0.5}}
    world.drive(world.open())
    before = len(read_trials(world.folder))
    longer = extended_world(world, trials=120)
    again = longer.open()
    assert again.ending == "" and not again.over
    longer.drive(again)
    assert again.ending and before + 3 <= len(read_trials(world.folder)) <= before + 6


def test_more_trials_of_a_finished_study(make: Make) -> None:
    world = make(trials=3)
    world.drive(world.open())
    longer = extended_world(world, trials=5)
    longer.drive(longer.open())
    assert world.handed_out == [0, 1, 2, 3, 4]
    assert {t.status for t in read_trials(world.folder).values()} == {"completed"}


def test_an_extension_adds_to_the_limits_there_are() -> None:
    budget = Budget(trials=10, hours=2.0, cost=5.0, cost_per_gpu_hour=1.0)
    more = parse_extension(["trials=20", "hours=0.5", "cost=1e2"])
    assert extended(budget, more) == replace(budget, trials=30, hours=2.5, cost=105.0)
    assert type(extended(budget, more).trials) is int and extended(budget, {}) == budget


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("trails=2", "'trails=2' is not allowed; allowed: trials=N, hours=N, gpu_hours=N, cost=N"),
        ("plateau_trials=2", "allowed: trials=N, hours=N"),
        ("trials", "'trials' is not allowed; allowed: trials= a whole number above 0"),
        ("trials=", "allowed: trials= a whole number above 0"),
        ("trials=2.5", "allowed: trials= a whole number above 0"),
        ("trials=0", "allowed: trials= a whole number above 0"),
        ("trials=-3", "allowed: trials= a whole number above 0"),
        ("trials=inf", "allowed: trials= a whole number above 0"),
        ("hours=nan", "allowed: hours= a number above 0"),
        ("hours=inf", "allowed: hours= a number above 0"),
        ("hours=two", "allowed: hours= a number above 0"),
        ("hours=1e99", "allowed: hours= a number above 0"),
        ("=3", "'=3' is not allowed"),
    ],
)
def test_a_word_that_extends_nothing_is_refused_in_one_line(word: str, told: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_extension(["gpu_hours=1", word])
    assert str(refused.value).startswith("--extend: ") and told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_limit_said_twice_is_refused() -> None:
    with pytest.raises(InputError, match="--extend: 'trials=3': trials is there twice; allowed: once"):
        parse_extension(["trials=2", "hours=1", "trials=3"])


def test_a_limit_that_the_study_has_not_cannot_be_extended() -> None:
    with pytest.raises(InputError) as refused:
        extended(Budget(trials=1, hours=1.0), {"gpu_hours": 3.0})
    told = "--extend: gpu_hours has no limit in this study; allowed: trials, hours"
    assert str(refused.value) == told


def test_an_extension_beyond_what_a_budget_takes_is_refused() -> None:
    with pytest.raises(InputError, match="trials: 1000001 is not allowed"):
        extended(Budget(trials=1), {"trials": 1_000_000.0})
