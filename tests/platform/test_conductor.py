"""A study being run, without Ray: budgets, ends, and a death at every point between any two of its steps."""

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from platform import conductor as module
from platform.conductor import Conductor, flat_metrics
from platform.front import Front, best_values, candidates
from platform.ledger import Ledger, Trial, read_trials
from platform.sampler import Sampler
from platform.storage import Storage
from platform.study import Budget, Study
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from trainers.loop import Report, Task

MakeStudy = Callable[..., Study]
REFERENCE = {"fid": 10.0, "ms_ssim": 0.0}
RUNGS, STEPS = (5, 10), 10


class Killed(BaseException):
    """The driver dies here."""


@dataclass
class Recorder:
    """MLflow's place: remembers every call as (name, trial, ...)."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.calls.append((name, *arguments))

    def of(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]


@dataclass
class World:
    """What outlives the driver: the disk, MLflow, and the trials' own checkpoints."""

    study: Study
    storage: Storage
    recorder: Recorder = field(default_factory=Recorder)
    published: dict[int, Report] = field(default_factory=dict)
    trained: Counter[tuple[int, int]] = field(default_factory=Counter)
    handed_out: list[int] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.storage.study(self.study.name)

    def open(self) -> Conductor:
        """A new driver."""
        ledger = Ledger(self.folder)
        recorder: Any = self.recorder
        try:
            return Conductor(self.study, self.storage, Path("c"), Path("r"), REFERENCE, recorder, ledger)
        except Killed:
            ledger.close()
            raise

    def work(self, number: int, task: Task) -> Iterator[Report]:
        """A trial as the loop runs it: the stored report again, then each rung, published first."""
        self.handed_out.append(number)
        if number in self.published:
            yield self.published[number]
        for step in RUNGS:
            if number not in self.published or self.published[number].step < step:
                self.trained[number, step] += 1
                self.published[number] = report(number, step, task.config.weight)
                yield self.published[number]

    def drive(self, conductor: Conductor, slots: int = 2) -> None:
        """Run the study to its end, or to the driver's."""
        running: dict[int, Iterator[Report]] = {}
        try:
            while True:
                while len(running) < slots and (found := conductor.next()):
                    running[found[0]] = self.work(*found)
                if not running:
                    return
                for number in list(running):
                    one = next(running[number])
                    conductor.reported(number, one)
                    if one.done:
                        del running[number]
        finally:
            conductor.ledger.close()

    def optuna(self) -> dict[int, optuna.trial.FrozenTrial]:
        """What Optuna has on disk of the feasible proposals, read by Optuna alone."""
        journal = optuna.storages.journal.JournalFileBackend(str(self.folder / "optuna.log"))
        storage = optuna.storages.JournalStorage(journal)
        trials = optuna.load_study(study_name=self.study.name, storage=storage).get_trials()
        return {trial.number: trial for trial in trials if trial.params.get("edge", 1) < 0.5}


def report(number: int, step: int, weight: float = 1.0, fid: float | None = None) -> Report:
    scores = {
        n: {"fid": fid or 9 / n + 1 / step + weight / 1000, "ms_ssim": 0.9 / n, "kid": 0.5} for n in (1, 2)
    }
    return Report(step, STEPS, scores, {"gan": 0.25}, 1.5, f"/checkpoints/{number}/{step}")


@pytest.fixture
def world(toy: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(module, "draw_samples", draw)
    return World(toy(budget=Budget(trials=3)), Storage.open(tmp_path))


def draw(trial: Trial, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"trial {trial.number}")
    return path


def require_whole(world: World) -> None:
    """Nothing lost, nothing twice, ledger and Optuna and MLflow of one mind."""
    trials, told = read_trials(world.folder), world.optuna()
    objectives = world.study.objectives
    assert len(trials) == world.study.budget.trials
    assert {trial.status for trial in trials.values()} == {"completed"}
    assert world.trained == Counter((number, step) for number in trials for step in RUNGS)
    assert {number: trial.state for number, trial in told.items() if number in trials} == dict.fromkeys(
        trials, TrialState.COMPLETE
    )
    assert {trial.state for number, trial in told.items() if number not in trials} <= {TrialState.FAIL}
    for number, trial in trials.items():
        assert told[number].params == trial.params
        assert told[number].values == best_values(trial, objectives, REFERENCE)
    calls = world.recorder
    assert {(number, step) for number, _, step in calls.of("metrics")} == set(world.trained)
    assert {(number, status) for number, status, _ in calls.of("finish")} == {(n, "FINISHED") for n in trials}
    final = Front(objectives, REFERENCE, candidates(list(trials.values()))).hypervolume
    volumes = {step: values["hypervolume"] for values, step in calls.of("study_metrics")}
    assert volumes[len(trials)] == pytest.approx(final)


class Death:
    """Kills the driver at its n-th step; a step lies before and after each thing that leaves a trace."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.left = -1
        targets = [
            (Sampler, "ask"),
            (Sampler, "tell"),
            (Ledger, "proposed"),
            (Ledger, "reported"),
            (Ledger, "ended"),
        ]
        for owner, name in targets:
            patch.setattr(owner, name, self._around(getattr(owner, name)))
        for name in ("trial", "metrics", "finish", "study_metrics"):
            patch.setattr(Recorder, name, self._around(self._recording(name)), raising=False)

    def tick(self) -> None:
        self.left -= 1
        if self.left == -1:
            raise Killed

    def _around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            self.tick()
            result = function(*arguments)
            self.tick()
            return result

        return wrapped

    @staticmethod
    def _recording(name: str) -> Callable[..., None]:
        return lambda recorder, *arguments: recorder.calls.append((name, *arguments))


def live(world: World, death: Death, steps: int) -> bool:
    """One driver's life; whether it came to the study's end."""
    death.left = steps
    try:
        world.drive(world.open())
    except Killed:
        return False
    finally:
        death.left = -1
    return True


def test_trials_are_proposed_until_the_budget(world: World) -> None:
    conductor = world.open()
    world.drive(conductor)
    assert conductor.exhausted and conductor.next() is None and not conductor.running
    assert conductor.handed_out == 3 and 0 < conductor.driver_seconds < 60
    assert sorted(world.handed_out) == sorted(conductor.ledger.trials)
    require_whole(world)


def test_a_task_is_the_proposal_with_what_the_study_fixes(world: World) -> None:
    conductor = world.open()
    found = conductor.next()
    assert found is not None
    number, task = found
    assert task.config == world.study.point(conductor.ledger.trials[number].params)
    assert (task.method, task.cohort, task.references) == ("toy", Path("c"), Path("r"))
    assert task.folder == world.folder / "trials" / f"{number:05d}"
    assert conductor.running == {number}


def test_no_trial_begins_after_the_last_hour(world: World, toy: MakeStudy) -> None:
    world.study = toy(budget=Budget(trials=3, hours=1e-9))
    conductor = world.open()
    assert conductor.elapsed > 0 and conductor.exhausted and conductor.next() is None
    conductor.ledger.close()
    world.study = toy(budget=Budget(trials=3, hours=100.0))
    assert not world.open().exhausted


def test_a_death_at_every_step(toy: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "draw_samples", draw)
    with monkeypatch.context() as patch:
        death, finished, step = Death(patch), False, 0
        while not finished:
            world = World(toy(budget=Budget(trials=2)), Storage.open(tmp_path / str(step)))
            finished = live(world, death, step)
            assert finished or live(world, death, 10_000), step
            require_whole(world)
            step += 1
    assert step > 40


@pytest.mark.parametrize("seed", range(6))
def test_deaths_upon_deaths(
    toy: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(module, "draw_samples", draw)
    draws = random.Random(seed)
    with monkeypatch.context() as patch:
        world, death = World(toy(budget=Budget(trials=3)), Storage.open(tmp_path)), Death(patch)
        lives = 1
        while not live(world, death, draws.randrange(25)):
            lives += 1
            assert lives < 60
    assert lives > 2
    require_whole(world)


def test_what_was_over_is_not_handed_out_again(world: World) -> None:
    first = world.open()
    found = [first.next(), first.next()]
    numbers = [one[0] for one in found if one]
    first.reported(numbers[0], report(numbers[0], 5))
    first.reported(numbers[0], report(numbers[0], STEPS))
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
    last = report(number, STEPS)
    first.ledger.reported(number, {**vars(last), "scores": {str(n): v for n, v in last.scores.items()}})
    first.ledger.close()
    again = world.open()
    assert again.ledger.trials[number].status == "completed"
    assert world.recorder.of("metrics") == [(number, flat_metrics(last), STEPS)]
    assert world.optuna()[number].state == TrialState.COMPLETE
    assert (again.next() or [number])[0] != number


def test_a_score_that_is_not_finite_ends_the_trial_and_not_the_study(world: World) -> None:
    conductor = world.open()
    number, _ = conductor.next() or pytest.fail("nothing was proposed")
    conductor.reported(number, report(number, 5))
    conductor.reported(number, report(number, STEPS, fid=float("nan")))
    conductor.reported(number, report(number, STEPS))
    trial = read_trials(world.folder)[number]
    assert (trial.status, trial.reason) == (
        "diverged",
        "diverged at step 10: fid at 1 refinement steps is nan",
    )
    assert list(trial.reports) == [5]
    assert world.optuna()[number].state == TrialState.FAIL
    assert [call[:2] for call in world.recorder.of("finish")] == [(number, "FAILED")]
    assert conductor.front().members == [] and conductor.running == set()


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_a_bad_end_is_told_once_with_its_reason(world: World, status: Any) -> None:
    conductor = world.open()
    number, _ = conductor.next() or pytest.fail("nothing was proposed")
    conductor.reported(number, report(number, 5))
    for _ in range(2):
        conductor.ended(number, status, "out of memory")
    conductor.ended(number, "failed", "something else")
    trial = read_trials(world.folder)[number]
    assert (trial.status, trial.reason) == (status, "out of memory")
    assert world.optuna()[number].state == TrialState.FAIL
    ((told, outcome, tags),) = world.recorder.of("finish")
    assert (told, outcome, tags["reason"], tags["status"]) == (number, "FAILED", "out of memory", status)
    assert tags["checkpoint"] == f"/checkpoints/{number}/5"
    assert len(conductor.hypervolumes()) == 0


def test_the_hypervolume_grows_with_each_completed_trial(world: World) -> None:
    conductor = world.open()
    order = []
    for fid in (8.0, 2.0, 5.0):
        number, _ = conductor.next() or pytest.fail("nothing was proposed")
        order.append(number)
        conductor.reported(number, report(number, STEPS, fid=fid))
    # the better of 0.9 x (10 - fid) at one step; at two steps 0.45 x the same
    assert conductor.hypervolumes() == pytest.approx([0.9 * 2, 0.9 * 8, 0.9 * 8])
    told = [(values["hypervolume"], step) for values, step in world.recorder.of("study_metrics")]
    assert told == [(pytest.approx(v), step) for step, v in enumerate(conductor.hypervolumes(), 1)]
    assert [c.trial for c in conductor.front().members] == [order[1]]


def test_metrics_are_flat_with_the_most_steps_under_plain_names() -> None:
    assert flat_metrics(report(0, 5, fid=3.0)) == {
        "loss/gan": 0.25,
        "seconds": 1.5,
        **{"fid/1": 3.0, "ms_ssim/1": 0.9, "kid/1": 0.5},
        **{"fid/2": 3.0, "ms_ssim/2": 0.45, "kid/2": 0.5},
        **{"fid": 3.0, "ms_ssim": 0.45, "kid": 0.5},
    }


def test_every_completed_trial_gets_its_picture_once(world: World) -> None:
    conductor = world.open()
    world.drive(conductor)
    conductor.finish_pictures()
    paths = [path for _, path in world.recorder.of("artifact")]
    assert sorted(path.name for path in paths) == [
        f"trial-{n:05d}.png" for n in sorted(conductor.ledger.trials)
    ]
    paths[0].unlink()  # as if its driver had died before drawing it
    again = world.open()
    again.finish_pictures()
    assert [path for _, path in world.recorder.of("artifact")] == [*paths, paths[0]]


def test_a_picture_that_cannot_be_drawn_costs_a_warning(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(trial: Trial, path: Path) -> Path:
        raise OSError("no such checkpoint")

    monkeypatch.setattr(module, "draw_samples", fail)
    conductor = world.open()
    with caplog.at_level(logging.WARNING):
        world.drive(conductor)
        conductor.finish_pictures()
    assert caplog.text.count("its samples cannot be drawn: no such checkpoint") >= 3
    require_whole(world)
