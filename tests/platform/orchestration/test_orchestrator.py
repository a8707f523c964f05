"""A study being run, without Ray: budgets, ends, and a death at every point between any two of its steps."""

import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from platform.execution.trial_source import flat_metrics, plain
from platform.orchestration import orchestrator as module
from platform.orchestration.report import closing_lines
from platform.pareto.front import Front, candidates
from platform.storage.layout import Storage
from platform.storage.ledger import Trial, read_trials
from platform.study.budget import Budget
from platform.study.dimensions import Choice
from platform.study.study import Study
from typing import Any

import pytest

from tests.platform.world import REFERENCE, Death, World, proposals_at_once
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


def require_whole(world: World) -> None:
    """Nothing lost, nothing twice, ledger and MLflow of one mind."""
    trials, objectives = read_trials(world.folder), world.study.objectives
    assert len(trials) == world.study.budget.trials
    assert {trial.status for trial in trials.values()} == {"completed"}
    assert world.trained == Counter((number, step) for number in trials for step in RUNGS)
    calls = world.recorder
    assert {(number, step) for number, _, step in calls.of("metrics")} == set(world.trained)
    assert {(number, status) for number, status, _ in calls.of("finish")} == {(n, "FINISHED") for n in trials}
    final = Front(objectives, REFERENCE, candidates(list(trials.values()))).hypervolume
    volumes = {step: values["hypervolume"] for values, step in calls.of("study_metrics")}
    assert volumes[len(trials)] == pytest.approx(final) and final > 0


def test_trials_are_proposed_until_the_budget(world: World) -> None:
    orchestrator = world.open()
    world.drive(orchestrator)
    assert orchestrator.over and orchestrator.next() is None and not orchestrator.running
    assert orchestrator.handed_out == 3 and 0 < orchestrator.driver_seconds < 60
    assert sorted(world.handed_out) == sorted(orchestrator.ledger.trials)
    require_whole(world)


def test_a_task_is_the_proposal_with_what_the_study_fixes(world: World) -> None:
    orchestrator = world.open()
    found = orchestrator.next()
    assert found is not None
    number, task = found
    assert task.config == world.study.point(orchestrator.ledger.trials[number].params)
    assert (task.method, task.cohort, task.references) == ("toy", Path("c"), Path("r"))
    assert task.folder == world.folder / "trials" / f"{number:05d}"
    assert orchestrator.running == {number}


def test_a_death_at_every_step(toy: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proposals_at_once(monkeypatch)
    with monkeypatch.context() as patch:
        death, finished, step = Death(patch), False, 0
        while not finished:
            world = World(toy(budget=Budget(trials=2)), Storage.open(tmp_path / str(step)), rungs=RUNGS)
            finished = death.live(world, step)
            assert finished or death.live(world, 10_000), step
            require_whole(world)
            step += 1
    assert step > 40


@pytest.mark.parametrize("seed", range(6))
def test_deaths_upon_deaths(world: World, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    draws = random.Random(seed)
    with monkeypatch.context() as patch:
        assert 2 < Death(patch).lives(world, 25, draws) < 60
    require_whole(world)


def test_what_was_over_is_not_handed_out_again(world: World) -> None:
    first = world.open()
    found = [first.next(), first.next()]
    numbers = [one[0] for one in found if one]
    first.reported(numbers[0], report(numbers[0], 5, 1.0))
    first.reported(numbers[0], report(numbers[0], STEPS, 1.0))
    first.ledger.close()
    again = world.open()
    handed = again.next()
    assert handed is not None and handed[0] == numbers[1]
    third = again.next()
    assert third is not None and third[0] not in numbers
    assert again.next() is None


def test_a_trial_whose_last_report_was_heard_needs_no_worker_to_end(world: World) -> None:
    first = world.open()
    number, _ = first.next() or pytest.fail("nothing was proposed")
    last = report(number, STEPS, 1.0)
    first.ledger.reported(number, plain(last))
    first.ledger.close()
    again = world.open()
    assert again.ledger.trials[number].status == "completed"
    assert world.recorder.of("metrics") == [(number, flat_metrics(last), STEPS)]
    assert (again.next() or [number])[0] != number


def test_a_score_that_is_not_finite_ends_the_trial_and_not_the_study(world: World) -> None:
    orchestrator = world.open()
    number, _ = orchestrator.next() or pytest.fail("nothing was proposed")
    assert orchestrator.reported(number, report(number, 5, 1.0))
    assert not orchestrator.reported(number, report(number, STEPS, fid=float("nan")))
    assert not orchestrator.reported(number, report(number, STEPS, 1.0))
    trial = read_trials(world.folder)[number]
    assert (trial.status, trial.reason) == (
        "diverged",
        "diverged at step 10: fid at 1 refinement steps is nan",
    )
    assert list(trial.reports) == [5]
    assert [call[:2] for call in world.recorder.of("finish")] == [(number, "FAILED")]
    assert orchestrator.front().members == [] and orchestrator.running == set()


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_a_bad_end_is_told_once_with_its_reason(world: World, status: Any) -> None:
    orchestrator = world.open()
    number, _ = orchestrator.next() or pytest.fail("nothing was proposed")
    orchestrator.reported(number, report(number, 5, 1.0))
    for _ in range(2):
        orchestrator.ended(number, status, "out of memory")
    orchestrator.ended(number, "failed", "something else")
    trial = read_trials(world.folder)[number]
    assert (trial.status, trial.reason) == (status, "out of memory")
    ((told, outcome, tags),) = world.recorder.of("finish")
    assert (told, outcome, tags["reason"], tags["status"]) == (number, "FAILED", "out of memory", status)
    assert tags["checkpoint"] == f"/checkpoints/{number}/5"
    assert len(orchestrator.hypervolumes()) == 0


def test_the_hypervolume_grows_with_each_completed_trial(world: World) -> None:
    orchestrator = world.open()
    order = []
    for fid in (8.0, 2.0, 5.0):
        number, _ = orchestrator.next() or pytest.fail("nothing was proposed")
        order.append(number)
        orchestrator.reported(number, report(number, STEPS, fid=fid))
    # the better of 0.9 x (10 - fid) at one step; at two steps 0.45 x the same
    assert orchestrator.hypervolumes() == pytest.approx([0.9 * 2, 0.9 * 8, 0.9 * 8])
    told = [(values["hypervolume"], step) for values, step in world.recorder.of("study_metrics")]
    assert told == [(pytest.approx(v), step) for step, v in enumerate(orchestrator.hypervolumes(), 1)]
    assert [c.trial for c in orchestrator.front().members] == [order[1]]


def test_a_space_that_is_used_up_ends_the_study_and_that_is_said(world: World) -> None:
    """Two points are fewer than the budget's three trials."""
    world.study = replace(world.study, search=(Choice("norm", ("none", "batch")),), sampler="tpe")
    orchestrator = world.open()
    world.drive(orchestrator)
    assert orchestrator.exhausted and len(orchestrator.ledger.trials) == 2
    told = "every point of the space is known: the study ends after 2 of 3 trials"
    assert told in closing_lines(orchestrator, None, world.folder).splitlines()


def test_metrics_are_flat_with_the_most_steps_under_plain_names() -> None:
    assert flat_metrics(report(0, 5, fid=3.0)) == {
        "loss/gan": 0.25,
        "seconds": 1.5,
        **{"fid/1": 3.0, "ms_ssim/1": 0.9, "kid/1": 0.5},
        **{"fid/2": 3.0, "ms_ssim/2": 0.45, "kid/2": 0.5},
        **{"fid": 3.0, "ms_ssim": 0.45, "kid": 0.5},
    }


def test_every_completed_trial_gets_its_picture_once(world: World) -> None:
    orchestrator = world.open()
    world.drive(orchestrator)
    orchestrator.close()
    paths = [path for _, path in world.recorder.of("artifact")]
    assert sorted(path.name for path in paths) == [
        f"trial-{n:05d}.png" for n in sorted(orchestrator.ledger.trials)
    ]
    paths[0].unlink()  # as if its driver had died before drawing it
    again = world.open()
    again.close()
    assert [path for _, path in world.recorder.of("artifact")] == [*paths, paths[0]]


def test_a_picture_that_cannot_be_drawn_costs_a_warning(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(trial: Trial, path: Path) -> Path:
        raise OSError("no such checkpoint")

    monkeypatch.setattr(module, "draw_samples", fail)
    orchestrator = world.open()
    with caplog.at_level(logging.WARNING):
        world.drive(orchestrator)
        orchestrator.close()
    assert caplog.text.count("its samples cannot be drawn: no such checkpoint") >= 3
    require_whole(world)
