"""Dominance, fronts, hypervolume and the knee: pure functions on arrays whose every objective is minimised.

Values are [n, m]: n points, m objectives. A NaN or an infinity is an error of the caller: ValueError.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]

_SIGNS = {"minimize": 1.0, "maximize": -1.0}


def minimised(values: ArrayLike, directions: Sequence[str]) -> Values:
    """Values [n, m] with the sign changed where the direction is "maximize": less is better."""
    signs = np.array([_SIGNS[direction] for direction in directions], dtype=np.float64)
    return np.asarray(_finite(values) * signs)


def dominates(points: Values, others: Values) -> NDArray[np.bool_]:
    """Which points [n, m] dominate which others [k, m], [n, k]."""
    return np.asarray((points[:, None] <= others).all(2) & (points[:, None] < others).any(2))


def nondominated(values: ArrayLike) -> NDArray[np.bool_]:
    """Mask [n] of the points that no other dominates; every copy of a front point stays."""
    unique, inverse = np.unique(_finite(values), axis=0, return_inverse=True)
    return _front(unique)[inverse.reshape(-1)]


def nondominated_sort(values: ArrayLike) -> NDArray[np.int64]:
    """Ranks [n]: 0 on the front, 1 on the front once that is removed, etc. (NSGA-II, Deb et al. 2002)."""
    unique, inverse = np.unique(_finite(values), axis=0, return_inverse=True)
    ranks = _staircase_ranks(unique) if unique.shape[1] <= 3 else _peeled_ranks(unique)
    return ranks[inverse.reshape(-1)]


def hypervolume(values: ArrayLike, reference: ArrayLike) -> float:
    """Exact volume that the points dominate, bounded by ``reference`` [m] (Zitzler & Thiele 1999).

    A point that is not below the reference in every objective contributes nothing.
    """
    points, corner = _bounded(values, reference)
    return _volume(points[np.all(points < corner, axis=1)], corner)


def contributions(values: ArrayLike, reference: ArrayLike) -> Values:
    """Exclusive hypervolume of each point, [n]: zero for dominated points and for copies."""
    points, corner = _bounded(values, reference)
    gains = np.zeros(len(points))
    inside = np.flatnonzero(np.all(points < corner, axis=1))
    for index in inside[nondominated(points[inside])]:  # dominated points too cover part of its box
        gains[index] = _exclusive(points[index], points[inside[inside != index]], corner)
    return gains


def added(values: ArrayLike, covered: ArrayLike, reference: ArrayLike) -> float:
    """Volume that points [n, m] dominate and those ``covered`` [k, m] do not, up to ``reference`` [m].

    Faster than the difference of two hypervolumes with four objectives, slower with fewer.
    """
    points, corner = _bounded(values, reference)
    others, _ = _bounded(covered, reference)
    points, others = (rows[np.all(rows < corner, axis=1)] for rows in (points, others))
    rows = np.concatenate([others, points])
    return sum(_exclusive(point, rows[: len(others) + i], corner) for i, point in enumerate(points))


def knee(values: ArrayLike) -> int:
    """Index of the front's knee: its point farthest below the plane through the extremes (Das 1999).

    The front is scaled to [0, 1] from its ideal to its nadir; the plane is then sum = 1, with two objectives
    the line between the extremes. An objective in which the front does not vary is left out. Of equally far
    points the first is the knee: an extreme, if the front is nowhere below the plane.
    """
    points = _finite(values)
    if not len(points):
        raise ValueError("an empty front has no knee")
    front = np.flatnonzero(nondominated(points))
    largest = np.abs(points).max(axis=0)
    points = points / np.where(largest > np.finfo(np.float64).max / 4, largest, 1)  # else ranges overflow
    ideal, nadir = points[front].min(axis=0), points[front].max(axis=0)
    varies = nadir > ideal
    heights = ((points[front] - ideal)[:, varies] / (nadir - ideal)[varies]).sum(axis=1)
    return int(front[np.flatnonzero(heights <= heights.min() + 1e-12)[0]])


def _finite(values: ArrayLike) -> Values:
    points = np.asarray(values, dtype=np.float64)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise ValueError(f"expected finite values [points, objectives], got {points!r}")
    return points


def _bounded(values: ArrayLike, reference: ArrayLike) -> tuple[Values, Values]:
    points, corner = _finite(values), _finite(np.asarray(reference, dtype=np.float64)[None])[0]
    if points.shape[1] != len(corner):
        raise ValueError(f"{points.shape[1]} objectives, but the reference has {len(corner)}")
    return points, corner


def _front(unique: Values) -> NDArray[np.bool_]:
    """Mask of the front of distinct rows in lexicographic order, where only an earlier row can dominate."""
    mask = np.zeros(len(unique), dtype=bool)
    if unique.shape[1] <= 3:
        stairs = _Stairs()
        for index, (y, z) in enumerate(_last_two(unique)):
            mask[index] = not stairs.cover(y, z)
            if mask[index]:
                stairs.add(y, z)
        return mask
    left = np.arange(len(unique))
    while len(left):
        mask[left[0]] = True
        rest = left[1:]
        # Some objective must be better than the new front point's; columns one by one, as rows are short.
        better = np.zeros(len(rest), dtype=bool)
        for objective in range(1, unique.shape[1]):
            better |= unique[rest, objective] < unique[left[0], objective]
        left = rest[better]
    return mask


class _Stairs:
    """The two-dimensional front of the last two objectives, ascending in the first of them."""

    def __init__(self) -> None:
        self._ys: list[float] = []
        self._zs: list[float] = []

    def cover(self, y: float, z: float) -> bool:
        """Whether an added point is nowhere worse than (y, z)."""
        after = bisect_right(self._ys, y)
        return after > 0 and self._zs[after - 1] <= z

    def add(self, y: float, z: float) -> None:
        """Add a point that is not covered; it replaces those that it covers."""
        start = stop = bisect_left(self._ys, y)
        while stop < len(self._zs) and self._zs[stop] >= z:
            stop += 1
        self._ys[start:stop], self._zs[start:stop] = [y], [z]


def _last_two(unique: Values) -> Iterable[tuple[float, float]]:
    """The second and third objective of each row; a missing one is 0 everywhere."""
    y, z = np.hstack([unique[:, 1:], np.zeros((len(unique), 3 - unique.shape[1]))]).T[:2].tolist()
    return zip(y, z, strict=True)


def _staircase_ranks(unique: Values) -> NDArray[np.int64]:
    """Ranks of distinct rows in lexicographic order, up to three objectives, in O(n log^2 n).

    A row is covered by each front before its own and by none from there on, so that bisection finds its
    front (Jensen 2003; Zhang et al. 2015).
    """
    ranks = np.zeros(len(unique), dtype=np.int64)
    fronts: list[_Stairs] = []
    for index, (y, z) in enumerate(_last_two(unique)):
        rank = _first_free(fronts, y, z)
        if rank == len(fronts):
            fronts.append(_Stairs())
        fronts[rank].add(y, z)
        ranks[index] = rank
    return ranks


def _first_free(fronts: Sequence[_Stairs], y: float, z: float) -> int:
    return bisect_left(fronts, True, key=lambda front: not front.cover(y, z))


def _peeled_ranks(unique: Values) -> NDArray[np.int64]:
    """Ranks of distinct rows in lexicographic order: one front after the other is removed."""
    ranks = np.zeros(len(unique), dtype=np.int64)
    left, rank = np.arange(len(unique)), 0
    while len(left):
        front = _front(unique[left])
        ranks[left[front]] = rank
        left, rank = left[~front], rank + 1
    return ranks


def _volume(points: Values, corner: Values) -> float:
    """Hypervolume of points strictly inside the corner: a sweep over the last objective.

    In ascending order, each point adds the volume of the other objectives that it dominates and no earlier
    point does, times its distance to the corner (While et al. 2012, WFG, one dimension lower).
    """
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(corner[0] - points.min())
    points = points[np.lexsort(points.T)]
    depths = corner[-1] - points[:, -1]
    if points.shape[1] == 2:
        edge = np.minimum.accumulate(np.append(corner[0], points[:, 0]))
        return float((edge[:-1] - edge[1:]) @ depths)
    if points.shape[1] == 3:
        return _staircase(points, depths, corner)
    faces, corner = points[:, :-1], corner[:-1]
    return float(sum(depth * _exclusive(faces[i], faces[:i], corner) for i, depth in enumerate(depths)))


def _exclusive(point: Values, others: Values, corner: Values) -> float:
    """Volume that ``point`` [m] dominates and ``others`` [k, m] do not: its box less their part of it."""
    if np.any(np.all(others <= point, axis=1)):
        return 0.0
    covered = np.maximum(others, point)
    if len(covered) > 8:  # then filtering costs less than it saves
        covered = np.unique(covered, axis=0)
        covered = covered[_front(covered)]
    return max(0.0, float(np.prod(corner - point)) - _volume(covered, corner))


def _staircase(points: Values, depths: Values, corner: Values) -> float:
    """Three objectives in O(n log n): a staircase holds the front of the first two (Fonseca et al. 2006)."""
    xs, ys = [-np.inf, float(corner[0])], [float(corner[1]), -np.inf]
    total = 0.0
    for (x, y), depth in zip(points[:, :2].tolist(), depths.tolist(), strict=True):
        start = stop = bisect_left(xs, x)
        height = ys[start - 1]
        if height <= y:
            continue
        area, left = 0.0, x
        while ys[stop] >= y:
            area += (xs[stop] - left) * (height - y)
            left, height = xs[stop], ys[stop]
            stop += 1
        area += (xs[stop] - left) * (height - y)
        xs[start:stop], ys[start:stop] = [x], [y]
        total += area * depth
    return total
