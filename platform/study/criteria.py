"""What a study is evaluated by, fixed at its start: reference point, bounds, trials of an earlier study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from platform.study.settings import Constraint, Objective
from typing import Any

from trainers.report import Scores, scores_from_json, scores_to_json

SLOWEST = 60.0
"""Seconds per volume at which a translator no longer adds to the front."""


@dataclass(frozen=True)
class Bound:
    """An outcome constraint in numbers: ``metric`` must be at least ("min") or at most ("max") ``value``."""

    metric: str
    bound: str
    value: float

    def violation(self, values: Mapping[str, float]) -> float:
        """By how much scores violate it, relative to its value unless that is 0; satisfied at 0 or below."""
        sign = 1 if self.bound == "min" else -1
        return sign * (self.value - values[self.metric]) / (abs(self.value) or 1.0)


@dataclass(frozen=True)
class EarlierTrial:
    """A completed trial of an earlier study whose settings and scores are valid in this one."""

    params: Mapping[str, Any]
    scores: Scores

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"params": dict(self.params), "scores": scores_to_json(self.scores)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "EarlierTrial":
        """The trial that :meth:`to_json` gave."""
        return cls(values["params"], scores_from_json(values["scores"]))


@dataclass(frozen=True)
class Criteria:
    """Reference point and bounds, and the trials of an earlier study."""

    reference_point: Mapping[str, float]
    bounds: tuple[Bound, ...] = ()
    known: tuple[EarlierTrial, ...] = ()
    extended_at: int = 0
    """Completed trials when the budget was extended: only later ones count for a plateau."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = {"bounds": [vars(bound) for bound in self.bounds], "known": [t.to_json() for t in self.known]}
        return {**vars(self), **plain}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Criteria":
        """The criteria that :meth:`to_json` gave; other keys are ignored."""
        return cls(
            values["reference_point"],
            tuple(Bound(**bound) for bound in values["bounds"]),
            tuple(EarlierTrial.from_json(trial) for trial in values["known"]),
            values["extended_at"],
        )


def reference_point(baseline: Mapping[str, float], objectives: Sequence[Objective]) -> dict[str, float]:
    """A fixed point worse than the untouched input, in each objective by half of its distance to the ideal.

    The ideal is 0 for minimised objectives, and 1 for maximised ones but PSNR, which has none: the point is
    3 dB lower. The untouched input takes no time: there the point is :data:`SLOWEST`.
    """
    return {o.name: _reference_value(o, baseline) for o in objectives}


def _reference_value(objective: Objective, baseline: Mapping[str, float]) -> float:
    if objective.name == "seconds_per_volume":
        return SLOWEST
    value = baseline[objective.name]
    if objective.name.startswith("psnr"):
        return value - 3.0
    if objective.direction == "maximize":
        return value - 0.5 * (1 - value)
    return value + 0.5 * abs(value)


def bounds(constraints: Sequence[Constraint], baseline: Mapping[str, float]) -> tuple[Bound, ...]:
    """The constraints in numbers; ``baseline`` holds the untouched input's values."""
    return tuple(
        Bound(c.metric, c.bound, float(baseline[c.metric] if c.value == "input" else c.value))
        for c in constraints
    )
