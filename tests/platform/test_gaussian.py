"""Gaussian processes against finite differences, scikit-learn, conditioning by hand and known functions."""

import time
from platform import gaussian
from typing import Any

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.gaussian_process import GaussianProcessRegressor  # type: ignore[import-untyped]
from sklearn.gaussian_process.kernels import Matern  # type: ignore[import-untyped]

Array = np.ndarray[Any, Any]


def sample(n: int, d: int, seed: int = 0) -> tuple[Array, Array]:
    """Inputs [n, d], and outputs that depend on all of them a little."""
    rng = np.random.default_rng(seed)
    inputs = rng.random((n, d))
    return inputs, np.sin(4 * inputs[:, 0]) + inputs.sum(1) ** 2 / d + 0.1 * rng.standard_normal(n)


@pytest.mark.parametrize(("n", "d"), [(5, 1), (12, 3), (30, 7)])
def test_the_posteriors_gradient_is_that_of_finite_differences(n: int, d: int) -> None:
    inputs, outputs = sample(n, d)
    targets = (outputs - outputs.mean()) / outputs.std()
    differences = (inputs[:, None] - inputs[None]) ** 2
    posterior = gaussian._negative_log_posterior
    for seed in range(5):
        rng = np.random.default_rng(seed)
        theta = np.append(rng.normal(0, 0.7, d), rng.normal(-3, 1))
        _, gradient = posterior(theta, differences, targets)
        numeric = approx_fprime(theta, lambda t: posterior(t, differences, targets)[0], 1e-6)
        np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-4)


def test_the_likelihood_is_scikit_learns() -> None:
    """Differences of the posterior at one prior: the constants of both are of no account."""
    inputs, outputs = sample(20, 2)
    targets = (outputs - outputs.mean()) / outputs.std()
    differences = (inputs[:, None] - inputs[None]) ** 2

    def ours(logs: Array) -> float:
        scale = (logs - np.log(2) / 2) / gaussian.SCALE_SPREAD
        value, _ = gaussian._negative_log_posterior(np.append(logs, np.log(0.01)), differences, targets)
        noise = (np.log(0.01) - gaussian.NOISE_PRIOR[0]) / gaussian.NOISE_PRIOR[1]
        return value - float(scale @ scale + noise**2) / 2

    def theirs(logs: Array) -> float:
        process = GaussianProcessRegressor(Matern(np.exp(logs), nu=2.5), alpha=0.01, optimizer=None)
        return -process.fit(inputs, targets).log_marginal_likelihood_value_ - 10 * np.log(2 * np.pi)

    for logs in np.random.default_rng(1).normal(0, 0.7, (5, 2)):
        assert ours(logs) == pytest.approx(theirs(logs), rel=1e-9)


@pytest.mark.parametrize("unit", [1.0, 1e-4, 1e5])
def test_predictions_are_scikit_learns(unit: float) -> None:
    inputs, outputs = sample(40, 3)
    outputs = outputs * unit + 7 * unit
    process = gaussian.fit(inputs, outputs)
    points = np.random.default_rng(5).random((25, 3)) * 1.4 - 0.2
    peer = GaussianProcessRegressor(
        Matern(process.scales, nu=2.5), alpha=process.noise, optimizer=None, normalize_y=True
    ).fit(inputs, outputs)
    means, deviations = peer.predict(points, return_std=True)
    found = process.predict(points)
    np.testing.assert_allclose(found[0], means, rtol=1e-8)
    np.testing.assert_allclose(found[1], deviations, rtol=1e-5)


def test_the_fit_is_no_worse_than_scikit_learns_at_predicting() -> None:
    """It fits by likelihood alone, and is told the noise: the prior must not cost what the data say."""
    errors = []
    for seed in range(5):
        inputs, outputs = sample(40, 3, seed)
        points, truth = sample(300, 3, seed + 100)
        peer = GaussianProcessRegressor(
            Matern(np.ones(3), (0.02, 400), nu=2.5), alpha=0.01 / outputs.var(), normalize_y=True
        ).fit(inputs, outputs)
        found = gaussian.fit(inputs, outputs).predict(points)[0], peer.predict(points)
        errors.append([np.mean((means - truth) ** 2) for means in found])
    ours, theirs = np.mean(errors, axis=0)
    assert ours < 1.15 * theirs


def test_the_fit_is_a_maximum_of_the_posterior() -> None:
    inputs, outputs = sample(25, 2)
    process = gaussian.fit(inputs, outputs)
    targets = (outputs - outputs.mean()) / outputs.std()
    differences = (inputs[:, None] - inputs[None]) ** 2
    best = np.append(np.log(process.scales), np.log(process.noise))
    value, gradient = gaussian._negative_log_posterior(best, differences, targets)
    assert np.abs(gradient).max() < 0.05
    for step in np.random.default_rng(0).normal(0, 0.5, (50, 3)):
        assert gaussian._negative_log_posterior(best + step, differences, targets)[0] > value


def test_believing_ones_own_means_leaves_them_and_shrinks_the_variance() -> None:
    inputs, outputs = sample(30, 3)
    process = gaussian.fit(inputs, outputs)
    rng = np.random.default_rng(2)
    added, points = rng.random((4, 3)), rng.random((60, 3))
    before, after = process.predict(points), process.believe(added).predict(points)
    np.testing.assert_allclose(after[0], before[0], atol=1e-7)
    assert np.all(after[1] <= before[1] + 1e-9) and after[1].mean() < 0.99 * before[1].mean()
    here = process.believe(added).predict(added)[1]
    assert np.all(here < 1.01 * process.spread * np.sqrt(process.noise))


def test_believing_is_conditioning_by_hand() -> None:
    """The posterior covariance after k more noisy points is the Schur complement of theirs."""
    inputs, outputs = sample(15, 2)
    process = gaussian.fit(inputs, outputs)
    rng = np.random.default_rng(3)
    added, points = rng.random((3, 2)), rng.random((10, 2))
    every = np.concatenate([inputs, added])
    kernel = Matern(process.scales, nu=2.5)
    gram = kernel(every) + process.noise * np.eye(18)
    cross = kernel(points, every)
    variance = 1 - np.einsum("kn,nm,km->k", cross, np.linalg.inv(gram), cross)
    found = process.believe(added).predict(points)[1] / process.spread
    np.testing.assert_allclose(found**2, variance, rtol=1e-4, atol=1e-8)


def test_conditioning_on_other_outputs_keeps_the_hyperparameters() -> None:
    inputs, outputs = sample(20, 2)
    process = gaussian.fit(inputs, outputs)
    more, others = sample(35, 2, seed=4)
    now = process.conditioned(more, 3 * others - 5)
    assert now.noise == process.noise and np.array_equal(now.scales, process.scales)
    peer = GaussianProcessRegressor(
        Matern(process.scales, nu=2.5), alpha=process.noise, optimizer=None, normalize_y=True
    ).fit(more, 3 * others - 5)
    np.testing.assert_allclose(now.predict(inputs)[0], peer.predict(inputs), rtol=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_inputs_that_matter_have_shorter_length_scales(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = rng.random((60, 8))
    outputs = np.sin(9 * inputs[:, 2]) + np.cos(5 * inputs[:, 5]) + 0.02 * rng.standard_normal(60)
    scales = gaussian.fit(inputs, outputs).scales
    order = np.argsort(scales)
    assert list(order[:2]) == [2, 5]
    assert scales[order[2]] > 3 * scales[5]


def test_noise_is_recovered() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.random((150, 1))
    for deviation in (0.05, 0.3):
        outputs = np.sin(6 * inputs[:, 0]) + deviation * rng.standard_normal(150)
        process = gaussian.fit(inputs, outputs)
        assert process.spread * np.sqrt(process.noise) == pytest.approx(deviation, rel=0.2)


def test_intervals_hold_what_they_say() -> None:
    """Of functions drawn from the process's own kind, 95 % lie within 1.96 deviations."""
    inside = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        everything = rng.random((90, 2))
        gram = Matern([0.4, 0.9], nu=2.5)(everything) + 1e-4 * np.eye(90)
        values = np.linalg.cholesky(gram) @ rng.standard_normal(90)
        means, deviations = gaussian.fit(everything[:30], values[:30]).predict(everything[30:])
        inside += list(np.abs(means - values[30:]) < 1.96 * deviations)
    assert 0.9 < np.mean(inside) <= 0.99


def test_duplicates_and_constants_break_nothing() -> None:
    inputs, outputs = sample(20, 3)
    many = np.repeat(inputs, 6, axis=0)
    process = gaussian.fit(many, np.repeat(outputs, 6))
    np.testing.assert_allclose(process.predict(inputs)[0], outputs, atol=0.05)
    for constant in (0.1, 0.0, -3.0):
        means, deviations = gaussian.fit(many, np.full(120, constant)).predict(inputs + 0.1)
        np.testing.assert_allclose(means, constant, atol=1e-9)
        assert np.all(np.isfinite(deviations)) and np.all(deviations > 0)
    one = gaussian.fit(inputs[:1], outputs[:1]).predict(inputs)
    np.testing.assert_allclose(one[0], outputs[0])


def test_outputs_of_one_point_that_contradict_each_other_are_averaged() -> None:
    inputs = np.repeat([[0.2], [0.8]], 20, axis=0)
    noise = np.tile([0.5, -0.5], 20)
    means, _ = gaussian.fit(inputs, np.repeat([0.0, 5.0], 20) + noise).predict(np.array([[0.2], [0.8]]))
    np.testing.assert_allclose(means, [0, 5], atol=0.1)


def test_no_points_have_no_predictions() -> None:
    means, deviations = gaussian.fit(*sample(10, 2)).predict(np.empty((0, 2)))
    assert means.shape == deviations.shape == (0,)


def test_300_points_of_13_inputs_are_fitted_in_seconds() -> None:
    inputs, outputs = sample(300, 13)
    start = time.process_time()
    gaussian.fit(inputs, outputs)
    assert time.process_time() - start < 20  # 0.4 on an idle core
