"""Which systems are best or tied with the best, intervals over subjects, and rank correlation."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from platform.stats.scores import Score, SystemResult, inflation
from platform.stats.students import bounds, standardised, third_moment, variance_of
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.metrics.names import value_range

Values = NDArray[np.floating[Any]]

NORMAL = 1.96
"""Two-sided 95 % quantile of the normal distribution."""


@dataclass(frozen=True)
class Cell:
    """The result of a table's row in one metric."""

    mean: float
    """Over seeds."""
    low: float
    """95 % interval over subjects, of the mean over seeds; NaN without draws."""
    high: float
    sd: float | None
    """Standard deviation over seeds; None with one seed."""
    best: bool
    tied: bool
    """Not the best, but its difference to the best is not significant."""


def cells(rows: Sequence[SystemResult], metric: str, direction: str) -> list[Cell | None]:
    """One cell a row, None where it lacks the metric; best and tied are systems only.

    ``direction`` is "minimize", "maximize", or "none" where no value is better than another.

    A system is tied whose difference to the best is within the 95 % interval around 0: Student's, of the
    paired difference's variance over draws and the variance over seeds of both means. So is any by a measure
    that a single subject has: one value has no variance.
    """
    samples = [_Sample.of(row, metric) for row in rows]
    best = _best(rows, samples, direction)
    leader = None if best is None else samples[best]
    others = [row.kind == "system" and i != best for i, row in enumerate(rows)]
    return [
        _cell(sample, metric, i == best, other and _tied(sample, leader)) if sample else None
        for i, (sample, other) in enumerate(zip(samples, others, strict=True))
    ]


def interval(score: Score, metric: str) -> tuple[float, float]:
    """95 % interval over subjects; NaN without draws, of a single subject, or for an infinite estimate.

    Student's around the estimate (:mod:`platform.stats.students`), from the draws' variance and skewness.
    """
    draws = np.asarray(score.draws, float)
    draws = draws[np.isfinite(draws)]
    if not (len(draws) and np.isfinite(score.estimate)) or score.subjects == 1:
        return np.nan, np.nan
    variance = variance_of(draws)
    below, above = bounds(_quantile(score.subjects), standardised(third_moment(draws), variance))
    deviation = np.sqrt(inflation(score.subjects) * variance)
    low = float(score.estimate + deviation * below)
    return max(low, value_range(metric)[0]), float(score.estimate + deviation * above)


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Rank correlation, ties by mean ranks; NaN where all values of either are equal."""
    from scipy.stats import ConstantInputWarning, spearmanr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        return float(spearmanr(x, y).statistic)


@dataclass(frozen=True, eq=False)
class _Sample:
    """A metric over the seeds that have it."""

    estimates: Values
    """[S]"""
    draws: Values
    """[R], mean over seeds draw by draw; [1] zero without draws."""
    drawn: bool
    subjects: int

    @classmethod
    def of(cls, row: SystemResult, metric: str) -> "_Sample | None":
        scores = [seed[metric] for seed in row.seeds if metric in seed]
        if not scores:
            return None
        draws = [score.draws for score in scores if score.draws]
        mean = np.mean(draws, axis=0) if draws else np.zeros(1)
        estimates = np.array([score.estimate for score in scores], float)
        return cls(estimates, mean, bool(draws), min(score.subjects for score in scores))

    @property
    def mean(self) -> float:
        return float(np.mean(self.estimates))

    @property
    def seed_variance(self) -> tuple[float, int]:
        """Of the mean over seeds, and its degrees of freedom; both 0 with one seed, of unknown spread."""
        count = len(self.estimates)
        return (float(np.var(self.estimates, ddof=1) / count) if count > 1 else 0.0), count - 1


def _cell(sample: _Sample, metric: str, best: bool, tied: bool) -> Cell:
    drawn = tuple(sample.draws.tolist()) if sample.drawn else ()
    low, high = interval(Score(sample.mean, drawn, sample.subjects), metric)
    with np.errstate(invalid="ignore"):
        sd = float(np.std(sample.estimates, ddof=1)) if len(sample.estimates) > 1 else None
    return Cell(sample.mean, low, high, sd, best, tied)


def _best(rows: Sequence[SystemResult], samples: Sequence[_Sample | None], direction: str) -> int | None:
    if direction == "none":
        return None
    sign = {"minimize": 1, "maximize": -1}[direction]
    means = {
        i: sign * sample.mean
        for i, (row, sample) in enumerate(zip(rows, samples, strict=True))
        if sample and row.kind == "system" and not np.isnan(sample.mean)
    }
    return min(means, key=means.__getitem__, default=None)


def _tied(sample: _Sample, best: _Sample | None) -> bool:
    if best is None or sample.mean == best.mean:
        return best is not None
    with np.errstate(invalid="ignore"):
        gaps = sample.draws - best.draws
        seeds = [sample.seed_variance, best.seed_variance]
    gaps = gaps[np.isfinite(gaps)]
    subjects = min((each.subjects for each in (sample, best) if each.drawn), default=0)
    if subjects == 1:  # how much the difference varies over subjects is unknown, not 0
        return True
    drawn = inflation(subjects) * float(np.var(gaps)) if len(gaps) else 0.0
    return bool(abs(sample.mean - best.mean) <= _half_width([(drawn, subjects - 1), *seeds]))


def _half_width(parts: Sequence[tuple[float, int]]) -> float:
    """Of the 95 % interval of a sum of variances, each with its degrees of freedom; below 1: normal.

    Student's quantile with the degrees of Satterthwaite (1946).
    """
    from scipy.stats import t

    variance = sum(part for part, _ in parts)
    if not variance > 0:
        return 0.0
    shared = sum(part**2 / degrees for part, degrees in parts if degrees > 0)
    return float(t.ppf(0.975, variance**2 / shared if shared else np.inf) * np.sqrt(variance))


def _quantile(subjects: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, subjects - 1)) if subjects > 1 else NORMAL
