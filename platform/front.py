"""The study's front: candidates (trial, refinement steps), the non-dominated ones, hypervolume, knee."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from platform import pareto
from platform.ledger import Trial
from platform.study import Objective
from typing import Any

import numpy as np

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
class Front:
    """Candidates judged by the study's objectives against a fixed reference point."""

    objectives: Sequence[Objective]
    reference: Mapping[str, float]
    candidates: Sequence[Candidate]

    @cached_property
    def minimised(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Objective values [n, m], signs turned so that less is better."""
        rows = np.array([[c.values[o.name] for o in self.objectives] for c in self.candidates])
        directions = [o.direction for o in self.objectives]
        return pareto.minimised(rows.reshape(-1, len(directions)), directions)

    @cached_property
    def members(self) -> list[Candidate]:
        """The non-dominated candidates, best first in the first objective."""
        inside = np.flatnonzero(pareto.nondominated(self.minimised)).tolist() if self.candidates else []
        return [self.candidates[i] for i in sorted(inside, key=lambda i: float(self.minimised[i, 0]))]

    @cached_property
    def hypervolume(self) -> float:
        """Volume that the front dominates, up to the reference point."""
        return pareto.hypervolume(self.minimised, self._corner) if self.candidates else 0.0

    @cached_property
    def knee(self) -> Candidate | None:
        """The member furthest below the plane through the front's extremes."""
        if not self.members:
            return None
        rows = [list(self.candidates).index(member) for member in self.members]
        return self.members[pareto.knee(self.minimised[rows])]

    def own_volume(self, index: int) -> float:
        """Hypervolume of one candidate by itself."""
        return pareto.hypervolume(self.minimised[index : index + 1], self._corner)

    @property
    def _corner(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        point = np.array([[self.reference[o.name] for o in self.objectives]])
        return np.asarray(pareto.minimised(point, [o.direction for o in self.objectives])[0])


def candidates(trials: Sequence[Trial]) -> list[Candidate]:
    """Every refinement step count of every trial's newest report."""
    return [
        Candidate(trial.number, steps, values, trial.params, str(trial.last["checkpoint"]))
        for trial in trials
        if trial.last
        for steps, values in sorted(trial.scores.items())
    ]


def best_values(trial: Trial, objectives: Sequence[Objective], reference: Mapping[str, float]) -> list[float]:
    """What the sampler is told of a trial: the values at the step count that alone dominates most."""
    front = Front(objectives, reference, candidates([trial]))
    best = max(range(len(front.candidates)), key=front.own_volume)
    return [front.candidates[best].values[o.name] for o in objectives]


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
