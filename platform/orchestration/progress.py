"""How far a study has come: its front, hypervolume, time and cost, all from its ledger."""

import time
from collections.abc import Sequence
from platform.pareto.front import Candidate, Front, HypervolumeCurve
from platform.storage.ledger import Ledger
from platform.study.budget import Spent
from platform.study.criteria import Criteria
from platform.study.study import Study


class Progress:
    """What listeners, screen and report read of a running study."""

    def __init__(self, study: Study, criteria: Criteria, ledger: Ledger) -> None:
        self.study, self.criteria, self.ledger = study, criteria, ledger
        self.driver_seconds = 0.0
        """Spent on proposing and recording, all trials together."""
        self.started_trials = 0
        """Trials that this driver has started."""
        self.exhausted = False
        """Whether every point of the space has been tried."""
        self.ending = ""
        """The limit that ends the study before its trials do, in words; empty: none so far."""
        self._since = time.monotonic()
        self._curve = HypervolumeCurve(self.make_front)

    def make_front(self, found: Sequence[Candidate]) -> Front:
        """Candidates by the study's criteria."""
        return Front.of(self.criteria, self.study.objectives, found)

    def members(self) -> list[Candidate]:
        """The front of the completed trials."""
        self.hypervolumes()
        return self._curve.members

    def hypervolumes(self) -> Sequence[float]:
        """Hypervolume after each completed trial, in the order of completion.

        That order differs when a deterministic study is repeated: there it is that of their numbers.
        """
        completed = self.ledger.trials.completed
        order = sorted(completed) if self.study.deterministic else completed
        return self._curve.volumes(self.ledger.trials, order)

    @property
    def elapsed(self) -> float:
        """Seconds spent on the study, all its drivers together."""
        return self.ledger.elapsed + time.monotonic() - self._since

    @property
    def spent(self) -> Spent:
        """What the study has used up."""
        gpu_hours = self.ledger.occupied * self.study.resources.gpus / 3600
        return Spent(self.elapsed / 3600, gpu_hours)
