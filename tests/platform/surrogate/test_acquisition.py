"""Improvement by scalarisations against exact hypervolumes, closed forms and Monte Carlo."""

from platform.pareto import dominance
from platform.surrogate.acquisition import HypervolumeImprovement
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

Array = np.ndarray[Any, Any]


def gauge(objectives: int, lines: int, samples: int = 2, seed: int = 0) -> HypervolumeImprovement:
    """Of the unit cube: ideal 0, corner 1."""
    rng = np.random.default_rng(seed)
    return HypervolumeImprovement.draw(np.zeros(objectives), np.ones(objectives), rng, lines, samples)


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_the_volume_of_the_best_scalarisations_is_the_hypervolume(objectives: int) -> None:
    measured = gauge(objectives, 40_000)
    for seed in range(4):
        points = np.random.default_rng(seed).random((1 + 4 * seed, objectives)) * 1.3
        best = measured.scalarised(points).max(0)
        error = 4 * measured.volume(best[:, None]).std() / 200 + 1e-9  # four standard errors of 40,000 lines
        exact = dominance.hypervolume(points, np.ones(objectives))
        assert measured.volume(best) == pytest.approx(exact, abs=error)
        assert error < 0.03


def test_one_objective_has_no_monte_carlo_error() -> None:
    measured = gauge(1, 3)
    found = measured.volume(measured.scalarised(np.array([[0.25], [0.8], [1.5]])))
    np.testing.assert_allclose(found, [0.75, 0.2, 0.0])


def test_a_box_has_its_volume() -> None:
    """A single point's, in units of the box from ideal to corner."""
    measured = HypervolumeImprovement.draw(
        np.array([0.0, 100.0]), np.array([1.0, 300.0]), np.random.default_rng(0), 40_000, 2
    )
    best = measured.scalarised(np.array([0.5, 150.0]))
    assert measured.volume(best) == pytest.approx(0.5 * 0.75, rel=0.02)


@pytest.mark.parametrize(("mean", "deviation"), [(0.4, 0.2), (0.7, 0.3), (0.9, 0.05), (0.2, 0.01)])
def test_for_one_objective_it_is_the_closed_form(mean: float, deviation: float) -> None:
    """Jones et al. 1998: (f* - mean) Phi(z) + deviation phi(z), z = (f* - mean) / deviation."""
    measured = gauge(1, 1, samples=4096)
    best = measured.scalarised(np.array([[0.6]])).max(0)
    z = (0.6 - mean) / deviation
    expected = (0.6 - mean) * norm.cdf(z) + deviation * norm.pdf(z)
    found = measured.expected_improvement(np.array([[mean]]), np.array([[deviation]]), best)
    assert found[0] == pytest.approx(expected, rel=0.01, abs=1e-6)


@pytest.mark.parametrize("objectives", [2, 3])
def test_for_independent_normals_it_is_the_mean_of_exact_improvements(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    front = rng.random((6, objectives)) * 0.7 + 0.2
    corner = np.ones(objectives)
    means, deviations = rng.random((4, objectives)), rng.random((4, objectives)) * 0.3 + 0.01
    measured = gauge(objectives, 4000, samples=512)
    best = measured.scalarised(front).max(0)
    found = measured.expected_improvement(means, deviations, best)
    before = dominance.hypervolume(front, corner)
    for i in range(4):
        draws = rng.normal(means[i], deviations[i], (4000, objectives))
        gains = [dominance.hypervolume(np.vstack([front, draw]), corner) - before for draw in draws]
        error = 5 * np.std(gains) / np.sqrt(len(gains))
        assert found[i] == pytest.approx(np.mean(gains), rel=0.05, abs=error)


def test_without_uncertainty_a_dominated_point_adds_nothing_and_a_better_one_what_it_adds() -> None:
    measured = gauge(2, 20_000)
    front = np.array([[0.2, 0.6], [0.5, 0.3]])
    best = measured.scalarised(front).max(0)
    points = np.array([[0.5, 0.3], [0.6, 0.7], [0.9, 0.4], [0.3, 1.4], [0.3, 0.4]])
    found = measured.expected_improvement(points, np.zeros_like(points), best)
    assert np.all(found[:4] == 0)
    added = dominance.hypervolume(np.vstack([front, points[4]]), np.ones(2)) - dominance.hypervolume(
        front, np.ones(2)
    )
    assert found[4] == pytest.approx(added, rel=0.05)


def test_nothing_depends_on_units_nor_on_what_else_is_compared() -> None:
    """A thousand points go through in parts: each has the value that it has alone."""
    rng = np.random.default_rng(0)
    unit, zero = np.array([1e-3, 50.0, 1e4]), np.array([0.0, -7.0, 2e4])
    means, deviations, front = rng.random((700, 3)), 0.2 * rng.random((700, 3)), rng.random((5, 3))
    plain = gauge(3, 64, 16, seed=3)
    other = HypervolumeImprovement.draw(zero, zero + unit, np.random.default_rng(3), 64, 16)
    found = plain.expected_improvement(means, deviations, plain.scalarised(front).max(0))
    best = other.scalarised(front * unit + zero).max(0)
    scaled = other.expected_improvement(means * unit + zero, deviations * unit, best)
    np.testing.assert_allclose(scaled, found, rtol=1e-9, atol=1e-15)
    alone = [
        plain.expected_improvement(means[i : i + 1], deviations[i : i + 1], plain.scalarised(front).max(0))[0]
        for i in range(0, 700, 70)
    ]
    np.testing.assert_allclose(alone, found[::70], rtol=1e-12)


def test_an_ideal_beyond_the_corner_is_no_division_by_zero() -> None:
    measured = HypervolumeImprovement.draw(np.array([2.0, 0.0]), np.ones(2), np.random.default_rng(0), 16, 2)
    found = measured.scalarised(np.array([[3.0, 0.5], [0.5, 0.5]]))
    assert np.all(np.isfinite(found)) and np.all(found[0] == 0) and np.all(found[1] > 0)


def test_few_lines_and_draws_rank_points_as_many_do() -> None:
    """What the search uses: 128 directions, 16 draws."""
    rng = np.random.default_rng(0)
    means, deviations, front = rng.random((60, 3)) * 0.8, 0.1 * rng.random((60, 3)), rng.random((8, 3))
    rankings = []
    for measured in (HypervolumeImprovement.draw(np.zeros(3), np.ones(3), rng), gauge(3, 1500, 64)):
        found = measured.expected_improvement(means, deviations, measured.scalarised(front).max(0))
        rankings.append(found)
    assert np.corrcoef(rankings[0], rankings[1])[0, 1] > 0.97
