"""A study run without Ray: trainings that cost nothing, reports in a chosen order, killed drivers."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from platform.execution.trial_source import TrialPaths
from platform.orchestration import listeners
from platform.orchestration.listeners import SamplePictures, StudyRecorder
from platform.orchestration.orchestrator import Orchestrator
from platform.orchestration.progress import Progress
from platform.samplers import suggester
from platform.samplers.suggester import Suggester
from platform.storage.layout import Storage
from platform.storage.ledger import FILE, Ledger, read_trials
from platform.storage.sealed_lines import read_log
from platform.storage.trials import Trial
from platform.study.criteria import Criteria
from platform.study.study import Study
from typing import Any

import pytest

from trainers.loop import Task
from trainers.report import Report

REFERENCE = {"fid": 10.0, "ms_ssim": 0.0}
Scores = Mapping[int, Mapping[str, float]]


class Killed(BaseException):
    """The driver is killed here."""


class AtOnce:
    """An executor that runs its work when it is submitted, so that no proposal is late."""

    def __init__(self, workers: int) -> None:
        assert workers == 1

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(function(*arguments))
        except Exception as error:
            done.set_exception(error)
        return done

    def shutdown(self) -> None:
        pass


def proposals_at_once(patch: pytest.MonkeyPatch) -> None:
    """Samplers without threads, and pictures without checkpoints."""
    patch.setattr(suggester, "ThreadPoolExecutor", AtOnce)
    patch.setattr(listeners, "draw_samples", draw)


def draw(trial: Trial, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"trial {trial.number}")
    return path


def fair(step: int, steps: int, config: Any) -> Scores:
    """Better with training; low ``edge`` is for FID, high for MS-SSIM, low ``weight`` for both."""
    left = 1 + 2 * (1 - step / steps)
    return {
        n: {
            "fid": (1 + 4 * config.edge) * left + config.weight / 100 + n / 10,
            "ms_ssim": (0.5 + config.edge / 2) / left - config.weight / 1000 - n / 100,
            "psnr": 20.0,
        }
        for n in (1, 2)
    }


@dataclass
class Recorder:
    """In place of MLflow: remembers every call as (name, trial, ...)."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.calls.append((name, *arguments))

    def of(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]


@dataclass
class World:
    """What remains when a driver is killed: the disk, MLflow, and the trials' own checkpoints."""

    study: Study
    storage: Storage
    criteria: Criteria = field(default_factory=lambda: Criteria(REFERENCE))
    slots: int = 2
    rungs: tuple[int, ...] = (12, 24)
    """Of every trial, beside the milestones of its task."""
    scores: Callable[[int, int, Any], Scores] = fair
    crashes: set[tuple[int, int]] = field(default_factory=set)
    """Trials whose workers die on their way to a step."""
    seconds: float = 1.5
    recorder: Recorder = field(default_factory=Recorder)
    published: dict[int, Report] = field(default_factory=dict)
    trained: Counter[tuple[int, int]] = field(default_factory=Counter)
    starts: list[int] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.storage.study(self.study.name)

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The ledger, line by line."""
        return read_log(self.folder / FILE).entries

    def open(self) -> Orchestrator:
        """A new driver."""
        ledger = Ledger(self.folder)
        try:
            return self.orchestrator(ledger)
        except Killed:
            ledger.close()
            raise

    def orchestrator(self, ledger: Ledger) -> Orchestrator:
        """A new driver on a ledger."""
        recorder: Any = self.recorder
        progress = Progress(self.study, self.criteria, ledger)
        followers = StudyRecorder(recorder, progress), SamplePictures(self.folder / "samples", recorder)
        paths = TrialPaths(self.folder, Path("c"), Path("r"))
        return Orchestrator(progress, paths, followers, self.slots)

    def report(self, number: int, step: int, config: Any) -> Report:
        scores, steps = self.scores(step, self.rungs[-1], config), self.rungs[-1]
        return Report(step, steps, scores, {"gan": 0.25}, self.seconds, f"/checkpoints/{number}/{step}")

    def work(self, number: int, task: Task) -> Iterator[Report | None]:
        """A trial as the loop runs it: its newest report again, then each rung; None: its worker dies."""
        self.starts.append(number)
        if number in self.published:
            yield self.published[number]
        for step in sorted({*self.rungs, *task.milestones}):
            if number not in self.published or self.published[number].step < step:
                if (number, step) in self.crashes:
                    yield None
                self.trained[number, step] += 1
                self.published[number] = self.report(number, step, task.config)
                yield self.published[number]

    def drive(self, orchestrator: Orchestrator, order: random.Random | None = None) -> None:
        """Run the study to its end, or to the driver's; trials report in turn, or in a random ``order``."""
        running: dict[int, Iterator[Report | None]] = {}
        try:
            while True:
                while len(running) < self.slots and (following := orchestrator.next()):
                    assert following[0] not in running, "started twice at the same time"
                    running[following[0]] = self.work(*following)
                assert orchestrator.running == running.keys()
                over = orchestrator.over  # Tune reads it whenever there is no next trial
                if not running:
                    assert over and orchestrator.next() is None
                    return
                for number in [order.choice(list(running))] if order else list(running):
                    if not self.advance(orchestrator, number, next(running[number])):
                        del running[number]
        finally:
            orchestrator.ledger.close()

    @staticmethod
    def advance(orchestrator: Orchestrator, number: int, report: Report | None) -> bool:
        """Pass a report, or the end of a worker, to the orchestrator; whether the trial trains on."""
        if report is None:
            orchestrator.ended(number, "failed", "its worker died 4 times")
            return False
        return orchestrator.reported(number, report)

    def outcome(self) -> dict[int, Any]:
        """The result of a study, without times."""
        return {
            n: (trial.params, trial.status, sorted(trial.reports), trial.continued_past)
            for n, trial in sorted(read_trials(self.folder).items())
        }


class Death:
    """Kills the driver at its n-th step: there is one before and one after everything that it records."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.left = -1
        names = ("proposed", "started", "reported", "paused", "continued", "ended")
        for owner, name in [(Suggester, "take"), *((Ledger, name) for name in names)]:
            patch.setattr(owner, name, self._around(getattr(owner, name)))
        for name in ("trial", "metrics", "finish", "study_metrics"):
            patch.setattr(Recorder, name, self._around(self._recording(name)), raising=False)

    def tick(self) -> None:
        self.left -= 1
        if self.left == -1:
            raise Killed

    def live(self, world: World, steps: int, order: random.Random | None = None) -> bool:
        """Run one driver; whether it reached the study's end."""
        self.left = steps
        try:
            world.drive(world.open(), order)
        except Killed:
            return False
        finally:
            self.left = -1
        return True

    def lives(self, world: World, steps: int, draws: random.Random) -> int:
        """How many drivers were needed, at most 100; each but the last is killed within so many steps."""
        count = 1
        while count < 100 and not self.live(world, draws.randrange(steps), draws):
            count += 1
        return count

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


def extended(world: World, **more: Any) -> World:
    """The same world, its study with another budget, extended now."""
    done = sum(trial.status == "completed" for trial in read_trials(world.folder).values())
    study = replace(world.study, budget=replace(world.study.budget, **more))
    return replace(world, study=study, criteria=replace(world.criteria, extended_at=done))
