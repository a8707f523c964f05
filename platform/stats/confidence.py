"""How certain a ranking is: intervals over seeds and subjects, and the probability of being non-dominated.

What is estimated is a setting's mean over the seeds that it could be trained with and the subjects that it
could be evaluated on. Two sources of noise make a candidate's mean uncertain:

- seeds: two or three trainings say little about their variance, so it is moderated by the other trials':
  s^2 = (d s_own^2 + e s_others^2) / (d + e) with Student's d + e degrees, d = seeds - 1 and e at most
  :data:`BORROWED` (Smyth 2004, SAGMB 3(1):3, its prior the other trials);
- subjects: draws that resample the same subjects for every candidate and seed, so that what is common to all
  (hard subjects) does not blur their order. For means over n subjects widened by sqrt(n / (n - 1)), Student
  with n - 1 degrees (Hesterberg 2015); so for pooled distances, whose draws are means of pseudo-values.

Both are taken as independent. The spread of a seed over subjects is in both, so the intervals are too wide
rather than too narrow. Values are [.., m], m objectives in their natural directions; a candidate is a
group's step count, and candidates are numbered group by group, count by count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from platform.pareto import dominance
from platform.pareto.dominance import Values
from platform.stats.scores import inflation
from platform.stats.students import bounds, standardised, third_moment, variance_of
from typing import Any

import numpy as np
from numpy.typing import NDArray

BORROWED = 4
"""Degrees of freedom from other trials, at most: trials' deviations over seeds agree to a factor of 1.5."""
DRAWS = 20_000
"""Of Monte Carlo; a probability of one half has a standard error of 0.0035."""


@dataclass(frozen=True, eq=False)
class SeedGroup:
    """One trial's setting trained with S seeds, each training scored at k step counts."""

    estimates: Values
    """[S, k, m]"""
    draws: Values
    """[S, R, k, m]; draw r resamples the same subjects in every group."""

    @property
    def mean(self) -> Values:
        """[k, m], over seeds."""
        return np.asarray(self.estimates.mean(0))

    @property
    def degrees(self) -> int:
        """Of freedom of the variance over its own seeds."""
        return len(self.estimates) - 1


@dataclass(frozen=True, eq=False)
class SeedNoise:
    """The error of a group's mean over seeds: ``factor`` [N, k, m], whose Gram matrix is its covariance."""

    factor: Values
    degrees: int
    """Student's; 0: no group has a second seed, the error is unknown."""

    @property
    def variance(self) -> Values:
        """[k, m]"""
        return np.asarray((self.factor**2).sum(0))


def seed_noise(groups: Sequence[SeedGroup], index: int) -> SeedNoise:
    """Of one group's mean, moderated by the other groups.

    The factor's own rows keep how its step counts and objectives vary together. Borrowed rows are the same
    for all step counts, as these are of one network.
    """
    own, others = groups[index], [g for i, g in enumerate(groups) if i != index]
    available = sum(g.degrees for g in others)
    borrowed = min(BORROWED, available)
    rows = [_residuals(own)]
    if borrowed:
        spread = np.concatenate([_averaged_residuals(g) for g in others]) * np.sqrt(borrowed / available)
        rows.append(np.broadcast_to(spread[:, None], (len(spread), *rows[0].shape[1:])))
    degrees = own.degrees + borrowed
    factor = np.concatenate(rows) / np.sqrt(max(1, degrees) * len(own.estimates))
    return SeedNoise(factor, degrees)


def intervals(
    groups: Sequence[SeedGroup], subjects: Sequence[int], level: float = 0.95
) -> tuple[Values, Values, Values]:
    """Mean, low and high [n, m] of every candidate, over seeds and subjects.

    Student's quantile with the degrees of Satterthwaite (1946) for the sum of both variances, and the
    skewness over subjects (:mod:`platform.stats.students`); that over seeds is taken as 0. ``subjects`` [m]
    is how many an objective was measured on; 0: no draws to correct. With one seed everywhere the interval is
    over subjects alone; NaN where neither variance is known.
    """
    from scipy.stats import t

    noises = [seed_noise(groups, i) for i in range(len(groups))]
    mean = np.concatenate([g.mean for g in groups])
    seeds = np.concatenate([noise.variance for noise in noises])
    degrees = np.concatenate([np.full(noise.variance.shape, noise.degrees) for noise in noises])
    over_subjects = np.concatenate([variance_of(g.draws.mean(0)) for g in groups]) * _inflation(subjects) ** 2
    variance = seeds + over_subjects
    third = np.concatenate([third_moment(g.draws.mean(0)) for g in groups]) * _inflation(subjects) ** 3
    with np.errstate(invalid="ignore", divide="ignore"):
        shared = np.where(degrees > 0, seeds**2 / np.maximum(degrees, 1), 0)
        shared = shared + over_subjects**2 / _degrees(subjects)
        quantile = t.ppf((1 + level) / 2, np.where(variance > 0, variance**2 / shared, np.inf))
        below, above = bounds(quantile, standardised(third, variance))
    deviation = np.where((degrees == 0) & (over_subjects == 0), np.nan, np.sqrt(variance))
    return mean, mean + deviation * below, mean + deviation * above


def draw_true_means(
    groups: Sequence[SeedGroup], subjects: Sequence[int], count: int = DRAWS, seed: int = 0
) -> Values:
    """Draws [count, n, m] of the candidates' true means, jointly.

    A draw resamples the same subjects for all candidates; the step counts of one trial share its seeds'
    noise, trials have their own.
    """
    rng = np.random.default_rng(seed)
    shifts = _subject_shifts(groups, subjects)
    common = shifts[np.arange(count) % len(shifts)] if len(shifts) else 0.0
    common = common * _student_factors(rng, _degrees(subjects), count)[:, None]
    noise = []
    for i in range(len(groups)):
        error = seed_noise(groups, i)
        z = rng.standard_normal((count, len(error.factor)))
        tail = _student_factors(rng, np.array([error.degrees or np.inf]), count)
        noise.append(np.einsum("wr,rkm->wkm", z, error.factor) * tail[:, :, None])
    return np.asarray(np.concatenate([g.mean for g in groups]) + common + np.concatenate(noise, axis=1))


def probability_nondominated(drawn: Values, directions: Sequence[str]) -> Values:
    """Share [n] of the draws [w, n, m] in which no other candidate dominates a candidate.

    Ranking by dominance under noise: Hughes (2001) and Teich (2001), both EMO, LNCS 1993.
    """
    values = [dominance.minimised(candidate, directions) for candidate in drawn.swapaxes(0, 1)]
    shares = np.ones(len(values))
    for i, own in enumerate(values):
        dominated = np.zeros(len(own), bool)
        for other in values:
            dominated |= np.all(other <= own, axis=1) & np.any(other < own, axis=1)
        shares[i] -= np.mean(dominated)
    return shares


def ranks(probability: Values, contribution: Values) -> NDArray[np.int64]:
    """Ranks [n] from 1: by ``probability`` to the percent (of Monte Carlo), then by ``contribution``."""
    order = np.lexsort((-contribution, -np.round(probability, 2)))
    made = np.empty(len(order), np.int64)
    made[order] = np.arange(1, len(order) + 1)
    return made


def _residuals(group: SeedGroup) -> Values:
    """[S, k, m]"""
    return np.asarray(group.estimates - group.mean)


def _averaged_residuals(group: SeedGroup) -> Values:
    """Rows [S * k, m] whose Gram matrix is the residuals', averaged over the step counts."""
    residuals = _residuals(group)
    return np.asarray(residuals.reshape(-1, residuals.shape[-1]) / np.sqrt(residuals.shape[1]))


def _subject_shifts(groups: Sequence[SeedGroup], subjects: Sequence[int]) -> Any:
    """[R, n, m], of mean 0; draws in which a candidate has no value are left out."""
    draws = np.concatenate([g.draws.mean(0) for g in groups], axis=1)
    draws = draws[np.isfinite(draws).all((1, 2))]
    return (draws - draws.mean(0)) * _inflation(subjects) if len(draws) else draws


def _inflation(subjects: Sequence[int]) -> Values:
    """[m], from the bootstrap's standard deviation to the unbiased one."""
    return np.sqrt([inflation(n) for n in subjects])


def _degrees(subjects: Sequence[int]) -> Values:
    """[m], Student's over subjects; infinite where there is nothing to correct."""
    return np.array([n - 1.0 if n > 1 else np.inf for n in subjects])


def _student_factors(rng: np.random.Generator, degrees: Values, count: int) -> Values:
    """Factors [count, m] that make a normal draw Student's; objectives of equal degrees share them."""
    factors = np.ones((count, len(degrees)))
    for one in np.unique(degrees[np.isfinite(degrees)]):
        factors[:, degrees == one] = np.sqrt(one / rng.chisquare(one, (count, 1)))
    return factors
