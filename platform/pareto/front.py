"""The front of a study: candidates (trial, refinement steps), the non-dominated ones, hypervolume, knee."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from platform.pareto import dominance
from platform.storage.ledger import Trial
from platform.study.criteria import Bound, Criteria
from platform.study.settings import Objective
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.errors import InputError

CandidateKey = tuple[int, int]
"""A candidate's trial and refinement step count."""


@dataclass(frozen=True)
class Candidate:
    """A trained translator at one refinement step count; ``values`` are all its scores, unchanged."""

    trial: int
    steps: int
    values: Mapping[str, float]
    params: Mapping[str, Any]
    checkpoint: str
    measures: int = 1
    """Version of the measures."""

    @property
    def key(self) -> CandidateKey:
        """Trial and refinement step count."""
        return self.trial, self.steps


@dataclass(frozen=True)
class Front:
    """Candidates compared by the study's objectives against a fixed reference point."""

    objectives: Sequence[Objective]
    reference: Mapping[str, float]
    candidates: Sequence[Candidate]
    bounds: Sequence[Bound] = ()
    """A candidate that violates one is not on the front."""

    def __post_init__(self) -> None:
        """Raises InputError for candidates whose scores do not compare."""
        versions = sorted({candidate.measures for candidate in self.candidates})
        if len(versions) > 1:
            found = ", ".join(map(str, versions))
            raise InputError(f"ledger: scores of versions {found} of the measures; allowed: those of one")

    @classmethod
    def of(
        cls, criteria: Criteria, objectives: Sequence[Objective], candidates: Sequence[Candidate]
    ) -> "Front":
        """Candidates compared by a study's criteria."""
        return cls(objectives, criteria.reference_point, candidates, criteria.bounds)

    @cached_property
    def feasible(self) -> NDArray[np.bool_]:
        """Which candidates satisfy every bound, [n]."""
        return np.array([not any(v > 0 for v in self.violations(c)) for c in self.candidates], dtype=bool)

    @cached_property
    def minimised(self) -> NDArray[np.float64]:
        """Objective values [n, m], signs changed so that less is better."""
        rows = np.array([[c.values[o.name] for o in self.objectives] for c in self.candidates])
        directions = [o.direction for o in self.objectives]
        return dominance.minimised(rows.reshape(-1, len(directions)), directions)

    @cached_property
    def members(self) -> list[Candidate]:
        """The non-dominated feasible candidates, sorted by the first objective, best first."""
        rows = np.flatnonzero(self.feasible)
        inside = rows[dominance.nondominated(self.minimised[rows])].tolist() if len(rows) else []
        return [self.candidates[i] for i in sorted(inside, key=lambda i: float(self.minimised[i, 0]))]

    @cached_property
    def hypervolume(self) -> float:
        """Volume that the front dominates, up to the reference point."""
        feasible = self.minimised[self.feasible]
        return dominance.hypervolume(feasible, self.corner) if len(feasible) else 0.0

    @cached_property
    def knee(self) -> Candidate | None:
        """The member farthest below the plane through the front's extremes; None: there is no member."""
        if not self.members:
            return None
        rows = [list(self.candidates).index(member) for member in self.members]
        return self.members[dominance.knee(self.minimised[rows])]

    def own_volume(self, index: int) -> float:
        """Hypervolume of one candidate by itself."""
        return dominance.hypervolume(self.minimised[index : index + 1], self.corner)

    def violations(self, candidate: Candidate) -> tuple[float, ...]:
        """By how much a candidate violates each bound."""
        return tuple(bound.violation(candidate.values) for bound in self.bounds)

    @property
    def best(self) -> int:
        """Index of the candidate with the least total violation and, of equals, the largest own volume."""
        merits = [(-self.total_violation(i), self.own_volume(i)) for i in range(len(self.candidates))]
        return merits.index(max(merits))

    def total_violation(self, index: int) -> float:
        """By how much a candidate violates the bounds in sum; 0 for a feasible one."""
        return sum(max(0.0, v) for v in self.violations(self.candidates[index]))

    @property
    def corner(self) -> NDArray[np.float64]:
        """The reference point [m], minimised."""
        point = np.array([[self.reference[o.name] for o in self.objectives]])
        return np.asarray(dominance.minimised(point, [o.direction for o in self.objectives])[0])


MakeFront = Callable[[Sequence[Candidate]], Front]
"""Makes a front of candidates by a study's objectives, reference point and bounds."""


def candidates(trials: Sequence[Trial]) -> list[Candidate]:
    """Every refinement step count of every trial's newest report."""
    reported = [trial for trial in trials if trial.reports]
    return [candidate for trial in reported for candidate in candidates_at(trial, max(trial.reports))]


def candidates_at(trial: Trial, step: int) -> list[Candidate]:
    """Every refinement step count of a trial's report at an optimiser step."""
    report = trial.reports[step]
    return [
        Candidate(trial.number, count, values, trial.params, report.checkpoint, report.measures)
        for count, values in sorted(report.scores.items())
    ]


class HypervolumeCurve:
    """A study's hypervolume as its trials complete.

    Keeps the front after each trial: a trial that is inserted late costs those after it, not all.
    """

    def __init__(self, make_front: MakeFront) -> None:
        self._make_front = make_front
        self._numbers: list[int] = []
        self._fronts: list[list[Candidate]] = []
        self._volumes: list[float] = []

    def volumes(self, completed: Sequence[Trial]) -> list[float]:
        """Hypervolume after each of the completed trials, in their order."""
        pairs = enumerate(zip(self._numbers, completed, strict=False))
        shared = min(len(self._numbers), len(completed))
        same = next((i for i, (number, trial) in pairs if number != trial.number), shared)
        for cache in (self._numbers, self._fronts, self._volumes):
            del cache[same:]
        for trial in completed[same:]:
            before = self._fronts[-1] if self._fronts else []
            front = self._make_front([*before, *candidates([trial])])
            self._numbers.append(trial.number)
            self._fronts.append(front.members)
            self._volumes.append(front.hypervolume)
        return list(self._volumes)
