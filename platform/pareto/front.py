"""The study's front: candidates (trial, refinement steps), the non-dominated ones, hypervolume, knee."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from platform.pareto import dominance
from platform.storage.ledger import Trial
from platform.study.study import Constraint, Objective
from typing import Any

import numpy as np
from numpy.typing import NDArray

SLOWEST = 60.0
"""Seconds per volume beyond which a translator is worth nothing to the front."""


@dataclass(frozen=True)
class Candidate:
    """A trained translator at one refinement step count; ``values`` are all its scores, as they are."""

    trial: int
    steps: int
    values: Mapping[str, float]
    params: Mapping[str, Any]
    checkpoint: str


@dataclass(frozen=True)
class Bound:
    """An outcome constraint in numbers: ``metric`` is to be at least ("min") or at most ("max") ``value``."""

    metric: str
    bound: str
    value: float

    def violation(self, values: Mapping[str, float]) -> float:
        """By how much scores break it, in shares of its value, unless that is 0; kept at 0 or below."""
        sign = 1 if self.bound == "min" else -1
        return sign * (self.value - values[self.metric]) / (abs(self.value) or 1.0)


@dataclass(frozen=True)
class Front:
    """Candidates judged by the study's objectives against a fixed reference point."""

    objectives: Sequence[Objective]
    reference: Mapping[str, float]
    candidates: Sequence[Candidate]
    bounds: Sequence[Bound] = ()
    """Candidates that break one are on no front."""

    @cached_property
    def feasible(self) -> NDArray[np.bool_]:
        """Which candidates keep every bound, [n]."""
        return np.array([not any(v > 0 for v in self.violations(c)) for c in self.candidates], dtype=bool)

    @cached_property
    def minimised(self) -> NDArray[np.float64]:
        """Objective values [n, m], signs turned so that less is better."""
        rows = np.array([[c.values[o.name] for o in self.objectives] for c in self.candidates])
        directions = [o.direction for o in self.objectives]
        return dominance.minimised(rows.reshape(-1, len(directions)), directions)

    @cached_property
    def members(self) -> list[Candidate]:
        """The non-dominated candidates, best first in the first objective."""
        rows = np.flatnonzero(self.feasible)
        inside = rows[dominance.nondominated(self.minimised[rows])].tolist() if len(rows) else []
        return [self.candidates[i] for i in sorted(inside, key=lambda i: float(self.minimised[i, 0]))]

    @cached_property
    def hypervolume(self) -> float:
        """Volume that the front dominates, up to the reference point."""
        kept = self.minimised[self.feasible]
        return dominance.hypervolume(kept, self.corner) if len(kept) else 0.0

    @cached_property
    def knee(self) -> Candidate | None:
        """The member furthest below the plane through the front's extremes."""
        if not self.members:
            return None
        rows = [list(self.candidates).index(member) for member in self.members]
        return self.members[dominance.knee(self.minimised[rows])]

    def own_volume(self, index: int) -> float:
        """Hypervolume of one candidate by itself."""
        return dominance.hypervolume(self.minimised[index : index + 1], self.corner)

    def violations(self, candidate: Candidate) -> tuple[float, ...]:
        """By how much a candidate breaks each bound."""
        return tuple(bound.violation(candidate.values) for bound in self.bounds)

    @property
    def best(self) -> int:
        """Index of the candidate that breaks the bounds least and alone dominates most."""
        worth = [(-self.broken(i), self.own_volume(i)) for i in range(len(self.candidates))]
        return worth.index(max(worth))

    def broken(self, index: int) -> float:
        """By how much a candidate breaks the bounds in all; 0: by nothing."""
        return sum(max(0.0, v) for v in self.violations(self.candidates[index]))

    @property
    def corner(self) -> NDArray[np.float64]:
        """The reference point [m], minimised."""
        point = np.array([[self.reference[o.name] for o in self.objectives]])
        return np.asarray(dominance.minimised(point, [o.direction for o in self.objectives])[0])


def candidates(trials: Sequence[Trial]) -> list[Candidate]:
    """Every refinement step count of every trial's newest report."""
    return [found for trial in trials if trial.reports for found in candidates_at(trial, max(trial.reports))]


def candidates_at(trial: Trial, step: int) -> list[Candidate]:
    """Every refinement step count of one report of a trial."""
    report = trial.reports[step]
    counts = sorted((int(count), values) for count, values in report["scores"].items())
    return [
        Candidate(trial.number, count, values, trial.params, str(report["checkpoint"]))
        for count, values in counts
    ]


def reference_point(baseline: Mapping[str, float], objectives: Sequence[Objective]) -> dict[str, float]:
    """A fixed corner somewhat worse than the untouched input, in each objective by half of its way to ideal.

    Ideal is 0 where less is better, 1 for MS-SSIM. A PSNR has none, there it is 3 dB; the untouched input
    takes no time, there the corner is :data:`SLOWEST`.
    """
    return {o.name: _corner_value(o.name, baseline) for o in objectives}


def _corner_value(name: str, baseline: Mapping[str, float]) -> float:
    if name == "seconds_per_volume":
        return SLOWEST
    value = baseline[name]
    if name.startswith("psnr"):
        return value - 3.0
    if name.startswith("ms_ssim"):
        return value - 0.5 * (1 - value)
    return value + 0.5 * abs(value)


def bounds(constraints: Sequence[Constraint], baseline: Mapping[str, float]) -> tuple[Bound, ...]:
    """Constraints with the untouched input's values, ``baseline``, put in."""
    return tuple(
        Bound(c.metric, c.bound, float(baseline[c.metric] if c.value == "input" else c.value))
        for c in constraints
    )
