"""Budgets of a running study: each limit ends it with its reason at the next rungs, and can be extended."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from platform.orchestration import progress
from platform.orchestration.orchestrator import Orchestrator
from platform.storage import ledger as ledger_module
from platform.storage.layout import Storage
from platform.storage.ledger import Ledger, read_trials
from platform.storage.trials import Trial
from platform.study.budget import Budget, plateau
from platform.study.settings import Resources, Scheduler
from platform.study.study import Study
from typing import Any

import pytest

from tests.platform.world import World, extended, proposals_at_once
from trainers.errors import EnvironmentFault

Make = Callable[..., World]
PLATEAU = {"trials": 100, "plateau_percent": 1.0, "plateau_trials": 3}
HOUR = 3600.0


@pytest.fixture
def make(toy: Callable[..., Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """``make(trials=9, hours=2)``: a study with that budget, one GPU for a trial, trials of two rungs."""
    proposals_at_once(monkeypatch)

    def world(scheduler: Scheduler | None = None, **limits: Any) -> World:
        fixed = {"steps": 24, "limit": 2.0}
        search = tuple(dimension for dimension in toy().search if dimension.name not in fixed)
        budget = Budget(**{"trials": 9} | limits)
        changes = {"search": search, "fixed": fixed, "resources": Resources(gpus=1), "budget": budget}
        return World(toy(scheduler=scheduler or Scheduler(), **changes), Storage.open(tmp_path), slots=2)

    return world


class Clock:
    """Replaces the module ``time`` where a study's time is counted."""

    now = 1e9

    def time(self) -> float:
        return self.now

    monotonic = time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (progress, ledger_module):
        monkeypatch.setattr(module, "time", clock)
    return clock


class Running:
    """A driver with two trials that run."""

    def __init__(self, world: World) -> None:
        self.world, self.orchestrator = world, world.open()
        tasks = [self.orchestrator.next() or pytest.fail() for _ in range(2)]
        self.trials = {number: world.work(number, task) for number, task in tasks}

    def report(self) -> list[bool]:
        """Each trial reports its next rung; whether each trains on."""
        return [self.orchestrator.reported(n, next(work) or pytest.fail()) for n, work in self.trials.items()]

    def statuses(self) -> set[str]:
        return {trial.status for trial in self.orchestrator.ledger.trials.values()}


def run_next(world: World, orchestrator: Orchestrator) -> Trial:
    """One trial until it ends or pauses."""
    number, task = orchestrator.next() or pytest.fail()
    for report in world.work(number, task):
        if not orchestrator.reported(number, report or pytest.fail()):
            break
    return orchestrator.ledger.trials[number]


def test_the_last_trial_ends_a_study_without_a_reason(make: Make) -> None:
    world = make(trials=3)
    orchestrator = world.open()
    world.drive(orchestrator)
    assert orchestrator.over and orchestrator.ending == "" and len(orchestrator.ledger.trials) == 3


@pytest.mark.parametrize("scheduler", [Scheduler(), Scheduler(name="asha", grace=3)], ids=["none", "asha"])
def test_hours_end_a_study_at_the_next_rung_of_running_trials(
    make: Make, clock: Clock, scheduler: Scheduler
) -> None:
    world = make(scheduler, hours=2.0)
    world.rungs = (8, 16, 24)
    running = Running(world)
    orchestrator = running.orchestrator
    assert running.report() == [True, True]
    clock.now += 2 * HOUR
    assert orchestrator.next() is None and orchestrator.ending == "hours: 2 of 2"
    assert running.report() == [False, False]
    assert orchestrator.over and running.statuses() == {"paused"}
    orchestrator.close()
    finishes = [(status, tags["reason"]) for _, status, tags in world.recorder.of("finish")]
    reason = f"waits at step {16 if scheduler.name == 'none' else 8} of 24: hours: 2 of 2"
    assert finishes == [("SCHEDULED", reason)] * 2 + [("KILLED", reason)] * 2


def test_a_trial_that_paused_before_the_end_keeps_its_own_reason(make: Make, clock: Clock) -> None:
    world = make(Scheduler(name="asha", grace=3, min_results=2), hours=2.0)
    world.slots = 1
    orchestrator = world.open()
    while (trial := run_next(world, orchestrator)).status != "paused":
        pass
    clock.now += 2 * HOUR
    assert orchestrator.ending
    orchestrator.close()
    (_, status, tags) = world.recorder.of("finish")[-1]
    assert status == "KILLED" and tags["reason"] == trial.reason
    assert tags["reason"].endswith("others did better there")


def test_a_trial_whose_last_rung_comes_after_the_hours_is_completed(make: Make, clock: Clock) -> None:
    running = Running(make(hours=2.0))
    running.report()
    clock.now += 2 * HOUR
    assert running.report() == [False, False] and running.statuses() == {"completed"}


@pytest.mark.parametrize(
    ("limits", "ending"),
    [
        ({"gpu_hours": 3.5}, "GPU-hours: 4 of 3.5"),
        ({"cost": 7.0, "cost_per_gpu_hour": 2.0}, "cost: 8 of 7"),
    ],
)
def test_occupied_gpus_end_a_study(make: Make, clock: Clock, limits: dict[str, float], ending: str) -> None:
    """Two trials on a GPU each, for two hours."""
    world = make(**limits)
    running = Running(world)
    orchestrator = running.orchestrator
    for _ in range(2):
        assert orchestrator.ending == ""
        clock.now += HOUR
        running.report()
    assert orchestrator.ending == ending and orchestrator.progress.spent.gpu_hours == 4
    assert running.statuses() == {"completed"}
    orchestrator.ledger.close()
    clock.now += HOUR
    assert world.open().over  # for another driver too


def test_a_trial_that_waits_for_a_place_after_a_restart_costs_nothing(make: Make, clock: Clock) -> None:
    world = make(gpu_hours=9.0)
    Running(world).orchestrator.ledger.close()
    again = world.open()
    again.next()  # one place instead of two
    clock.now += HOUR
    assert again.progress.spent.gpu_hours == 1.0


def test_a_trial_that_never_reports_has_its_cost(make: Make, clock: Clock) -> None:
    running = Running(make(gpu_hours=2.0))
    orchestrator = running.orchestrator
    clock.now += HOUR / 2
    orchestrator.ended(next(iter(running.trials)), "failed", "out of memory")
    clock.now += HOUR / 2
    assert orchestrator.progress.spent.gpu_hours == 1.5 and not orchestrator.ending
    clock.now += HOUR / 2
    assert orchestrator.progress.spent.gpu_hours == 2.0 and orchestrator.ending == "GPU-hours: 2 of 2"


def test_preparation_before_the_first_trial_of_each_driver_costs_no_hours(make: Make, clock: Clock) -> None:
    world = make(hours=2.0)
    for driver in range(3):
        ledger = Ledger(world.folder)
        clock.now += 4000
        orchestrator = world.orchestrator(ledger)
        assert orchestrator.progress.elapsed == driver * 1000 and not orchestrator.ending
        number, _ = orchestrator.next() or pytest.fail()
        clock.now += 1000
        orchestrator.ended(number, "failed", "out of memory")
        ledger.close()


def test_a_plateau_ends_a_study_and_an_extension_waits_for_the_next_one(make: Make) -> None:
    world = make(**PLATEAU)
    world.scores = lambda step, steps, config: {1: {"fid": 5.0, "ms_ssim": 0.5}}
    orchestrator = world.open()
    world.drive(orchestrator)
    assert orchestrator.ending == "the hypervolume grew by 0 % in the last 3 completed trials, less than 1 %"
    assert 4 <= len(orchestrator.ledger.of_status("completed")) <= 5
    before = len(orchestrator.ledger.trials)
    assert before <= 6
    longer = extended(world, trials=120)
    again = longer.open()
    assert again.ending == "" and not again.over
    longer.drive(again)
    assert again.ending and before + 3 <= len(read_trials(world.folder)) <= before + 6


def test_a_study_that_has_ended_stays_ended(make: Make) -> None:
    """Although a trial that still runs may raise the hypervolume: Tune knows already that it is over."""
    world = make(**PLATEAU)
    world.scores = lambda step, steps, config: {1: {"fid": 5.0, "ms_ssim": 0.5}}
    world.slots = 1
    orchestrator = world.open()
    for _ in range(4):
        last = run_next(world, orchestrator)
    assert orchestrator.over and (ending := orchestrator.ending)
    last.reports[24] = replace(last.reports[24], scores={1: {"fid": 1.0, "ms_ssim": 0.5}})
    orchestrator.progress._curve.volumes({}, [])  # forget
    assert plateau(orchestrator.progress.hypervolumes(), world.study.budget) == ""
    assert orchestrator.ending == ending and orchestrator.over


def test_a_trial_that_is_interrupted_while_a_study_ends_is_not_started_again(
    make: Make, clock: Clock
) -> None:
    running = Running(make(hours=2.0))
    orchestrator, (first, second) = running.orchestrator, running.trials
    orchestrator.interrupted(first, EnvironmentFault("its worker died"))
    assert orchestrator.retries.waiting and not orchestrator.over
    assert orchestrator.wanted == running.world.study.budget.trials
    clock.now += 2 * HOUR
    orchestrator.interrupted(second, EnvironmentFault("its node died"))
    assert orchestrator.over and orchestrator.next() is None and running.statuses() == {"open"}
    assert orchestrator.wanted == 0
    orchestrator.close()
    finished = [
        (number, status, tags["reason"]) for number, status, tags in running.world.recorder.of("finish")
    ]
    assert finished == [(first, "KILLED", "its worker died"), (second, "KILLED", "its node died")]


def test_more_hours_resume_where_the_study_stopped(make: Make, clock: Clock) -> None:
    world = make(hours=2.0, trials=3)
    running = Running(world)
    clock.now += 2 * HOUR
    running.report()
    running.orchestrator.ledger.close()
    longer = extended(world, hours=50.0)
    again = longer.open()
    assert not again.over and again.ending == ""
    longer.drive(again)
    assert longer.starts[:4] == [0, 1, 0, 1]  # those that only the budget stopped, before the new one
    assert {trial.status for trial in read_trials(world.folder).values()} == {"completed"}
    assert set(longer.trained.values()) == {1}


def test_more_trials_of_a_finished_study(make: Make) -> None:
    world = make(trials=3)
    world.drive(world.open())
    longer = extended(world, trials=5)
    longer.drive(longer.open())
    assert world.starts == [0, 1, 2, 3, 4]
    assert {trial.status for trial in read_trials(world.folder).values()} == {"completed"}
