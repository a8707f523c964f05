"""Scores of trained systems with their draws of subjects, and intervals as JSON has them."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from trainers.metrics.frechet import Interval

EvaluationFacts = Mapping[str, Any]
"""The manifest of a published evaluation."""


@dataclass(frozen=True)
class Score:
    """A metric of one seed, and the same metric on resamples of the subjects."""

    estimate: float
    draws: tuple[float, ...] = ()
    """Draw i resamples the same subjects for every system and seed; empty for a value without resampling."""
    subjects: int = 0
    """How many have a value: corrects intervals of few; 0 corrects nothing."""
    total: int = 0
    """How many the split has."""


@dataclass(frozen=True)
class SystemResult:
    """A system of the comparison, or what bounds it: the untouched input, the paired 3 T itself."""

    name: str
    label: str
    seeds: tuple[Mapping[str, Score], ...] = ()
    """Metric to score, one mapping for each finished seed."""
    note: str = ""
    """Which seeds failed; replaces the numbers where no seed finished."""
    kind: str = "system"
    """"system", "input" or "truth"."""
    facts: Mapping[str, float] = field(default_factory=dict)
    """parameters, train_seconds, seconds_per_volume, steps; any may be missing."""


def scores_of(facts: EvaluationFacts) -> dict[str, Score]:
    """The scores of one published evaluation."""
    total, measured = int(facts["subjects"]), facts.get("measured", {})
    return {
        name: Score(estimate, tuple(draws), measured.get(name, total), total)
        for name, (estimate, draws) in {**facts["scores"], **facts["extended"]}.items()
    }


def measured_on(scores: Iterable[Score]) -> str:
    """``3 of 16 subjects``, the fewest, where not all of a split have a measure; empty where they have."""
    partial = [(score.subjects, score.total) for score in scores if score.subjects < score.total]
    return "{} of {} subjects".format(*min(partial)) if partial else ""


def inflation(subjects: int) -> float:
    """Factor from the bootstrap's variance, a sum over n divided by n, to the unbiased one; 1 for n < 2."""
    return subjects / (subjects - 1) if subjects > 1 else 1.0


def interval_to_json(interval: Interval) -> dict[str, float | None]:
    """Estimate and bounds; an unknown bound is null, as JSON has no NaN."""
    return {key: None if math.isnan(value) else value for key, value in asdict(interval).items()}
