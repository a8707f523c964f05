"""Gaussian processes against finite differences, scikit-learn, conditioning by hand and known functions."""

import time
from platform.surrogate import gaussian_process
from typing import Any

import numpy as np
import pytest
from numpy.polynomial.legendre import legval
from scipy.optimize import approx_fprime
from sklearn.gaussian_process import GaussianProcessRegressor  # type: ignore[import-untyped]
from sklearn.gaussian_process.kernels import (  # type: ignore[import-untyped]
    ConstantKernel,
    Matern,
    PairwiseKernel,
)

Array = np.ndarray[Any, Any]


def sample(n: int, d: int, seed: int = 0) -> tuple[Array, Array]:
    """Inputs [n, d], and outputs that depend on all of them a little."""
    rng = np.random.default_rng(seed)
    inputs = rng.random((n, d))
    return inputs, np.sin(4 * inputs[:, 0]) + inputs.sum(1) ** 2 / d + 0.1 * rng.standard_normal(n)


def kernel(scales: Array, trend: float) -> Any:
    """Of scikit-learn: the trend's part is a sum over inputs and degrees, by numpy's Legendre polynomials."""

    def trends(a: Array, b: Array, **_: object) -> float:
        degrees = ([0, 1], [0, 0, 1])
        sums = [legval(2 * a - 1, d) @ legval(2 * b - 1, d) for d in degrees]
        return float((3 * sums[0] + 5 * sums[1]) / (2 * len(a)))

    local = ConstantKernel(1 - trend) * Matern(scales, nu=2.5)
    return local + ConstantKernel(trend) * PairwiseKernel(metric=trends)


def peer_of(process: gaussian_process.Process) -> Any:
    """Of the same hyperparameters, to be fitted to the same data."""
    known = process.kernel
    return GaussianProcessRegressor(
        kernel(known.scales, known.trend), alpha=known.noise, optimizer=None, normalize_y=True
    )


def standardised(outputs: Array) -> Array:
    return np.asarray((outputs - outputs.mean()) / outputs.std())


def prior_term(theta: Array) -> float:
    """Negative log density of the hyperparameters, without its constant."""
    means, spreads = gaussian_process._prior(len(theta) - 2)
    return float((((theta - means) / spreads) ** 2).sum() / 2)


@pytest.mark.parametrize(("n", "d"), [(5, 1), (12, 3), (30, 7)])
def test_the_posteriors_gradient_is_that_of_finite_differences(n: int, d: int) -> None:
    inputs, outputs = sample(n, d)
    data = gaussian_process._Known.of(inputs), standardised(outputs)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        theta = np.append(rng.normal(0, 0.7, d + 1), rng.normal(-3, 1))
        _, gradient = gaussian_process._negative_log_posterior(theta, *data)
        numeric = approx_fprime(theta, lambda t: gaussian_process._negative_log_posterior(t, *data)[0], 1e-6)
        np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-4)


def test_the_likelihood_is_scikit_learns() -> None:
    inputs, outputs = sample(20, 2)
    data = gaussian_process._Known.of(inputs), standardised(outputs)
    for theta in np.random.default_rng(1).normal(0, 0.7, (5, 4)):
        theta[-1] = np.log(0.01)
        found = gaussian_process._negative_log_posterior(theta, *data)[0] - prior_term(theta)
        known = kernel(np.exp(theta[:2]), 1 / (1 + np.exp(-theta[2])))
        peer = GaussianProcessRegressor(known, alpha=0.01, optimizer=None).fit(inputs, data[1])
        assert found == pytest.approx(-peer.log_marginal_likelihood_value_ - 10 * np.log(2 * np.pi), rel=1e-9)


def test_the_prior_variance_is_one_over_the_cube() -> None:
    points = np.random.default_rng(0).random((200_000, 3))
    for trend in (0.2, 0.9):
        known = gaussian_process.Kernel(np.ones(3), trend, 0.0)
        assert known.variance(points).mean() == pytest.approx(1, abs=0.01)
        here = points[:50]
        np.testing.assert_allclose(known.variance(here), np.diag(known.covariance(here, here)))


@pytest.mark.parametrize("unit", [1.0, 1e-4, 1e5])
def test_predictions_are_scikit_learns(unit: float) -> None:
    inputs, outputs = sample(40, 3)
    outputs = outputs * unit + 7 * unit
    process = gaussian_process.fit(inputs, outputs)
    points = np.random.default_rng(5).random((25, 3)) * 1.4 - 0.2
    peer = peer_of(process).fit(inputs, outputs)
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
        found = gaussian_process.fit(inputs, outputs).predict(points)[0], peer.predict(points)
        errors.append([np.mean((means - truth) ** 2) for means in found])
    ours, theirs = np.mean(errors, axis=0)
    assert ours < 1.15 * theirs


def test_the_fit_is_a_maximum_of_the_posterior() -> None:
    inputs, outputs = sample(25, 2)
    process = gaussian_process.fit(inputs, outputs)
    data = gaussian_process._Known.of(inputs), standardised(outputs)
    known = process.kernel
    best = np.log([*known.scales, known.trend / (1 - known.trend), known.noise])
    value, gradient = gaussian_process._negative_log_posterior(best, *data)
    assert np.abs(gradient).max() < 0.05
    for step in np.random.default_rng(0).normal(0, 0.5, (50, 4)):
        assert gaussian_process._negative_log_posterior(best + step, *data)[0] > value


def test_believing_ones_own_means_leaves_them_and_shrinks_the_variance() -> None:
    inputs, outputs = sample(30, 3)
    process = gaussian_process.fit(inputs, outputs)
    rng = np.random.default_rng(2)
    added, points = rng.random((4, 3)), rng.random((60, 3))
    before, after = process.predict(points), process.believe(added).predict(points)
    np.testing.assert_allclose(after[0], before[0], atol=1e-7)
    assert np.all(after[1] <= before[1] + 1e-9) and after[1].mean() < 0.99 * before[1].mean()
    here = process.believe(added).predict(added)[1]
    assert np.all(here < 1.01 * process.spread * np.sqrt(process.kernel.noise))


def test_believing_is_conditioning_by_hand() -> None:
    """The posterior covariance after k more noisy points is the Schur complement of theirs."""
    inputs, outputs = sample(15, 2)
    process = gaussian_process.fit(inputs, outputs)
    rng = np.random.default_rng(3)
    added, points = rng.random((3, 2)), rng.random((10, 2))
    every = np.concatenate([inputs, added])
    prior = kernel(process.kernel.scales, process.kernel.trend)
    gram = prior(every) + process.kernel.noise * np.eye(18)
    cross = prior(points, every)
    variance = prior.diag(points) - np.einsum("kn,nm,km->k", cross, np.linalg.inv(gram), cross)
    found = process.believe(added).predict(points)[1] / process.spread
    np.testing.assert_allclose(found**2, variance, rtol=1e-4, atol=1e-8)


def test_conditioning_on_other_outputs_keeps_the_hyperparameters() -> None:
    inputs, outputs = sample(20, 2)
    process = gaussian_process.fit(inputs, outputs)
    more, others = sample(35, 2, seed=4)
    now = process.conditioned(more, 3 * others - 5)
    assert now.kernel is process.kernel
    peer = peer_of(process).fit(more, 3 * others - 5)
    np.testing.assert_allclose(now.predict(inputs)[0], peer.predict(inputs), rtol=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_inputs_that_matter_have_shorter_length_scales(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = rng.random((60, 8))
    outputs = np.sin(9 * inputs[:, 2]) + np.cos(5 * inputs[:, 5]) + 0.02 * rng.standard_normal(60)
    scales = gaussian_process.fit(inputs, outputs).kernel.scales
    order = np.argsort(scales)
    assert list(order[:2]) == [2, 5]
    assert scales[order[2]] > 3 * scales[5]


@pytest.mark.parametrize("seed", range(3))
def test_small_effects_of_many_inputs_are_found_in_few_points(seed: int) -> None:
    """One input sways most of the output; eight have a twentieth of it: Matern alone takes them for noise."""
    rng = np.random.default_rng(seed)
    inputs, points = rng.random((40, 9)), rng.random((300, 9))
    best = rng.uniform(0.2, 0.8, 8)

    def small(x: Array) -> Array:
        return np.asarray(0.6 * ((x[:, 1:] - best) ** 2).sum(1))

    outputs = np.sin(4 * inputs[:, 0]) + small(inputs) + 0.01 * rng.standard_normal(40)
    points[:, 0] = 0.5
    peer = GaussianProcessRegressor(Matern(np.ones(9), (0.02, 400), nu=2.5), alpha=1e-3, normalize_y=True)
    found = (
        gaussian_process.fit(inputs, outputs).predict(points)[0],
        peer.fit(inputs, outputs).predict(points),
    )
    ours, theirs = (np.corrcoef(means, small(points))[0, 1] for means in found)
    assert ours > 0.9 and ours > theirs + 0.1, (ours, theirs)


def test_noise_is_recovered() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.random((150, 1))
    for deviation in (0.05, 0.3):
        outputs = np.sin(6 * inputs[:, 0]) + deviation * rng.standard_normal(150)
        process = gaussian_process.fit(inputs, outputs)
        assert process.spread * np.sqrt(process.kernel.noise) == pytest.approx(deviation, rel=0.2)


def test_intervals_hold_what_they_say() -> None:
    """Of functions drawn from the process's own kind, 95 % lie within 1.96 deviations."""
    inside = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        everything = rng.random((90, 2))
        gram = Matern([0.4, 0.9], nu=2.5)(everything) + 1e-4 * np.eye(90)
        values = np.linalg.cholesky(gram) @ rng.standard_normal(90)
        means, deviations = gaussian_process.fit(everything[:30], values[:30]).predict(everything[30:])
        inside += list(np.abs(means - values[30:]) < 1.96 * deviations)
    assert 0.9 < np.mean(inside) <= 0.99


def test_duplicates_and_constants_break_nothing() -> None:
    inputs, outputs = sample(20, 3)
    many = np.repeat(inputs, 6, axis=0)
    process = gaussian_process.fit(many, np.repeat(outputs, 6))
    np.testing.assert_allclose(process.predict(inputs)[0], outputs, atol=0.05)
    for constant in (0.1, 0.0, -3.0):
        means, deviations = gaussian_process.fit(many, np.full(120, constant)).predict(inputs + 0.1)
        np.testing.assert_allclose(means, constant, atol=1e-9)
        assert np.all(np.isfinite(deviations)) and np.all(deviations > 1e-4), "of no spread that rounding has"
    one = gaussian_process.fit(inputs[:1], outputs[:1]).predict(inputs)
    np.testing.assert_allclose(one[0], outputs[0])


def test_outputs_of_one_point_that_contradict_each_other_are_averaged() -> None:
    inputs = np.repeat([[0.2], [0.8]], 20, axis=0)
    noise = np.tile([0.5, -0.5], 20)
    means, _ = gaussian_process.fit(inputs, np.repeat([0.0, 5.0], 20) + noise).predict(
        np.array([[0.2], [0.8]])
    )
    np.testing.assert_allclose(means, [0, 5], atol=0.1)


def test_no_points_have_no_predictions() -> None:
    means, deviations = gaussian_process.fit(*sample(10, 2)).predict(np.empty((0, 2)))
    assert means.shape == deviations.shape == (0,)


def test_300_points_of_13_inputs_are_fitted_in_seconds() -> None:
    inputs, outputs = sample(300, 13)
    start = time.process_time()
    gaussian_process.fit(inputs, outputs)
    assert time.process_time() - start < 20  # 0.4 on an idle core
