"""A study's hypervolume as its trials complete."""

from collections.abc import Sequence
from platform.pareto.front import Candidate, candidates
from platform.pareto.observations import Judged
from platform.storage.ledger import Trial


class Curve:
    """Remembers the front after each trial: one that comes late costs those behind it, not all."""

    def __init__(self, judged: Judged) -> None:
        self._judged = judged
        self._numbers: list[int] = []
        self._fronts: list[list[Candidate]] = []
        self._volumes: list[float] = []

    def volumes(self, done: Sequence[Trial]) -> list[float]:
        """Hypervolume after each of the completed trials, in their order."""
        pairs = enumerate(zip(self._numbers, done, strict=False))
        kept = next((i for i, (n, trial) in pairs if n != trial.number), min(len(self._numbers), len(done)))
        for remembered in (self._numbers, self._fronts, self._volumes):
            del remembered[kept:]
        for trial in done[kept:]:
            before = self._fronts[-1] if self._fronts else []
            front = self._judged([*before, *candidates([trial])])
            self._numbers.append(trial.number)
            self._fronts.append(front.members)
            self._volumes.append(front.hypervolume)
        return list(self._volumes)
