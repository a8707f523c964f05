"""A study being run: what is proposed, what came back, what the front is now.

Everything enters the ledger first; MLflow and screen hear of it afterwards, and every decision follows from
it. Started on a study that was interrupted, it first hands out what was left open; each such trial goes on
from its own last checkpoint, as does one that has waited at a rung.
"""

import logging
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from platform.execution.trial_source import flat_metrics, heard, not_finite, plain, run_status
from platform.pareto.curve import Curve
from platform.pareto.front import Candidate, Front, candidates
from platform.reporting.samples import draw_samples
from platform.samplers.suggester import Sampler
from platform.schedulers.early_stopping import Triage
from platform.storage.layout import Storage
from platform.storage.ledger import OVER, Ledger, Status, Trial
from platform.study.budget import Spent, plateau
from platform.study.criteria import Terms
from platform.study.study import Resources, Study
from platform.tracking.recorder import Recorder

from trainers.loop import Task
from trainers.report import Report

log = logging.getLogger(__name__)


class Conductor:
    """Proposals out, results in."""

    def __init__(
        self,
        study: Study,
        storage: Storage,
        cohort: Path,
        references: Path,
        terms: Terms,
        recorder: Recorder,
        ledger: Ledger,
        slots: int = 1,
    ) -> None:
        """``slots``: how many trials a wave of a deterministic study has."""
        self.study, self.storage, self.ledger, self.terms = study, storage, ledger, terms
        self.cohort, self.references, self.recorder = cohort, references, recorder
        self.folder, self.slots = storage.study(study.name), slots
        known = terms.seen(study.objectives)
        self.sampler = Sampler(study, self.judged(()).corner.tolist(), known)
        self.triage = Triage(study, self.sampler.space, self.judged, known)
        ledger.begin()
        self.started = time.monotonic()
        self.driver_seconds = 0.0
        """Spent on proposing and recording, all trials together."""
        self.handed_out = 0
        self.running: set[int] = set()
        self.exhausted = False
        """Whether every point of the space has been tried."""
        self._ending = ""
        self._artist = ThreadPoolExecutor(1)
        self._curve = Curve(self.judged)
        self._waiting = deque(self._reconcile())
        if study.deterministic and ledger.newest.get("event") in ("proposed", "went_on"):
            self._deal_wave()  # an earlier driver may have died before the wave was whole

    @property
    def resources(self) -> Resources:
        """What one trial takes."""
        return self.study.resources

    @property
    def elapsed(self) -> float:
        """Seconds spent on the study, all its drivers together."""
        return self.ledger.elapsed + time.monotonic() - self.started

    @property
    def spent(self) -> Spent:
        """What the study has used up."""
        held = self.ledger.held.seconds(time.time())
        return Spent(self.elapsed / 3600, held * self.study.resources.gpus / 3600)

    @property
    def ending(self) -> str:
        """The limit that ends the study before its trials do, in words; empty: none does.

        A study that has ended stays so: what still runs may lift its hypervolume off a plateau. A
        deterministic one ends between its waves: what has come back of one is not the same twice.
        """
        if self.study.deterministic and (self.running or self._waiting):
            return self._ending
        budget, volumes = self.study.budget, self.hypervolumes()
        self._ending = (
            self._ending or self.spent.ends(budget) or plateau(volumes[self.terms.extended_at :], budget)
        )
        return self._ending

    @property
    def over(self) -> bool:
        """Whether no trial will be handed out any more."""
        if self._waiting or (self.running and not self.ending):
            return False
        return bool(self.ending) or (self._no_more and self.triage.resumable(self.ledger.trials) is None)

    def next(self) -> tuple[int, Task] | None:
        """The next trial: one left open by an earlier driver, a paused one whose turn it is, a new one.

        None: not now, or, if :attr:`over`, never.
        """
        started = time.perf_counter()
        if not self._waiting and self.study.deterministic:
            self._deal_wave()
        trial = self._waiting.popleft() if self._waiting else None
        if trial is None and not self.study.deterministic:
            trial = self._chosen(wait=not self.running)
        task = self._hand_out(trial) if trial else None
        self.driver_seconds += time.perf_counter() - started
        return (trial.number, task) if trial and task else None

    def reported(self, number: int, report: Report) -> bool:
        """A rung of a trial; returns whether it trains on.

        One with a score that is not finite ends it; what comes after an end or a pause is ignored.
        """
        trial = self.ledger.trials[number]
        if trial.status != "open":
            return False
        if wrong := not_finite(report):
            self.recorder.metrics(number, flat_metrics(report), report.step)
            self.ended(number, "diverged", wrong)
            return False
        self.ledger.reported(number, plain(report))
        self.recorder.metrics(number, flat_metrics(report), report.step)
        self.triage.reported(trial, report.step)
        if report.done:
            self.ended(number, "completed")
        elif not self._goes_on(trial, report.step):
            self._pause(trial, report)
        return trial.status == "open"

    def ended(self, number: int, status: Status, reason: str = "") -> None:
        """A trial is over; a second call for the same trial, or one of a trial that waits, is ignored."""
        trial = self.ledger.trials[number]
        if trial.status != "open":
            return
        started = time.perf_counter()
        self.ledger.ended(number, status, reason)
        self.triage.ended(trial)
        self.running.discard(number)
        self._record_end(trial)
        self._artist.submit(self._picture, trial)
        self.driver_seconds += time.perf_counter() - started

    def judged(self, found: Sequence[Candidate]) -> Front:
        """Candidates on the study's terms."""
        return self.terms.front(self.study.objectives, found)

    def front(self) -> Front:
        """The front of the completed trials."""
        return self.judged(candidates(self.ledger.of_status("completed")))

    def hypervolumes(self) -> list[float]:
        """Hypervolume after each completed trial, in the order of completion.

        That order differs when a deterministic study is repeated: there it is that of their numbers.
        """
        done = self.ledger.of_status("completed")
        if not self.study.deterministic:
            done.sort(key=lambda trial: trial.ended_at)
        return self._curve.volumes(done)

    def close(self) -> None:
        """Draw what an interrupted driver left undrawn; tell MLflow which trials were stopped for good."""
        self.sampler.close()
        for trial in self.ledger.of_status("completed"):
            self._artist.submit(self._picture, trial)
        for trial in self.ledger.of_status("paused"):
            self.recorder.finish(trial.number, "KILLED", {"status": "stopped", "reason": trial.reason})
        self._artist.shutdown()

    @property
    def _no_more(self) -> bool:
        """Whether nothing new is to be proposed."""
        return self.exhausted or len(self.ledger.trials) >= self.study.budget.trials

    def _chosen(self, wait: bool) -> Trial | None:
        """The paused trial whose turn it is, else a new one, once its proposal is ready."""
        if self.ending:
            return None
        number = self.triage.resumable(self.ledger.trials)
        if number is not None:
            trial = self.ledger.trials[number]
            self._let_on(trial, max(trial.reports))
            return trial
        if self._no_more:
            return None
        seen = self.triage.observations(self.ledger.trials)
        if not self.sampler.ready(seen) and not wait:
            return None
        point = self.sampler.take()
        if point is None:
            self.exhausted = True
            return None
        number = max(self.ledger.trials, default=-1) + 1
        self.ledger.proposed(number, point.params, point.memory)
        if not self._no_more and not self.study.deterministic:
            self.sampler.begin(self.triage.observations(self.ledger.trials))
        return self.ledger.trials[number]

    def _deal_wave(self) -> None:
        """Choose as many trials as run at a time, once all of the last wave have come back."""
        while not self.running and len(self._waiting) < self.slots:
            trial = self._chosen(wait=True)
            if trial is None:
                break
            self._waiting.append(trial)

    def _goes_on(self, trial: Trial, step: int) -> bool:
        """Whether a trial trains on."""
        if not self.study.deterministic and self.ending:
            return False
        on = self.triage.goes_on(trial, step, self.ledger.trials)
        if on and self.triage.undecided(trial, step):
            self._let_on(trial, step)
        return on

    def _let_on(self, trial: Trial, step: int) -> None:
        self.ledger.went_on(trial.number, step)
        self.triage.went_on(trial.number, step)

    def _pause(self, trial: Trial, report: Report) -> None:
        undecided = "its wave is decided together" if self.study.deterministic else "others did better there"
        why = self._ending or undecided
        self.ledger.paused(trial.number, f"waits at step {report.step} of {report.steps}: {why}")
        self.running.discard(trial.number)
        self._record_pause(trial)

    def _hand_out(self, trial: Trial) -> Task:
        method, levels = self.study.method_of(trial.params), self.study.levels
        self.recorder.trial(trial.number, trial.params, {"method": method, "status": "running"})
        self.ledger.started(trial.number)
        self.running.add(trial.number)
        self.handed_out += 1
        folder = self.storage.trial(self.study.name, trial.number)
        config = self.study.point(trial.params)
        return Task(method, config, self.cohort, self.references, folder, levels)

    def _reconcile(self) -> list[Trial]:
        """Make MLflow and scheduler agree with the ledger after an interruption; returns what is open."""
        if self.ledger.newest.get("event") == "paused":
            self._record_pause(self.ledger.trials[self.ledger.newest["trial"]])
        over = self.ledger.of_status(*OVER)
        for trial in over:
            if trial.ended_at == max(t.ended_at for t in over):  # all before it have come to MLflow
                self._record_end(trial)
        self.triage.restore(self.ledger.trials)
        for trial in self.ledger.of_status("open"):
            if trial.last and self._unanswered(trial, report := heard(trial.last)):
                self.reported(trial.number, report)
        return self.ledger.of_status("open")

    def _unanswered(self, trial: Trial, report: Report) -> bool:
        """Whether a report was heard by a driver that was killed before it said what follows from it."""
        return report.done or self.triage.undecided(trial, report.step)

    def _picture(self, trial: Trial) -> None:
        """Sample slices of a trial, drawn once, beside the driver's work."""
        path = self.folder / "samples" / f"trial-{trial.number:05d}.png"
        if trial.status != "completed" or path.exists():
            return
        try:
            self.recorder.artifact(trial.number, draw_samples(trial, path))
        except Exception as error:  # a picture is not worth a study
            log.warning("trial %d: its samples cannot be drawn: %s", trial.number, error)

    def _record_pause(self, trial: Trial) -> None:
        self.recorder.finish(trial.number, "SCHEDULED", {"status": "paused", "reason": trial.reason})

    def _record_end(self, trial: Trial) -> None:
        tags = {"status": trial.status, "reason": trial.reason, "seconds": f"{trial.seconds:.1f}"}
        if trial.last:
            tags["checkpoint"] = str(trial.last["checkpoint"])
        self.recorder.finish(trial.number, run_status(trial.status), tags)
        volumes = self.hypervolumes()
        if volumes:
            found = {"hypervolume": volumes[-1], "front_size": len(self.front().members)}
            self.recorder.study_metrics(found, len(volumes))
