"""Improvement by scalarisations against exact hypervolumes, closed forms and Monte Carlo."""

from platform.pareto.dominance import hypervolume
from platform.surrogate.acquisition import HypervolumeImprovement
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

Array = np.ndarray[Any, Any]


def drawn(ideal: Array, corner: Array, *sizes: int, seed: int = 0) -> HypervolumeImprovement:
    return HypervolumeImprovement.draw(ideal, corner, np.random.default_rng(seed), *sizes)


def of_cube(objectives: int, directions: int, samples: int = 2, seed: int = 0) -> HypervolumeImprovement:
    """Of the unit cube: ideal 0, corner 1."""
    return drawn(np.zeros(objectives), np.ones(objectives), directions, samples, seed=seed)


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_the_volume_of_the_best_scalarisations_is_the_hypervolume(objectives: int) -> None:
    improvement = of_cube(objectives, 40_000)
    for seed in range(4):
        points = np.random.default_rng(seed).random((1 + 4 * seed, objectives)) * 1.3
        best = improvement.scalarised(points).max(0)
        error = 4 * improvement.volume(best[:, None]).std() / 200 + 1e-9  # four standard errors
        exact = hypervolume(points, np.ones(objectives))
        assert improvement.volume(best) == pytest.approx(exact, abs=error)
        assert error < 0.03


def test_single_points_have_the_volume_of_their_box() -> None:
    """In units of the box from ideal to corner; for one objective without any Monte Carlo error."""
    one = of_cube(1, 3)
    volumes = one.volume(one.scalarised(np.array([[0.25], [0.8], [1.5]])))
    np.testing.assert_allclose(volumes, [0.75, 0.2, 0.0])
    two = drawn(np.array([0.0, 100.0]), np.array([1.0, 300.0]), 40_000, 2)
    assert two.volume(two.scalarised(np.array([0.5, 150.0]))) == pytest.approx(0.5 * 0.75, rel=0.02)


@pytest.mark.parametrize(("mean", "deviation"), [(0.4, 0.2), (0.7, 0.3), (0.9, 0.05), (0.2, 0.01)])
def test_for_one_objective_it_is_the_closed_form(mean: float, deviation: float) -> None:
    """Jones et al. 1998: (f* - mean) Phi(z) + deviation phi(z), z = (f* - mean) / deviation."""
    improvement = of_cube(1, 1, samples=4096)
    best = improvement.scalarised(np.array([[0.6]])).max(0)
    z = (0.6 - mean) / deviation
    expected = (0.6 - mean) * norm.cdf(z) + deviation * norm.pdf(z)
    value = improvement.expected_improvement(np.array([[mean]]), np.array([[deviation]]), best)[0]
    assert value == pytest.approx(expected, rel=0.01, abs=1e-6)


@pytest.mark.parametrize("objectives", [2, 3])
def test_for_independent_normals_it_is_the_mean_of_exact_improvements(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    front = rng.random((6, objectives)) * 0.7 + 0.2
    corner = np.ones(objectives)
    means, deviations = rng.random((4, objectives)), rng.random((4, objectives)) * 0.3 + 0.01
    improvement = of_cube(objectives, 4000, samples=512)
    best = improvement.scalarised(front).max(0)
    values = improvement.expected_improvement(means, deviations, best)
    before = hypervolume(front, corner)
    for i in range(4):
        samples = rng.normal(means[i], deviations[i], (4000, objectives))
        gains = [hypervolume(np.vstack([front, sample]), corner) - before for sample in samples]
        error = 5 * np.std(gains) / np.sqrt(len(gains))
        assert values[i] == pytest.approx(np.mean(gains), rel=0.05, abs=error)


def test_without_uncertainty_it_is_what_a_point_adds() -> None:
    """Nothing for dominated points."""
    improvement, front = of_cube(2, 20_000), np.array([[0.2, 0.6], [0.5, 0.3]])
    best = improvement.scalarised(front).max(0)
    points = np.array([[0.5, 0.3], [0.6, 0.7], [0.9, 0.4], [0.3, 1.4], [0.3, 0.4]])
    values = improvement.expected_improvement(points, np.zeros_like(points), best)
    assert np.all(values[:4] == 0)
    volumes = [hypervolume(rows, np.ones(2)) for rows in (front, np.vstack([front, points[4]]))]
    assert values[4] == pytest.approx(volumes[1] - volumes[0], rel=0.05)


def test_it_depends_neither_on_units_nor_on_the_other_points() -> None:
    """700 points are evaluated in chunks: each has the value that it has alone."""
    rng = np.random.default_rng(0)
    unit, zero = np.array([1e-3, 50.0, 1e4]), np.array([0.0, -7.0, 2e4])
    means, deviations, front = rng.random((700, 3)), 0.2 * rng.random((700, 3)), rng.random((5, 3))
    plain, scaled = of_cube(3, 64, 16, seed=3), drawn(zero, zero + unit, 64, 16, seed=3)
    best = plain.scalarised(front).max(0)
    values = plain.expected_improvement(means, deviations, best)
    best_scaled = scaled.scalarised(front * unit + zero).max(0)
    other = scaled.expected_improvement(means * unit + zero, deviations * unit, best_scaled)
    np.testing.assert_allclose(other, values, rtol=1e-9, atol=1e-15)
    rows = [slice(i, i + 1) for i in range(0, 700, 70)]
    alone = [plain.expected_improvement(means[i], deviations[i], best)[0] for i in rows]
    np.testing.assert_allclose(alone, values[::70], rtol=1e-12)


def test_an_ideal_beyond_the_corner_is_no_division_by_zero() -> None:
    improvement = drawn(np.array([2.0, 0.0]), np.ones(2), 16, 2)
    values = improvement.scalarised(np.array([[3.0, 0.5], [0.5, 0.5]]))
    assert np.all(np.isfinite(values)) and np.all(values[0] == 0) and np.all(values[1] > 0)


def test_the_default_sizes_rank_points_as_large_ones_do() -> None:
    """128 directions, 16 samples."""
    rng = np.random.default_rng(0)
    means, deviations, front = rng.random((60, 3)) * 0.8, 0.1 * rng.random((60, 3)), rng.random((8, 3))
    values = [
        improvement.expected_improvement(means, deviations, improvement.scalarised(front).max(0))
        for improvement in (HypervolumeImprovement.draw(np.zeros(3), np.ones(3), rng), of_cube(3, 1500, 64))
    ]
    assert np.corrcoef(*values)[0, 1] > 0.97
