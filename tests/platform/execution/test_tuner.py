"""Tune runs a source: errors that it has wrapped, studies with pauses and with faults through Ray."""

import json
import os
import signal
from collections.abc import Callable
from copy import copy
from pathlib import Path
from platform.execution import cluster, tuner
from platform.storage.layout import Storage
from platform.storage.ledger import read_trials
from platform.study.budget import Budget
from platform.study.dimensions import Log, Uniform
from platform.study.settings import Resources, Scheduler
from platform.study.study import Study
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.error import TuneError

from tests.platform.execution import costless
from tests.platform.world import World, proposals_at_once
from trainers.errors import EnvironmentFault, InputError


class FailingTuner:
    """Fails as Tune does: what its searcher raises is wrapped with its traceback as text."""

    error: Exception

    def __init__(self, *arguments: Any, **options: Any) -> None:
        pass

    def fit(self) -> None:
        try:
            raise self.error
        except Exception as error:
            cause = error if error.args else None
            raise TuneError("Traceback (most recent call last): ...") from cause


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (InputError("ledger.jsonl: cannot append 8 bytes"), InputError),
        (InputError(), InputError),  # only its context is left
        (EnvironmentFault("no room"), EnvironmentFault),
        (OSError(28, "No space left on device"), EnvironmentFault),
        (KeyError("a bug"), TuneError),
    ],
)
def test_what_is_no_bug_is_raised_plainly_and_a_bug_as_tunes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception]
) -> None:
    monkeypatch.setattr(FailingTuner, "error", error, raising=False)
    released: list[int] = []
    monkeypatch.setattr(cluster, "request_places", lambda resources, trials: released.append(trials))
    monkeypatch.setattr(tuner.tune, "Tuner", FailingTuner)
    source: Any = SimpleNamespace(resources=Resources(), folder=tmp_path)
    with pytest.raises(raised) as caught:
        tuner.run(source, [])
    assert (caught.value is error) == (raised is type(error))
    assert released == [0], "an autoscaler keeps what was requested until it is told otherwise"


def test_an_autoscaler_is_told_what_is_wanted_now(monkeypatch: pytest.MonkeyPatch) -> None:
    requested: list[int] = []
    monkeypatch.setattr(cluster, "request_places", lambda resources, trials: requested.append(trials))
    monkeypatch.setattr(tuner, "EVERY", 0.0)
    source: Any = SimpleNamespace(resources=Resources(concurrent=8), wanted=20)
    callback = tuner.DemandCallback(source)
    for source.wanted in (20, 20, 5, 0):
        callback.on_step_end(0, [])
    copy(callback).on_step_end(0, [])
    assert requested == [8, 5, 0]


def fake_trainable(published: Path, steps: tuple[int, ...]) -> type:
    """A trial that costs nothing and first repeats its newest report."""

    def opened(folder: Path, config: dict[str, Any]) -> costless.Steps:
        done = sorted(int(path.name.split("-")[1]) for path in published.glob(f"{folder.name}-*"))
        left = done[-1:] + [step for step in steps if not done or step > done[-1]]

        def following() -> costless.Rung:
            step = left.pop(0)
            with (published / f"{folder.name}-{step}").open("a") as file:
                file.write("x")
            return step, steps[-1], config["weight"] / step

        return following

    return costless.trainable(opened)


RunStudy = Callable[[type, Study], World]


@pytest.fixture
def run_study(local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStudy:
    """Runs a study through Tune with a trainable in the place of ours."""
    proposals_at_once(monkeypatch)
    for key, value in cluster._ENVIRONMENT.items():
        monkeypatch.setenv(key, value)

    def run(trainable: type, study: Study) -> World:
        monkeypatch.setattr(tuner.trial, "Trial", trainable)
        world = World(study, Storage.open(tmp_path))
        orchestrator = world.open()
        tuner.run(orchestrator, [])
        orchestrator.ledger.close()
        assert orchestrator.over and not orchestrator.running
        return world

    return run


def test_paused_trials_are_resumed_through_tune(toy: Any, tmp_path: Path, run_study: RunStudy) -> None:
    published = tmp_path / "published"
    published.mkdir()
    study = toy(
        search=(Log("weight", 0.1, 100.0), Uniform("edge", 0.0, 1.0)),
        fixed={"steps": 24, "limit": 2.0},
        scheduler=Scheduler(name="asha", grace=3, min_results=2),
        budget=Budget(trials=10),
    )
    world = run_study(fake_trainable(published, (3, 9, 24)), study)
    trials = read_trials(world.folder)
    assert len(trials) == 10 and {t.status for t in trials.values()} == {"completed", "paused"}
    reported = [(e["trial"], e["report"]["step"]) for e in world.entries if e["event"] == "reported"]
    repeated = {pair for pair in reported if reported.count(pair) == 2}
    assert repeated, "no paused trial was resumed"
    for number, trial in trials.items():
        counts = {p.name: len(p.read_text()) for p in published.glob(f"{number:05d}-*")}
        assert counts == {f"{number:05d}-{s}": 1 + ((number, s) in repeated) for s in trial.reports}


def faulty_trainable(faults: dict[str, list[str]], steps: int) -> type:
    """A trial that publishes each step, and before the next has the first of its faults that are left."""

    def opened(folder: Path, config: dict[str, Any]) -> costless.Steps:
        folder.mkdir(parents=True, exist_ok=True)

        def following() -> costless.Rung | dict[str, Any]:
            done = len(list(folder.glob("step-*")))
            had = folder / f"fault-{len(list(folder.glob('fault-*')))}"
            left = faults.get(folder.name, [])[int(had.name[6:]) :]
            if left and not had.exists():
                had.touch()
                if left[0] == "progress":
                    (folder / f"step-{done + 1:09d}").mkdir()
                    os.kill(os.getpid(), signal.SIGKILL)
                if left[0] == "raise":
                    raise KeyError("a bug")
                fault = {"reason": left[0], "folder": "", "size": 0}
                return {"fault": json.dumps(fault), "done": True}
            return steps, steps, 1.0

        return following

    return costless.trainable(opened)


def test_faults_are_told_apart_through_tune(toy: Any, run_study: RunStudy) -> None:
    """Lost workers and storage that is away never count; of a trial's own exceptions the second one does."""
    faults = {
        "00000": ["progress"] * 3,
        "00001": ["raise"],
        "00002": ["raise"] * 2,
        "00003": ["storage is away"],
    }
    study = toy(fixed={"steps": 24, "limit": 2.0}, budget=Budget(trials=4))
    world = run_study(faulty_trainable(faults, 24), study)
    trials = read_trials(world.folder)
    assert {n: (t.status, t.interruptions) for n, t in trials.items()} == {
        **{0: ("completed", 3), 1: ("completed", 1)},
        **{2: ("failed", 2), 3: ("completed", 1)},
    }
    assert trials[2].reason.startswith("KeyError: 'a bug' (")
    reasons = {e["trial"]: e["reason"] for e in world.entries if e["event"] == "interrupted"}
    assert reasons[0] == "its worker died" and reasons[3] == "storage is away"
