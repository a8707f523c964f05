"""A running study: what is proposed next, which trials continue, when it ends.

Every decision follows from the ledger. Started on a study that was interrupted, it first starts again the
trials that were left open; each of them, like one that has waited at a rung, continues from its own last
checkpoint.
"""

import time
from collections import deque
from collections.abc import Sequence
from platform.execution.trial_source import LedgerSource, TrialListener, TrialPaths
from platform.orchestration.progress import Progress
from platform.pareto.observations import earlier_observations
from platform.samplers.suggester import Suggester
from platform.schedulers.early_stopping import EarlyStopping
from platform.storage.trials import ENDED, Trial, TrialStatus
from platform.study.budget import plateau
from platform.study.settings import Resources

from trainers.loop import Task
from trainers.report import Report


class Orchestrator(LedgerSource):
    """Tune's source of trials in a search."""

    def __init__(
        self, progress: Progress, paths: TrialPaths, listeners: Sequence[TrialListener], slots: int = 1
    ) -> None:
        """``slots``: how many trials a wave of a deterministic study has."""
        super().__init__(progress.ledger, paths, listeners)
        self.study, self.progress, self.slots = progress.study, progress, slots
        known = earlier_observations(progress.criteria, self.study.objectives)
        self.suggester = Suggester(self.study, progress.make_front(()).corner.tolist(), known)
        self.early_stopping = EarlyStopping(self.study, self.suggester.space, progress.make_front, known)
        self.ledger.start_session()
        self._waiting = deque(self._open_trials())
        if self.study.deterministic and self.ledger.newest.get("event") in ("proposed", "went_on"):
            self._start_wave()  # an earlier driver may have died before the wave was complete

    @property
    def resources(self) -> Resources:
        """What one trial takes."""
        return self.study.resources

    @property
    def wanted(self) -> int:
        """How many trials could train now if there were places; a wave has a fixed size."""
        if self.ending:
            return len(self.running)
        started = len(self.running) + len(self._waiting) + self.retries.waiting
        if self.study.deterministic:
            return max(started, self.slots)
        resumed = int(self.early_stopping.resumable(self.ledger.trials) is not None)
        return started + resumed + max(0, self.study.budget.trials - len(self.ledger.trials))

    @property
    def ending(self) -> str:
        """The limit that ends the study before its trials do, in words; empty: none does.

        An ending is final: trials that still run may lift the hypervolume off a plateau. A deterministic
        study ends between its waves, as the order of results within one differs when it is repeated.
        """
        progress = self.progress
        if self.study.deterministic and (self.running or self._waiting or self.retries.waiting):
            return progress.ending
        budget, volumes = self.study.budget, progress.hypervolumes()
        recent = volumes[progress.criteria.extended_at :]
        progress.ending = progress.ending or progress.spent.ends(budget) or plateau(recent, budget)
        return progress.ending

    @property
    def over(self) -> bool:
        """Whether no further trial will be started."""
        if self._waiting or (self.running and not self.ending):
            return False
        if self.ending:
            return True
        if self.retries.waiting:
            return False
        return self._all_proposed and self.early_stopping.resumable(self.ledger.trials) is None

    def next(self) -> tuple[int, Task] | None:
        """The next trial: one left open by an earlier driver, a paused one to resume, or a new one.

        None: not now, or, if :attr:`over`, never.
        """
        number = None if self.ending else self.due()
        if number is None and not self.retries.has_room():
            return None
        started = time.perf_counter()
        is_new_wave = not (self._waiting or self.retries.waiting)
        if number is None and is_new_wave and self.study.deterministic:
            self._start_wave()
        trial = None if number is None else self.ledger.trials[number]
        while trial is None and self._waiting:
            waiting = self._waiting.popleft()
            trial = waiting if waiting.status == "open" else None  # a report that came late may have ended it
        if trial is None and not self.study.deterministic:
            trial = self._choose(wait=not self.running)
        task = self._start(trial) if trial else None
        self.progress.driver_seconds += time.perf_counter() - started
        return (trial.number, task) if trial and task else None

    def decide(self, trial: Trial, report: Report) -> None:
        """Pause a trial at a rung, or let it train on."""
        self.early_stopping.reported(trial, report.step)
        if self._continues(trial, report.step):
            return
        undecided = "its wave is decided together" if self.study.deterministic else "others did better there"
        reason = self.progress.ending or undecided
        self.ledger.paused(trial.number, f"waits at step {report.step} of {report.steps}: {reason}")
        self.running.discard(trial.number)
        for listener in self.listeners:
            listener.paused(trial)

    def ended(self, number: int, status: TrialStatus, reason: str = "") -> None:
        """A trial has ended; a second call, or one for a trial that waits, is ignored."""
        started, trial = time.perf_counter(), self.ledger.trials[number]
        ends = trial.status == "open"
        super().ended(number, status, reason)
        if ends:
            self.early_stopping.ended(trial)
            self.progress.driver_seconds += time.perf_counter() - started

    def close(self) -> None:
        """Wait for the sampler's thread and the listeners' work."""
        self.suggester.close()
        for listener in self.listeners:
            listener.closed(self.ledger)

    @property
    def _all_proposed(self) -> bool:
        """Whether nothing new is to be proposed."""
        return self.progress.exhausted or len(self.ledger.trials) >= self.study.budget.trials

    def _choose(self, wait: bool) -> Trial | None:
        """The paused trial to resume, else a new one, once its proposal is ready."""
        if self.ending:
            return None
        number = self.early_stopping.resumable(self.ledger.trials)
        if number is not None:
            trial = self.ledger.trials[number]
            self._continue(trial, max(trial.reports))
            return trial
        if self._all_proposed:
            return None
        observed = self.early_stopping.observations(self.ledger.trials)
        if not self.suggester.ready(observed) and not wait:
            return None
        proposal = self.suggester.take()
        if proposal is None:
            self.progress.exhausted = True
            return None
        number = self.ledger.next_number
        self.ledger.proposed(number, proposal.params, proposal.memory)
        if not self._all_proposed and not self.study.deterministic:
            self.suggester.start(self.early_stopping.observations(self.ledger.trials))
        return self.ledger.trials[number]

    def _start_wave(self) -> None:
        """Choose as many trials as run at a time, once all of the last wave have ended or paused."""
        while not self.running and len(self._waiting) < self.slots:
            trial = self._choose(wait=True)
            if trial is None:
                break
            self._waiting.append(trial)

    def _continues(self, trial: Trial, step: int) -> bool:
        """Whether a trial trains on."""
        if not self.study.deterministic and self.ending:
            return False
        continues = self.early_stopping.continues(trial, step, self.ledger.trials)
        if continues and self.early_stopping.undecided(trial, step):
            self._continue(trial, step)
        return continues

    def _continue(self, trial: Trial, step: int) -> None:
        self.ledger.continued(trial.number, step)
        self.early_stopping.continued(trial.number, step)

    def _start(self, trial: Trial) -> Task:
        method, config = self.study.method_of(trial.params), self.study.point(trial.params)
        task = self.paths.task(trial.number, method, config, self.study.levels)
        self.ledger.started(trial.number)
        for listener in self.listeners:
            listener.started(trial, task)
        self.running.add(trial.number)
        self.progress.started_trials += 1
        return task

    def _open_trials(self) -> list[Trial]:
        """Bring listeners and scheduler up to the ledger after an interruption; returns what is open."""
        newest = self.ledger.newest
        if newest.get("event") == "paused" and newest["trial"] in self.ledger.trials:
            for listener in self.listeners:
                listener.paused(self.ledger.trials[newest["trial"]])
        ended = self.ledger.of_status(*ENDED)
        if ended:  # listeners have had all before the last
            last = max(ended, key=lambda trial: trial.ended)
            for listener in self.listeners:
                listener.ended(last)
        self.early_stopping.restore(self.ledger.trials)
        for trial in self.ledger.of_status("open"):
            if trial.last and self._lacks_decision(trial, trial.last):
                self.reported(trial.number, trial.last)
        return self.ledger.of_status("open")

    def _lacks_decision(self, trial: Trial, report: Report) -> bool:
        """Whether an earlier driver was killed between a report and the decision on it."""
        return report.done or self.early_stopping.undecided(trial, report.step)
