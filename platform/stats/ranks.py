"""Who is best, and who cannot be told from the best: intervals over subjects, ties, rank correlation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from platform.stats.scores import LEAST, Score, SystemResult, inflation
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]

NORMAL = 1.96
"""Two-sided 95 % quantile of the normal distribution."""


@dataclass(frozen=True)
class Cell:
    """A row's standing in one metric."""

    mean: float
    """Over seeds."""
    low: float
    """95 % interval over subjects, of the mean over seeds; NaN without draws."""
    high: float
    sd: float | None
    """Standard deviation over seeds; None with one seed."""
    best: bool
    tied: bool
    """Another system's difference to the best cannot be told from 0."""


def cells(rows: Sequence[SystemResult], metric: str, direction: str) -> list[Cell | None]:
    """One cell a row, None where it lacks the metric; best and tied are systems only.

    ``direction`` is "minimize", "maximize", or "none" where no value is better than another.

    A difference to the best counts as none where it lies within its 95 % interval around 0: Student's, of the
    paired difference's variance over draws and the variance over seeds of both means.
    """
    samples = [_Sample.of(row, metric) for row in rows]
    best = _best(rows, samples, direction)
    leader = None if best is None else samples[best]
    rivals = [row.kind == "system" and i != best for i, row in enumerate(rows)]
    return [
        _cell(sample, metric, i == best, rival and _tied(sample, leader)) if sample else None
        for i, (sample, rival) in enumerate(zip(samples, rivals, strict=True))
    ]


def interval(score: Score, metric: str) -> tuple[float, float]:
    """95 % percentile interval over subjects; NaN without draws or for an infinite estimate.

    The draws are moved to have their mean at the estimate: a resample repeats subjects, which alone raises a
    Frechet distance. Those of n subjects are spread by sqrt(n / (n - 1)) and from the normal to Student's
    quantile, as their bootstrap is too narrow by that much (Hesterberg 2015).
    """
    draws = np.asarray(score.draws, float)
    draws = draws[np.isfinite(draws)]
    if not (len(draws) and np.isfinite(score.estimate)):
        return np.nan, np.nan
    spread = np.sqrt(inflation(score.subjects)) * _quantile(score.subjects) / NORMAL
    low, high = np.quantile(score.estimate + spread * (draws - draws.mean()), (0.025, 0.975))
    return float(max(low, LEAST.get(metric, -np.inf))), float(high)


def ranking(values: Iterable[float]) -> Values:
    """Ranks [n] from 1 for the smallest; equal values share the mean of theirs."""
    array = np.asarray(list(values), float)
    below, equal = (array < array[:, None]).sum(1), (array == array[:, None]).sum(1)
    return np.asarray(below + (equal + 1) / 2)


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Rank correlation, ties by mean ranks; NaN where either has no order."""
    a, b = (rank - rank.mean() for rank in (ranking(x), ranking(y)))
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm else np.nan


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
        return cls(estimates, mean, bool(draws), max(score.subjects for score in scores))

    @property
    def mean(self) -> float:
        return float(np.mean(self.estimates))

    @property
    def seed_variance(self) -> tuple[float, int]:
        """Of the mean over seeds, and its degrees of freedom; 0 with one seed, whose spread nobody knows."""
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
    gaps, subjects = gaps[np.isfinite(gaps)], max(sample.subjects, best.subjects)
    drawn = inflation(subjects) * float(np.var(gaps)) if len(gaps) else 0.0
    return bool(abs(sample.mean - best.mean) <= _reach([(drawn, subjects - 1), *seeds]))


def _reach(parts: Sequence[tuple[float, int]]) -> float:
    """Half of the 95 % interval of a sum of variances, each with its degrees of freedom; below 1: normal.

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
