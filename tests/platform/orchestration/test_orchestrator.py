"""A running study without Ray: budgets, ends, listeners, and a killed driver between any two steps."""

import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from platform.execution.mlflow_listener import flat_metrics
from platform.orchestration import listeners
from platform.orchestration.orchestrator import Orchestrator
from platform.orchestration.report import closing_lines
from platform.pareto.front import Front, candidates
from platform.storage.layout import Storage
from platform.storage.ledger import read_trials
from platform.storage.trials import Trial, TrialStatus
from platform.study.budget import Budget
from platform.study.criteria import Criteria
from platform.study.dimensions import Choice
from platform.study.study import Study

import pytest

from tests.platform.world import REFERENCE, Death, World, proposals_at_once
from trainers.loop import Task
from trainers.report import Report

MakeStudy = Callable[..., Study]
RUNGS, STEPS = (5, 10), 10


@pytest.fixture
def world(toy: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    proposals_at_once(monkeypatch)
    return World(toy(budget=Budget(trials=3)), Storage.open(tmp_path), rungs=RUNGS)


def report(number: int, step: int, fid: float) -> Report:
    scores = {n: {"fid": fid, "ms_ssim": 0.9 / n, "kid": 0.5} for n in (1, 2)}
    return Report(step, STEPS, scores, {"gan": 0.25}, 1.5, f"/checkpoints/{number}/{step}")


def started(orchestrator: Orchestrator) -> tuple[int, Task]:
    """The next trial, which there must be."""
    return orchestrator.next() or pytest.fail("no trial was started")


def require_complete(world: World) -> None:
    """Nothing is lost, nothing is done twice, and MLflow agrees with the ledger."""
    trials, calls = read_trials(world.folder), world.recorder
    assert len(trials) == world.study.budget.trials
    assert {trial.status for trial in trials.values()} == {"completed"}
    assert world.trained == Counter((number, step) for number in trials for step in RUNGS)
    assert {(number, step) for number, _, step in calls.of("metrics")} == set(world.trained)
    assert {(number, status) for number, status, _ in calls.of("finish")} == {(n, "FINISHED") for n in trials}
    front = Front.of(Criteria(REFERENCE), world.study.objectives, candidates(list(trials.values())))
    volumes = {step: values["hypervolume"] for values, step in calls.of("study_metrics")}
    assert volumes[len(trials)] == pytest.approx(front.hypervolume) and front.hypervolume > 0


def test_trials_are_started_until_the_budget(world: World) -> None:
    orchestrator = world.open()
    number, task = started(orchestrator)
    assert task.config == world.study.point(orchestrator.ledger.trials[number].params)
    assert (task.method, task.cohort, task.references) == ("toy", Path("c"), Path("r"))
    assert task.folder == world.folder / "trials" / f"{number:05d}" and orchestrator.running == {number}
    orchestrator.ledger.close()
    orchestrator = world.open()
    world.drive(orchestrator)
    assert orchestrator.over and orchestrator.next() is None and not orchestrator.running
    assert orchestrator.progress.started_trials == 3 and 0 < orchestrator.progress.driver_seconds < 60
    assert sorted(world.starts) == sorted(orchestrator.ledger.trials)
    require_complete(world)


def test_a_study_is_not_over_while_a_trial_runs(world: World) -> None:
    """All are proposed and none waits, but one that runs may still have to wait, and be resumed."""
    orchestrator = world.open()
    numbers = [started(orchestrator)[0] for _ in range(3)]
    for number in numbers:
        assert orchestrator.next() is None and not orchestrator.over
        orchestrator.reported(number, report(number, STEPS, 1.0))
    assert orchestrator.over


def test_a_driver_killed_at_any_step(toy: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proposals_at_once(monkeypatch)
    with monkeypatch.context() as patch:
        death, finished, step = Death(patch), False, 0
        while not finished:
            world = World(toy(budget=Budget(trials=2)), Storage.open(tmp_path / str(step)), rungs=RUNGS)
            finished = death.live(world, step)
            assert finished or death.live(world, 10_000), step
            require_complete(world)
            step += 1
    assert step > 40


@pytest.mark.parametrize("seed", range(6))
def test_drivers_killed_again_and_again(world: World, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    with monkeypatch.context() as patch:
        assert 2 < Death(patch).lives(world, 25, random.Random(seed)) < 60
    require_complete(world)


def test_after_an_interruption_open_trials_are_started_first_and_ended_ones_never(world: World) -> None:
    orchestrator = world.open()
    first, second = started(orchestrator)[0], started(orchestrator)[0]
    orchestrator.reported(first, report(first, 5, 1.0))
    orchestrator.reported(first, report(first, STEPS, 1.0))
    orchestrator.ledger.close()
    resumed = world.open()
    assert started(resumed)[0] == second and started(resumed)[0] not in (first, second)
    assert resumed.next() is None


def test_a_last_report_that_only_the_ledger_has_ends_its_trial(world: World) -> None:
    orchestrator = world.open()
    number, _ = started(orchestrator)
    last = report(number, STEPS, 1.0)
    orchestrator.ledger.reported(number, last)
    orchestrator.ledger.close()
    resumed = world.open()
    assert resumed.ledger.trials[number].status == "completed"
    assert world.recorder.of("metrics") == [(number, flat_metrics(last), STEPS)]
    assert started(resumed)[0] != number


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_a_bad_end_is_recorded_once_with_its_reason(world: World, status: TrialStatus) -> None:
    orchestrator = world.open()
    number, _ = started(orchestrator)
    orchestrator.reported(number, report(number, 5, 1.0))
    for reason in ("out of memory", "out of memory", "something else"):
        orchestrator.ended(number, status, reason)
    trial = read_trials(world.folder)[number]
    assert (trial.status, trial.reason) == (status, "out of memory")
    ((finished, run_status, tags),) = world.recorder.of("finish")
    assert (finished, run_status, tags["status"]) == (number, "FAILED", status)
    assert (tags["reason"], tags["checkpoint"]) == ("out of memory", f"/checkpoints/{number}/5")
    assert not orchestrator.progress.hypervolumes() and not orchestrator.running


def test_the_hypervolume_grows_with_each_completed_trial(world: World) -> None:
    orchestrator, order = world.open(), []
    for fid in (8.0, 2.0, 5.0):
        order.append(started(orchestrator)[0])
        orchestrator.reported(order[-1], report(order[-1], STEPS, fid=fid))
    volumes = orchestrator.progress.hypervolumes()
    # the better of 0.9 x (10 - fid) at one step; at two steps 0.45 x the same
    assert volumes == pytest.approx([0.9 * 2, 0.9 * 8, 0.9 * 8])
    recorded = [(values["hypervolume"], step) for values, step in world.recorder.of("study_metrics")]
    assert recorded == [(pytest.approx(volume), step) for step, volume in enumerate(volumes, 1)]
    assert [c.trial for c in orchestrator.progress.members()] == [order[1]]


def test_a_study_without_untried_points_ends_and_says_so(world: World) -> None:
    """Two points are fewer than the budget's three trials."""
    world.study = replace(world.study, search=(Choice("norm", ("none", "batch")),), sampler="tpe")
    orchestrator = world.open()
    world.drive(orchestrator)
    assert orchestrator.progress.exhausted and len(orchestrator.ledger.trials) == 2
    line = "every point of the space is known: the study ends after 2 of 3 trials"
    assert line in closing_lines(orchestrator.progress, None, list(orchestrator.ledger.trials.values()))


def test_every_completed_trial_gets_its_picture_once(world: World) -> None:
    orchestrator = world.open()
    world.drive(orchestrator)
    orchestrator.close()
    paths = [path for _, path in world.recorder.of("artifact")]
    names = [f"trial-{number:05d}.png" for number in sorted(orchestrator.ledger.trials)]
    assert sorted(path.name for path in paths) == names
    paths[0].unlink()  # as if its driver had died before drawing it
    world.open().close()
    assert [path for _, path in world.recorder.of("artifact")] == [*paths, paths[0]]


def test_a_picture_that_cannot_be_drawn_is_a_warning(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(trial: Trial, path: Path) -> Path:
        raise OSError("no such checkpoint")

    monkeypatch.setattr(listeners, "draw_samples", fail)
    orchestrator = world.open()
    with caplog.at_level(logging.WARNING):
        world.drive(orchestrator)
        orchestrator.close()
    assert caplog.text.count("its samples cannot be drawn: no such checkpoint") >= 3
    require_complete(world)
