"""Trials that are known from the start: the trainings of a comparison or a confirmation, seed by seed.

The ledger is the memory: what is completed or diverged there is not trained again, what was left open
continues from its last checkpoint, what failed is tried again.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from platform.execution import tuner
from platform.execution.live_table import LiveTable
from platform.execution.mlflow_listener import MlflowListener
from platform.execution.session import session
from platform.execution.training import Training
from platform.execution.trial_source import LedgerSource, TrialPaths
from platform.reporting.console import clock, console
from platform.reporting.panels import number as shown
from platform.storage.ledger import Ledger
from platform.storage.trials import Trial
from platform.study.settings import Resources
from platform.tracking.recorder import Recorder

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from trainers.loop import Task


class TrainingListener(MlflowListener):
    """The runs of fixed trials, named by system and seed."""

    def started(self, trial: Trial, task: Task) -> None:
        """The run with its settings."""
        system = trial.params["system"]
        name = f"{system}, seed {trial.params['seed']}"
        tags = {"system": system, "method": task.method, "mlflow.runName": name}
        self.recorder.trial(trial.number, vars(task.config), tags)


class FixedTrials(LedgerSource):
    """Tune's source of trials: the requested trainings."""

    def __init__(
        self,
        trainings: Sequence[Training],
        resources: Resources,
        paths: TrialPaths,
        recorder: Recorder,
        ledger: Ledger,
    ) -> None:
        super().__init__(ledger, paths, [TrainingListener(recorder)])
        self.resources, self.recorder = resources, recorder
        self._since = time.monotonic()
        self.trainings = {self._number(training): training for training in trainings}
        for number in self.trainings:
            self._end_if_done(number)
        self._waiting = deque(n for n in self.trainings if ledger.trials[n].status == "open")

    def next(self) -> tuple[int, Task] | None:
        """The next training."""
        number = self.due()
        if number is None:
            if not self._waiting or not self.retries.has_room():
                return None
            number = self._waiting.popleft()
        training = self.trainings[number]
        task = self.paths.task(number, training.method, training.config)
        self.ledger.started(number)
        for listener in self.listeners:
            listener.started(self.ledger.trials[number], task)
        self.running.add(number)
        return number, task

    @property
    def wanted(self) -> int:
        """How many trainings have not ended."""
        return len(self.trainings) - self.count_ended()

    @property
    def over(self) -> bool:
        """Whether no training will be started again."""
        return not (self._waiting or self.running or self.retries.waiting)

    @property
    def elapsed(self) -> float:
        """Seconds since this driver has started."""
        return time.monotonic() - self._since

    def trials(self) -> list[tuple[Training, Trial]]:
        """Every requested training, in order."""
        return [(training, self.ledger.trials[number]) for number, training in self.trainings.items()]

    @property
    def waiting(self) -> int:
        """How many trainings are still to be started."""
        return len(self._waiting)

    def count_ended(self) -> int:
        """How many trainings have ended."""
        return sum(trial.status != "open" for _, trial in self.trials())

    def _number(self, training: Training) -> int:
        """The ledger's number of a training, added now if it is new or has failed before."""
        for number, trial in self.ledger.trials.items():
            if trial.params == training.params and trial.status != "failed":
                return number
        number = self.ledger.next_number
        self.ledger.proposed(number, training.params)
        return number

    def _end_if_done(self, number: int) -> None:
        """End a training whose last rung was recorded by a driver that was killed right after."""
        trial = self.ledger.trials[number]
        if trial.status == "open" and trial.last and trial.last.done:
            self.reported(number, trial.last)


@contextmanager
def trained(trials: FixedTrials, hint: str) -> Iterator[None]:
    """Train what waits, run the block, close screen, MLflow and ledger; ``hint`` says how to resume."""
    trials.recorder.reconcile({trial.number for trial in trials.ledger.of_status("open")})
    table = LiveTable(TrainingsView(trials), console)
    with session(trials.folder, table, trials.recorder, trials.ledger, hint):
        if trials.waiting:
            tuner.run(trials, [table])
        table.stop()
        yield


@dataclass(frozen=True)
class TrainingsView:
    """The trainings, as their live table shows them."""

    trials: FixedTrials

    def ended(self) -> int:
        """How many trainings have ended."""
        return self.trials.count_ended()

    def table(self) -> Group:
        """System, seed, status, validation."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for head in ("system", "seed", "status", "validation FID"):
            table.add_column(head, justify="left" if head in ("system", "status") else "right")
        for training, trial in self.trials.trials():
            status = "running" if trial.number in self.trials.running else trial.status
            value = shown(trial.last.most_refined["fid"]) if trial.last else ""
            table.add_row(training.label, str(training.seed), status, value)
        return Group(table, Text(self.line()))

    def line(self) -> str:
        """Counts and time."""
        total, ended = len(self.trials.trainings), self.trials.count_ended()
        elapsed = self.trials.elapsed
        return f"{ended}/{total} trainings ended  elapsed {clock(elapsed)}"
