"""A study being run: what is proposed, what came back, what the front is now.

Everything enters the ledger first; sampler, MLflow and screen hear of it afterwards. Started on a study that was
interrupted, it first hands out what was left open; each such trial goes on from its own last checkpoint.
"""

import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from platform import front
from platform.ledger import Ledger, Trial
from platform.samples import draw_samples
from platform.sampler import Proposal, Sampler
from platform.storage import Storage
from platform.study import Study
from platform.tracking import Recorder
from typing import Any

from trainers.loop import Report, Task


class Conductor:
    """Proposals out, results in."""

    def __init__(
        self,
        study: Study,
        storage: Storage,
        cohort: Path,
        references: Path,
        reference_point: Mapping[str, float],
        recorder: Recorder,
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
    def elapsed(self) -> float:
        """Seconds spent on the study, all its drivers together."""
        return self.ledger.elapsed + time.monotonic() - self.started

    @property
    def exhausted(self) -> bool:
        """Whether no further trial is to be proposed."""
        budget = self.study.budget
        return len(self.ledger.trials) >= budget.trials or (budget.hours > 0 and self.elapsed > 3600 * budget.hours)

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
        """A rung of a trial."""
        plain = {**report.__dict__, "scores": {str(n): dict(v) for n, v in report.scores.items()}}
        self.ledger.reported(number, {**plain, "losses": dict(report.losses)})
        self.recorder.metrics(number, flat_metrics(report), report.step)
        if report.done:
            self.ended(number, "completed")

    def ended(self, number: int, status: Any, reason: str = "") -> None:
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
        """Make ledger and sampler agree after an interruption; returns the trials left open, oldest first."""
        for trial in self.ledger.of_status("completed", "diverged", "failed"):
            self._tell(trial)
        for proposal in self.sampler.unfinished():
            if proposal.number not in self.ledger.trials and len(proposal.params) == len(self.study.search):
                self._enter(proposal)
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
        if trial.status == "completed" and not path.exists():
            draw_samples(trial, path)
            self.recorder.artifact(trial.number, path)

    def _record_end(self, trial: Trial) -> None:
        status = "FINISHED" if trial.status == "completed" else "FAILED"
        tags = {"status": trial.status, "reason": trial.reason, "seconds": f"{trial.seconds:.1f}"}
        if trial.last:
            tags["checkpoint"] = str(trial.last["checkpoint"])
        self.recorder.finish(trial.number, status, tags)
        volumes = self.hypervolumes()
        if volumes:
            self.recorder.study_metrics({"hypervolume": volumes[-1], "front_size": len(self.front().members)}, len(volumes))


def flat_metrics(report: Report) -> dict[str, float]:
    """A report as MLflow metrics: ``fid/3`` is the FID at three refinement steps, ``fid`` that at the most."""
    metrics = {f"loss/{name}": value for name, value in report.losses.items()} | {"seconds": report.seconds}
    for count, values in report.scores.items():
        metrics |= {f"{name}/{count}": value for name, value in values.items()}
    return metrics | dict(report.scores[max(report.scores)])
