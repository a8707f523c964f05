"""What validation tells of the test split, what rungs tell of ends, and where scores vary."""

from collections.abc import Callable, Mapping, Sequence
from platform.stats.ranks import spearman
from platform.stats.scores import Score, inflation

import numpy as np
from numpy.typing import NDArray

from tests.bench.evidence.results import Trained
from tests.bench.evidence.searches import Compared

RESAMPLES = 1000
Interval = tuple[float, float, float]
"""Estimate, and the 2.5th and 97.5th percentile over resampled groups."""
Pairs = Sequence[Sequence[tuple[float, float]]]
"""Of each group, what is correlated."""


def bootstrap(groups: Sequence[object], statistic: Callable[[Sequence[object]], float]) -> Interval:
    """A statistic with its interval over whole groups."""
    rng = np.random.default_rng(0)
    drawn = [
        statistic([groups[i] for i in rng.integers(len(groups), size=len(groups))]) for _ in range(RESAMPLES)
    ]
    low, high = np.nanpercentile(drawn, (2.5, 97.5)) if np.isfinite(drawn).any() else (np.nan, np.nan)
    return statistic(groups), float(low), float(high)


def correlation(groups: Pairs) -> Interval:
    """Spearman's over all pairs, resampled by group; NaN without two pairs."""
    if sum(map(len, groups)) < 2:
        return np.nan, np.nan, np.nan

    def of(drawn: Sequence[object]) -> float:
        pairs = [pair for group in drawn for pair in group]  # type: ignore[attr-defined]
        return spearman(*zip(*pairs, strict=True))

    return bootstrap(groups, of)


def validation_and_test(all_trained: Sequence[Trained], metric: str) -> list[list[tuple[float, float]]]:
    """By system, the validation and test score of each training at the chosen step count."""
    found: dict[str, list[tuple[float, float]]] = {}
    for each in all_trained:
        pair = each.validation[each.chosen][metric], each.test[each.chosen][metric].estimate
        found.setdefault(each.system, []).append(pair)
    return list(found.values())


def rung_and_end(studies: Sequence[Compared], metric: str) -> list[list[tuple[float, float]]]:
    """By trial of all studies, the score at its first rung and at its end."""
    return [[(rung, end)] for study in studies for rung, end in study.rungs[metric]]


def by_system(all_trained: Sequence[Trained], metric: str) -> list[list[Score]]:
    """The trainings' scores on the test split at the chosen step count, system by system."""
    systems: dict[str, list[Score]] = {}
    for each in all_trained:
        systems.setdefault(each.system, []).append(each.test[each.chosen][metric])
    return list(systems.values())


def deviations(all_trained: Sequence[Trained], metric: str) -> Mapping[str, Interval]:
    """Standard deviations on the test split: of configurations, seeds and the mean over subjects."""
    groups = by_system(all_trained, metric)
    estimates = [np.array([score.estimate for score in group]) for group in groups]
    subjects = [
        np.mean([np.var(score.draws) * inflation(score.subjects) for score in group]) for group in groups
    ]
    of_seed = bootstrap(estimates, lambda drawn: _within(drawn) ** 0.5)
    return {
        "configuration": bootstrap(estimates, _between),
        "seed": of_seed,
        "16 subjects": bootstrap(subjects, lambda drawn: float(np.mean(np.array(drawn))) ** 0.5),
    }


def squares(groups: Sequence[object]) -> tuple[float, int]:
    """Sum of squared deviations from the groups' means, and its degrees of freedom."""
    arrays: list[NDArray[np.float64]] = [np.asarray(group, float) for group in groups]
    total = sum(float(((own - own.mean()) ** 2).sum()) for own in arrays)
    return total, sum(len(own) - 1 for own in arrays)


def _within(groups: Sequence[object]) -> float:
    total, degrees = squares(groups)
    return total / max(1, degrees)


def _between(groups: Sequence[object]) -> float:
    arrays: list[NDArray[np.float64]] = [np.asarray(group, float) for group in groups]
    per_mean = _within(groups) / float(np.mean([len(own) for own in arrays]))
    return max(0.0, float(np.var([own.mean() for own in arrays], ddof=1)) - per_mean) ** 0.5
