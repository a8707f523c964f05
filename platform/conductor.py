"""A study being run: what is proposed, what came back, what the front is now.

Everything enters the ledger first; sampler, MLflow and screen hear of it afterwards. Started on a study that
was interrupted, it first tells them what they missed, then hands out what was left open; each such trial goes
on from its own last checkpoint.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from platform import front, tracking
from platform.ledger import Ledger, Status, Trial
from platform.sampler import Proposal, Sampler
from platform.samples import draw_samples
from platform.storage import Storage
from platform.study import Resources, Study
from typing import Any

from trainers.loop import Report, Task

log = logging.getLogger(__name__)


class Conductor:
    """Proposals out, results in."""

    def __init__(
        self,
        study: Study,
        storage: Storage,
        cohort: Path,
        references: Path,
        reference_point: Mapping[str, float],
        recorder: tracking.Recorder,
        ledger: Ledger,
    ) -> None:
        self.study, self.storage, self.ledger = study, storage, ledger
        self.cohort, self.references, self.reference_point = cohort, references, reference_point
        self.recorder = recorder
        self.folder = storage.study(study.name)
        self.sampler = Sampler(study, self.folder)
        self.started = time.monotonic()
        self.driver_seconds = 0.0
        """Spent on proposing and recording, all trials together."""
        self.handed_out = 0
        self.running: set[int] = set()
        self._artist = ThreadPoolExecutor(1)
        self._curve: list[float] = []
        self._waiting = deque(self._reconcile())

    @property
    def resources(self) -> Resources:
        """What one trial takes."""
        return self.study.resources

    @property
    def elapsed(self) -> float:
        """Seconds spent on the study, all its drivers together."""
        return self.ledger.elapsed + time.monotonic() - self.started

    @property
    def exhausted(self) -> bool:
        """Whether no further trial is to be proposed."""
        budget = self.study.budget
        late = budget.hours > 0 and self.elapsed > 3600 * budget.hours
        return late or len(self.ledger.trials) >= budget.trials

    def next(self) -> tuple[int, Task] | None:
        """The next trial to run: one left open by an earlier driver, else a new proposal; None: no more."""
        started = time.perf_counter()
        if self._waiting:
            trial = self._waiting.popleft()
        elif self.exhausted:
            return None
        else:
            trial = self._enter(self.sampler.ask())
        task = self._task(trial)
        self.recorder.trial(trial.number, trial.params, {"method": self.study.method, "status": "running"})
        self.running.add(trial.number)
        self.handed_out += 1
        self.driver_seconds += time.perf_counter() - started
        return trial.number, task

    def reported(self, number: int, report: Report) -> None:
        """A rung of a trial; one with a score that is not finite ends it, and what comes after is ignored."""
        if self.ledger.trials[number].status != "open":
            return
        if wrong := not_finite(report):
            self.recorder.metrics(number, flat_metrics(report), report.step)
            self.ended(number, "diverged", wrong)
            return
        self.ledger.reported(number, plain(report))
        self.recorder.metrics(number, flat_metrics(report), report.step)
        if report.done:
            self.ended(number, "completed")

    def ended(self, number: int, status: Status, reason: str = "") -> None:
        """A trial is over; a second call for the same trial is ignored."""
        trial = self.ledger.trials[number]
        if trial.status != "open":
            return
        started = time.perf_counter()
        self.ledger.ended(number, status, reason)
        self._tell(trial)
        self.running.discard(number)
        self._record_end(trial)
        self._artist.submit(self._picture, trial)
        self.driver_seconds += time.perf_counter() - started

    def front(self) -> front.Front:
        """The front of the completed trials."""
        done = self.ledger.of_status("completed")
        return front.Front(self.study.objectives, self.reference_point, front.candidates(done))

    def hypervolumes(self) -> list[float]:
        """Hypervolume after each completed trial, in the order of completion."""
        done = sorted(self.ledger.of_status("completed"), key=lambda trial: trial.ended_at)
        for count in range(len(self._curve) + 1, len(done) + 1):
            found = front.candidates(done[:count])
            self._curve.append(front.Front(self.study.objectives, self.reference_point, found).hypervolume)
        return self._curve

    def _reconcile(self) -> list[Trial]:
        """Make ledger, sampler and MLflow agree after an interruption; the trials left open, oldest first."""
        over = self.ledger.of_status("completed", "diverged", "failed")
        for trial in over:
            self._tell(trial)
            if trial.ended_at == max(t.ended_at for t in over):  # all before it have come to MLflow
                self._record_end(trial)
        for proposal in self.sampler.unfinished():
            if proposal.number not in self.ledger.trials:
                self._enter(proposal)
        for trial in self.ledger.of_status("open"):
            if trial.last and (report := heard(trial.last)).done:
                self.reported(trial.number, report)
        return self.ledger.of_status("open")

    def _enter(self, proposal: Proposal) -> Trial:
        self.ledger.proposed(proposal.number, proposal.params)
        return self.ledger.trials[proposal.number]

    def _tell(self, trial: Trial) -> None:
        completed = trial.status == "completed" and trial.last is not None
        values = front.best_values(trial, self.study.objectives, self.reference_point) if completed else None
        self.sampler.tell(trial.number, values)

    def _task(self, trial: Trial) -> Task:
        folder = self.storage.trial(self.study.name, trial.number)
        return Task(self.study.method, self.study.point(trial.params), self.cohort, self.references, folder)

    def finish_pictures(self) -> None:
        """Draw what an interrupted driver left undrawn and wait for it."""
        for trial in self.ledger.of_status("completed"):
            self._artist.submit(self._picture, trial)
        self._artist.shutdown()

    def _picture(self, trial: Trial) -> None:
        """Sample slices of a trial, drawn once, beside the driver's work."""
        path = self.folder / "samples" / f"trial-{trial.number:05d}.png"
        if trial.status != "completed" or path.exists():
            return
        try:
            self.recorder.artifact(trial.number, draw_samples(trial, path))
        except Exception as error:  # a picture is not worth a study
            log.warning("trial %d: its samples cannot be drawn: %s", trial.number, error)

    def _record_end(self, trial: Trial) -> None:
        tags = {"status": trial.status, "reason": trial.reason, "seconds": f"{trial.seconds:.1f}"}
        if trial.last:
            tags["checkpoint"] = str(trial.last["checkpoint"])
        self.recorder.finish(trial.number, run_status(trial.status), tags)
        volumes = self.hypervolumes()
        if volumes:
            found = {"hypervolume": volumes[-1], "front_size": len(self.front().members)}
            self.recorder.study_metrics(found, len(volumes))


def plain(report: Report) -> dict[str, Any]:
    """A report as the ledger keeps it."""
    scores = {str(count): dict(scores) for count, scores in report.scores.items()}
    return {**vars(report), "scores": scores, "losses": dict(report.losses)}


def heard(kept: Mapping[str, Any]) -> Report:
    """The report that the ledger keeps as ``plain``."""
    return Report(**{**kept, "scores": {int(count): scores for count, scores in kept["scores"].items()}})


def run_status(status: Status) -> tracking.Status:
    """What MLflow calls the end of a trial."""
    return "FINISHED" if status == "completed" else "FAILED"


def not_finite(report: Report) -> str:
    """Which score is not finite, or nothing."""
    for count, scores in sorted(report.scores.items()):
        for name, value in scores.items():
            if not math.isfinite(value):
                return f"diverged at step {report.step}: {name} at {count} refinement steps is {value}"
    return ""


def flat_metrics(report: Report) -> dict[str, float]:
    """A report as MLflow metrics: ``fid/3`` is the FID at three refinement steps, ``fid`` at the most."""
    metrics = {f"loss/{name}": value for name, value in report.losses.items()} | {"seconds": report.seconds}
    for count, values in report.scores.items():
        metrics |= {f"{name}/{count}": value for name, value in values.items()}
    return metrics | dict(report.scores[max(report.scores)])
