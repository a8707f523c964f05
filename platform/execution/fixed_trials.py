"""The trainings of a comparison or a confirmation, seed by seed: handed out, heard, remembered.

The ledger is the memory: what is completed or diverged there is not trained again, what was left open goes on
from its last checkpoint, what failed is tried again.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from platform.cli import console
from platform.comparison.systems import Entrant
from platform.execution.live_table import Board, clock
from platform.execution.session import session
from platform.execution.trial_source import flat_metrics, heard, not_finite, plain, run_status
from platform.reporting.panels import number as shown
from platform.storage.ledger import Ledger, Status, Trial
from platform.study.study import Resources
from platform.tracking.recorder import Recorder
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from trainers.config import canonical
from trainers.loop import Task
from trainers.report import Report


@dataclass(frozen=True)
class Entry:
    """One training: a system, a seed, its settings."""

    entrant: Entrant
    seed: int
    config: Any

    @property
    def method(self) -> str:
        """What it is trained by."""
        return self.entrant.study.method_of(self.entrant.first)

    @property
    def params(self) -> dict[str, Any]:
        """What the ledger remembers of it."""
        return {"system": self.entrant.name, "seed": self.seed, "config": canonical(self.config)}


class Roster:
    """Tune's source of trials: the trainings that are asked for."""

    def __init__(
        self,
        entries: Sequence[Entry],
        folder: Path,
        cohort: Path,
        references: Path,
        recorder: Recorder,
        ledger: Ledger,
    ) -> None:
        self.folder, self.cohort, self.references = folder, cohort, references
        self.recorder, self.ledger = recorder, ledger
        self.resources: Resources = entries[0].entrant.study.resources
        self.started = time.monotonic()
        self.entries = {self._number(entry): entry for entry in entries}
        self.running: set[int] = set()
        for number in self.entries:
            self._settle(number)
        self._waiting = deque(n for n in self.entries if ledger.trials[n].status == "open")

    def next(self) -> tuple[int, Task] | None:
        """The next training."""
        if not self._waiting:
            return None
        number = self._waiting.popleft()
        entry = self.entries[number]
        label = f"{entry.entrant.name}, seed {entry.seed}"
        tags = {"system": entry.entrant.name, "method": entry.method, "mlflow.runName": label}
        self.recorder.trial(number, vars(entry.config), tags)
        self.running.add(number)
        checkpoints = self.folder / "trials" / f"{number:05d}"
        return number, Task(entry.method, entry.config, self.cohort, self.references, checkpoints)

    @property
    def over(self) -> bool:
        """Whether every training was handed out."""
        return not self._waiting

    def reported(self, number: int, report: Report) -> bool:
        """A rung of a training; one with a score that is not finite ends it, what comes after is ignored."""
        if self.ledger.trials[number].status != "open":
            return False
        if wrong := not_finite(report):
            self.recorder.metrics(number, flat_metrics(report), report.step)
            self.ended(number, "diverged", wrong)
            return False
        self.ledger.reported(number, plain(report))
        self.recorder.metrics(number, flat_metrics(report), report.step)
        if report.done:
            self.ended(number, "completed")
        return not report.done

    def ended(self, number: int, status: Status, reason: str = "") -> None:
        """A training is over; a second call for the same one is ignored."""
        if self.ledger.trials[number].status != "open":
            return
        self.ledger.ended(number, status, reason)
        self.running.discard(number)
        self.recorder.finish(number, run_status(status), {"status": status, "reason": reason})

    def trials(self) -> list[tuple[Entry, Trial]]:
        """Every training that is asked for, in the order of the entries."""
        return [(entry, self.ledger.trials[number]) for number, entry in self.entries.items()]

    @property
    def waiting(self) -> int:
        """How many trainings are to be handed out."""
        return len(self._waiting)

    def count_ended(self) -> int:
        """How many trainings are over."""
        return sum(trial.status != "open" for _, trial in self.trials())

    def _number(self, entry: Entry) -> int:
        """The ledger's number of a training, entered now if it is new or has failed before."""
        for number, trial in self.ledger.trials.items():
            if trial.params == entry.params and trial.status != "failed":
                return number
        number = max(self.ledger.trials, default=-1) + 1
        self.ledger.proposed(number, entry.params)
        return number

    def _settle(self, number: int) -> None:
        """End what was heard to its last rung by a driver that was killed before it could say so."""
        trial = self.ledger.trials[number]
        if trial.status == "open" and trial.last and (report := heard(trial.last)).done:
            self.reported(number, report)


@contextmanager
def trained(roster: Roster, cure: str) -> Iterator[None]:
    """Train what waits, run the block, close screen, MLflow and ledger; ``cure`` tells how to go on."""
    from platform.execution import (
        tuner,  # late: importing Ray takes seconds, that a wrong input need not wait
    )

    roster.recorder.reconcile({trial.number for trial in roster.ledger.of_status("open")})
    board = Board(RosterView(roster), console)
    with session(roster.folder, board, roster.recorder, roster.ledger, cure):
        if roster.waiting:
            tuner.run(roster, [board])
        board.stop()
        yield


@dataclass(frozen=True)
class RosterView:
    """The trainings, as their board shows them."""

    roster: Roster

    def ended(self) -> int:
        """How many trainings are over."""
        return self.roster.count_ended()

    def table(self) -> Group:
        """System, seed, status, validation."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for head in ("system", "seed", "status", "validation FID"):
            table.add_column(head, justify="left" if head in ("system", "status") else "right")
        for entry, trial in self.roster.trials():
            status = "running" if trial.number in self.roster.running else trial.status
            scores = trial.scores[max(trial.scores)] if trial.scores else {}
            value = shown(scores["fid"]) if scores else ""
            table.add_row(entry.entrant.label, str(entry.seed), status, value)
        return Group(table, Text(self.line()))

    def line(self) -> str:
        """Counts and time."""
        total, done = len(self.roster.entries), self.roster.count_ended()
        elapsed = time.monotonic() - self.roster.started
        return f"{done}/{total} trainings ended  elapsed {clock(elapsed)}"
