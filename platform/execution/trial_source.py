"""Where Tune's trials come from and their results go: the ledger first, then the listeners."""

import math
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from platform.execution.retries import Retries
from platform.storage.ledger import Ledger
from platform.storage.trials import Trial, TrialStatus
from platform.study.settings import Recovery, Resources
from typing import Any, Protocol

from trainers import checkpoint
from trainers.errors import EnvironmentFault
from trainers.loop import Task
from trainers.metrics.names import VERSION
from trainers.report import Report

PAUSE = 0.2
"""Seconds between two looks whether an interrupted trial may start again."""
KEPT: Mapping[TrialStatus, int] = {"completed": 1, "diverged": 0, "failed": checkpoint.KEEP}
"""Checkpoints that stay at a trial's end; one that has failed may be tried again."""


class TrialSource(Protocol):
    """What Tune asks for trials: a search's orchestrator, or the fixed trials of a comparison."""

    @property
    def resources(self) -> Resources:
        """What one trial takes."""

    @property
    def folder(self) -> Path:
        """The folder of the study."""

    @property
    def running(self) -> AbstractSet[int]:
        """Numbers of the trials that run."""

    @property
    def wanted(self) -> int:
        """How many trials could train now if there were places."""

    @property
    def over(self) -> bool:
        """Whether no further trial will come."""

    def next(self) -> tuple[int, Task] | None:
        """The next trial's number and task; None: not now."""

    def reported(self, number: int, report: Report) -> bool:
        """A rung of a trial; returns whether it trains on."""

    def ended(self, number: int, status: TrialStatus, reason: str = "") -> None:
        """A trial has ended."""

    def noted(self, number: int, text: str) -> None:
        """What a person should know of a trial."""

    def interrupted(self, number: int, fault: EnvironmentFault) -> None:
        """A fault of its environment has stopped a trial; raises it where it has lasted too long."""

    def raised(self, number: int, reason: str) -> None:
        """An exception of its own code has stopped a trial."""


class TrialListener:
    """Called after the ledger has recorded an event; by default nothing happens."""

    def started(self, trial: Trial, task: Task) -> None:
        """A trial starts, or starts again."""

    def reported(self, trial: Trial, report: Report) -> None:
        """A rung of a trial."""

    def rejected(self, trial: Trial, report: Report) -> None:
        """A report with a score that is not finite: it is not in the ledger, and the trial ends."""

    def paused(self, trial: Trial) -> None:
        """A trial waits at its newest rung."""

    def ended(self, trial: Trial) -> None:
        """A trial has ended."""

    def closed(self, ledger: Ledger) -> None:
        """The driver ends normally; no event follows."""


@dataclass(frozen=True)
class TrialPaths:
    """Where the trials of a study read and write."""

    folder: Path
    """Of the study."""
    cohort: Path
    references: Path
    measures: int = VERSION
    """Version of the measures by which they are scored."""
    extended: bool = False
    """Whether their scores include the extended measures."""
    recovery: Recovery = field(default_factory=Recovery)

    def task(self, number: int, method: str, config: Any, milestones: tuple[int, ...] = ()) -> Task:
        """What trial ``number`` trains."""
        seconds = 60 * self.recovery.save_minutes, 60 * self.recovery.hang_minutes
        rest = milestones, self.measures, self.extended, *seconds
        return Task(method, config, self.cohort, self.references, self.checkpoints(number), *rest)

    def checkpoints(self, number: int) -> Path:
        """The folder of a trial's checkpoints."""
        return self.folder / "trials" / f"{number:05d}"


class LedgerSource:
    """What every trial source shares: reports and ends, recorded once and passed to the listeners."""

    def __init__(self, ledger: Ledger, paths: TrialPaths, listeners: Sequence[TrialListener]) -> None:
        self.ledger, self.paths, self.listeners = ledger, paths, tuple(listeners)
        self.running: set[int] = set()
        self.retries = Retries(paths.recovery, lambda n: checkpoint.newest_step(paths.checkpoints(n)))

    @property
    def folder(self) -> Path:
        """The folder of the study."""
        return self.paths.folder

    def reported(self, number: int, report: Report) -> bool:
        """A rung of a trial; returns whether it trains on.

        A score that is not finite ends the trial. Reports after an end or a pause are ignored.
        """
        trial = self.ledger.trials[number]
        if trial.status != "open":
            return False
        if reason := not_finite(report):
            for listener in self.listeners:
                listener.rejected(trial, report)
            self.ended(number, "diverged", reason)
            return False
        if report.step not in trial.reports:  # one that has started again repeats its last
            self.retries.progressed(number)
        self.ledger.reported(number, report)
        for listener in self.listeners:
            listener.reported(trial, report)
        if report.done:
            self.ended(number, "completed")
        else:
            self.decide(trial, report)
        return trial.status == "open"

    def decide(self, trial: Trial, report: Report) -> None:
        """Pause a trial at a rung, or let it train on, which it does by default."""

    def ended(self, number: int, status: TrialStatus, reason: str = "") -> None:
        """A trial has ended; a second call, or one for a trial that waits, is ignored."""
        trial = self.ledger.trials[number]
        if trial.status != "open":
            return
        self.ledger.ended(number, status, reason)
        self.running.discard(number)
        checkpoint.keep_newest(self.paths.checkpoints(number), KEPT[status])
        for listener in self.listeners:
            listener.ended(trial)

    def noted(self, number: int, text: str) -> None:
        """What a person should know of a trial; into the ledger alone."""
        self.ledger.noted(number, text)

    def interrupted(self, number: int, fault: EnvironmentFault) -> None:
        """A fault of its environment has stopped a trial; raises it where it has lasted too long."""
        if self._stopped(number, str(fault)) and (reason := self.retries.interrupted(number, fault)):
            self.ended(number, "failed", reason)

    def raised(self, number: int, reason: str) -> None:
        """An exception of its own code has stopped a trial."""
        if self._stopped(number, reason) and not self.retries.raised(number):
            self.ended(number, "failed", reason)

    def _stopped(self, number: int, reason: str) -> bool:
        """Free a trial's place; False for one that has ended or paused."""
        if self.ledger.trials[number].status != "open":
            return False
        self.ledger.interrupted(number, reason)
        self.running.discard(number)
        return True

    def due(self) -> int | None:
        """An interrupted trial to start again now; waits a moment where nothing else can be done."""
        number = self.retries.due()
        while number is not None and self.ledger.trials[number].status != "open":
            number = self.retries.due()  # a report that came late has ended or paused it
        if number is None and not self.running and (self.retries.waiting or not self.retries.has_room()):
            time.sleep(PAUSE)
        return number


def not_finite(report: Report) -> str:
    """Which score is not finite; empty: all are."""
    for count, scores in sorted(report.scores.items()):
        for name, value in scores.items():
            if not math.isfinite(value):
                return f"diverged at step {report.step}: {name} at {count} refinement steps is {value}"
    return ""
