"""Ranking of trials at a rung: non-dominated rank, then spread over the front on scaled values."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from platform.pareto.dominance import Values, dominates, nondominated_sort
from platform.pareto.selection import greedy

import numpy as np

SLACK = 0.1
"""The corner of a level's hypervolume lies beyond its worst values by this part of their range."""
GREEDY = 32
"""Members of a front up to which greedy hypervolume orders it; more are spread by their distances."""


class Ranked:
    """Point sets [k, m] by name, with the non-dominated ranks of all points.

    A set's rank is its best point's. Nothing depends on the order in which sets were added.
    """

    def __init__(self) -> None:
        self._count, self._current = 0, False
        self._points, self._ranks = np.empty((0, 0)), np.empty(0, np.int64)
        self._names: list[int] = []
        self._starts: list[int] = []

    def __len__(self) -> int:
        """How many sets."""
        return len(self._names)

    def add(self, name: int, points: Values) -> None:
        """Add a set; its own and other points' ranks follow where they are known, in time linear in them."""
        self._names.append(name)
        self._starts.append(self._count)
        for point in points:
            self._append(point)
            if self._current:
                self._insert(self._count - 1)

    def best(
        self, keep: int, most: int, without: AbstractSet[int], reference: Values, forecast: bool
    ) -> list[int]:
        """Of the ``keep`` best sets the first ``most`` whose names are not in ``without``, best first.

        Front by front, each by greedy hypervolume of values scaled by :func:`scaled`, of sets that add the
        same the one nearest to the ideal first; a large one by :func:`spread`.
        """
        if not self._names:
            return []
        points = self._points[: self._count]
        if not self._current:
            self._ranks[: self._count], self._current = nondominated_sort(points), True
        of_set = np.minimum.reduceat(self._ranks[: self._count], self._starts)
        order = np.argsort(of_set, kind="stable")
        waits = np.fromiter((name not in without for name in self._names), bool, len(self._names))[order]
        starts = np.flatnonzero(np.diff(of_set[order], prepend=-1))
        found: list[int] = []
        for front in np.flatnonzero(np.logical_or.reduceat(waits, starts) & (starts < keep)):
            start, end = starts[front], [*starts[front + 1 : front + 2], len(order)][0]
            waiting = [self._names[index] for index in order[start:end][waits[start:end]]]
            if len(waiting) > 1 or end > keep:
                values = scaled(points, reference, forecast)
                sets = {self._names[index]: values[self._rows(index)] for index in order[start:end].tolist()}
                best = ordered(sets, min(keep - int(start), len(sets)))
                waiting = [name for name in best if name in set(waiting)]
            found += waiting
            if len(found) >= most:
                break
        return found[:most]

    def _rows(self, index: int) -> slice:
        following = self._starts[index + 1] if index + 1 < len(self._starts) else self._count
        return slice(self._starts[index], following)

    def _append(self, point: Values) -> None:
        if self._count == len(self._points):
            more = max(64, self._count)
            held = self._points.reshape(self._count, len(point))
            self._points = np.concatenate([held, np.empty((more, len(point)))])
            self._ranks = np.concatenate([self._ranks, np.zeros(more, np.int64)])
        self._points[self._count] = point
        self._count += 1

    def _insert(self, place: int) -> None:
        """Rank one more point: those it pushes down a front push others down, and so on."""
        points, ranks = self._points[:place], self._ranks[:place]
        moved = self._points[place : place + 1]
        above = ranks[dominates(points, moved)[:, 0]]
        rank = 1 + int(above.max()) if len(above) else 0
        self._ranks[place] = rank
        while len(moved):
            front = np.flatnonzero(ranks == rank)
            pushed = front[dominates(moved, points[front]).any(0)]
            rank += 1
            ranks[pushed] = rank
            moved = points[pushed]


def ordered(sets: Mapping[int, Values], keep: int) -> Iterable[int]:
    """The ``keep`` best of the point sets [k, m] of a front, scaled to [0, 1], best first."""
    if len(sets) > GREEDY:
        return spread(sets, keep)
    nearest = {name: float(points.max(1).min()) for name, points in sets.items()}
    return greedy(sets, keep, np.ones(next(iter(sets.values())).shape[1]), nearest)


def spread(sets: Mapping[int, Values], keep: int) -> list[int]:
    """First the set nearest to the ideal, then repeatedly the one farthest from those before it.

    An epsilon-net, as Schmucker et al. 2021 (arXiv 2106.12639) use it; distances are Euclidean, of a set's
    farthest point. Of equals the one of the least name is first.
    """
    names = sorted(sets)
    points = np.concatenate([sets[name] for name in names])
    owners = np.repeat(np.arange(len(names)), [len(sets[name]) for name in names])
    chosen = [int(owners[np.argmin(points.max(1))])]
    away = np.full(len(points), np.inf)
    while len(chosen) < keep:
        for point in points[owners == chosen[-1]]:
            away = np.minimum(away, ((points - point) ** 2).sum(1))
        away[owners == chosen[-1]] = -1.0
        chosen.append(int(owners[np.argmax(away)]))
    return [names[index] for index in chosen]


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
