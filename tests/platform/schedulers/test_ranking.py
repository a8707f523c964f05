"""Ranking at a rung: fronts in order, extent of the selection, independence of units and outliers."""

import itertools
from platform.pareto.dominance import nondominated_sort
from platform.schedulers.ranking import GREEDY, Ranked, scaled, spread
from typing import Any

import numpy as np
import pytest

Array = np.ndarray[Any, Any]
ONE = np.ones(2)
FORECAST = pytest.mark.parametrize("forecast", [False, True])


def ranked(sets: list[Array], keep: int, reference: Array, forecast: bool) -> list[int]:
    """The ``keep`` best, best first."""
    made = Ranked()
    for name, points in enumerate(sets):
        made.add(name, points)
    return made.best(keep, keep, set(), reference, forecast)


def arc(count: int) -> Array:
    """Points of a concave front, from one extreme to the other, [count, 2]."""
    angles = np.linspace(0, np.pi / 2, count)
    return np.stack([1 - np.sin(angles), 1 - np.cos(angles)], axis=1)


@FORECAST
def test_better_ranks_come_first(forecast: bool) -> None:
    for seed in range(10):
        points = np.random.default_rng(seed).random((30, 3))
        order = ranked(list(points[:, None]), 30, np.ones(3), forecast)
        assert sorted(order) == list(range(30))
        assert np.all(np.diff(nondominated_sort(points)[order]) >= 0)
        assert ranked(list(points[:, None]), 11, np.ones(3), forecast) == order[:11]
    assert ranked([], 3, ONE, forecast) == []


def test_a_trials_rank_is_its_best_candidates() -> None:
    sets = [np.array([[0.5, 0.5]]), np.array([[0.9, 0.9], [0.1, 0.1]]), np.array([[0.4, 0.6]])]
    assert ranked(sets, 3, ONE, False)[0] == 1


def test_of_trials_that_add_nothing_the_nearest_to_the_ideal_is_first_then_the_oldest() -> None:
    """Scaled by 2.2 from the ideal (-1, -1), no point of the front is below 1 in both objectives."""
    front = [np.array([point]) for point in ((4.0, -1.0), (-1.0, 3.0), (-1.0, 3.0))]
    assert ranked(front, 3, ONE, True) == [1, 2, 0]


@pytest.mark.parametrize(
    ("keep", "forecast", "extent"), [(10, False, 0.6), (10, True, 0.7), (24, True, 0.85)]
)
def test_a_front_keeps_its_extent(keep: int, forecast: bool, extent: float) -> None:
    """Of 40 points from end to end: not the middle alone, and no large gap."""
    chosen = np.sort(ranked(list(arc(40)[:, None]), keep, ONE, forecast))
    assert chosen[-1] - chosen[0] >= extent * 39
    assert abs(chosen[0] - (39 - chosen[-1])) <= 2
    assert np.diff(chosen).max() <= 6


@FORECAST
def test_units_and_zeros_of_objectives_do_not_matter(forecast: bool) -> None:
    """Also where all values are worse than the reference in an objective."""
    unit, zero = np.array([1e4, 1e-3, 7.0]), np.array([-5e4, 0.2, 0.0])
    for seed, reference in itertools.product(range(6), (np.ones(3), np.array([-0.5, 0.4, 2.0]))):
        points = np.random.default_rng(seed).random((25, 1, 3))
        other = ranked(list(points * unit + zero), 25, reference * unit + zero, forecast)
        assert ranked(list(points), 25, reference, forecast) == other


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_ranks_follow_as_sets_are_added(objectives: int) -> None:
    """They are those of all points at once, copies included."""
    rng, made, grown = np.random.default_rng(0), Ranked(), np.empty((0, objectives))
    for name in range(120):
        points = rng.integers(0, 12, (rng.integers(1, 4), objectives)).astype(float)
        made.add(name, points)
        grown = np.concatenate([grown, points])
        made.best(1, 1, set(), np.ones(objectives), False)
        assert np.array_equal(made._ranks[: made._count], nondominated_sort(grown)), name


@FORECAST
def test_those_that_continued_are_left_out_and_the_order_stays(forecast: bool) -> None:
    for seed in range(10):
        points = np.random.default_rng(seed).random((60, 2, 2))
        made, continued = Ranked(), set(range(0, 60, 3))
        for name, each in enumerate(points):
            made.add(name, each)
        order = made.best(40, 60, set(), ONE, forecast)
        others = [name for name in order if name not in continued]
        assert made.best(40, 60, continued, ONE, forecast) == others and len(order) == 40
        assert made.best(40, 3, continued, ONE, forecast) == others[:3]


def test_a_large_front_is_spread_over_its_extent() -> None:
    """Its next point is always the farthest from those before it."""
    front = {name: point[None] for name, point in enumerate(arc(10 * GREEDY))}
    chosen = np.concatenate([front[name] for name in spread(front, 30)])
    gaps = [np.linalg.norm(chosen[:n] - chosen[n], axis=1).min() for n in range(1, 30)]
    assert np.all(np.diff(gaps) <= 1e-9) and gaps[0] > 0.7 and gaps[-1] > 0.02
    assert sorted(spread(front, len(front))) == list(range(len(front)))


def test_outliers_set_no_scale() -> None:
    values = np.concatenate([arc(30), [[1e6, 1e6]]])
    assert np.ptp(scaled(values, ONE, False)[:30], axis=0) == pytest.approx(1, abs=0.15)
    assert np.all(np.isfinite(scaled(np.tile([3.0, 5.0], (4, 1)), ONE, False)))
