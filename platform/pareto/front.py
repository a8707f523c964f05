"""The front of a study: candidates (trial, refinement steps), the non-dominated ones, hypervolume, knee."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from platform.pareto import dominance
from platform.storage.trials import Trial
from platform.study.criteria import Bound, Criteria
from platform.study.settings import Objective
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.errors import InputError

FRONTS = 64
"""Fronts that a curve keeps: as many trials as a wave may have."""
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

    def covers(self, other: "Front") -> bool:
        """Whether no candidate of another front would be on this one."""
        mine, others = self.minimised[self.feasible], other.minimised[other.feasible]
        return bool(dominance.dominates(mine, others).any(0).all())

    @cached_property
    def own_volumes(self) -> NDArray[np.float64]:
        """Hypervolume of each candidate by itself, [n]."""
        return np.asarray(np.prod(np.maximum(self.corner - self.minimised, 0.0), axis=1))

    def violations(self, candidate: Candidate) -> tuple[float, ...]:
        """By how much a candidate violates each bound."""
        return tuple(bound.violation(candidate.values) for bound in self.bounds)

    @cached_property
    def best(self) -> int:
        """Index of the candidate with the least total violation and, of equals, the largest own volume."""
        merits = [(-self.total_violation(i), volume) for i, volume in enumerate(self.own_volumes.tolist())]
        return merits.index(max(merits))

    def total_violation(self, index: int) -> float:
        """By how much a candidate violates the bounds in sum; 0 for a feasible one."""
        return sum(max(0.0, v) for v in self.violations(self.candidates[index]))

    @cached_property
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
    """A study's front and hypervolume as its trials complete: each is inserted into the front before it.

    The fronts after the last :data:`FRONTS` trials are kept: one that is inserted late costs those after it.
    """

    def __init__(self, make_front: MakeFront) -> None:
        self._make_front = make_front
        self._numbers: list[int] = []
        self._fronts = {0: make_front(())}
        """By how many trials they are of."""
        self._volumes: list[float] = []

    def volumes(self, trials: Mapping[int, Trial], order: Sequence[int]) -> list[float]:
        """Hypervolume after each of the completed trials, whose numbers are in ``order``."""
        self._forget(order)
        for number in order[len(self._numbers) :]:
            front, added = self._fronts[len(self._numbers)], self._make_front(candidates([trials[number]]))
            if not front.covers(added):
                front = self._make_front(self._make_front([*front.members, *added.candidates]).members)
            self._numbers.append(number)
            self._volumes.append(front.hypervolume)
            self._fronts[len(self._numbers)] = front
            self._fronts.pop(len(self._numbers) - FRONTS, None)
        return self._volumes

    @property
    def members(self) -> list[Candidate]:
        """The front after the last of the trials."""
        return self._fronts[len(self._numbers)].members

    def _forget(self, order: Sequence[int]) -> None:
        """Go back to the newest front that is kept, of trials with which ``order`` begins."""
        if self._numbers == order[: len(self._numbers)]:
            return
        pairs = enumerate(zip(self._numbers, order, strict=False))
        same = next((i for i, (known, number) in pairs if known != number), len(order))
        kept = max((count for count in self._fronts if count <= same), default=0)
        self._fronts = {count: front for count, front in self._fronts.items() if count <= kept}
        self._fronts = self._fronts or {0: self._make_front(())}
        del self._numbers[kept:], self._volumes[kept:]
