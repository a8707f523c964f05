"""Ranking of trials at a rung: non-dominated rank, then greedy hypervolume on scaled values."""

from collections.abc import Sequence
from platform.pareto.dominance import Values, nondominated_sort
from platform.pareto.selection import greedy

import numpy as np

SLACK = 0.1
"""The corner of a level's hypervolume lies beyond its worst values by this part of their range."""


def ranked(sets: Sequence[Values], keep: int, reference: Values, forecast: bool) -> list[int]:
    """Indices of the ``keep`` best point sets [k, m]: front by front, each front by greedy hypervolume.

    A set's rank is its best point's. Volumes are of values scaled by :func:`scaled`; of sets that add the
    same, the one nearest to the ideal is first.
    """
    if not sets:
        return []
    owners = np.repeat(np.arange(len(sets)), [len(points) for points in sets])
    values = scaled(np.concatenate(sets), reference, forecast)
    ranks = nondominated_sort(np.concatenate(sets))
    rank_of = np.array([ranks[owners == i].min() for i in range(len(sets))])
    chosen: list[int] = []
    for rank in range(int(rank_of.max()) + 1):
        members = np.flatnonzero(rank_of == rank).tolist()
        if members and len(chosen) < keep:
            of_rank = {i: values[owners == i] for i in members}
            nearest = {i: float(points.max(1).min()) for i, points in of_rank.items()}
            chosen += greedy(of_rank, keep - len(chosen), np.ones(values.shape[1]), nearest)
    return chosen


def scaled(values: Values, reference: Values, forecast: bool) -> Values:
    """Values [n, m] scaled from their ideal (0) to slightly beyond the study's reference point (1).

    Values of an early level are unrelated to the reference point until the end of training is forecast: they
    are scaled by their own lower nine tenths, so that outliers set no scale. The same holds where no value is
    better than the reference.
    """
    low, high = values.min(0), np.quantile(values, 0.9, axis=0)
    if forecast:
        high = np.where(low < reference, reference, high)
    return np.asarray((values - low) / np.where(high > low, (1 + SLACK) * (high - low), 1))
